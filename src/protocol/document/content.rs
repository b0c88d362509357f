//! What an operation brings into a document: text, embeds and attributes, as they are sent, and the rules for them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::{
    protocol::{Refusal, Whole},
    text::{Attributes, Content, Embed, Text},
};

/// How large one edit may be.
#[derive(Debug, Clone, Copy)]
pub struct EditLimits {
    /// Simple operations or delta components in one edit.
    pub components: usize,
    /// Attributes of one component.
    pub attributes: usize,
    /// Bytes of one component's attributes, names and values as JSON.
    pub attribute_bytes: usize,
}

/// The rules by which an operation is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rules<'a> {
    /// An edit, no larger than this.
    Edit(&'a EditLimits),
    /// A whole document. Any number of edits may have built it, so the limits of one do not hold.
    State,
    /// An edit that was checked by the rules of its time before it was recorded.
    Recorded,
}

/// Attributes as they are sent, in a list: a whole document may have hundreds of thousands of them, and none is looked up.
#[derive(Debug)]
pub(super) struct WireAttributes(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for WireAttributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs).map(Self)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        // Most have one, for which a list takes room for four as it grows.
        pairs.shrink_to_fit();
        Ok(pairs)
    }
}

/// The names that every JavaScript object has. `quill-delta` looks for them among attributes with `in` and by index, so
/// it drops such an attribute as soon as the text gets another one, and its clients would differ from the service.
const INHERITED: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

impl Rules<'_> {
    pub(super) fn check_components(self, path: &str, count: usize) -> Result<(), Refusal> {
        match self {
            Self::Edit(EditLimits { components, .. }) if count > *components => {
                let message = format!("{count} operations in one edit, at most {components} are allowed");
                Err(Refusal::operation(path, message).with("limit", *components))
            }
            Self::Edit(_) | Self::State | Self::Recorded => Ok(()),
        }
    }

    pub(super) fn text(self, path: &str, text: &str) -> Result<Content, Refusal> {
        match self {
            _ if text.is_empty() => Err(Refusal::operation(path, "there is no text to insert")),
            // Quill and browsers make a line feed of it, and every position behind it would be off by one.
            Self::Edit(_) if text.contains('\r') => {
                Err(Refusal::operation(path, "the text has a carriage return; lines end with `\\n` alone"))
            }
            Self::Edit(_) | Self::State | Self::Recorded => Ok(Content::Text(Text::new(text))),
        }
    }

    pub(super) fn embed(self, path: &str, embed: Embed) -> Result<Content, Refusal> {
        if embed.is_empty() {
            return Err(Refusal::operation(path, "an embed needs at least one field"));
        }
        if let Self::Edit(EditLimits { attribute_bytes: limit, .. }) = self {
            let bytes = weight_of(embed.iter());
            if bytes > *limit {
                let message = format!("an embed of {bytes} bytes, at most {limit} are allowed");
                return Err(Refusal::operation(path, message).with("limit", *limit));
            }
        }
        Ok(Content::Embed(embed.map_values(whole)))
    }

    pub(super) fn attributes(self, path: &str, map: Option<WireAttributes>) -> Result<Attributes, Refusal> {
        let Some(WireAttributes(map)) = map else { return Ok(Attributes::NONE) };
        let path = format!("{path}.attributes");
        if let Self::Edit(limits) = self {
            check_size(&path, &map, limits)?;
        }
        let inherited = map.iter().map(|(name, _)| name).find(|name| INHERITED.contains(&name.as_str()));
        if let (Self::Edit(_) | Self::State, Some(name)) = (self, inherited) {
            let message = format!("an attribute cannot be named `{name}`: JavaScript clients would lose it");
            return Err(Refusal::operation(&format!("{path}.{name}"), message).with("expected", "another name"));
        }
        Ok(map.into_iter().map(|(name, value)| (name, whole(value))).collect())
    }
}

fn check_size(path: &str, map: &[(String, Value)], limits: &EditLimits) -> Result<(), Refusal> {
    if map.len() > limits.attributes {
        let message = format!("{} attributes, at most {} are allowed", map.len(), limits.attributes);
        return Err(Refusal::operation(path, message).with("limit", limits.attributes));
    }
    let bytes: usize = map.iter().map(|(name, value)| name.len() + weight(value)).sum();
    if bytes > limits.attribute_bytes {
        let message = format!("attributes of {bytes} bytes, at most {} are allowed", limits.attribute_bytes);
        return Err(Refusal::operation(path, message).with("limit", limits.attribute_bytes));
    }
    Ok(())
}

/// About how many bytes a value takes as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => weight_of(map.iter().map(|(name, value)| (name.as_str(), value))),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn weight_of<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> usize {
    2 + fields.map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>()
}

/// `1.0` as `1`: JavaScript, and so every browser client, cannot tell them apart, and equality decides
/// which neighbours are one.
pub(super) fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole_number(number)),
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(name, value)| (name, whole(value))).collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn whole_number(number: Number) -> Number {
    match Whole::try_from(number.clone()) {
        Ok(Whole(whole)) if number.is_f64() => whole.into(),
        _ => number,
    }
}
