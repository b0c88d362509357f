//! What goes into the log and what comes out of it.

use std::{fmt, sync::Arc};

use crate::{
    domain::{DocumentId, Effect, Event, IdError, MessageId, Seq, Timestamp, Version},
    projection::SavedComments,
    text::{Delta, Utf16},
};

/// Names a stream: all events of one thing, in one order. `document:ID`, `presence:ID`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

const DOCUMENT: &str = "document:";
const PRESENCE: &str = "presence:";
const REVOCATIONS: &str = "service:revocations";
const ERASURES: &str = "service:erasures";

impl StreamName {
    /// The stream of a document.
    pub fn document(id: &DocumentId) -> Self {
        Self(format!("{DOCUMENT}{id}").into())
    }

    /// The stream of who is in a document.
    pub fn presence(id: &DocumentId) -> Self {
        Self(format!("{PRESENCE}{id}").into())
    }

    /// The stream of those who were shut out, one for the whole log.
    pub fn revocations() -> Self {
        Self(REVOCATIONS.into())
    }

    /// The stream of people who were erased, one for the whole log.
    pub fn erasures() -> Self {
        Self(ERASURES.into())
    }

    /// Reads a name as [`Self::as_str`] writes it: a kind, a colon, an id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let unknown = IdError { what: "stream", allowed: "a kind and an id, as in document:ID" };
        DocumentId::parse([DOCUMENT, PRESENCE].iter().find_map(|kind| text.strip_prefix(kind)).ok_or(unknown)?)?;
        Ok(Self(text.into()))
    }

    /// Reads a name that another log has accepted, of whatever kind.
    pub fn of_any_kind(text: &str) -> Result<Self, IdError> {
        let unknown = IdError { what: "stream", allowed: "a kind and an id, as in document:ID" };
        let (kind, id) = text.split_once(':').ok_or(unknown.clone())?;
        let fits = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        DocumentId::parse(id)?;
        if fits { Ok(Self(text.into())) } else { Err(unknown) }
    }

    /// The document whose stream this is; `None` for a stream of another kind.
    pub fn document_id(&self) -> Option<DocumentId> {
        DocumentId::parse(self.0.strip_prefix(DOCUMENT)?).ok()
    }

    /// The document whose presence stream this is; `None` for a stream of another kind.
    pub fn presence_id(&self) -> Option<DocumentId> {
        DocumentId::parse(self.0.strip_prefix(PRESENCE)?).ok()
    }

    /// The whole name, e.g. `document:doc_abc123`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes just before those documents whose ids are greater than this.
    pub(super) fn document_after(text: &str) -> Self {
        Self(format!("{DOCUMENT}{text}").into())
    }

    /// What all presence streams come after, and nothing between.
    pub(super) fn before_presence() -> Self {
        Self(PRESENCE.into())
    }

    /// A name that the log itself once accepted.
    pub(super) fn recorded(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An event on its way into the log.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The message that caused it; once per stream.
    pub message_id: MessageId,
    /// The version of the document after it.
    pub version: Version,
    /// What happened.
    pub event: Event,
}

/// Where a stream must end for an append to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// At the head that the caller saw; [`Seq`] 0 for a stream without events.
    At(Seq),
    /// Wherever it ends: for streams whose events hold without those before them. Never stale.
    Any,
}

impl Expected {
    /// Whether a stream may end here. Nothing is added to one that is erased.
    pub(super) fn admits(self, head: Head) -> bool {
        let is_there = match self {
            Self::At(expected) => expected == head.seq,
            Self::Any => true,
        };
        is_there && !head.is_erased
    }
}

/// Events that enter one stream together or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream, which begins with its first event.
    pub stream: StreamName,
    /// Where the stream must end for it.
    pub expected: Expected,
    /// When. Raised to the time of the head, should the clock have gone back.
    pub recorded_at: Timestamp,
    /// What happened, in order; the first one comes right after the head.
    pub events: Vec<NewEvent>,
}

/// An event in the log.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its place in the stream.
    pub seq: Seq,
    /// The version of the document after it.
    pub version: Version,
    /// The message that caused it.
    pub message_id: MessageId,
    /// When it was recorded; never earlier than the event before it.
    pub recorded_at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The place of an event among those of all streams, in the order of their commits; it grows, with gaps. 0 stands
/// before the first. It belongs to one database: an imported event gets a new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a fold needs of an event, and no more: every column read costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The place of the event in the stream.
    pub seq: Seq,
    /// What it did to the document.
    pub effect: Effect,
}

/// The end of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The place of the last event.
    pub seq: Seq,
    /// The version after it.
    pub version: Version,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Whether the last event is a tombstone: then nothing comes after it.
    pub is_erased: bool,
}

/// What stays of a stream that was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The stream.
    pub stream: StreamName,
    /// Its last place.
    pub seq: Seq,
    /// The last version of the document.
    pub version: Version,
    /// Names the tombstone.
    pub message_id: MessageId,
    /// When it was erased.
    pub recorded_at: Timestamp,
}

/// A folded document, saved so that opening it need not start at zero. Always derivable again.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The last event folded into it.
    pub seq: Seq,
    /// The version after that event.
    pub version: Version,
    /// When the text last changed; `None` for text that never did.
    pub last_modified: Option<Timestamp>,
    /// The document as the change of an empty one.
    pub content: Delta<Utf16>,
    /// What is said about it.
    pub comments: SavedComments,
}

/// A migration that opening the log has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// The version of the database with it.
    pub version: i64,
    /// What it makes.
    pub description: String,
}
