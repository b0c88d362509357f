//! Connections that come: what they get first.

use tokio::sync::oneshot;

use crate::{
    domain::{MessageId, Timestamp, Version},
    protocol::document::{ActiveUser, Sync},
    telemetry::{Resume, Sent},
};

use super::{
    document::{ConnectionId, Joined, OpenDocument},
    outbox::{Goodbye, Item},
    subscriber::{Opening, Subscriber},
};

impl OpenDocument {
    pub(super) fn join(&mut self, subscriber: Subscriber, opening: Opening, reply: oneshot::Sender<Joined>) {
        let (settings, version) = (&self.live.settings, self.document.version());
        if version == Version(0) && !settings.auto_create {
            let _ = reply.send(Joined::NotFound);
            return;
        }
        let missed = match opening.since {
            Some(since) if since <= version && version.0 - since.0 > settings.max_resume_events => Err(Resume::TooOld),
            Some(since) if since > version => Err(Resume::Ahead),
            Some(since) => match self.recent.after(since) {
                Some(missed) => Ok(missed.cloned().collect::<Vec<_>>()),
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
            // It was resumed from the log, and the document has moved on too far in the meantime.
            (Err(_), true) => None,
            (Err(why), false) => {
                if opening.since.is_some() {
                    self.live.metrics.resume(why);
                }
                self.acknowledge(&subscriber, false);
                None
            }
        };
        self.supersede(&subscriber);
        self.subscribers.push(subscriber);
        let subscriber = &self.subscribers[self.subscribers.len() - 1];
        match missed {
            Some(missed) => self.send_missed(subscriber, &missed),
            None => self.send_sync(subscriber, None),
        }
        let _ = reply.send(Joined::Subscribed);
    }

    fn acknowledge(&self, subscriber: &Subscriber, resumed: bool) {
        let frame = subscriber.connection_ack(self.document.version(), self.live.clock.now(), resumed);
        subscriber.outbox.push(Item::Frame(frame));
        self.live.metrics.messages_sent(Sent::Other, 1);
    }

    /// The same client again: a half-open connection must not lock its owner out.
    fn supersede(&mut self, newcomer: &Subscriber) {
        self.subscribers.retain(|older| {
            let is_same = older.client == newcomer.client;
            if is_same {
                older.outbox.close(Goodbye::SUPERSEDED);
            }
            !is_same
        });
    }

    pub(super) fn sync(&self, connection: ConnectionId, since: Option<Version>, message: Option<MessageId>) {
        let Some(subscriber) = self.subscriber(connection) else { return };
        match since.filter(|since| *since <= self.document.version()).and_then(|since| self.recent.after(since)) {
            Some(missed) => self.send_missed(subscriber, &missed.cloned().collect::<Vec<_>>()),
            None => self.send_sync(subscriber, message),
        }
    }

    fn send_sync(&self, subscriber: &Subscriber, message: Option<MessageId>) {
        let sync = Sync {
            document_id: self.id.clone(),
            version: self.document.version(),
            content: self.document.content().clone(),
            last_modified: self.document.last_modified().map(Timestamp::to_rfc3339),
            active_users: self.active_users(),
        };
        let asked_by = message.map(|message| (subscriber.client.client.clone(), Some(message)));
        subscriber.outbox.push(Item::Sync(Box::new(sync), asked_by));
        self.live.metrics.messages_sent(Sent::Sync, 1);
    }

    /// Everybody present, once each however many connections they have.
    fn active_users(&self) -> Vec<ActiveUser> {
        let mut users: Vec<ActiveUser> = Vec::new();
        for subscriber in &self.subscribers {
            if users.iter().all(|user| user.user_id != subscriber.user.user_id) {
                users.push(subscriber.user.clone());
            }
        }
        users
    }

    fn subscriber(&self, connection: ConnectionId) -> Option<&Subscriber> {
        self.subscribers.iter().find(|subscriber| subscriber.connection == connection)
    }
}
