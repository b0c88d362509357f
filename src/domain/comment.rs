//! Comments: what people say about a document's text, and where.
//!
//! A **thread** is a comment and the replies to it. It has one **anchor**: the stretch of text that it is
//! about, which moves with every edit.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{ClientId, CommentId, PositionEncoding, ThreadId, Timestamp, UserId, Version};

/// A part of a text, from `start` up to `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins.
    pub start: usize,
    /// Where it ends: the first place that is no longer in it.
    pub end: usize,
}

impl Stretch {
    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A stretch of a document's text in both units: who reads it later has no document as of then to count in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// In UTF-16 code units.
    pub utf16: Stretch,
    /// In code points.
    pub code_points: Stretch,
}

impl Place {
    /// In the unit that a connection counts in.
    pub const fn counted_in(&self, encoding: PositionEncoding) -> Stretch {
        match encoding {
            PositionEncoding::Utf16 => self.utf16,
            PositionEncoding::Utf32 => self.code_points,
        }
    }
}

/// A thread that is elsewhere after an edit than anchors go by themselves: its text came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The thread.
    pub thread: ThreadId,
    /// Where it is after the edit.
    pub place: Place,
}

/// Something that happened to a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commented {
    /// What.
    pub change: CommentChange,
    /// By whom, from the connection and not from the message.
    pub by: UserId,
    /// When, by the clock of the server. A fold reads no other time.
    pub at: Timestamp,
}

/// What can happen to a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommentChange {
    /// There is a new one: the first of a thread, or a reply.
    Added(Arc<NewComment>),
    /// Its author, or an admin, changed what it says.
    Updated {
        /// Which comment.
        comment: CommentId,
        /// The thread that it is in.
        thread: ThreadId,
        /// What it says now.
        content: Arc<str>,
    },
    /// Its thread is done.
    Resolved {
        /// The comment that was named.
        comment: CommentId,
        /// The thread.
        thread: ThreadId,
    },
    /// Its thread is not done after all.
    Reopened {
        /// The comment that was named.
        comment: CommentId,
        /// The thread.
        thread: ThreadId,
    },
    /// Its author, or an admin, took it away. The last one takes its thread along.
    Deleted {
        /// Which comment.
        comment: CommentId,
        /// The thread that it was in.
        thread: ThreadId,
    },
}

/// A comment as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComment {
    /// Its name.
    pub id: CommentId,
    /// The thread that it begins, or replies in.
    pub thread: ThreadId,
    /// What it says.
    pub content: Arc<str>,
    /// What its author is called, where known.
    pub author_name: Option<Arc<str>>,
    /// The thread that it begins; `None` for a reply.
    pub begins: Option<NewThread>,
}

/// Where a thread was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewThread {
    /// The text that it is about.
    pub place: Place,
    /// That text, as it was then; the beginning of it if it was long.
    pub quote: Arc<str>,
}

/// Who asked for something to happen to a comment, and in which words.
#[derive(Debug, Clone)]
pub struct CommentCause {
    /// The client instance.
    pub client: ClientId,
    /// The version that its position refers to, where it named one.
    pub base: Option<Version>,
    /// What its position counts.
    pub encoding: PositionEncoding,
    /// `data` as the client sent it, JSON.
    pub received: Arc<RawValue>,
}

impl CommentChange {
    /// The comment that it is about.
    pub fn comment(&self) -> &CommentId {
        match self {
            Self::Added(new) => &new.id,
            Self::Updated { comment, .. }
            | Self::Resolved { comment, .. }
            | Self::Reopened { comment, .. }
            | Self::Deleted { comment, .. } => comment,
        }
    }

    /// The thread that it is about.
    pub fn thread(&self) -> &ThreadId {
        match self {
            Self::Added(new) => &new.thread,
            Self::Updated { thread, .. }
            | Self::Resolved { thread, .. }
            | Self::Reopened { thread, .. }
            | Self::Deleted { thread, .. } => thread,
        }
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommentCommand {
    /// A new comment.
    Add {
        /// Its name: the client's, or made up for it.
        id: CommentId,
        /// Its thread: one that there is, or a new one.
        thread: ThreadId,
        /// What it says.
        content: Arc<str>,
        /// The text that it is about, in the client's unit and context. A reply needs none.
        position: Option<Stretch>,
        /// That text as the client saw it.
        quote: Option<Arc<str>>,
    },
    /// Another content.
    Update {
        /// Of which comment.
        comment: CommentId,
        /// What it is to say.
        content: Arc<str>,
    },
    /// A thread is done.
    Resolve(Named),
    /// A thread is not done after all.
    Reopen(Named),
    /// A comment is to go.
    Delete(CommentId),
}

/// How a client names a thread: by a comment in it, by its own name, or by both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The thread that this comment is in.
    ByComment(CommentId),
    /// This thread.
    ByThread(ThreadId),
    /// This comment, which is in this thread.
    ByBoth(CommentId, ThreadId),
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Commenter {
    /// The user.
    pub user: UserId,
    /// What they are called, where known.
    pub name: Option<Arc<str>>,
    /// Whether they may change what others have said.
    pub is_admin: bool,
    /// What they may do, by the long names.
    pub permissions: Vec<&'static str>,
}

/// How much may be said about one document.
#[derive(Debug, Clone, Copy)]
pub struct CommentLimits {
    /// Comments, replies included.
    pub comments: usize,
    /// Bytes of all comments and quotes together.
    pub bytes: usize,
}
