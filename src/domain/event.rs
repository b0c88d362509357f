//! What happened. Past tense: an event is a fact once the log has it.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::text::{CodePoints, Delta, Utf16};

use super::{ClientId, CommentCause, Commented, MessageId, Placed, UserId, Version};

/// What positions and lengths on a connection count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PositionEncoding {
    /// UTF-16 code units, as in JavaScript.
    #[default]
    Utf16,
    /// Unicode code points, as in Python.
    Utf32,
}

impl PositionEncoding {
    /// The name on the wire and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf16 => "utf-16",
            Self::Utf32 => "utf-32",
        }
    }
}

/// A fact in the stream of a document.
#[derive(Debug, Clone)]
pub enum Event {
    /// The text was edited; the document has one version more.
    Edited(Edited),
    /// Something happened to a comment; the document keeps its version.
    Commented(Commented, Arc<CommentCause>),
}

/// What an event did, without who asked for it and how: what a fold needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The text was edited.
    Edited {
        /// The change of the document as of the version before.
        applied: Delta<Utf16>,
        /// The threads that found their text again, or their place in it.
        placed: Vec<Placed>,
    },
    /// Something happened to a comment.
    Commented(Commented),
}

/// An edit, as it was applied and as it came.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The change of the document as of the version before.
    pub applied: Delta<Utf16>,
    /// The same change counted in code points; `None` where the numbers are the same.
    pub in_code_points: Option<Delta<CodePoints>>,
    /// Whether `applied` differs from what was sent.
    pub transformed: bool,
    /// The threads whose text came back with this edit, and where they are after it. Nearly always empty.
    pub placed: Vec<Placed>,
    /// Who asked for it, and how.
    pub cause: Arc<Cause>,
}

/// Who asked for an event, and in which words. Never needed to rebuild a document's text; needed to
/// answer a repeated message, to transform a client's later edits, and to say who wrote what.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The user, from the connection and not from the message.
    pub user: UserId,
    /// The client instance.
    pub client: ClientId,
    /// The version that the edit's positions refer to, together with the client's own edits in flight.
    pub base: Version,
    /// The version from which a replay of the log rebuilds the context of this client's edits: at `origin`
    /// the client had seen everything, and nothing of its own was in flight.
    pub origin: Version,
    /// The message that the client named as its predecessor.
    pub after: Option<MessageId>,
    /// What the positions in `received` count.
    pub encoding: PositionEncoding,
    /// `data` as the client sent it, JSON.
    pub received: Arc<RawValue>,
}
