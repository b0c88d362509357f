//! A client that comes again takes over from its older connection, on whichever node that is.
//!
//! Which of two is older only one can tell that knew of the other when it came: so a newcomer takes over from those that
//! were recorded before, and nobody gives way to what is recorded later. And a connection may have been given up
//! long before its node, which stood still, lets it in; its client has then gone elsewhere and must not lose that. So a
//! newcomer takes over only when it has answered a ping that was sent after it was let in.

use bytes::Bytes;

use crate::{
    domain::{ConnectionName, Left, MessageId, PresenceEvent},
    protocol::frames,
};

use super::super::{
    command::ConnectionId,
    document::OpenDocument,
    node::ghost,
    outbox::{Goodbye, Item},
    subscriber::Subscriber,
};

impl OpenDocument {
    /// Asks a newcomer for a sign of life, if its client has connections on other nodes.
    pub(in crate::live) fn look_for_older(&mut self, newcomer: &Subscriber) {
        let Some(present) = self.presence.here.user(&newcomer.client.user) else { return };
        let elsewhere = |name: &ConnectionName| !self.live.node.is_own(name) && !self.live.node.was_own(name);
        let of_client = present.connections.iter().filter(|(_, client)| **client == newcomer.client.client);
        let older: Vec<_> = of_client.map(|(name, _)| name.clone()).filter(elsewhere).collect();
        if !older.is_empty() {
            self.presence.older.insert(newcomer.connection, older);
            newcomer.outbox.push(Item::Control(Bytes::from_static(frames::PING)));
        }
    }

    /// A connection has answered: those before it are over.
    pub(in crate::live) fn take_over(&mut self, connection: ConnectionId) {
        let Some(older) = self.presence.older.remove(&connection) else { return };
        let Some(user) = self.subscriber(connection).map(|it| it.client.user.clone()) else { return };
        for connection in older {
            let left = Left { connection, user: user.clone() };
            // The newer one keeps its user here.
            self.presence.here.leave(&left);
            self.log_presence(PresenceEvent::Left(left), false);
        }
    }

    /// Another node records that a connection of this one is over: its client has come there, or this node was taken for
    /// dead, and finds that out by itself.
    pub(super) fn take_in_own_left(&mut self, id: &MessageId, left: &Left) {
        if *id == ghost(&left.connection) {
            return;
        }
        let number = left.connection.number;
        if let Some(at) = self.subscribers.iter().position(|it| it.connection.0 == number) {
            let older = self.subscribers.remove(at);
            older.outbox.close(Goodbye::SUPERSEDED);
            self.exit(&older);
        }
    }
}
