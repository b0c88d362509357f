//! The answers to who asks about documents and their past.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::{
    domain::{Cursor, Profile, Timestamp, Version},
    protocol::{
        OpsJson,
        document::{ListedComment, ProfileJson, Selection},
        schema::{Id, Name, Place, SeqNumber, Time},
    },
    text::{Delta, RichText, Utf16},
};

/// A document as of a version. Positions count UTF-16 units.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Document")]
pub struct DocumentJson<'a> {
    /// Its name.
    #[schemars(with = "Id")]
    pub id: &'a str,
    /// The number of operations committed by then.
    pub version: Version,
    /// The place of the last event in it: the events after it are what happened since.
    #[schemars(with = "SeqNumber")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Metadata")]
pub struct MetadataJson {
    /// Stretches between Unicode white space.
    pub word_count: usize,
    /// When it was last edited; null before the first edit.
    #[schemars(with = "Option<Time>")]
    pub last_modified: Option<String>,
}

/// A page of documents.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DocumentPage")]
pub struct ListJson {
    /// In the order of their names.
    pub documents: Vec<ListedDocumentJson>,
    /// Where the next page begins (`after`); null at the end.
    #[schemars(with = "Option<Id>")]
    pub next: Option<String>,
}

/// A document in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedDocument")]
pub struct ListedDocumentJson {
    /// Its name.
    #[schemars(with = "Id")]
    pub id: String,
    /// The number of operations committed to it.
    pub version: Version,
    /// When something last happened to it.
    #[schemars(with = "Time")]
    pub updated_at: String,
}

/// What changed between two versions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Diff")]
pub struct DiffJson<'a> {
    /// From this version,
    pub from: Version,
    /// to this one,
    pub to: Version,
    /// by this change.
    pub delta: OpsJson<'a>,
}

/// A page of sessions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionPage")]
pub struct HistoryJson {
    /// The oldest first.
    pub sessions: Vec<SessionJson>,
    /// Where the next page begins (`after`); null at the end.
    pub next: Option<Version>,
}

/// Edits without a long pause between them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub struct SessionJson {
    /// When its first edit was recorded.
    #[schemars(with = "Time")]
    pub started_at: String,
    /// When its last edit was recorded.
    #[schemars(with = "Time")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Share")]
pub struct AuthorJson {
    /// Who.
    #[schemars(with = "Name")]
    pub user_id: String,
    /// How many edits.
    pub edits: u64,
    /// Characters that they inserted.
    pub added: u64,
    /// Characters that they deleted.
    pub removed: u64,
}

/// Who wrote what is there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Blame")]
pub struct BlameJson<'a> {
    /// The document.
    #[schemars(with = "Id")]
    pub id: &'a str,
    /// The version whose text it is.
    pub version: Version,
    /// The place of the last event before that.
    #[schemars(with = "SeqNumber")]
    pub seq: u64,
    /// The text in pieces, each of one edit, in order.
    pub runs: Vec<RunJson<'a>>,
}

/// A piece of text that came with one edit.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BlameRun")]
pub struct RunJson<'a> {
    /// The text; an embed shows as U+FFFC.
    pub text: &'a str,
    /// Who inserted it.
    #[schemars(with = "Name")]
    pub author: &'a str,
    /// The version that it came with.
    pub version: Version,
    /// When that was recorded.
    #[schemars(with = "Time")]
    pub time: String,
}

/// Who has done how much.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Contributions")]
pub struct ContributionsJson<'a> {
    /// The document.
    #[schemars(with = "Id")]
    pub id: &'a str,
    /// As of this version.
    pub version: Version,
    /// The place of the last event that is counted.
    #[schemars(with = "SeqNumber")]
    pub seq: u64,
    /// Those with most edits first.
    pub contributions: Vec<ContributionJson<'a>>,
}

/// What somebody has done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Contribution")]
pub struct ContributionJson<'a> {
    /// Who.
    #[schemars(with = "Name")]
    pub user_id: &'a str,
    /// How many edits.
    pub edits: u64,
    /// Characters that they inserted.
    pub added: u64,
    /// Characters that they deleted.
    pub removed: u64,
    /// Comments and replies that they wrote.
    pub comments: u64,
    /// When the first of that was recorded.
    #[schemars(with = "Time")]
    pub first_at: String,
    /// When the last of that was recorded.
    #[schemars(with = "Time")]
    pub last_at: String,
}

/// What a server had done to a document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Written")]
pub struct WrittenJson<'a> {
    /// The document.
    #[schemars(with = "Id")]
    pub id: &'a str,
    /// The version that it made.
    pub version: Version,
    /// The place of its event.
    #[schemars(with = "SeqNumber")]
    pub seq: u64,
    /// The message that asked for it.
    #[schemars(with = "Name")]
    pub message_id: &'a str,
    /// When it was recorded.
    #[schemars(with = "Time")]
    pub timestamp: &'a str,
    /// The change as it was applied.
    pub delta: OpsJson<'a>,
    /// Whether that differs from what was sent.
    pub transformed: bool,
    /// Whether it had been done before; nothing happened this time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// What was said about a document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CommentList")]
pub struct CommentsJson {
    /// The version that their places refer to.
    pub version: Version,
    /// All of them, in the order in which they were made.
    pub comments: Vec<ListedComment>,
}

/// Who was in a document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "People")]
pub struct PeopleJson<'a> {
    /// The version that their cursors refer to.
    pub version: Version,
    /// Everybody, by their ids.
    pub users: Vec<PersonJson<'a>>,
}

/// Somebody who was there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Person")]
pub struct PersonJson<'a> {
    #[schemars(with = "Name")]
    user_id: &'a str,
    /// Null if they had not shown it.
    #[schemars(with = "Option<Place>")]
    cursor_position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selection")]
    selection: Option<Selection>,
    #[serde(flatten)]
    profile: ProfileJson<'a>,
}

impl<'a> PersonJson<'a> {
    /// Somebody, and where.
    pub fn new(user_id: &'a str, profile: &'a Profile, cursor: Option<Cursor>) -> Self {
        Self {
            user_id,
            cursor_position: cursor.map(|cursor| cursor.position),
            selection: cursor.as_ref().and_then(Selection::of),
            profile: ProfileJson::of(profile),
        }
    }
}

impl MetadataJson {
    /// Of a document with so many words that was last edited then.
    pub fn new(word_count: usize, last_modified: Option<Timestamp>) -> Self {
        Self { word_count, last_modified: last_modified.map(|time| time.to_string()) }
    }
}
