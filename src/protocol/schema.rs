//! How the small things on the wire look, for the descriptions of what is said there: `#[schemars(with = "Id")]`.
//!
//! The domain's types know nothing of JSON; what they are read from and written as is said here, once.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{domain::Version, text::Unit};

use super::{
    OpsJson,
    document::{
        ActiveUser, ActiveUserJson, AnchorJson, AnchorsJson, CommentsJson, ListedComment, ListedCommentJson,
        OperationJson,
    },
    history::RichTextJson,
};

/// The largest whole number that every reader of JSON knows exactly.
pub const EXACT: u64 = 9_007_199_254_740_991;

macro_rules! looks {
    ($($(#[$doc:meta])* $name:ident: $schema:tt;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

looks! {
    /// The id of a document, a client, a comment or a thread.
    Id: {
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "pattern": "^[A-Za-z0-9._:/~-]{1,128}$",
        "examples": ["doc_abc123"],
    };
    /// The name of a user, a token or a message.
    Name: {
        "description": "1 to 128 characters, none of them a control character.",
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,128}$",
        "examples": ["user_123"],
    };
    /// A moment.
    Time: {
        "description": "RFC 3339, in UTC where the service says it.",
        "type": "string",
        "format": "date-time",
        "examples": ["2025-01-07T10:30:00Z"],
    };
    /// A place or a length in a text, in UTF-16 code units or in the unit of the connection.
    Place: {"type": "integer", "minimum": 0, "maximum": EXACT};
    /// The place of an event in its stream: 1, 2, 3, …; 0 stands before the first.
    SeqNumber: {"type": "integer", "minimum": 0, "maximum": EXACT};
    /// How something is formatted: any names, and any values.
    AttributeMap: {"type": "object", "additionalProperties": true, "examples": [{"bold": true}]};
    /// Something that is no text and is one unit long: an object with at least one field.
    Embed: {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": true,
        "examples": [{"image": "https://example.org/a.png"}],
    };
    /// JSON as it was sent.
    Anything: {"description": "JSON as it was sent."};
    /// A part of a text with its formatting.
    InsertOp: {
        "type": "object",
        "required": ["insert"],
        "properties": {
            "insert": {"oneOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "minProperties": 1, "additionalProperties": true},
            ]},
            "attributes": {"type": "object", "additionalProperties": true},
        },
        "additionalProperties": false,
    };
    /// A part that stays.
    RetainOp: {
        "type": "object",
        "required": ["retain"],
        "properties": {
            "retain": {"type": "integer", "minimum": 1, "maximum": EXACT},
            "attributes": {"type": "object", "additionalProperties": true},
        },
        "additionalProperties": false,
    };
    /// A part that goes.
    DeleteOp: {
        "type": "object",
        "required": ["delete"],
        "properties": {"delete": {"type": "integer", "minimum": 1, "maximum": EXACT}},
        "additionalProperties": false,
    };
}

/// A part of a Quill Delta.
#[derive(Debug)]
pub enum DeltaOp {}

impl JsonSchema for DeltaOp {
    fn schema_name() -> Cow<'static, str> {
        "DeltaOp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (retain, insert) = (generator.subschema_for::<RetainOp>(), generator.subschema_for::<InsertOp>());
        json_schema!({"oneOf": [retain, insert, generator.subschema_for::<DeleteOp>()]})
    }
}

/// A type looks like another one, by which it is written or read.
macro_rules! looks_like {
    ($($type:ty => $other:ty),+ $(,)?) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                <$other>::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                <$other>::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                <$other>::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$other>::json_schema(generator)
            }
        }
    )+};
}

looks_like! {
    OpsJson<'_> => Vec<DeltaOp>,
    RichTextJson<'_> => Vec<InsertOp>,
    ActiveUser => ActiveUserJson<'static>,
    AnchorsJson<'_> => Vec<AnchorJson<'static>>,
    CommentsJson<'_> => Vec<ListedComment>,
    ListedComment => ListedCommentJson<'static>,
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The number of operations committed to a document.",
            "type": "integer",
            "minimum": 0,
            "maximum": EXACT,
        })
    }
}

/// An operation as the service tells of it: of the form that the receiver wants, with its author.
impl<U: Unit> JsonSchema for OperationJson<'_, U> {
    fn schema_name() -> Cow<'static, str> {
        "AppliedOperation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        operation(generator, Some("author"))
    }
}

/// An operation, told by the service with the name of its author, or sent by a client.
pub(super) fn operation(generator: &mut SchemaGenerator, author: Option<&str>) -> Schema {
    let (place, ops) = (generator.subschema_for::<Place>(), generator.subschema_for::<Vec<DeltaOp>>());
    let (attributes, embed) = (generator.subschema_for::<AttributeMap>(), generator.subschema_for::<Embed>());
    let length = json_schema!({"type": "integer", "minimum": 1, "maximum": EXACT});
    let text = json_schema!({"type": "string", "minLength": 1});
    let kind = |name: &str, required: &[&str], fields: &[(&str, &Schema)]| {
        let mut schema = json_schema!({"type": "object", "properties": {"type": {"const": name}}});
        let mut needed = vec!["type"];
        needed.extend(required);
        for (name, field) in fields {
            schema.insert_property(name, field);
        }
        schema.insert("required".to_owned(), needed.into());
        schema
    };
    let simple = [
        kind(
            "insert",
            &["position", "content"],
            &[("position", &place), ("content", &text), ("attributes", &attributes)],
        ),
        kind("insert", &["position", "embed"], &[("position", &place), ("embed", &embed), ("attributes", &attributes)]),
        kind("delete", &["position", "length"], &[("position", &place), ("length", &length)]),
        kind(
            "format",
            &["position", "length", "attributes"],
            &[("position", &place), ("length", &length), ("attributes", &attributes)],
        ),
    ];
    let parts = json_schema!({"type": "array", "items": {"oneOf": simple}});
    let mut kinds = simple.to_vec();
    kinds.push(kind("composite", &["operations"], &[("operations", &parts)]));
    kinds.push(kind("delta", &["ops"], &[("ops", &ops)]));
    if let Some(author) = author {
        let name = generator.subschema_for::<Name>();
        for kind in &mut kinds {
            kind.insert_property(author, &name);
            kind.require(author);
        }
    }
    json_schema!({"oneOf": kinds})
}

/// What schemas of objects are built with.
pub(super) trait ObjectSchema {
    fn insert_property(&mut self, name: &str, schema: &Schema);
    fn require(&mut self, name: &str);
}

impl ObjectSchema for Schema {
    fn insert_property(&mut self, name: &str, schema: &Schema) {
        if let Some(properties) = self.get_mut("properties").and_then(|it| it.as_object_mut()) {
            properties.insert(name.to_owned(), schema.clone().to_value());
        }
    }

    fn require(&mut self, name: &str) {
        if let Some(required) = self.get_mut("required").and_then(|it| it.as_array_mut()) {
            required.push(name.into());
        }
    }
}
