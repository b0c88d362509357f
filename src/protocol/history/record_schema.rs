//! How a recorded event looks as JSON: what [`event_as_json`](super::event_as_json) makes, of every kind.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    domain::Version,
    protocol::{
        OpsJson,
        document::AnchorJson,
        schema::{Id, Name, ObjectSchema, Place, SeqNumber, Time},
    },
};

/// A recorded event.
#[derive(Debug)]
pub enum EventJson {}

impl JsonSchema for EventJson {
    fn schema_name() -> Cow<'static, str> {
        "RecordedEvent".into()
    }

    fn json_schema(of: &mut SchemaGenerator) -> Schema {
        let kinds = [edited(of), commented(of), erased(of), of_another_stream()].map(|mut kind| {
            for (name, schema) in common(of) {
                kind.insert_property(name, &schema);
                kind.require(name);
            }
            let position = "Its place in the feed; there only.";
            kind.insert_property("position", &json_schema!({"description": position, "type": "integer", "minimum": 1}));
            kind
        });
        json_schema!({"description": "An event as it was recorded.", "oneOf": kinds})
    }
}

/// What every event has.
fn common(of: &mut SchemaGenerator) -> [(&'static str, Schema); 4] {
    [
        ("seq", of.subschema_for::<SeqNumber>()),
        ("version", of.subschema_for::<Version>()),
        ("message_id", of.subschema_for::<Name>()),
        ("time", of.subschema_for::<Time>()),
    ]
}

fn received() -> Schema {
    json_schema!({"description": "`data` as it was sent.", "type": "object"})
}

fn edited(of: &mut SchemaGenerator) -> Schema {
    let (id, name, version) = (of.subschema_for::<Id>(), of.subschema_for::<Name>(), of.subschema_for::<Version>());
    let (ops, anchors) = (of.subschema_for::<OpsJson<'_>>(), of.subschema_for::<Vec<AnchorJson<'_>>>());
    let says = "The message that the client named as its predecessor.";
    let after = json_schema!({"description": says, "anyOf": [name, {"type": "null"}]});
    json_schema!({
        "title": "edited",
        "type": "object",
        "properties": {
            "type": {"const": "edited"}, "document": id, "user": name, "client": id, "base": version,
            "after": after, "transformed": {"type": "boolean"}, "applied": ops, "received": received(),
            "anchors": anchors,
        },
        "required": ["type", "document", "user", "client", "base", "after", "transformed", "applied", "received"],
    })
}

fn commented(of: &mut SchemaGenerator) -> Schema {
    let (id, name, version) = (of.subschema_for::<Id>(), of.subschema_for::<Name>(), of.subschema_for::<Version>());
    let place = of.subschema_for::<Place>();
    let says = "The version that its position refers to, where it named one.";
    let base = json_schema!({"description": says, "anyOf": [version, {"type": "null"}]});
    let anchor = json_schema!({
        "description": "The text that a thread was begun on.",
        "type": "object",
        "properties": {"start": place, "end": place},
        "required": ["start", "end"],
    });
    let kinds = ["comment_added", "comment_updated", "comment_resolved", "comment_reopened", "comment_deleted"];
    json_schema!({
        "title": "commented",
        "type": "object",
        "properties": {
            "type": {"enum": kinds}, "document": id, "user": name, "client": id, "base": base,
            "comment_id": id, "thread_id": id, "received": received(), "content": {"type": "string"},
            "anchor": anchor, "quote": {"type": "string"},
        },
        "required": ["type", "document", "user", "client", "base", "comment_id", "thread_id", "received"],
    })
}

/// All that is left of a document.
fn erased(of: &mut SchemaGenerator) -> Schema {
    let id = of.subschema_for::<Id>();
    json_schema!({
        "title": "erased",
        "type": "object",
        "properties": {"type": {"const": "erased"}, "document": id},
        "required": ["type", "document"],
    })
}

/// Of streams that are no documents: that something happened, or that they were erased, and not what.
fn of_another_stream() -> Schema {
    json_schema!({
        "title": "of another stream",
        "type": "object",
        "properties": {"type": {"const": "erased"}, "stream": {"type": "string"}},
        "required": ["stream"],
    })
}
