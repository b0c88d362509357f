//! What every conversation has, whatever it is about: who it is with, what they may do, how fast, and until when.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    auth::{Identity, Permission},
    domain::{MessageId, Timestamp},
    live::{ClientKey, Goodbye, Item, Outbox},
    protocol::{
        ErrorCode, Refusal,
        document::{ClientMessage, Reader, Token, authenticated, error, pong, token_expiring},
    },
    telemetry::{CloseReason, Limited, Received, Sent},
};

use super::{
    Shared,
    ending::{End, banned, broken, no_read, not_accepted, rate_limited, throttled, token_expired},
    heard::{Heard, Pings},
    limits::Bucket,
    people::Seat,
    socket::Incoming,
    standing::Standing,
};

/// A conversation with one client.
pub(super) struct Talk {
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) client: ClientKey,
    pub(super) standing: Standing,
    pub(super) seat: Seat,
    /// Messages that are no edits.
    pub(super) messages: Bucket,
    /// What the client asked the whole document for, and how long it was.
    pub(super) syncs: Arc<Bucket>,
    /// Messages refused for their rate.
    pub(super) refusals: Bucket,
    pub(super) reader: Reader,
    pub(super) heard: Heard,
    pub(super) pings: Pings,
}

/// What a conversation is about: what is said in it, and what comes of that.
pub(super) trait Subject {
    /// What its clients say.
    type Event;
    /// What that becomes.
    type Command;

    fn talk(&self) -> &Talk;

    /// Reads a frame.
    fn read<'a>(
        &'a self,
        text: &'a str,
    ) -> Result<impl Iterator<Item = Result<ClientMessage<Self::Event>, Refusal>>, Refusal>;

    /// Takes a message: answers what can be answered at once.
    fn take(&self, message: ClientMessage<Self::Event>, now: Instant) -> Result<Option<Self::Command>, Goodbye>;

    /// What is to be done when the client has answered a ping.
    fn alive(&self) -> Option<Self::Command>;

    /// Hands a command on. While this waits the connection is not read.
    fn pass_on(&self, command: Self::Command) -> impl Future<Output = Result<(), Goodbye>> + Send;
}

/// Reads frames until somebody ends the conversation.
pub(super) async fn listen(subject: &impl Subject, incoming: &mut Incoming) -> End {
    let talk = subject.talk();
    let mut stop = std::pin::pin!(talk.stopped());
    loop {
        let frame = tokio::select! {
            biased;
            goodbye = stop.as_mut() => return End::Server(goodbye),
            frame = incoming.next() => frame,
        };
        let now = Instant::now();
        talk.heard.note(now);
        match frame {
            Some(Ok(Message::Text(text))) => {
                talk.heard.count(text.len());
                let (commands, ended) = receive(subject, &text, now);
                for command in commands {
                    // When the inbox is full this waits, and with it the connection is no longer read: that is
                    // how a client that sends too fast is slowed down.
                    if let Err(goodbye) = subject.pass_on(command).await {
                        return End::Server(goodbye);
                    }
                    // Whoever was made to wait has not been silent.
                    talk.heard.note(Instant::now());
                }
                if let Some(goodbye) = ended {
                    return End::Server(goodbye);
                }
            }
            Some(Ok(Message::Binary(_))) => {
                let refusal = Refusal::invalid("message", "a text frame; this one is binary");
                if let Err(goodbye) = talk.refuse_paced(&refusal, now) {
                    return End::Server(goodbye);
                }
            }
            Some(Ok(Message::Pong(_))) if talk.pings.answered() => {
                if let Some(command) = subject.alive()
                    && let Err(goodbye) = subject.pass_on(command).await
                {
                    return End::Server(goodbye);
                }
            }
            // A pong that nobody asked for is allowed (RFC 6455, 5.5.3), and a message like others: passed on, a flood
            // of them would fill the document's inbox and cut its batches short.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                if let Err(goodbye) = talk.pace(None, now) {
                    return End::Server(goodbye);
                }
            }
            Some(Ok(Message::Frame(_))) => (),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                return End::Client { code, metric: CloseReason::ClientClosed };
            }
            Some(Err(error)) => return broken(&error, talk.shared.settings.limits.message_bytes),
            None => return End::Client { code: 1006, metric: CloseReason::ClientLost },
        }
    }
}

/// Takes a text frame: answers what can be answered here, and gives what is to be handed on; and the goodbye, should
/// the conversation end with it.
fn receive<S: Subject>(subject: &S, text: &str, now: Instant) -> (Vec<S::Command>, Option<Goodbye>) {
    let talk = subject.talk();
    // The timer may be late; what comes after the end of the token counts no more.
    if talk.standing.is_over(talk.shared.clock.now()) {
        return (Vec::new(), Some(token_expired()));
    }
    let mut commands = Vec::new();
    let messages = match subject.read(text) {
        Ok(messages) => messages,
        Err(refusal) => return (commands, talk.refuse_paced(&refusal, now).err()),
    };
    // One frame can hold more mistakes than the peer will ever read answers to.
    for message in messages.take_while(|_| !talk.outbox.is_closed()) {
        let taken = match message {
            Ok(message) => subject.take(message, now),
            Err(refusal) => talk.refuse_paced(&refusal, now).map(|()| None),
        };
        match taken {
            Ok(command) => commands.extend(command),
            Err(goodbye) => return (commands, Some(goodbye)),
        }
    }
    (commands, None)
}

impl Talk {
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

    /// Whether a message that is no edit may be handled; it has been refused where not. One who goes on
    /// sending too fast is sent away.
    pub(super) fn pace(&self, message_id: Option<&str>, now: Instant) -> Result<bool, Goodbye> {
        let own = self.messages.take(now).map_err(|wait| (Limited::Connection, wait));
        self.judge(own.and_then(|()| self.seat.take(now)), message_id, now)
    }

    /// The same for a request for the whole document: its answers are charged by their size, when they are written.
    pub(super) fn pace_sync(&self, message_id: Option<&str>, now: Instant) -> Result<bool, Goodbye> {
        self.judge(self.syncs.take(now).map_err(|wait| (Limited::Connection, wait)), message_id, now)
    }

    fn judge(
        &self,
        taken: Result<(), (Limited, Duration)>,
        message_id: Option<&str>,
        now: Instant,
    ) -> Result<bool, Goodbye> {
        let Err((limit, wait)) = taken else { return Ok(true) };
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
        let message_id = refusal.details.get("message_id").and_then(Value::as_str);
        if self.pace(message_id, now)? {
            self.refuse(refusal);
        }
        Ok(())
    }

    /// Puts another token in the place of the one that holds, and says who its owner is by it; `None` where it is not
    /// accepted. What was sent before is judged by the old one, what comes after by the new one: messages are read in
    /// turn.
    pub(super) fn renew(&self, token: &Token, message: Option<&MessageId>) -> Result<Option<Identity>, Goodbye> {
        let identity = match self.shared.authenticator.renew(&self.client.user, token.expose(), self.shared.clock.now())
        {
            Ok(identity) => identity,
            Err(denied) => {
                self.refuse(&not_accepted(denied).of_raw(message.map(MessageId::as_str)));
                return Ok(None);
            }
        };
        if let Some(until) = self.shared.shut_out_until(&identity.user_id, identity.token_id.as_ref()) {
            return Err(banned(until));
        }
        self.seat.renew(identity.token_id.clone());
        let permissions = identity.permissions.on(&self.reader.document_id);
        self.standing.replace(permissions, identity.expires_at);
        if !permissions.allows(Permission::Read) {
            return Err(no_read(permissions));
        }
        let names: Vec<_> = permissions.iter().map(Permission::short).collect();
        let expires_at = identity.expires_at.map(|at| at.to_string());
        let client = &self.client;
        let frame = authenticated((&client.client, message), &client.user, &names, expires_at.as_deref());
        self.send(&frame, Sent::Other);
        Ok(Some(identity))
    }

    /// Answers a ping.
    pub(super) fn pong(&self, timestamp: &Value, message: Option<&MessageId>) {
        let frame = pong(timestamp, self.shared.clock.now().millis(), &self.client.client, message);
        self.send(&frame, Sent::Pong);
    }

    fn tell_expiring(&self, end: Timestamp) {
        self.send(&token_expiring(&end.to_string()), Sent::Other);
    }

    pub(super) fn send(&self, frame: &str, kind: Sent) {
        self.outbox.push(Item::text(frame));
        self.shared.metrics.messages_sent(kind, 1);
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.shared.metrics.error_sent(refusal.code.as_str());
        let now = self.shared.clock.now().to_string();
        self.send(&error(refusal, &now, Some(&self.client.client)), Sent::Error);
    }
}
