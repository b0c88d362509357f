//! Operations as clients write them, and their reading into the text algebra.

use std::{collections::BTreeMap, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    protocol::{Refusal, schema},
    text::{Attributes, CodePoints, Content, Delta, Op, Text, Unit, Utf16},
};

/// A change, and how long a document it needs: [`Delta`] forgets what it does not change, and an insert
/// beyond the end that the next step deletes again leaves no trace in it.
#[derive(Debug, Clone)]
pub(super) struct Reaching<U: Unit> {
    pub(super) delta: Delta<U>,
    /// Where it reaches to in the document before it, in `U`.
    pub(super) end: usize,
}

/// An operation in the unit of the connection that sent it.
#[derive(Debug, Clone)]
pub enum SentOperation {
    /// Counted in UTF-16 code units.
    Utf16(Delta<Utf16>),
    /// Counted in code points.
    CodePoints(Delta<CodePoints>),
}

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

impl EditLimits {
    /// No limits: for what was checked before it was recorded.
    pub(super) const NONE: Self = Self { components: usize::MAX, attributes: usize::MAX, attribute_bytes: usize::MAX };
}

/// An operation of any kind, before its fields have been checked against its kind.
#[derive(Debug, Deserialize)]
pub struct WireOperation {
    #[serde(rename = "type")]
    kind: String,
    position: Option<Count>,
    length: Option<Count>,
    content: Option<String>,
    embed: Option<Map<String, Value>>,
    attributes: Option<BTreeMap<String, Value>>,
    operations: Option<Vec<WireOperation>>,
    ops: Option<Vec<WireComponent>>,
}

/// A component of the Delta form.
#[derive(Debug, Deserialize)]
struct WireComponent {
    retain: Option<Count>,
    delete: Option<Count>,
    insert: Option<WireInsert>,
    attributes: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected text or an embed (an object)")]
enum WireInsert {
    Text(String),
    Embed(Map<String, Value>),
}

/// A whole number as JSON writes it: also `5.0`, which JavaScript cannot tell from `5`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
pub(super) struct Count(i64);

impl JsonSchema for WireOperation {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Operation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::operation(generator, None)
    }
}

impl TryFrom<serde_json::Number> for Count {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, Self::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Self(whole)),
            (None, Some(float)) if float.fract() == 0.0 && float.abs() <= EXACT => Ok(Self(float as i64)),
            _ => Err("expected a whole number"),
        }
    }
}

impl Count {
    /// A place in a text.
    pub(super) fn at_least_zero(self, path: &str) -> Result<usize, Refusal> {
        usize::try_from(self.0).map_err(|_| Refusal::operation(path, format!("`{path}` must not be negative")))
    }
}

impl WireOperation {
    /// Reads the operation as a change whose lengths count in `U`.
    pub(super) fn read<U: Unit>(self, path: &str, limits: &EditLimits) -> Result<Reaching<U>, Refusal> {
        match self.kind.as_str() {
            "composite" => {
                let parts = self.operations.ok_or_else(|| missing(path, "operations", "composite"))?;
                check_components(path, parts.len(), limits)?;
                let parts = parts
                    .into_iter()
                    .enumerate()
                    .map(|(index, part)| part.read_simple(&format!("{path}.operations[{index}]"), limits))
                    .collect::<Result<Vec<_>, _>>()?;
                compose_all(path, parts)
            }
            "delta" => {
                let ops = self.ops.ok_or_else(|| missing(path, "ops", "delta"))?;
                check_components(path, ops.len(), limits)?;
                let (mut delta, mut end) = (Delta::new(), 0_usize);
                for (index, component) in ops.into_iter().enumerate() {
                    let component = component.read(&format!("{path}.ops[{index}]"), limits)?;
                    if let Op::Retain { length, .. } | Op::Delete { length } = component {
                        end = end.saturating_add(length);
                    }
                    delta.push(component);
                }
                Ok(Reaching { delta, end })
            }
            _ => self.read_simple(path, limits),
        }
    }

    fn read_simple<U: Unit>(self, path: &str, limits: &EditLimits) -> Result<Reaching<U>, Refusal> {
        let position = || count(self.position, path, "position", &self.kind);
        let length = || match count(self.length, path, "length", &self.kind)? {
            0 => Err(Refusal::operation(&format!("{path}.length"), "`length` must be at least 1")),
            length => Ok(length),
        };
        match self.kind.as_str() {
            "insert" => {
                let at = position()?;
                let content = insertion(path, self.content, self.embed, limits)?;
                let attributes = attributes(path, self.attributes, limits)?;
                let mut delta = Delta::new().retain(at);
                delta.push(Op::Insert { content, attributes: without_nulls(&attributes) });
                Ok(Reaching { delta, end: at })
            }
            "delete" => {
                let (at, length) = (position()?, length()?);
                Ok(Reaching { delta: Delta::new().retain(at).delete(length), end: at.saturating_add(length) })
            }
            "format" => {
                let (at, length) = (position()?, length()?);
                let changes = self.attributes.ok_or_else(|| missing(path, "attributes", "format"))?;
                let delta = Delta::new().retain(at).format(length, attributes(path, Some(changes), limits)?);
                Ok(Reaching { delta, end: at.saturating_add(length) })
            }
            other => Err(Refusal::operation(
                &format!("{path}.type"),
                format!("no operation `{}`", other.chars().take(64).collect::<String>()),
            )
            .with("expected", "insert, delete, format, composite (not inside a composite) or delta")),
        }
    }
}

impl WireComponent {
    fn read(self, path: &str, limits: &EditLimits) -> Result<Op, Refusal> {
        let attributes = attributes(path, self.attributes, limits)?;
        let length = |count: Count, name: &str| match usize::try_from(count.0) {
            Ok(length) if length > 0 => Ok(length),
            _ => Err(Refusal::operation(&format!("{path}.{name}"), format!("`{name}` must be at least 1"))),
        };
        match (self.retain, self.insert, self.delete) {
            (Some(count), None, None) => Ok(Op::Retain { length: length(count, "retain")?, attributes }),
            (None, None, Some(count)) => Ok(Op::Delete { length: length(count, "delete")? }),
            (None, Some(insert), None) => {
                let (text, embed) = match insert {
                    WireInsert::Text(text) => (Some(text), None),
                    WireInsert::Embed(embed) => (None, Some(embed)),
                };
                let content = insertion(path, text, embed, limits)?;
                Ok(Op::Insert { content, attributes: without_nulls(&attributes) })
            }
            _ => Err(Refusal::operation(path, "a component is exactly one of `retain`, `insert` and `delete`")),
        }
    }
}

/// Composes in a balanced tree: composition is associative, and one by one would take quadratic time.
fn compose_all<U: Unit>(path: &str, parts: Vec<Reaching<U>>) -> Result<Reaching<U>, Refusal> {
    let (mut end, mut grown) = (0, 0_isize);
    for part in &parts {
        // What the steps before it added is not in the document before them all.
        end = end.max(part.end.saturating_add_signed(grown.saturating_neg()));
        grown = grown.saturating_add(part.delta.length_change());
    }
    let mut parts: Vec<Delta<U>> = parts.into_iter().map(|part| part.delta).collect();
    while parts.len() > 1 {
        parts = parts
            .chunks(2)
            .map(|pair| match pair {
                [first, second] => first.try_compose(second),
                rest => Ok(rest[0].clone()),
            })
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::operation(path, error.to_string()))?;
    }
    Ok(Reaching { delta: parts.pop().unwrap_or_default(), end })
}

fn insertion(
    path: &str,
    text: Option<String>,
    embed: Option<Map<String, Value>>,
    limits: &EditLimits,
) -> Result<Content, Refusal> {
    match (text, embed) {
        (Some(text), None) if text.is_empty() => {
            Err(Refusal::operation(&format!("{path}.content"), "there is no text to insert"))
        }
        (Some(text), None) => Ok(Content::Text(Text::new(&text))),
        (None, Some(embed)) if embed.is_empty() => {
            Err(Refusal::operation(&format!("{path}.embed"), "an embed needs at least one field"))
        }
        (None, Some(embed)) if weight_of(&embed) > limits.attribute_bytes => {
            let message =
                format!("an embed of {} bytes, at most {} are allowed", weight_of(&embed), limits.attribute_bytes);
            Err(Refusal::operation(&format!("{path}.embed"), message).with("limit", limits.attribute_bytes))
        }
        (None, Some(embed)) => Ok(Content::Embed(Arc::new(embed.into_iter().map(|(k, v)| (k, whole(v))).collect()))),
        _ => Err(Refusal::operation(path, "an insert has exactly one of `content` and `embed`")),
    }
}

fn count(count: Option<Count>, path: &str, name: &str, kind: &str) -> Result<usize, Refusal> {
    let count = count.ok_or_else(|| missing(path, name, kind))?;
    usize::try_from(count.0)
        .map_err(|_| Refusal::operation(&format!("{path}.{name}"), format!("`{name}` must not be negative")))
}

fn missing(path: &str, name: &str, kind: &str) -> Refusal {
    let kind: String = kind.chars().take(64).collect();
    Refusal::operation(&format!("{path}.{name}"), format!("`{name}` is missing: every `{kind}` needs it"))
}

fn check_components(path: &str, count: usize, limits: &EditLimits) -> Result<(), Refusal> {
    if count > limits.components {
        let message = format!("{count} operations in one edit, at most {} are allowed", limits.components);
        return Err(Refusal::operation(path, message).with("limit", limits.components));
    }
    Ok(())
}

fn attributes(path: &str, map: Option<BTreeMap<String, Value>>, limits: &EditLimits) -> Result<Attributes, Refusal> {
    let Some(map) = map else { return Ok(Attributes::NONE) };
    let path = format!("{path}.attributes");
    if map.len() > limits.attributes {
        let message = format!("{} attributes, at most {} are allowed", map.len(), limits.attributes);
        return Err(Refusal::operation(&path, message).with("limit", limits.attributes));
    }
    let bytes: usize = map.iter().map(|(name, value)| name.len() + weight(value)).sum();
    if bytes > limits.attribute_bytes {
        let message = format!("attributes of {bytes} bytes, at most {} are allowed", limits.attribute_bytes);
        return Err(Refusal::operation(&path, message).with("limit", limits.attribute_bytes));
    }
    Ok(map.into_iter().map(|(name, value)| (name, whole(value))).collect())
}

/// About how many bytes a value takes as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => weight_of(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn weight_of(map: &Map<String, Value>) -> usize {
    2 + map.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>()
}

/// `1.0` as `1`: JavaScript, and so every browser client, cannot tell them apart, and equality decides
/// which neighbours are one.
pub(super) fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => match Count::try_from(number.clone()) {
            Ok(Count(whole)) if number.is_f64() => whole.into(),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(name, value)| (name, whole(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn without_nulls(attributes: &Attributes) -> Attributes {
    attributes.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.to_owned(), v.clone())).collect()
}
