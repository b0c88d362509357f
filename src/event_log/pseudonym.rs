//! Putting a name that means nothing in the place of a person: what it makes of each thing that the log may say of them.
//!
//! What they wrote into a document stays, for it is the document; that it was they, what they were called, and what they
//! said in comments does not. Each of these answers `None` where nothing is said of them.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{
    domain::{
        Cause, ClientId, CommentCause, CommentChange, Commented, Edited, Event, IdError, Joined, Left, Moved,
        NewComment, PresenceEvent, Profile, Revocation, Revoked, Typed, UserId,
    },
    projection::Presence,
};

/// A person, and what stands in their place.
#[derive(Debug, Clone)]
pub(super) struct Pseudonym {
    user: UserId,
    name: UserId,
    /// In the place of their clients; these have nothing in flight any more.
    client: ClientId,
    /// As the person is written in stored texts, and what is written in their place.
    written: [String; 2],
}

impl Pseudonym {
    /// # Errors
    /// When the name could not be a client's as well.
    pub(super) fn new(user: UserId, name: UserId) -> Result<Self, IdError> {
        let client = ClientId::parse(name.as_str())?;
        let written = [&user, &name].map(|id| serde_json::Value::from(id.as_str()).to_string());
        Ok(Self { user, name, client, written })
    }

    /// Whether a stored text may be about the person, or about what already stands in their place: a glance that spares
    /// reading all that is not. What cannot be read may be about anybody.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        str::from_utf8(text).map_or(true, |text| self.written.iter().any(|name| text.contains(name)))
    }

    /// Whether this is the person, or what already stands in their place.
    pub(super) fn is(&self, user: &UserId) -> bool {
        *user == self.user || *user == self.name
    }

    pub(super) fn event(&self, event: &Event) -> Option<Event> {
        match event {
            Event::Edited(edited) => (edited.cause.user == self.user).then(|| Event::Edited(self.edited(edited))),
            Event::Commented(commented, cause) => (commented.by == self.user).then(|| {
                let cause = CommentCause { client: self.client.clone(), received: nothing(), ..(**cause).clone() };
                Event::Commented(self.commented(commented), Arc::new(cause))
            }),
        }
    }

    fn edited(&self, edited: &Edited) -> Edited {
        let (user, client) = (self.name.clone(), self.client.clone());
        let cause = Cause { user, client, received: nothing(), ..(*edited.cause).clone() };
        Edited { cause: Arc::new(cause), ..edited.clone() }
    }

    fn commented(&self, commented: &Commented) -> Commented {
        let change = match &commented.change {
            CommentChange::Added(new) => {
                CommentChange::Added(Arc::new(NewComment { content: "".into(), author_name: None, ..(**new).clone() }))
            }
            CommentChange::Updated { comment, thread, .. } => {
                CommentChange::Updated { comment: comment.clone(), thread: thread.clone(), content: "".into() }
            }
            other @ (CommentChange::Resolved { .. }
            | CommentChange::Reopened { .. }
            | CommentChange::Deleted { .. }) => other.clone(),
        };
        Commented { change, by: self.name.clone(), at: commented.at }
    }

    pub(super) fn presence_event(&self, event: &PresenceEvent) -> Option<PresenceEvent> {
        match event {
            PresenceEvent::Joined(joined) => (joined.user == self.user).then(|| {
                PresenceEvent::Joined(Joined {
                    connection: joined.connection.clone(),
                    user: self.name.clone(),
                    client: self.client.clone(),
                    profile: Arc::default(),
                })
            }),
            PresenceEvent::Left(left) => (left.user == self.user)
                .then(|| PresenceEvent::Left(Left { connection: left.connection.clone(), user: self.name.clone() })),
            PresenceEvent::Moved(moves) => {
                let moved = |it: &Moved| {
                    if it.user != self.user {
                        return it.clone();
                    }
                    Moved { user: self.name.clone(), client: self.client.clone(), message_id: None, ..*it }
                };
                let is_there = moves.iter().any(|it| it.user == self.user);
                is_there.then(|| PresenceEvent::Moved(moves.iter().map(moved).collect()))
            }
            PresenceEvent::Typed(all) => {
                let typed = |it: &Typed| {
                    if it.user != self.user {
                        return it.clone();
                    }
                    Typed { user: self.name.clone(), client: self.client.clone(), message_id: None, ..*it }
                };
                let is_there = all.iter().any(|it| it.user == self.user);
                is_there.then(|| PresenceEvent::Typed(all.iter().map(typed).collect()))
            }
        }
    }

    pub(super) fn presence(&self, presence: &Presence) -> Option<Presence> {
        let there = presence.user(&self.user)?;
        let mut replaced = presence.clone();
        let cursor = presence.cursor(&self.user).copied();
        for connection in there.connections.keys() {
            replaced.leave(&Left { connection: connection.clone(), user: self.user.clone() });
            let (user, client, profile) = (self.name.clone(), self.client.clone(), Arc::<Profile>::default());
            replaced.join(&Joined { connection: connection.clone(), user, client, profile });
        }
        if let Some(cursor) = cursor {
            replaced.place(&self.name, cursor);
        }
        Some(replaced)
    }

    /// Whether a revocation shuts the person out, or lets them in again, by their name.
    pub(super) fn is_banned_by(&self, revocation: &Revocation) -> bool {
        revocation.revoked == Revoked::User(self.user.clone())
    }

    /// A ban in force keeps the name, for it keeps others safe. The name of the person who ordered a ban never stays.
    pub(super) fn revocation(&self, revocation: &Revocation, keeps_name: bool) -> Option<Revocation> {
        let is_about = !keeps_name && self.is_banned_by(revocation);
        let is_by = revocation.by == self.user;
        (is_about || is_by).then(|| Revocation {
            revoked: if is_about { Revoked::User(self.name.clone()) } else { revocation.revoked.clone() },
            until: revocation.until,
            reason: None,
            by: if is_by { self.name.clone() } else { revocation.by.clone() },
        })
    }
}

/// In the place of what somebody sent. What it did is known without it.
fn nothing() -> Arc<RawValue> {
    let nothing = RawValue::from_string("{}".to_owned());
    nothing.expect("an empty object is JSON").into()
}
