//! Operations as clients write them, and their reading into the text algebra.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::{
    protocol::{Refusal, Whole, schema},
    text::{Attributes, CodePoints, Content, Delta, Embed, Op, Unit, Utf16, with_line_feeds},
};

use super::content::{Rules, WireAttributes};

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

/// An operation of any kind, before its fields have been checked against its kind.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct WireOperation {
    #[serde(rename = "type")]
    kind: String,
    position: Option<Whole>,
    length: Option<Whole>,
    content: Option<String>,
    embed: Option<Embed>,
    attributes: Option<WireAttributes>,
    operations: Option<Vec<WireOperation>>,
    ops: Option<Vec<WireComponent>>,
}

/// A component of the Delta form.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct WireComponent {
    retain: Option<Whole>,
    delete: Option<Whole>,
    insert: Option<WireInsert>,
    attributes: Option<WireAttributes>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected text or an embed (an object)")]
enum WireInsert {
    Text(String),
    Embed(Embed),
}

impl JsonSchema for WireOperation {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Operation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::operation(generator, None)
    }
}

impl WireOperation {
    /// Reads the operation as a change whose lengths count in `U`.
    pub(super) fn read<U: Unit>(self, path: &str, rules: Rules<'_>) -> Result<Reaching<U>, Refusal> {
        match self.kind.as_str() {
            "composite" => {
                let parts = self.operations.ok_or_else(|| missing(path, "operations", "composite"))?;
                rules.check_components(path, parts.len())?;
                let parts = parts
                    .into_iter()
                    .enumerate()
                    .map(|(index, part)| part.read_simple(&format!("{path}.operations[{index}]"), rules))
                    .collect::<Result<Vec<_>, _>>()?;
                compose_all(path, parts)
            }
            "delta" => {
                let ops = self.ops.ok_or_else(|| missing(path, "ops", "delta"))?;
                rules.check_components(path, ops.len())?;
                let (mut delta, mut end) = (Delta::new(), 0_usize);
                for (index, component) in ops.into_iter().enumerate() {
                    let Some(op) = component.read(&format!("{path}.ops[{index}]"), rules)? else { continue };
                    if let Op::Retain { length, .. } | Op::Delete { length } = op {
                        end = end.saturating_add(length);
                    }
                    delta.push(op);
                }
                Ok(Reaching { delta, end })
            }
            _ => self.read_simple(path, rules),
        }
    }

    fn read_simple<U: Unit>(self, path: &str, rules: Rules<'_>) -> Result<Reaching<U>, Refusal> {
        let position = || count(self.position, path, "position", &self.kind);
        let length = || match count(self.length, path, "length", &self.kind)? {
            0 => Err(Refusal::operation(&format!("{path}.length"), "`length` must be at least 1")),
            length => Ok(length),
        };
        match self.kind.as_str() {
            "insert" => {
                let at = position()?;
                let content = match (self.content, self.embed) {
                    (Some(text), None) => rules.text(&format!("{path}.content"), &text)?,
                    (None, Some(embed)) => rules.embed(&format!("{path}.embed"), embed)?,
                    _ => {
                        return Err(Refusal::operation(path, "an insert has exactly one of `content` and `embed`"));
                    }
                };
                let attributes = rules.attributes(path, self.attributes)?;
                let mut delta = Delta::new().retain(at);
                delta.push(Op::Insert { content, attributes: attributes.without_nulls() });
                Ok(Reaching { delta, end: at })
            }
            "delete" => {
                let (at, length) = (position()?, length()?);
                Ok(Reaching { delta: Delta::new().retain(at).delete(length), end: at.saturating_add(length) })
            }
            "format" => {
                let (at, length) = (position()?, length()?);
                let changes = self.attributes.ok_or_else(|| missing(path, "attributes", "format"))?;
                let delta = Delta::new().retain(at).format(length, rules.attributes(path, Some(changes))?);
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
    /// `None` for a component of no length, which `quill-delta` drops as well.
    fn read(self, path: &str, rules: Rules<'_>) -> Result<Option<Op>, Refusal> {
        let attributes = rules.attributes(path, self.attributes)?;
        let op = match (self.retain, self.insert, self.delete) {
            (Some(length), None, None) => {
                Op::Retain { length: count(Some(length), path, "retain", "delta")?, attributes }
            }
            (None, None, Some(length)) => Op::Delete { length: count(Some(length), path, "delete", "delta")? },
            (None, Some(WireInsert::Text(text)), None) if text.is_empty() => return Ok(None),
            (None, Some(insert), None) => {
                let path = format!("{path}.insert");
                let content = match insert {
                    WireInsert::Text(text) => rules.text(&path, &text)?,
                    WireInsert::Embed(embed) => rules.embed(&path, embed)?,
                };
                Op::Insert { content, attributes: attributes.without_nulls() }
            }
            _ => return Err(Refusal::operation(path, "a component is exactly one of `retain`, `insert` and `delete`")),
        };
        Ok(Some(op).filter(|op| op.length::<CodePoints>() > 0))
    }
}

/// Reads a whole document: a list of inserts, as an export gives it. Text that came with carriage returns has line feeds
/// in their place.
pub(super) fn read_state(ops: Vec<WireComponent>, path: &str) -> Result<Delta<Utf16>, Refusal> {
    let mut delta = Delta::new();
    // A carriage return at the end of an insert, with its attributes: the next one may go on with the line feed.
    let mut waiting: Option<Attributes> = None;
    for (index, component) in ops.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let (content, attributes) = match component.read(&path, Rules::State)? {
            Some(Op::Insert { content, attributes }) => (content, attributes),
            Some(Op::Retain { .. } | Op::Delete { .. }) => {
                return Err(Refusal::operation(
                    &path,
                    "a document must consist of inserts: there is no text before it",
                ));
            }
            None => continue,
        };
        let text = if let Content::Text(text) = &content { text.as_str() } else { "" };
        if let Some(attributes) = waiting.take().filter(|_| !text.starts_with('\n')) {
            delta = delta.insert("\n", attributes);
        }
        let Content::Text(text) = &content else {
            delta.push(Op::Insert { content, attributes });
            continue;
        };
        let text = text.as_str();
        let whole = text.strip_suffix('\r');
        waiting = whole.map(|_| attributes.clone());
        delta = delta.insert(&*with_line_feeds(whole.unwrap_or(text)), attributes);
    }
    Ok(match waiting {
        Some(attributes) => delta.insert("\n", attributes),
        None => delta,
    })
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

/// A place in a text.
pub(super) fn at_least_zero(Whole(count): Whole, path: &str) -> Result<usize, Refusal> {
    usize::try_from(count).map_err(|_| Refusal::operation(path, format!("`{path}` must not be negative")))
}

fn count(count: Option<Whole>, path: &str, name: &str, kind: &str) -> Result<usize, Refusal> {
    let count = count.ok_or_else(|| missing(path, name, kind))?;
    usize::try_from(count.0)
        .map_err(|_| Refusal::operation(&format!("{path}.{name}"), format!("`{name}` must not be negative")))
}

fn missing(path: &str, name: &str, kind: &str) -> Refusal {
    let kind: String = kind.chars().take(64).collect();
    Refusal::operation(&format!("{path}.{name}"), format!("`{name}` is missing: every `{kind}` needs it"))
}
