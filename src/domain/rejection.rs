//! Why an edit is not committed.

use crate::text::EditError;

use super::{CommentId, MessageId, ThreadId, Version};

/// Why an edit or a comment is not committed. The log holds nothing of it, and its message id may be used again.
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
    /// There is no such comment.
    #[error("there is no comment {comment} in this document")]
    CommentNotFound {
        /// The comment that was named.
        comment: CommentId,
    },
    /// There is no such thread.
    #[error("there is no thread {thread} in this document")]
    ThreadNotFound {
        /// The thread that was named.
        thread: ThreadId,
    },
    /// Only its author may change a comment, or an admin.
    #[error("only the author of comment {comment} and an admin may do this")]
    NotTheAuthor {
        /// The comment.
        comment: CommentId,
        /// What the user may do, by the long names.
        permissions: Vec<&'static str>,
    },
    /// A field of a comment does not fit the comments that are there.
    #[error("`{path}` must be {expected}")]
    CommentDoesNotFit {
        /// Where the field is in the message.
        path: &'static str,
        /// What it would have to be.
        expected: &'static str,
    },
    /// The document has too many comments, or they are too long together.
    #[error("the document would have {would_have} {what}, at most {limit} are allowed ({setting})")]
    TooManyComments {
        /// What there would be too much of.
        what: &'static str,
        /// How much it would have.
        would_have: usize,
        /// How much it may have.
        limit: usize,
        /// The setting that says so.
        setting: &'static str,
    },
    /// There is nothing under this id.
    #[error("there is no document with this id")]
    NoSuchDocument,
    /// What was under this id is erased.
    #[error("this document is erased")]
    Erased,
    /// Something is under this id already.
    #[error("there is a document with this id already")]
    DocumentExists,
    /// Another message of this stream already has its id.
    #[error("this message_id was used before, for something else")]
    MessageIdConflict,
    /// The log cannot be written or read now.
    #[error("this was not acknowledged: {why}")]
    StorageUnavailable {
        /// For the client: no internals.
        why: &'static str,
    },
}
