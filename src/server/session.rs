//! A conversation about one document: what its client sends, judged and handed on.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use crate::{
    domain::{MessageId, Profile},
    live::{Command, ConnectionId, Goodbye, Handle, Message as Said, PresenceMessage, Submission, WaitingPresence},
    protocol::{
        Refusal,
        document::{ClientEvent, ClientMessage, Token},
    },
    telemetry::Received,
};

use super::{
    comments,
    connection::profile,
    ending::{insufficient, unavailable},
    permission,
    talk::{Subject, Talk},
};

/// An opened document, as its connection has it.
pub(super) struct Session {
    pub(super) talk: Talk,
    pub(super) handle: Handle,
    pub(super) connection: ConnectionId,
    /// What the user is called just now, where known.
    pub(super) name: Mutex<Option<Arc<str>>>,
}

impl Subject for Session {
    type Event = ClientEvent;
    type Command = Command;

    fn talk(&self) -> &Talk {
        &self.talk
    }

    fn read<'a>(&'a self, text: &'a str) -> Result<impl Iterator<Item = Result<ClientMessage, Refusal>>, Refusal> {
        self.talk.reader.read_frame(text)
    }

    /// Takes a message, where it may be sent.
    fn take(&self, message: ClientMessage, now: Instant) -> Result<Option<Command>, Goodbye> {
        let talk = &self.talk;
        talk.shared.metrics.message_received(kind_of(&message.event));
        let ClientMessage { message_id, event } = message;
        let allowed = permission::needed(&event)
            .map_or(Ok(()), |needed| talk.standing.check(needed).map_err(|has| (needed, has)));
        // Edits are never refused for their rate: they wait for room in the document's inbox.
        let is_edit = allowed.is_ok() && matches!(event, ClientEvent::Edit(_));
        if !is_edit && !talk.pace(message_id.as_ref().map(MessageId::as_str), now)? {
            return Ok(None);
        }
        if let Err((needed, has)) = allowed {
            talk.refuse(&insufficient(needed, has).of_raw(message_id.as_ref().map(MessageId::as_str)));
            return Ok(None);
        }
        match event {
            ClientEvent::Edit(message) => Ok(Some(self.submit(message_id, Said::Edit(message), now))),
            ClientEvent::Comment(message) => Ok(Some(self.submit(message_id, self.comment(*message), now))),
            ClientEvent::Sync { since } => {
                let may_be_asked = talk.pace_sync(message_id.as_ref().map(MessageId::as_str), now)?;
                Ok(may_be_asked.then_some(Command::Sync(self.connection, since, message_id)))
            }
            ClientEvent::Cursor(message) => Ok(Some(self.presence(message_id, PresenceMessage::Cursor(message)))),
            ClientEvent::Typing(message) => Ok(Some(self.presence(message_id, PresenceMessage::Typing(message)))),
            ClientEvent::Ping { timestamp } => {
                talk.pong(&timestamp, message_id.as_ref());
                Ok(None)
            }
            ClientEvent::Authenticate { token } => self.authenticate(&token, message_id.as_ref()),
        }
    }

    fn alive(&self) -> Option<Command> {
        Some(Command::Alive(self.connection))
    }

    async fn pass_on(&self, command: Command) -> Result<(), Goodbye> {
        self.handle.send(command).await.map_err(|_| unavailable())
    }
}

impl Session {
    /// What a client says of itself, on its way to the document.
    fn presence(&self, message_id: Option<MessageId>, message: PresenceMessage) -> Command {
        let (connection, client) = (self.connection, self.talk.client.clone());
        Command::Presence(Box::new(WaitingPresence { connection, client, message_id, message }))
    }

    fn submit(&self, message_id: Option<MessageId>, message: Said, now: Instant) -> Command {
        let message_id = message_id.unwrap_or_else(made_up);
        let (connection, client) = (self.connection, self.talk.client.clone());
        Command::Submit(Box::new(Submission { connection, client, message_id, message, received_at: now }))
    }

    fn authenticate(&self, token: &Token, message: Option<&MessageId>) -> Result<Option<Command>, Goodbye> {
        let Some(identity) = self.talk.renew(token, message)? else { return Ok(None) };
        let profile = profile(&identity);
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = shown_name(&profile);
        Ok(Some(Command::Rename(self.connection, Arc::new(profile))))
    }

    /// Leaves the document, once everything that was sent to it has been answered.
    pub(super) async fn leave(&self) {
        let (reply, left) = oneshot::channel();
        if self.handle.send(Command::Leave(self.connection, reply)).await.is_ok() {
            // A document that is gone has answered all that it was going to.
            let _ = left.await;
        }
    }
}

/// What somebody is called beside their comments.
pub(super) fn shown_name(profile: &Profile) -> Option<Arc<str>> {
    profile.name.as_deref().map(Into::into)
}

/// A name that nobody else has.
pub(super) fn make_id() -> String {
    Uuid::now_v7().to_string()
}

/// A name for a message that came without one.
fn made_up() -> MessageId {
    MessageId::parse(&make_id()).expect("a UUID is 36 plain characters")
}

fn kind_of(event: &ClientEvent) -> Received {
    match event {
        ClientEvent::Edit(_) => Received::DocumentEdit,
        ClientEvent::Comment(comment) => comments::kind_of(comment.kind),
        ClientEvent::Sync { .. } => Received::DocumentSync,
        ClientEvent::Cursor(_) => Received::CursorUpdate,
        ClientEvent::Typing(_) => Received::TypingIndicator,
        ClientEvent::Ping { .. } => Received::Ping,
        ClientEvent::Authenticate { .. } => Received::Authenticate,
    }
}
