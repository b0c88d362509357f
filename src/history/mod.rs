//! The past of a document: as it was at a version or a moment, what changed between two of them, and who wrote when.
//!
//! Every answer is folded from the log, beginning at the nearest snapshot. Nothing here is kept, and nothing writes
//! but the snapshots that make the next way short.

mod authors;
mod compose;
mod people;
mod place;
mod sessions;
#[cfg(test)]
mod tests;

pub use authors::{Blamed, blame, contributions};
pub use compose::{change_between, diff};
pub use people::{People, PersonThen, people};
pub use place::{Place, When, document, find, recorded_at};
pub use sessions::{Session, Share, sessions};

use crate::{
    domain::{Timestamp, Version},
    event_log::{ReadError, Unavailable},
};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// Nothing ever happened under this id.
    #[error("there is no document with this id")]
    NoDocument,
    /// The document has not come that far.
    #[error("version {wanted} is ahead of the document, which is at version {current}")]
    Ahead {
        /// What was asked for.
        wanted: Version,
        /// Where it is.
        current: Version,
    },
    /// It was known once.
    #[error("who was there at {at} is no longer known")]
    Forgotten {
        /// The moment.
        at: Timestamp,
    },
    /// The log could not tell.
    #[error(transparent)]
    Unread(#[from] ReadError),
}

impl From<Unavailable> for Untold {
    fn from(why: Unavailable) -> Self {
        Self::Unread(why.into())
    }
}
