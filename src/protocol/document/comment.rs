//! What clients say about comments.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    domain::{CommentCommand, CommentId, IdError, Named, Stretch, ThreadId, Version},
    protocol::{
        Natural, Refusal,
        schema::{Id, Place},
    },
};

use super::{
    client::{ClientEvent, Reader, base},
    reading::read,
};

/// The events of comments that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentKind {
    /// `comment_added`
    Added,
    /// `comment_updated`
    Updated,
    /// `comment_resolved`
    Resolved,
    /// `comment_reopened`
    Reopened,
    /// `comment_deleted`
    Deleted,
}

impl CommentKind {
    const ALL: [Self; 5] = [Self::Added, Self::Updated, Self::Resolved, Self::Reopened, Self::Deleted];

    /// The event's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "comment_added",
            Self::Updated => "comment_updated",
            Self::Resolved => "comment_resolved",
            Self::Reopened => "comment_reopened",
            Self::Deleted => "comment_deleted",
        }
    }

    /// The event with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A comment event as sent.
#[derive(Debug, Clone)]
pub struct CommentMessage {
    /// Which event it is.
    pub kind: CommentKind,
    /// What it asks for.
    pub command: CommentCommand,
    /// The version that its position refers to, if it says so.
    pub base: Option<Version>,
    /// `data` as it came.
    pub received: Arc<RawValue>,
}

/// Characters of a comment at most.
const CONTENT: usize = 10_000;
/// Characters of a quote that are kept.
pub const QUOTE: usize = 1_000;

/// A comment is made.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "CommentAdding")]
pub(super) struct AddedData {
    comment: AddedComment,
    #[schemars(with = "Option<Version>")]
    version: Option<Natural>,
    #[schemars(with = "Option<Version>")]
    base_version: Option<Natural>,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

/// Begins a thread, with a `position`, or answers one, with the `thread_id` of it.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "NewComment")]
pub(super) struct AddedComment {
    #[schemars(with = "Option<Id>")]
    id: Option<String>,
    #[schemars(with = "Option<Id>")]
    thread_id: Option<String>,
    #[schemars(length(min = 1, max = CONTENT))]
    content: String,
    position: Option<PositionData>,
    quote: Option<String>,
}

/// A stretch of the text; `start` is before `end`.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "StretchSent")]
pub(super) struct PositionData {
    #[schemars(with = "Place")]
    start: Natural,
    #[schemars(with = "Place")]
    end: Natural,
}

/// A comment is changed.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "CommentUpdating")]
pub(super) struct UpdatedData {
    #[schemars(with = "Id")]
    comment_id: String,
    updates: Updates,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

/// What is to become of it.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "CommentChanges")]
pub(super) struct Updates {
    #[schemars(length(min = 1, max = CONTENT))]
    content: String,
}

/// A thread or a comment of it; one of the two at least.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "CommentNamed")]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(super) struct NamedData {
    #[schemars(with = "Option<Id>")]
    comment_id: Option<String>,
    #[schemars(with = "Option<Id>")]
    thread_id: Option<String>,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

impl Reader {
    pub(super) fn read_comment(&self, kind: CommentKind, data: &RawValue) -> Result<ClientEvent, Refusal> {
        let received = Arc::from(data.to_owned());
        let data = data.get();
        let (command, base) = match kind {
            CommentKind::Added => self.read_added(data)?,
            CommentKind::Updated => {
                let UpdatedData { comment_id, updates, document_id } = read(data, "data")?;
                self.check_document(document_id.as_deref())?;
                let comment = comment_named(&comment_id)?;
                (CommentCommand::Update { comment, content: content(updates.content, "data.updates.content")? }, None)
            }
            CommentKind::Resolved => (CommentCommand::Resolve(self.read_named(data)?), None),
            CommentKind::Reopened => (CommentCommand::Reopen(self.read_named(data)?), None),
            CommentKind::Deleted => {
                let NamedData { comment_id, document_id, .. } = read(data, "data")?;
                self.check_document(document_id.as_deref())?;
                let id = comment_id.ok_or_else(|| Refusal::invalid("data.comment_id", "the comment's id"))?;
                (CommentCommand::Delete(comment_named(&id)?), None)
            }
        };
        Ok(ClientEvent::Comment(Box::new(CommentMessage { kind, command, base, received })))
    }

    fn read_added(&self, data: &str) -> Result<(CommentCommand, Option<Version>), Refusal> {
        let AddedData { comment, version, base_version, document_id } = read(data, "data")?;
        self.check_document(document_id.as_deref())?;
        let base = base(version, base_version)?;
        if comment.position.is_none() && comment.thread_id.is_none() {
            return Err(Refusal::invalid(
                "data.comment.position",
                "the `start` and `end` of the text that it is about, unless `thread_id` names a thread",
            ));
        }
        let position = comment.position.map(stretch).transpose()?;
        let id = self.id(comment.id.as_deref(), "data.comment.id", CommentId::parse, "comment")?;
        let thread = self.id(comment.thread_id.as_deref(), "data.comment.thread_id", ThreadId::parse, "thread")?;
        let quote = comment.quote.map(|quote| quote.chars().take(QUOTE).collect::<String>().into());
        let content = content(comment.content, "data.comment.content")?;
        Ok((CommentCommand::Add { id, thread, content, position, quote }, base))
    }

    fn read_named(&self, data: &str) -> Result<Named, Refusal> {
        let NamedData { comment_id, thread_id, document_id } = read(data, "data")?;
        self.check_document(document_id.as_deref())?;
        let comment = comment_id.as_deref().map(comment_named).transpose()?;
        let thread = thread_id.as_deref().map(ThreadId::parse).transpose();
        match (comment, thread.map_err(|error| Refusal::invalid_id("data.thread_id", &error))?) {
            (Some(comment), Some(thread)) => Ok(Named::ByBoth(comment, thread)),
            (Some(comment), None) => Ok(Named::ByComment(comment)),
            (None, Some(thread)) => Ok(Named::ByThread(thread)),
            (None, None) => Err(Refusal::invalid("data.comment_id", "the id of a comment in the thread")),
        }
    }

    /// An id as sent, or one made up.
    fn id<T>(
        &self,
        sent: Option<&str>,
        path: &str,
        parse: fn(&str) -> Result<T, IdError>,
        kind: &str,
    ) -> Result<T, Refusal> {
        let parsed = match sent {
            Some(id) => parse(id),
            None => parse(&format!("{kind}_{}", (self.make_id)())),
        };
        parsed.map_err(|error| Refusal::invalid_id(path, &error))
    }
}

fn comment_named(id: &str) -> Result<CommentId, Refusal> {
    CommentId::parse(id).map_err(|error| Refusal::invalid_id("data.comment_id", &error))
}

fn content(content: String, path: &str) -> Result<Arc<str>, Refusal> {
    // Characters have one to four bytes: most texts need not be counted.
    let fits = !content.is_empty() && (content.len() <= CONTENT || content.chars().count() <= CONTENT);
    if fits { Ok(content.into()) } else { Err(Refusal::invalid(path, "1 to 10000 characters")) }
}

fn stretch(PositionData { start: Natural(start), end: Natural(end) }: PositionData) -> Result<Stretch, Refusal> {
    if start < end {
        // A place beyond all documents is beyond this one.
        let place = |place: u64| usize::try_from(place.min(u32::MAX.into())).unwrap_or(usize::MAX);
        return Ok(Stretch { start: place(start), end: place(end) });
    }
    Err(Refusal::operation("data.comment.position", "a comment is about some text: `start` must be before `end`"))
}
