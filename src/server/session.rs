//! A conversation about one document: what its client sends, judged and handed on.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::{sync::oneshot, time::Instant};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::{
    auth::Permission,
    domain::{MessageId, Profile, Timestamp},
    live::{
        ClientKey, Command, ConnectionId, Goodbye, Handle, Item, Message as Said, Outbox, PresenceMessage, Submission,
        WaitingPresence,
    },
    protocol::{
        ErrorCode, Refusal,
        document::{ClientEvent, ClientMessage, Reader, Token, authenticated, error, pong, token_expiring},
    },
    telemetry::{CloseReason, Limited, Received, Sent},
};

use super::{
    Shared, comments,
    connection::profile,
    ending::{
        End, banned, broken, insufficient, no_read, not_accepted, rate_limited, throttled, token_expired, unavailable,
    },
    heard::Heard,
    limits::Bucket,
    people::Seat,
    permission,
    socket::Incoming,
    standing::Standing,
};

/// An opened document, as its connection has it.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handle: Handle,
    pub(super) connection: ConnectionId,
    pub(super) client: ClientKey,
    /// What the user is called just now, where known.
    pub(super) name: Mutex<Option<Arc<str>>>,
    pub(super) standing: Standing,
    pub(super) seat: Seat,
    /// Messages that are no edits.
    pub(super) messages: Bucket,
    /// Messages refused for their rate.
    pub(super) refusals: Bucket,
    pub(super) reader: Reader,
    pub(super) heard: Heard,
}

impl Session {
    /// Reads frames until somebody ends the conversation.
    pub(super) async fn listen(&self, incoming: &mut Incoming) -> End {
        let mut stop = std::pin::pin!(self.stopped());
        loop {
            let frame = tokio::select! {
                biased;
                goodbye = stop.as_mut() => return End::Server(goodbye),
                frame = incoming.next() => frame,
            };
            let now = Instant::now();
            self.heard.note(now);
            match frame {
                Some(Ok(Message::Text(text))) => {
                    self.heard.count(text.len());
                    let (commands, ended) = self.receive(&text, now);
                    for command in commands {
                        // When the document's inbox is full this waits, and with it the connection is no
                        // longer read: that is how a client that sends too fast is slowed down.
                        if self.handle.send(command).await.is_err() {
                            return End::Server(unavailable());
                        }
                        // Whoever was made to wait has not been silent.
                        self.heard.note(Instant::now());
                    }
                    if let Some(goodbye) = ended {
                        return End::Server(goodbye);
                    }
                }
                Some(Ok(Message::Binary(_))) => {
                    let refusal = Refusal::invalid("message", "a text frame; this one is binary");
                    if let Err(goodbye) = self.refuse_paced(&refusal, now) {
                        return End::Server(goodbye);
                    }
                }
                Some(Ok(Message::Ping(_))) => {
                    if let Err(goodbye) = self.pace(None, now) {
                        return End::Server(goodbye);
                    }
                }
                Some(Ok(Message::Pong(_))) => {
                    if self.handle.send(Command::Alive(self.connection)).await.is_err() {
                        return End::Server(unavailable());
                    }
                }
                Some(Ok(Message::Frame(_))) => (),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return End::Client { code, metric: CloseReason::ClientClosed };
                }
                Some(Err(error)) => return broken(&error, self.shared.settings.limits.message_bytes),
                None => return End::Client { code: 1006, metric: CloseReason::ClientLost },
            }
        }
    }

    /// Waits for a reason of the server's own to end the conversation.
    async fn stopped(&self) -> Goodbye {
        tokio::select! {
            () = self.shared.stopping.cancelled() => Goodbye::RESTARTING,
            () = self.heard.silence(self.shared.settings.heartbeat.timeout) => {
                self.shared.metrics.heartbeat_timeout();
                Goodbye::SILENT
            }
            () = self.standing.over(&self.shared.clock, |end| self.tell_expiring(end)) => token_expired(),
            goodbye = self.outbox.closed() => goodbye,
        }
    }

    /// Takes a text frame: answers what can be answered here, and gives what is for the document; and the
    /// goodbye, should the conversation end with it.
    fn receive(&self, text: &str, now: Instant) -> (Vec<Command>, Option<Goodbye>) {
        // The timer may be late; what comes after the end of the token counts no more.
        if self.standing.is_over(self.shared.clock.now()) {
            return (Vec::new(), Some(token_expired()));
        }
        let mut commands = Vec::new();
        let messages = match self.reader.read_frame(text) {
            Ok(messages) => messages,
            Err(refusal) => return (commands, self.refuse_paced(&refusal, now).err()),
        };
        // One frame can hold more mistakes than the peer will ever read answers to.
        for message in messages.take_while(|_| !self.outbox.is_closed()) {
            let taken = match message {
                Ok(message) => self.take(message, now),
                Err(refusal) => self.refuse_paced(&refusal, now).map(|()| None),
            };
            match taken {
                Ok(command) => commands.extend(command),
                Err(goodbye) => return (commands, Some(goodbye)),
            }
        }
        (commands, None)
    }

    /// Whether a message that is no edit may be handled; it has been refused where not. One who goes on
    /// sending too fast is sent away.
    fn pace(&self, message_id: Option<&str>, now: Instant) -> Result<bool, Goodbye> {
        let own = self.messages.take(now).map_err(|wait| (Limited::Connection, wait));
        let Err((limit, wait)) = own.and_then(|()| self.seat.take(now)) else { return Ok(true) };
        self.shared.metrics.rate_limited(limit);
        if self.refusals.take(now).is_err() {
            return Err(throttled(wait));
        }
        self.refuse(&rate_limited(wait).of_raw(message_id));
        Ok(false)
    }

    /// Refuses what could not be read, unless that has happened too often.
    fn refuse_paced(&self, refusal: &Refusal, now: Instant) -> Result<(), Goodbye> {
        let is_unknown = refusal.code == ErrorCode::UnknownEvent;
        self.shared.metrics.message_received(if is_unknown { Received::Unknown } else { Received::Invalid });
        let message_id = refusal.details.get("message_id").and_then(serde_json::Value::as_str);
        if self.pace(message_id, now)? {
            self.refuse(refusal);
        }
        Ok(())
    }

    /// Takes a message, where it may be sent.
    fn take(&self, message: ClientMessage, now: Instant) -> Result<Option<Command>, Goodbye> {
        self.shared.metrics.message_received(kind_of(&message.event));
        let ClientMessage { message_id, event } = message;
        let allowed = permission::needed(&event)
            .map_or(Ok(()), |needed| self.standing.check(needed).map_err(|has| (needed, has)));
        // Edits are never refused for their rate: they wait for room in the document's inbox.
        let is_edit = allowed.is_ok() && matches!(event, ClientEvent::Edit(_));
        if !is_edit && !self.pace(message_id.as_ref().map(MessageId::as_str), now)? {
            return Ok(None);
        }
        if let Err((needed, has)) = allowed {
            self.refuse(&insufficient(needed, has).of_raw(message_id.as_ref().map(MessageId::as_str)));
            return Ok(None);
        }
        match event {
            ClientEvent::Edit(message) => Ok(Some(self.submit(message_id, Said::Edit(message), now))),
            ClientEvent::Comment(message) => Ok(Some(self.submit(message_id, self.comment(*message), now))),
            ClientEvent::Sync { since } => Ok(Some(Command::Sync(self.connection, since, message_id))),
            ClientEvent::Cursor(message) => Ok(Some(self.presence(message_id, PresenceMessage::Cursor(message)))),
            ClientEvent::Typing(message) => Ok(Some(self.presence(message_id, PresenceMessage::Typing(message)))),
            ClientEvent::Ping { timestamp } => {
                let server_time = self.shared.clock.now().millis();
                let frame = pong(&timestamp, server_time, &self.client.client, message_id.as_ref());
                self.send(&frame, Sent::Pong);
                Ok(None)
            }
            ClientEvent::Authenticate { token } => self.authenticate(&token, message_id.as_ref()),
        }
    }

    /// What a client says of itself, on its way to the document.
    fn presence(&self, message_id: Option<MessageId>, message: PresenceMessage) -> Command {
        let (connection, client) = (self.connection, self.client.clone());
        Command::Presence(Box::new(WaitingPresence { connection, client, message_id, message }))
    }

    fn submit(&self, message_id: Option<MessageId>, message: Said, now: Instant) -> Command {
        let message_id = message_id.unwrap_or_else(made_up);
        let (connection, client) = (self.connection, self.client.clone());
        Command::Submit(Box::new(Submission { connection, client, message_id, message, received_at: now }))
    }

    /// Puts another token in the place of the one that holds. What was sent before is judged by the old one,
    /// what comes after by the new one: messages are read in turn.
    fn authenticate(&self, token: &Token, message: Option<&MessageId>) -> Result<Option<Command>, Goodbye> {
        let identity = match self.shared.authenticator.renew(&self.client.user, token.expose(), self.shared.clock.now())
        {
            Ok(identity) => identity,
            Err(denied) => {
                self.refuse(&not_accepted(denied).of_raw(message.map(MessageId::as_str)));
                return Ok(None);
            }
        };
        if let Some(until) = self.shared.revocations.until(&identity.user_id, identity.token_id.as_ref()) {
            return Err(banned(until));
        }
        self.seat.renew(identity.token_id.clone());
        let permissions = identity.permissions.on(&self.reader.document_id);
        self.standing.replace(permissions, identity.expires_at);
        if !permissions.allows(Permission::Read) {
            return Err(no_read(permissions));
        }
        let names: Vec<_> = permissions.iter().map(Permission::short).collect();
        let expires_at = identity.expires_at.map(Timestamp::to_rfc3339);
        let client = &self.client;
        let frame = authenticated((&client.client, message), &client.user, &names, expires_at.as_deref());
        self.send(&frame, Sent::Other);
        let profile = profile(&identity);
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = shown_name(&profile);
        Ok(Some(Command::Rename(self.connection, Arc::new(profile))))
    }

    fn tell_expiring(&self, end: Timestamp) {
        self.send(&token_expiring(&end.to_rfc3339()), Sent::Other);
    }

    fn send(&self, frame: &str, kind: Sent) {
        self.outbox.push(Item::text(frame));
        self.shared.metrics.messages_sent(kind, 1);
    }

    fn refuse(&self, refusal: &Refusal) {
        self.shared.metrics.error_sent(refusal.code.as_str());
        let now = self.shared.clock.now().to_rfc3339();
        self.send(&error(refusal, &now, Some(&self.client.client)), Sent::Error);
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
