//! Connections that come: what they get first.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    domain::{MessageId, Seq, Version},
    event_log::ReadError,
    projection::Arrival,
    telemetry::{Resume, Sent},
};

use super::{
    command::ConnectionId,
    comments::whole,
    committed::Committed,
    document::OpenDocument,
    outbox::{Goodbye, Item},
    subscriber::{Opening, Subscriber},
    sync::WaitingSync,
};

/// How an opening went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The connection gets everything from here on.
    Subscribed,
    /// What was missed is not in memory: read it from the log up to this place, which is of this version, then come
    /// again.
    CatchUp(Seq, Version),
    /// There is no such document, and it may not be made.
    NotFound,
    /// The log could not be read now.
    Unavailable,
    /// What the log has of it is damaged: it has to be mended first.
    Damaged,
}

impl Joined {
    /// The answer to those who wanted a document that could not be read.
    pub(super) const fn unread(error: &ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::Unavailable,
            ReadError::Damaged(_) => Self::Damaged,
            ReadError::Erased(_) => Self::NotFound,
        }
    }
}

impl OpenDocument {
    pub(super) fn join(&mut self, subscriber: Subscriber, opening: Opening, reply: oneshot::Sender<Joined>) {
        if self.has_younger(&subscriber) {
            subscriber.outbox.close(Goodbye::SUPERSEDED);
            let _ = reply.send(Joined::Subscribed);
            return;
        }
        let (settings, version) = (&self.live.settings, self.document.version());
        if version == Version(0) && !settings.auto_create {
            let _ = reply.send(Joined::NotFound);
            return;
        }
        // Who has been told that it resumes reads on until it is there, however fast the others write.
        let missed = match (opening.read_to, opening.since) {
            (Some(place), _) if place > self.document.seq() => Err(Resume::Ahead),
            (Some(place), _) => Ok(self.missed(&subscriber, self.recent.after(place))),
            (None, Some(since)) if since > version => Err(Resume::Ahead),
            (None, Some(since)) if opening.is_too_far || self.is_far(since) => Err(Resume::TooOld),
            (None, Some(since)) => Ok(self.missed(&subscriber, self.recent.since(since))),
            (None, None) => Err(Resume::FullSync),
        };
        let missed = match (missed, opening.read_to) {
            (Ok(None), _) => {
                let _ = reply.send(Joined::CatchUp(self.document.seq(), version));
                return;
            }
            (Ok(Some(missed)), None) if missed.len() as u64 > settings.max_resume_events => {
                self.live.metrics.resume(Resume::TooOld);
                self.acknowledge(&subscriber, false);
                None
            }
            (Ok(Some(missed)), read_to) => {
                if read_to.is_none() {
                    self.live.metrics.resume(Resume::Resumed);
                    self.acknowledge(&subscriber, true);
                }
                Some(missed)
            }
            // It has read more from the log than there is now: it can only start afresh.
            (Err(_), Some(_)) => None,
            (Err(why), None) => {
                if opening.since.is_some() {
                    self.live.metrics.resume(why);
                }
                self.acknowledge(&subscriber, false);
                None
            }
        };
        self.admit(subscriber, missed);
        let _ = reply.send(Joined::Subscribed);
    }

    /// Lets a connection in: with what it missed, or with the whole document.
    fn admit(&mut self, subscriber: Subscriber, missed: Option<Vec<Arc<Committed>>>) {
        self.place_cursors();
        // Before the older connection goes: its user does not leave by that.
        let arrival = self.enter(&subscriber);
        self.supersede(&subscriber);
        self.look_for_older(&subscriber);
        let connection = subscriber.connection;
        self.subscribers.push(subscriber);
        match missed {
            Some(missed) => {
                let subscriber = &self.subscribers[self.subscribers.len() - 1];
                self.send_missed(subscriber, &missed);
                self.tell_who_is_here(subscriber);
            }
            None => self.send_sync(connection, false, None),
        }
        if arrival != Arrival::Known {
            self.announce(connection);
        }
    }

    fn acknowledge(&self, subscriber: &Subscriber, resumed: bool) {
        let frame = subscriber.connection_ack(self.document.version(), self.live.clock.now(), resumed);
        subscriber.outbox.push(Item::Frames(frame));
        self.live.metrics.messages_sent(Sent::Other, 1);
    }

    fn is_far(&self, since: Version) -> bool {
        self.document.version().0.saturating_sub(since.0) > self.live.settings.max_resume_events
    }

    /// What was missed, where that is in memory and can be sent in one go.
    fn missed<'a>(
        &self,
        subscriber: &Subscriber,
        missed: Option<impl Iterator<Item = &'a Arc<Committed>> + Clone>,
    ) -> Option<Vec<Arc<Committed>>> {
        let missed = missed?;
        let frames = missed.clone().flat_map(|event| subscriber.frames(&self.id, event));
        let bytes: usize = frames.map(|frame| frame.bytes()).sum();
        (bytes <= subscriber.outbox.helping()).then(|| missed.cloned().collect())
    }

    /// Whether a later connection of the same client is here already: two that come close together may
    /// arrive in either order, and the later one has taken over.
    fn has_younger(&self, newcomer: &Subscriber) -> bool {
        self.subscribers.iter().any(|it| it.client == newcomer.client && it.connection > newcomer.connection)
    }

    /// The same client again: a half-open connection must not lock its owner out.
    fn supersede(&mut self, newcomer: &Subscriber) {
        let is_same = |older: &mut Subscriber| older.client == newcomer.client;
        let superseded: Vec<_> = self.subscribers.extract_if(.., is_same).collect();
        for older in superseded {
            older.outbox.close(Goodbye::SUPERSEDED);
            self.exit(&older);
        }
    }

    pub(super) fn sync(&mut self, connection: ConnectionId, since: Option<Version>, message: Option<MessageId>) {
        self.place_cursors();
        let Some(subscriber) = self.subscriber(connection) else { return };
        let near = since.filter(|since| *since <= self.document.version() && !self.is_far(*since));
        match near.and_then(|since| self.missed(subscriber, self.recent.since(since))) {
            // Who has missed nothing gets the document all the same: a question without an answer is none. Events
            // of comments alone come again to anybody, and answer nothing.
            Some(missed) if missed.iter().any(|event| event.edit().is_some()) => {
                self.send_missed(subscriber, &missed);
            }
            Some(_) | None => self.send_sync(connection, true, message),
        }
    }

    fn send_sync(&mut self, connection: ConnectionId, is_answer: bool, message: Option<MessageId>) {
        let Some(subscriber) = self.subscribers.iter().find(|it| it.connection == connection) else { return };
        let active_users = self.active_users(subscriber);
        let (id, document, encoding) = (&self.id, &self.document, subscriber.encoding);
        let shared = self.syncs.get(document.seq(), encoding, || whole(id, document, encoding));
        let asked_by = message.map(|message| (subscriber.client.client.clone(), message));
        let replaced = subscriber.outbox.push_answer(WaitingSync { shared, active_users, is_answer, asked_by });
        self.live.metrics.messages_sent(Sent::Sync, u64::from(!replaced));
    }

    pub(super) fn subscriber(&self, connection: ConnectionId) -> Option<&Subscriber> {
        self.subscribers.iter().find(|subscriber| subscriber.connection == connection)
    }
}
