//! What the server says about comments.

use std::{fmt, sync::Arc};

use schemars::JsonSchema;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{
    domain::{
        ClientId, CommentChange, CommentId, Commented, DocumentId, MessageId, Placed, PositionEncoding, Stretch,
        ThreadId, Timestamp, UserId, Version,
    },
    protocol::schema::{Id, Name, Place, Time},
};

use super::{
    CommentKind,
    server::{Sending, Told, encode},
};

/// A stretch of the text.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Stretch")]
pub(super) struct PositionJson {
    #[schemars(with = "Place")]
    start: usize,
    #[schemars(with = "Place")]
    end: usize,
}

impl From<Stretch> for PositionJson {
    fn from(Stretch { start, end }: Stretch) -> Self {
        Self { start, end }
    }
}

/// Threads that found their text again, in the receiver's unit.
#[derive(Debug, Clone, Copy)]
pub struct AnchorsJson<'a>(pub &'a [Placed], pub PositionEncoding);

impl AnchorsJson<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A thread that found its text again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Anchor")]
pub struct AnchorJson<'a> {
    #[schemars(with = "Id")]
    thread_id: &'a str,
    position: PositionJson,
}

impl Serialize for AnchorsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|Placed { thread, place }| AnchorJson {
            thread_id: thread.as_str(),
            position: place.counted_in(self.1).into(),
        }))
    }
}

/// Who said something about a comment, where, and as of when.
#[derive(Debug, Clone, Copy)]
pub struct CommentAck<'a> {
    /// The document.
    pub document_id: &'a DocumentId,
    /// The document's version: positions refer to it.
    pub version: Version,
    /// By which message.
    pub message_id: &'a MessageId,
    /// With which client.
    pub client_id: &'a ClientId,
    /// When it was recorded, RFC 3339.
    pub timestamp: &'a str,
}

/// A comment is on disk.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentAck")]
pub(super) struct CommentAckData<'a> {
    #[schemars(with = "Name")]
    message_id: &'a str,
    #[schemars(with = "Id")]
    comment_id: &'a str,
    #[schemars(with = "Id")]
    thread_id: &'a str,
    #[schemars(with = "Time")]
    timestamp: &'a str,
    acknowledged: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl Told for CommentAckData<'_> {
    const NAME: (&'static str, &'static str) = ("comment", "comment_ack");
}

/// `comment`/`comment_ack`
pub fn comment_ack(ack: &CommentAck<'_>, change: &CommentChange, sending: Sending) -> String {
    let data = CommentAckData {
        message_id: ack.message_id.as_str(),
        comment_id: change.comment().as_str(),
        thread_id: change.thread().as_str(),
        timestamp: ack.timestamp,
        acknowledged: true,
        duplicate: sending == Sending::Repeated,
    };
    encode(data, (Some(ack.client_id), Some(ack.message_id)))
}

/// The event of a comment as everybody gets it, in the receiver's unit.
pub fn comment_event(about: &CommentAck<'_>, commented: &Commented, encoding: PositionEncoding) -> String {
    let Commented { change, by, at } = commented;
    let (comment_id, thread_id) = (change.comment().as_str(), change.thread().as_str());
    let (by, at, version) = (by.as_str(), at.to_string(), about.version);
    let common = Common { version, document_id: about.document_id.as_str() };
    let cause = (Some(about.client_id), Some(about.message_id));
    match change {
        CommentChange::Added(new) => {
            let begins = new.begins.as_ref();
            let place = begins.map(|begins| begins.place.counted_in(encoding));
            let comment = AddedJson {
                id: comment_id,
                author_id: by,
                author_name: new.author_name.as_deref(),
                content: &new.content,
                position: place.map(Into::into),
                orphaned: place.map(Stretch::is_empty),
                quote: begins.map(|begins| &*begins.quote),
                thread_id,
                created_at: &at,
            };
            encode(AddedData { comment, common }, cause)
        }
        CommentChange::Updated { content, .. } => {
            let updates = UpdatesJson { content };
            let data = UpdatedData { comment_id, thread_id, updates, updated_by: by, updated_at: &at, common };
            encode(data, cause)
        }
        CommentChange::Resolved { .. } => {
            let data = ResolvedData { comment_id, thread_id, resolved_by: by, resolved_at: &at, common };
            encode(data, cause)
        }
        CommentChange::Reopened { .. } => {
            let data = ReopenedData { comment_id, thread_id, reopened_by: by, reopened_at: &at, common };
            encode(data, cause)
        }
        CommentChange::Deleted { .. } => {
            let data = DeletedData { comment_id, thread_id, deleted_by: by, deleted_at: &at, common };
            encode(data, cause)
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Common<'a> {
    version: Version,
    #[schemars(with = "Id")]
    document_id: &'a str,
}

/// A comment was made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentAdded")]
pub(super) struct AddedData<'a> {
    comment: AddedJson<'a>,
    #[serde(flatten)]
    common: Common<'a>,
}

impl Told for AddedData<'_> {
    const NAME: (&'static str, &'static str) = ("comment", CommentKind::Added.as_str());
}

/// A comment.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Comment")]
pub(super) struct AddedJson<'a> {
    #[schemars(with = "Id")]
    id: &'a str,
    #[schemars(with = "Name")]
    author_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    author_name: Option<&'a str>,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositionJson")]
    position: Option<PositionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    orphaned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    quote: Option<&'a str>,
    #[schemars(with = "Id")]
    thread_id: &'a str,
    #[schemars(with = "Time")]
    created_at: &'a str,
}

/// What became of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentUpdates")]
pub(super) struct UpdatesJson<'a> {
    content: &'a str,
}

/// A comment was changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentUpdated")]
pub(super) struct UpdatedData<'a> {
    #[schemars(with = "Id")]
    comment_id: &'a str,
    #[schemars(with = "Id")]
    thread_id: &'a str,
    updates: UpdatesJson<'a>,
    #[schemars(with = "Name")]
    updated_by: &'a str,
    #[schemars(with = "Time")]
    updated_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

impl Told for UpdatedData<'_> {
    const NAME: (&'static str, &'static str) = ("comment", CommentKind::Updated.as_str());
}

/// A thread is done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentResolved")]
pub(super) struct ResolvedData<'a> {
    #[schemars(with = "Id")]
    comment_id: &'a str,
    #[schemars(with = "Id")]
    thread_id: &'a str,
    #[schemars(with = "Name")]
    resolved_by: &'a str,
    #[schemars(with = "Time")]
    resolved_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

impl Told for ResolvedData<'_> {
    const NAME: (&'static str, &'static str) = ("comment", CommentKind::Resolved.as_str());
}

/// A thread is not done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentReopened")]
pub(super) struct ReopenedData<'a> {
    #[schemars(with = "Id")]
    comment_id: &'a str,
    #[schemars(with = "Id")]
    thread_id: &'a str,
    #[schemars(with = "Name")]
    reopened_by: &'a str,
    #[schemars(with = "Time")]
    reopened_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

impl Told for ReopenedData<'_> {
    const NAME: (&'static str, &'static str) = ("comment", CommentKind::Reopened.as_str());
}

/// A comment is gone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommentDeleted")]
pub(super) struct DeletedData<'a> {
    #[schemars(with = "Id")]
    comment_id: &'a str,
    #[schemars(with = "Id")]
    thread_id: &'a str,
    #[schemars(with = "Name")]
    deleted_by: &'a str,
    #[schemars(with = "Time")]
    deleted_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

impl Told for DeletedData<'_> {
    const NAME: (&'static str, &'static str) = ("comment", CommentKind::Deleted.as_str());
}

/// The comments of a document as of a sync. Asked for only when the sync's turn to be encoded comes.
pub trait CommentList: fmt::Debug + Send + Sync {
    /// All of them in the order in which they were made, in the receiver's unit.
    fn list(&self) -> Vec<ListedComment>;

    /// How many they are.
    fn count(&self) -> usize;
}

/// A comment in a sync.
#[derive(Debug, Clone)]
pub struct ListedComment {
    /// Its name.
    pub id: CommentId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Whose it is.
    pub author_id: UserId,
    /// What its author was called then.
    pub author_name: Option<Arc<str>>,
    /// What it says.
    pub content: Arc<str>,
    /// Where its thread is.
    pub position: Stretch,
    /// The text that its thread was made on.
    pub quote: Arc<str>,
    /// Who found its thread done, and when.
    pub resolved: Option<(UserId, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who last changed it, and when.
    pub updated: Option<(UserId, Timestamp)>,
}

/// The comments of a sync as JSON.
pub(in crate::protocol) struct CommentsJson<'a>(pub(super) Option<&'a dyn CommentList>);

impl Serialize for CommentsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let comments = self.0.map(CommentList::list).unwrap_or_default();
        let mut list = serializer.serialize_seq(Some(comments.len()))?;
        comments.iter().try_for_each(|comment| list.serialize_element(comment))?;
        list.end()
    }
}

/// A comment with what became of it since it was made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedComment")]
pub struct ListedCommentJson<'a> {
    #[serde(flatten)]
    comment: AddedJson<'a>,
    resolved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    resolved_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    resolved_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    updated_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    updated_at: Option<String>,
}

impl Serialize for ListedComment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = |stamp: &Option<(UserId, Timestamp)>| stamp.as_ref().map(|(_, at)| at.to_string());
        let json = ListedCommentJson {
            comment: AddedJson {
                id: self.id.as_str(),
                author_id: self.author_id.as_str(),
                author_name: self.author_name.as_deref(),
                content: &self.content,
                position: Some(self.position.into()),
                orphaned: Some(self.position.is_empty()),
                quote: Some(&self.quote),
                thread_id: self.thread_id.as_str(),
                created_at: &self.created_at.to_string(),
            },
            resolved: self.resolved.is_some(),
            resolved_by: self.resolved.as_ref().map(|(by, _)| by.as_str()),
            resolved_at: at(&self.resolved),
            updated_by: self.updated.as_ref().map(|(by, _)| by.as_str()),
            updated_at: at(&self.updated),
        };
        json.serialize(serializer)
    }
}
