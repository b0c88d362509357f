//! Connections that come: what they get first.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    domain::{MessageId, Timestamp, Version},
    protocol::document::Sync,
    telemetry::{Resume, Sent},
};

use super::{
    committed::Committed,
    document::{ConnectionId, Joined, OpenDocument},
    outbox::{Goodbye, Item},
    subscriber::{Opening, Subscriber},
};

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
        let is_far = |since: Version| !opening.acknowledged && version.0 - since.0 > settings.max_resume_events;
        let missed = match opening.since {
            Some(since) if since <= version && is_far(since) => Err(Resume::TooOld),
            Some(since) if since > version => Err(Resume::Ahead),
            Some(since) => match self.missed(&subscriber, since) {
                Some(missed) => Ok(missed),
                None => {
                    let _ = reply.send(Joined::CatchUp(version));
                    return;
                }
            },
            None => Err(Resume::FullSync),
        };
        let missed = match (missed, opening.acknowledged) {
            (Ok(missed), acknowledged) => {
                if !acknowledged {
                    self.live.metrics.resume(Resume::Resumed);
                    self.acknowledge(&subscriber, true);
                }
                Some(missed)
            }
            // It has read more from the log than there is now: it can only start afresh.
            (Err(_), true) => None,
            (Err(why), false) => {
                if opening.since.is_some() {
                    self.live.metrics.resume(why);
                }
                self.acknowledge(&subscriber, false);
                None
            }
        };
        self.place_cursors();
        // Before the older connection goes: its user does not leave by that.
        let is_new = self.enter(&subscriber);
        self.supersede(&subscriber);
        let connection = subscriber.connection;
        self.subscribers.push(subscriber);
        let subscriber = &self.subscribers[self.subscribers.len() - 1];
        match missed {
            Some(missed) => {
                self.send_missed(subscriber, &missed);
                self.tell_who_is_here(subscriber);
            }
            None => self.send_sync(subscriber, None),
        }
        if is_new {
            self.announce(connection);
        }
        let _ = reply.send(Joined::Subscribed);
    }

    fn acknowledge(&self, subscriber: &Subscriber, resumed: bool) {
        let frame = subscriber.connection_ack(self.document.version(), self.live.clock.now(), resumed);
        subscriber.outbox.push(Item::Frames(frame));
        self.live.metrics.messages_sent(Sent::Other, 1);
    }

    /// What was committed after `since`, where that is in memory and can be sent in one go.
    fn missed(&self, subscriber: &Subscriber, since: Version) -> Option<Vec<Arc<Committed>>> {
        let missed = self.recent.after(since)?;
        let bytes: usize = missed.clone().map(|edit| subscriber.frame(&self.id, edit).bytes()).sum();
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
        let (version, most) = (self.document.version(), self.live.settings.max_resume_events);
        let near = since.filter(|since| *since <= version && version.0 - since.0 <= most);
        match near.and_then(|since| self.missed(subscriber, since)) {
            // Who has missed nothing gets the document all the same: a question without an answer is none.
            Some(missed) if !missed.is_empty() => self.send_missed(subscriber, &missed),
            Some(_) | None => self.send_sync(subscriber, message),
        }
    }

    fn send_sync(&self, subscriber: &Subscriber, message: Option<MessageId>) {
        let sync = Sync {
            document_id: self.id.clone(),
            version: self.document.version(),
            content: self.document.content().clone(),
            last_modified: self.document.last_modified().map(Timestamp::to_rfc3339),
            active_users: self.active_users(subscriber),
        };
        let asked_by = message.map(|message| (subscriber.client.client.clone(), Some(message)));
        subscriber.outbox.push(Item::Sync(Box::new(sync), asked_by));
        self.live.metrics.messages_sent(Sent::Sync, 1);
    }

    pub(super) fn subscriber(&self, connection: ConnectionId) -> Option<&Subscriber> {
        self.subscribers.iter().find(|subscriber| subscriber.connection == connection)
    }
}
