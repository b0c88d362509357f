//! Why an edit is not committed.

use crate::text::EditError;

use super::{MessageId, Version};

/// Why an edit is not committed. The log holds nothing of it, and its message id may be used again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It refers to a version that does not exist yet.
    #[error("version {base} is ahead of the document, which is at version {current}")]
    VersionAhead {
        /// The version that was named.
        base: Version,
        /// The document's.
        current: Version,
    },
    /// It reaches outside of the document that the client saw.
    #[error("the operation reaches to {end}, but the document is {length} long at that version")]
    OutOfBounds {
        /// Where it ends.
        end: usize,
        /// How long the document is in its context, in the connection's unit.
        length: usize,
    },
    /// It does not fit the text, e.g. it would cut a character in two.
    #[error(transparent)]
    DoesNotFit(#[from] EditError),
    /// The document would grow too long.
    #[error("the document would be {length} UTF-16 units long, at most {limit} are allowed")]
    DocumentTooLarge {
        /// How long it would be.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The edit that it follows was refused, or never came.
    #[error("the edit that this one follows, {after:?}, was refused or is unknown")]
    PredecessorRefused {
        /// The predecessor.
        after: MessageId,
    },
    /// Another message of this stream already has its id.
    #[error("this message_id was used before, for something else")]
    MessageIdConflict,
    /// The log cannot be written or read now.
    #[error("the edit was not stored: {why}")]
    StorageUnavailable {
        /// For the client: no internals.
        why: &'static str,
    },
}
