//! The answers to who asks about documents and their past.

use serde::{Serialize, Serializer};

use crate::{
    domain::{Cursor, Profile, Timestamp, Version},
    protocol::{OpsJson, document::ListedComment},
    text::{Delta, RichText, Utf16},
};

/// A document as of a version. Positions count UTF-16 units.
#[derive(Debug, Serialize)]
pub struct DocumentJson<'a> {
    /// Its name.
    pub id: &'a str,
    /// The number of operations committed by then.
    pub version: Version,
    /// The place of the last event in it: the events after it are what happened since.
    pub seq: u64,
    /// The plain text; an embed shows as U+FFFC.
    pub content: String,
    /// The rich text, a list of inserts.
    pub delta: RichTextJson<'a>,
    /// Everything that was said about it, and where.
    pub comments: Vec<ListedComment>,
    /// More about it.
    pub metadata: MetadataJson,
}

/// A text with its formatting, as a list of inserts.
#[derive(Debug)]
pub struct RichTextJson<'a>(pub &'a RichText);

impl Serialize for RichTextJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let delta: Delta<Utf16> = self.0.to_delta();
        OpsJson(delta.ops()).serialize(serializer)
    }
}

/// More about a document.
#[derive(Debug, Serialize)]
pub struct MetadataJson {
    /// Stretches between Unicode white space.
    pub word_count: usize,
    /// When it was last edited; null before the first edit.
    pub last_modified: Option<String>,
}

/// A page of documents.
#[derive(Debug, Serialize)]
pub struct ListJson {
    /// In the order of their names.
    pub documents: Vec<ListedDocumentJson>,
    /// Where the next page begins (`after`); null at the end.
    pub next: Option<String>,
}

/// A document in a list.
#[derive(Debug, Serialize)]
pub struct ListedDocumentJson {
    /// Its name.
    pub id: String,
    /// The number of operations committed to it.
    pub version: Version,
    /// When something last happened to it.
    pub updated_at: String,
}

/// What changed between two versions.
#[derive(Debug, Serialize)]
pub struct DiffJson<'a> {
    /// From this version,
    pub from: Version,
    /// to this one,
    pub to: Version,
    /// by this change.
    pub delta: OpsJson<'a>,
}

/// A page of sessions.
#[derive(Debug, Serialize)]
pub struct HistoryJson {
    /// The oldest first.
    pub sessions: Vec<SessionJson>,
    /// Where the next page begins (`after`); null at the end.
    pub next: Option<Version>,
}

/// Edits without a long pause between them.
#[derive(Debug, Serialize)]
pub struct SessionJson {
    /// When its first edit was recorded.
    pub started_at: String,
    /// When its last edit was recorded.
    pub ended_at: String,
    /// The version before its first edit.
    pub from_version: Version,
    /// The version that its last edit made.
    pub to_version: Version,
    /// Characters that were inserted.
    pub added: u64,
    /// Characters that were deleted.
    pub removed: u64,
    /// Who wrote how much.
    pub authors: Vec<AuthorJson>,
}

/// What somebody did in a session.
#[derive(Debug, Serialize)]
pub struct AuthorJson {
    /// Who.
    pub user_id: String,
    /// How many edits.
    pub edits: u64,
    /// Characters that they inserted.
    pub added: u64,
    /// Characters that they deleted.
    pub removed: u64,
}

/// What a server had done to a document.
#[derive(Debug, Serialize)]
pub struct WrittenJson<'a> {
    /// The document.
    pub id: &'a str,
    /// The version that it made.
    pub version: Version,
    /// The place of its event.
    pub seq: u64,
    /// The message that asked for it.
    pub message_id: &'a str,
    /// When it was recorded.
    pub timestamp: &'a str,
    /// The change as it was applied.
    pub delta: OpsJson<'a>,
    /// Whether that differs from what was sent.
    pub transformed: bool,
    /// Whether it had been done before; nothing happened this time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// Who was in a document.
#[derive(Debug, Serialize)]
pub struct PeopleJson<'a> {
    /// The version that their cursors refer to.
    pub version: Version,
    /// Everybody, by their ids.
    pub users: Vec<PersonJson<'a>>,
}

/// Somebody who was there.
#[derive(Debug, Serialize)]
pub struct PersonJson<'a> {
    user_id: &'a str,
    /// Null if they had not shown it.
    cursor_position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct SelectionJson {
    start: usize,
    end: usize,
}

impl<'a> PersonJson<'a> {
    /// Somebody, and where.
    pub fn new(user_id: &'a str, profile: &'a Profile, cursor: Option<Cursor>) -> Self {
        Self {
            user_id,
            cursor_position: cursor.map(|cursor| cursor.position),
            selection: cursor.and_then(|cursor| cursor.selection).map(|(start, end)| SelectionJson { start, end }),
            name: profile.name.as_deref(),
            avatar_url: profile.avatar_url.as_deref(),
            color: profile.color.as_deref(),
        }
    }
}

impl MetadataJson {
    /// Of a document with so many words that was last edited then.
    pub fn new(word_count: usize, last_modified: Option<Timestamp>) -> Self {
        Self { word_count, last_modified: last_modified.map(|time| time.to_string()) }
    }
}
