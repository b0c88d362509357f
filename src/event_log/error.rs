//! Why the log did not do what it was asked to.

use std::path::PathBuf;

use super::{Recorded, StreamName, Tombstone};
use crate::domain::Seq;

/// The log could not look, or could not write. Displays the reason for operators, e.g. `disk is full`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unavailable {
    kind: UnavailableKind,
    why: String,
}

/// What kind of trouble it is: who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnavailableKind {
    /// Another process holds the database; it may pass by itself.
    Busy,
    /// There is no room on the disk.
    Full,
    /// The database must not be written.
    ReadOnly,
    /// The database file is damaged or is not a database.
    Corrupt,
    /// The database server is not there, or does not answer; it may come back by itself.
    Unreachable,
    /// The log has been closed.
    Closed,
    /// Reading or writing failed in another way.
    Failed,
}

impl Unavailable {
    pub(crate) fn new(kind: UnavailableKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    pub(super) fn closed() -> Self {
        Self::new(UnavailableKind::Closed, "the event log is closed")
    }

    /// What kind of trouble it is.
    pub const fn kind(&self) -> UnavailableKind {
        self.kind
    }
}

/// Why an append did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The stream has another head than the caller saw. Nothing was appended.
    #[error("the stream is at {head} already")]
    Stale {
        /// Its head now.
        head: Seq,
    },
    /// Messages of it happened before; these are their outcomes, in the order of the stream. Nothing was
    /// appended. Empty when the append itself names one message twice.
    #[error("{} of the messages happened before", .0.len())]
    Repeated(Vec<Recorded>),
    /// The outcome is unknown until the head has been read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Outcomes of repeated messages are there but cannot be read. Nothing was appended.
    #[error(transparent)]
    Damaged(Damaged),
}

/// A stored event (or snapshot) that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} of {stream} is damaged: {why}")]
pub struct Damaged {
    /// The stream.
    pub stream: StreamName,
    /// The place of the event.
    pub seq: Seq,
    /// What is wrong with it.
    pub why: String,
}

/// Why there is no answer from the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It could not look.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It looked, and found an event that cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// What was there is erased.
    #[error("{} was erased at {}", .0.stream, .0.recorded_at)]
    Erased(Tombstone),
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not the address of a database that this program knows.
    #[error("{url}: {why}")]
    Url {
        /// The address, without its password.
        url: String,
        /// What is allowed.
        why: &'static str,
    },
    /// The directory of the database cannot be made.
    #[error("cannot create the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be opened or brought up to date.
    #[error("cannot open the database {database}: {reason}")]
    Database {
        /// Its file, or its address without the password.
        database: String,
        /// Why.
        reason: Unavailable,
    },
    /// A newer program made the database; this one might destroy what it does not know.
    #[error(
        "the database {database} is of version {found}, made by a newer scriptorium; this one knows versions up to {known}"
    )]
    Newer {
        /// Its file, or its address without the password.
        database: String,
        /// The newest migration applied to it.
        found: i64,
        /// The newest migration that this program has.
        known: i64,
    },
    /// A migration that was applied to the database is not the one that this program has.
    #[error("the database {database} does not fit this scriptorium: {why}")]
    Migration {
        /// Its file, or its address without the password.
        database: String,
        /// Which, and how.
        why: String,
    },
}
