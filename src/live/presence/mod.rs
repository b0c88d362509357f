//! Who is in an open document, and where their cursors are.
//!
//! Owned by the document's task, so that what is told of cursors has its place among the edits: a cursor
//! refers to the version of the last operation sent before it. What clients say of themselves waits here for
//! at most `presence.merge_interval`, the newest of each user, and is placed in the text, told to the others
//! and handed to the log all at once. Edits wait for none of it.

mod place;
mod take_in;
mod take_over;
mod tell;
mod trim;
mod unlogged;
mod write;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    domain::{
        ClientId, ConnectionName, Cursor, Joined, Left, MessageId, PresenceEvent, Profile, Rejection, UserId, Version,
    },
    projection::{self, Arrival, Placed},
    protocol::{
        Refusal,
        document::{ActiveUser, CursorMessage, TypingMessage, error},
    },
    telemetry::{Metrics, PresenceOutcome, Sent},
};

use super::{
    batch::{Outcome, Submission},
    command::ConnectionId,
    committed::{ClientKey, Committed},
    document::OpenDocument,
    outbox::Item,
    rings::Progress,
    subscriber::Subscriber,
};
use place::{Now, Seen, counted};
use unlogged::Unlogged;

/// What a client says of itself.
#[derive(Debug, Clone)]
pub struct WaitingPresence {
    /// On which connection.
    pub connection: ConnectionId,
    /// Which client.
    pub client: ClientKey,
    /// The message's name, if it has one.
    pub message_id: Option<MessageId>,
    /// What it says.
    pub message: PresenceMessage,
}

/// What a client can say of itself.
#[derive(Debug, Clone, Copy)]
pub enum PresenceMessage {
    /// Where its user's cursor is.
    Cursor(CursorMessage),
    /// Whether its user types.
    Typing(TypingMessage),
}

impl PresenceMessage {
    const fn version(&self) -> Option<Version> {
        match self {
            Self::Cursor(cursor) => cursor.version,
            Self::Typing(typing) => typing.version,
        }
    }
}

/// What clients said while edits were gathered, each with the number of edits gathered before it.
#[derive(Debug, Default)]
pub(super) struct Aside(Vec<(usize, WaitingPresence)>);

/// So much is put aside before the edits that were gathered get their turn.
const ASIDE: usize = 1_024;

impl Aside {
    pub(super) fn push(&mut self, edits_before: usize, said: WaitingPresence) {
        self.0.push((edits_before, said));
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= ASIDE
    }
}

/// Everybody present in one document.
#[derive(Debug)]
pub(super) struct Presence {
    here: projection::Presence,
    /// What is to be told, the newest of each user.
    said: BTreeMap<UserId, Said>,
    /// When it is to be told.
    due: Option<Instant>,
    last_told: Option<Instant>,
    unlogged: Arc<Unlogged>,
    /// Up to where the presence stream has been read for what other processes record, and when that was.
    progress: Arc<Progress>,
    last_read: Option<Instant>,
    /// Of connections that have not answered yet: the older ones of their clients on other nodes.
    older: HashMap<ConnectionId, Vec<ConnectionName>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Said {
    cursor: Option<By<SaidCursor>>,
    typing: Option<By<(TypingMessage, Seen)>>,
}

#[derive(Debug)]
enum SaidCursor {
    AsSent(Cursor, Seen),
    /// It is in the projection by now, and moves there with the text.
    Placed,
}

/// Something that a connection said, and how.
#[derive(Debug)]
struct By<T> {
    connection: ConnectionId,
    client: ClientId,
    message_id: Option<MessageId>,
    what: T,
}

impl Presence {
    /// Whether somebody is here, or was just now.
    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.here.user(user).is_some() || self.said.contains_key(user)
    }

    pub(super) fn new(progress: Arc<Progress>, metrics: Metrics) -> Self {
        Self {
            here: projection::Presence::new(),
            said: BTreeMap::new(),
            due: None,
            last_told: None,
            unlogged: Arc::default(),
            progress,
            last_read: None,
            older: HashMap::new(),
            metrics,
        }
    }

    /// When there is something to tell; `None` when there is nothing.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Waits until others have recorded something, and long enough after the last time: edits do not wait for it.
    pub(super) async fn told(&self, interval: Duration) {
        if let Some(last) = self.last_read {
            sleep_until(last + interval).await;
        }
        self.progress.told().await;
    }

    /// Whether others have recorded something, and it is time to read it.
    pub(super) fn is_to_be_read(&self, interval: Duration) -> bool {
        self.progress.is_behind() && self.last_read.is_none_or(|last| last.elapsed() >= interval)
    }

    /// Something was committed: if it is an edit, the cursors move with the text.
    pub(super) fn edited(&mut self, event: &Committed) {
        if let Some(edit) = event.edit() {
            self.here.edited(event.version, &edit.footprint, &event.client.user);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.metrics.users_gone(self.here.count());
    }
}

impl OpenDocument {
    /// A connection comes in. Unless its user is known already [`Self::announce`] is due, once the newcomer has got
    /// what it gets first.
    pub(super) fn enter(&mut self, newcomer: &Subscriber) -> Arrival {
        let joined = self.joined(newcomer);
        let arrival = self.presence.here.join(&joined);
        if arrival == Arrival::Newcomer {
            self.live.metrics.users_came(1);
        }
        self.log_presence(PresenceEvent::Joined(joined), true);
        arrival
    }

    /// A connection says anew who its user is to the others.
    pub(super) fn rename(&mut self, connection: ConnectionId, profile: Arc<Profile>) {
        let Some(subscriber) = self.subscribers.iter_mut().find(|it| it.connection == connection) else { return };
        // What has not changed is not said anew: of two connections the one that says something new counts.
        if subscriber.profile == profile {
            return;
        }
        subscriber.profile = profile;
        let subscriber = subscriber.clone();
        let joined = self.joined(&subscriber);
        let arrival = self.presence.here.join(&joined);
        let Presence { unlogged, metrics, .. } = &self.presence;
        if unlogged.add_renamed(self.document.version(), joined, metrics) {
            self.live.write_presence(&self.id, unlogged, &self.streams.presence);
        }
        if arrival != Arrival::Known {
            self.place_cursors();
            self.announce(connection);
        }
    }

    fn joined(&self, subscriber: &Subscriber) -> Joined {
        Joined {
            connection: self.live.node.connection(subscriber.connection),
            user: subscriber.client.user.clone(),
            client: subscriber.client.client.clone(),
            profile: Arc::clone(&subscriber.profile),
        }
    }

    /// A connection is gone, and with the last one its user.
    pub(super) fn exit(&mut self, gone: &Subscriber) {
        let user = gone.client.user.clone();
        let left = Left { connection: self.live.node.connection(gone.connection), user: user.clone() };
        self.presence.older.remove(&gone.connection);
        let last = self.presence.here.leave(&left);
        self.log_presence(PresenceEvent::Left(left), true);
        if let Some(client) = last {
            self.presence.said.remove(&user);
            self.presence.unlogged.forget(&user);
            self.live.metrics.users_gone(1);
            self.tell_left(&user, &client);
        }
    }

    fn log_presence(&self, event: PresenceEvent, is_own: bool) {
        let Presence { unlogged, metrics, .. } = &self.presence;
        if unlogged.add(self.document.version(), event, is_own, metrics) {
            self.live.write_presence(&self.id, unlogged, &self.streams.presence);
        }
    }

    /// A client says something of itself, after everything that has been committed.
    pub(super) fn hear(&mut self, said: WaitingPresence) {
        let now = self.document.version();
        self.hear_as_of(said, Seen { base: now, own: now });
    }

    /// Clients said something while a batch was made of the edits around it.
    pub(super) fn hear_aside(
        &mut self,
        aside: Aside,
        before: Version,
        submissions: &[Submission],
        outcomes: &[Outcome],
    ) {
        for (edits_before, said) in aside.0 {
            let is_own = |(it, _): &(&Submission, &Outcome)| it.client == said.client;
            let own = submissions.iter().zip(outcomes).take(edits_before).filter(is_own);
            let own = own.filter_map(|(edit, outcome)| match outcome {
                Outcome::Accepted(edit) | Outcome::Repeated(edit) => Some(edit.version),
                Outcome::Delivered => self.recent.find(&edit.message_id).map(|edit| edit.version),
                Outcome::Rejected(_) => None,
            });
            let own = own.max().unwrap_or(before).max(before);
            self.hear_as_of(said, Seen { base: before, own });
        }
    }

    fn hear_as_of(&mut self, said: WaitingPresence, last_sent: Seen) {
        let metrics = &self.live.metrics;
        metrics.presence(PresenceOutcome::Received, 1);
        if self.subscriber(said.connection).is_none() {
            return metrics.presence(PresenceOutcome::Dropped, 1);
        }
        let WaitingPresence { connection, client, message_id, message } = said;
        let base = message.version().unwrap_or(last_sent.base);
        if base > last_sent.base {
            let why = Rejection::VersionAhead { base, current: last_sent.base };
            return self.refuse_presence(connection, message_id.as_ref(), &why);
        }
        let seen = Seen { base, own: last_sent.own };
        let said = self.presence.said.entry(client.user).or_default();
        let client = client.client;
        let was_waiting = match message {
            PresenceMessage::Cursor(CursorMessage { cursor, .. }) => {
                let what = SaidCursor::AsSent(cursor, seen);
                said.cursor.replace(By { connection, client, message_id, what }).is_some()
            }
            PresenceMessage::Typing(typing) => {
                said.typing.replace(By { connection, client, message_id, what: (typing, seen) }).is_some()
            }
        };
        metrics.presence(PresenceOutcome::Merged, u64::from(was_waiting));
        let interval = self.live.presence.merge_interval;
        let earliest = self.presence.last_told.map_or_else(Instant::now, |told| told + interval);
        self.presence.due.get_or_insert(earliest);
    }

    /// Places the cursors that clients have sent, so that whoever asks sees them where they belong.
    pub(super) fn place_cursors(&mut self) {
        let mut refused = Vec::new();
        let now = Now { content: self.document.content(), recent: &self.recent };
        let version = self.document.version();
        for (user, said) in &mut self.presence.said {
            let Some(By { connection, client, message_id, what }) = &mut said.cursor else { continue };
            let SaidCursor::AsSent(cursor, seen) = *what else { continue };
            // Where nobody listens any more, nobody counts in units.
            let encoding = self.subscribers.iter().find(|it| it.connection == *connection).map(|it| it.encoding);
            let key = ClientKey { user: user.clone(), client: client.clone() };
            match now.place(&key, seen, cursor, encoding.unwrap_or_default()) {
                Ok(cursor) => {
                    self.presence.here.place(user, Placed { version, cursor });
                    *what = SaidCursor::Placed;
                }
                Err(why) => {
                    refused.push((*connection, message_id.take(), why));
                    said.cursor = None;
                }
            }
        }
        for (connection, message, why) in refused {
            self.refuse_presence(connection, message.as_ref(), &why);
        }
    }

    fn refuse_presence(&self, connection: ConnectionId, message: Option<&MessageId>, why: &Rejection) {
        let Some(subscriber) = self.subscriber(connection) else { return };
        let refusal = Refusal::of_rejection(why);
        let refusal = if let Some(message) = message { refusal.of(message) } else { refusal };
        self.live.metrics.messages_sent(Sent::Error, 1);
        self.live.metrics.error_sent(refusal.code.as_str());
        let now = self.live.clock.now().to_string();
        subscriber.outbox.push(Item::text(&error(&refusal, &now, Some(&subscriber.client.client))));
    }

    /// Everybody present, for this connection, once each however many connections they have.
    pub(super) fn active_users(&self, reader: &Subscriber) -> Vec<ActiveUser> {
        let content = self.document.content();
        let active = |(id, user): (&UserId, &projection::Present)| ActiveUser {
            user_id: id.clone(),
            profile: Arc::clone(&user.profile),
            cursor: self.presence.here.cursor(id).map(|placed| counted(content, placed.cursor, reader.encoding)),
        };
        self.presence.here.users().map(active).collect()
    }
}
