//! What the server says about comments.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::domain::{
    ClientId, CommentChange, CommentId, Commented, DocumentId, MessageId, Placed, PositionEncoding, Stretch, ThreadId,
    Timestamp, UserId, Version,
};

use super::{
    CommentKind,
    server::{Sending, encode},
};

#[derive(Serialize)]
struct PositionJson {
    start: usize,
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

impl Serialize for AnchorsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a> {
            thread_id: &'a str,
            position: PositionJson,
        }
        serializer.collect_seq(self.0.iter().map(|Placed { thread, place }| One {
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

/// `comment`/`comment_ack`
pub fn comment_ack(ack: &CommentAck<'_>, change: &CommentChange, sending: Sending) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        message_id: &'a str,
        comment_id: &'a str,
        thread_id: &'a str,
        timestamp: &'a str,
        acknowledged: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    }
    let data = Data {
        message_id: ack.message_id.as_str(),
        comment_id: change.comment().as_str(),
        thread_id: change.thread().as_str(),
        timestamp: ack.timestamp,
        acknowledged: true,
        duplicate: sending == Sending::Repeated,
    };
    encode(("comment", "comment_ack"), data, (Some(ack.client_id), Some(ack.message_id)))
}

/// The event of a comment as everybody gets it, in the receiver's unit.
pub fn comment_event(about: &CommentAck<'_>, commented: &Commented, encoding: PositionEncoding) -> String {
    let Commented { change, by, at } = commented;
    let (comment_id, thread_id) = (change.comment().as_str(), change.thread().as_str());
    let (by, at, version) = (by.as_str(), at.to_rfc3339(), about.version);
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
            encode(("comment", CommentKind::Added.as_str()), AddedData { comment, common }, cause)
        }
        CommentChange::Updated { content, .. } => {
            let updates = UpdatesJson { content };
            let data = UpdatedData { comment_id, thread_id, updates, updated_by: by, updated_at: &at, common };
            encode(("comment", CommentKind::Updated.as_str()), data, cause)
        }
        CommentChange::Resolved { .. } => {
            let data = ResolvedData { comment_id, thread_id, resolved_by: by, resolved_at: &at, common };
            encode(("comment", CommentKind::Resolved.as_str()), data, cause)
        }
        CommentChange::Reopened { .. } => {
            let data = ReopenedData { comment_id, thread_id, reopened_by: by, reopened_at: &at, common };
            encode(("comment", CommentKind::Reopened.as_str()), data, cause)
        }
        CommentChange::Deleted { .. } => {
            let data = DeletedData { comment_id, thread_id, deleted_by: by, deleted_at: &at, common };
            encode(("comment", CommentKind::Deleted.as_str()), data, cause)
        }
    }
}

#[derive(Serialize)]
struct Common<'a> {
    version: Version,
    document_id: &'a str,
}

#[derive(Serialize)]
struct AddedData<'a> {
    comment: AddedJson<'a>,
    #[serde(flatten)]
    common: Common<'a>,
}

#[derive(Serialize)]
struct AddedJson<'a> {
    id: &'a str,
    author_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    author_name: Option<&'a str>,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<PositionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orphaned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<&'a str>,
    thread_id: &'a str,
    created_at: &'a str,
}

#[derive(Serialize)]
struct UpdatesJson<'a> {
    content: &'a str,
}

#[derive(Serialize)]
struct UpdatedData<'a> {
    comment_id: &'a str,
    thread_id: &'a str,
    updates: UpdatesJson<'a>,
    updated_by: &'a str,
    updated_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

#[derive(Serialize)]
struct ResolvedData<'a> {
    comment_id: &'a str,
    thread_id: &'a str,
    resolved_by: &'a str,
    resolved_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

#[derive(Serialize)]
struct ReopenedData<'a> {
    comment_id: &'a str,
    thread_id: &'a str,
    reopened_by: &'a str,
    reopened_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

#[derive(Serialize)]
struct DeletedData<'a> {
    comment_id: &'a str,
    thread_id: &'a str,
    deleted_by: &'a str,
    deleted_at: &'a str,
    #[serde(flatten)]
    common: Common<'a>,
}

/// The comments of a document as of a sync. Asked for only when the sync's turn to be encoded comes.
pub trait CommentList: fmt::Debug + Send + Sync {
    /// All of them in the order in which they were made, in the receiver's unit.
    fn list(&self) -> Vec<ListedComment>;
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
pub(super) struct CommentsJson<'a>(pub(super) Option<&'a dyn CommentList>);

impl Serialize for CommentsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let comments = self.0.map(CommentList::list).unwrap_or_default();
        let mut list = serializer.serialize_seq(Some(comments.len()))?;
        comments.iter().try_for_each(|comment| list.serialize_element(comment))?;
        list.end()
    }
}

impl Serialize for ListedComment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(flatten)]
            comment: AddedJson<'a>,
            resolved: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            resolved_by: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            resolved_at: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            updated_by: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            updated_at: Option<String>,
        }
        let at = |stamp: &Option<(UserId, Timestamp)>| stamp.as_ref().map(|(_, at)| at.to_rfc3339());
        let json = Json {
            comment: AddedJson {
                id: self.id.as_str(),
                author_id: self.author_id.as_str(),
                author_name: self.author_name.as_deref(),
                content: &self.content,
                position: Some(self.position.into()),
                orphaned: Some(self.position.is_empty()),
                quote: Some(&self.quote),
                thread_id: self.thread_id.as_str(),
                created_at: &self.created_at.to_rfc3339(),
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
