//! The processes that share a log, and where each has people: what is needed to mark those as gone whose
//! process ended without a goodbye.
//!
//! Processes on one SQLite file are on one machine, and its system tells which of them are alive (`sqlite/lives.rs`).
//!
//! On Postgres a life of a process proves itself by beats. Whoever watches one that does not grow them for as long as its
//! lease says takes it for over; no clock of one machine is ever held against another's. And should it have been
//! asleep only, it finds its own beat gone and begins a new life.
//!
//! On either, one beat more is how a life that is over is claimed, so that only one clears up after it.

use std::time::Duration;

use super::{EventLog, StreamName, Unavailable};
use crate::domain::{DocumentId, NodeId, Timestamp};

/// One life of a process, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// The process.
    pub node: NodeId,
    /// Which of its lives; a later one has a higher number.
    pub incarnation: u64,
}

/// What a life has shown of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeSign {
    /// Whose.
    pub life: Life,
    /// How often it has beaten.
    pub beats: u64,
    /// For how long one beat stands.
    pub lease: Duration,
    /// What the system of this machine knows of it.
    pub known: Known,
}

/// Whether a process is alive, as far as the log can tell without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It holds its lock.
    Alive,
    /// Nobody holds its lock: the process has ended.
    Gone,
    /// It may be on another machine. Only its beats tell.
    Nothing,
}

impl EventLog {
    /// Whether other processes may write to this log as their ordinary work.
    pub fn is_shared(&self) -> bool {
        self.adapter.is_shared()
    }

    /// Begins a new life of a process.
    pub async fn begin_life(&self, node: &NodeId, now: Timestamp, lease: Duration) -> Result<Life, Unavailable> {
        // The time makes for a new number even where all earlier lives were cleared away.
        let at_least = u64::try_from(now.0).unwrap_or_default();
        let incarnation = self.adapter.begin_life(node, at_least, lease).await?;
        Ok(Life { node: node.clone(), incarnation })
    }

    /// One beat more, if there have been exactly so many so far: whether that was so.
    pub async fn beat(&self, life: &Life, beats: u64) -> Result<bool, Unavailable> {
        self.adapter.beat(life, beats).await
    }

    /// Every life that has not ended.
    pub async fn lives(&self) -> Result<Vec<LifeSign>, Unavailable> {
        self.adapter.lives().await
    }

    /// Ends a life; where it has people is forgotten.
    pub async fn end_life(&self, life: &Life) -> Result<(), Unavailable> {
        self.adapter.end_life(life).await
    }

    /// Notes whether a life has people in a document.
    pub async fn note_people(&self, life: &Life, document: &DocumentId, are_there: bool) -> Result<(), Unavailable> {
        self.adapter.note_people(life, &StreamName::presence(document), are_there).await
    }

    /// Where a life has people, or had some when it ended.
    pub async fn documents_of_life(&self, life: &Life) -> Result<Vec<DocumentId>, Unavailable> {
        let streams = self.adapter.streams_of_life(life).await?;
        Ok(streams.iter().filter_map(StreamName::presence_id).collect())
    }
}
