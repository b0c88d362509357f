//! Which process this is.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::{ConnectionName, MessageId, NodeId};

use super::document::ConnectionId;

/// This process among those that share a log, in this life of it.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    incarnation: u64,
    events: AtomicU64,
}

/// The most characters of a node's id that its events' names begin with.
const PREFIX: usize = 64;

impl Node {
    /// A life of a process; `incarnation` grows from one to the next.
    pub const fn new(id: NodeId, incarnation: u64) -> Self {
        Self { id, incarnation, events: AtomicU64::new(0) }
    }

    /// The full name of a connection of this process.
    pub(super) fn connection(&self, connection: ConnectionId) -> ConnectionName {
        ConnectionName { node: self.id.clone(), incarnation: self.incarnation, number: connection.0 }
    }

    /// A name that no other event in any presence stream has.
    pub(super) fn next_event(&self) -> MessageId {
        let number = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        let node: String = self.id.as_str().chars().take(PREFIX).collect();
        MessageId::parse(&format!("{node}.{}.{number}", self.incarnation)).expect("plain characters, and not many")
    }
}
