//! A recorded event as JSON: the same on the command line and over HTTP.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::record_schema::EventJson;
use crate::{
    domain::{
        CommentCause, CommentChange, Commented, DocumentId, Edited, Event, MessageId, Place, Placed, Seq, Timestamp,
        Version,
    },
    protocol::{OpsJson, schema::SeqNumber},
};

/// What every recorded event has.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The stream that it is in.
    pub stream: Source<'a>,
    /// Its place there.
    pub seq: Seq,
    /// The version of the document after it.
    pub version: Version,
    /// The message that caused it.
    pub message_id: &'a MessageId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// The stream of an event, as people name it.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Of a document.
    Document(&'a DocumentId),
    /// Of another kind.
    Stream(&'a str),
}

/// What happened, as far as it is told.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// This, to a document.
    Event(&'a Event),
    /// All before it was erased.
    Erased,
    /// Something in a stream of a kind that has readers of its own.
    Elsewhere,
}

/// An event.
pub fn event_as_json(record: &Record<'_>, told: Told<'_>) -> Value {
    let (kind, name) = match record.stream {
        Source::Document(id) => ("document", id.as_str()),
        Source::Stream(name) => ("stream", name),
    };
    let mut json = match told {
        Told::Event(Event::Edited(edited)) => edited_as_json(edited),
        Told::Event(Event::Commented(commented, cause)) => commented_as_json(commented, cause),
        Told::Erased => json!({"type": "erased"}),
        Told::Elsewhere => json!({}),
    };
    json[kind] = name.into();
    json["seq"] = record.seq.0.into();
    json["version"] = record.version.0.into();
    json["message_id"] = record.message_id.as_str().into();
    json["time"] = record.recorded_at.to_string().into();
    json
}

/// A page of events.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventPage")]
pub struct EventPageJson {
    /// The oldest first.
    #[schemars(with = "Vec<EventJson>")]
    pub events: Vec<Value>,
    /// Where the next page begins (`after`).
    #[schemars(with = "SeqNumber")]
    pub next: u64,
}

fn edited_as_json(edited: &Edited) -> Value {
    let cause = &edited.cause;
    let mut json = json!({
        "type": "edited",
        "user": cause.user.as_str(),
        "client": cause.client.as_str(),
        "base": cause.base,
        "after": cause.after.as_ref().map(MessageId::as_str),
        "transformed": edited.transformed,
        "applied": OpsJson(edited.applied.ops()),
        "received": cause.received,
    });
    if !edited.placed.is_empty() {
        json["anchors"] = edited.placed.iter().map(placed_as_json).collect();
    }
    json
}

fn placed_as_json(Placed { thread, place }: &Placed) -> Value {
    json!({"thread_id": thread.as_str(), "position": position(place)})
}

fn position(place: &Place) -> Value {
    json!({"start": place.utf16.start, "end": place.utf16.end})
}

fn commented_as_json(commented: &Commented, cause: &CommentCause) -> Value {
    let change = &commented.change;
    let mut json = json!({
        "type": match change {
            CommentChange::Added(_) => "comment_added",
            CommentChange::Updated { .. } => "comment_updated",
            CommentChange::Resolved { .. } => "comment_resolved",
            CommentChange::Reopened { .. } => "comment_reopened",
            CommentChange::Deleted { .. } => "comment_deleted",
        },
        "user": commented.by.as_str(),
        "client": cause.client.as_str(),
        "base": cause.base,
        "comment_id": change.comment().as_str(),
        "thread_id": change.thread().as_str(),
        "received": cause.received,
    });
    match change {
        CommentChange::Added(new) => {
            json["content"] = new.content.as_ref().into();
            if let Some(begins) = &new.begins {
                // Not `position`: that is the place of an event in the feed.
                json["anchor"] = position(&begins.place);
                json["quote"] = begins.quote.as_ref().into();
            }
        }
        CommentChange::Updated { content, .. } => json["content"] = content.as_ref().into(),
        CommentChange::Resolved { .. } | CommentChange::Reopened { .. } | CommentChange::Deleted { .. } => (),
    }
    json
}
