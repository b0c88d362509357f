//! Deltas as JSON and back, written down from the contract and not taken from the service.

use scriptorium::text::{Attributes, Content, Delta, Op, Priority, Unit};
use serde_json::{Map, Value, json};

/// A delta in the Quill form.
pub(crate) fn to_ops<U: Unit>(delta: &Delta<U>) -> Value {
    delta.ops().iter().map(to_op).collect()
}

fn to_op(op: &Op) -> Value {
    let (mut json, attributes) = match op {
        Op::Retain { length, attributes } => (json!({"retain": length}), attributes),
        Op::Delete { length } => (json!({"delete": length}), &Attributes::NONE),
        Op::Insert { content: Content::Text(text), attributes } => (json!({"insert": text.as_str()}), attributes),
        Op::Insert { content: Content::Embed(embed), attributes } => (json!({"insert": embed}), attributes),
    };
    if !attributes.is_empty() {
        json["attributes"] =
            attributes.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect::<Map<_, _>>().into();
    }
    json
}

/// Reads the Quill form.
pub(crate) fn from_ops<U: Unit>(ops: &Value) -> Delta<U> {
    let ops = ops.as_array().unwrap_or_else(|| panic!("expected a list of ops, got {ops}"));
    ops.iter().fold(Delta::new(), |delta, op| {
        let attributes = attributes(op);
        if let Some(length) = op.get("retain") {
            delta.format(units(length), attributes)
        } else if let Some(length) = op.get("delete") {
            delta.delete(units(length))
        } else {
            insert(delta, &op["insert"], attributes)
        }
    })
}

/// Reads an operation of either form as the change that it means.
pub(crate) fn from_operation<U: Unit>(operation: &Value) -> Delta<U> {
    let start = || Delta::new().retain(units(&operation["position"]));
    match operation["type"].as_str() {
        Some("insert") => {
            insert(start(), operation.get("content").or(operation.get("embed")).unwrap(), attributes(operation))
        }
        Some("delete") => start().delete(units(&operation["length"])),
        Some("format") => start().format(units(&operation["length"]), attributes(operation)),
        Some("composite") => {
            let parts = operation["operations"].as_array().unwrap();
            parts.iter().fold(Delta::new(), |delta, part| delta.compose(&from_operation(part)))
        }
        Some("delta") => from_ops(&operation["ops"]),
        _ => panic!("no operation: {operation}"),
    }
}

fn insert<U: Unit>(delta: Delta<U>, content: &Value, attributes: Attributes) -> Delta<U> {
    let attributes = attributes
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    match content {
        Value::String(text) => delta.insert(text.as_str(), attributes),
        Value::Object(embed) => delta.embed(embed.clone().into_iter().collect(), attributes),
        other => panic!("no content: {other}"),
    }
}

fn attributes(of: &Value) -> Attributes {
    let Some(attributes) = of.get("attributes") else { return Attributes::NONE };
    attributes.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn units(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("expected a number of units, got {value}"))).unwrap()
}

/// The text of a document, with U+FFFC for every embed.
pub(crate) fn plain_text<U: Unit>(document: &Delta<U>) -> String {
    let content = |op: &Op| match op {
        Op::Insert { content: Content::Text(text), .. } => text.as_str().to_owned(),
        Op::Insert { content: Content::Embed(_), .. } => "\u{fffc}".to_owned(),
        other @ (Op::Retain { .. } | Op::Delete { .. }) => panic!("{other:?} in a document"),
    };
    document.ops().iter().map(content).collect()
}

/// The same change, its lengths counted in another unit; `document` is what it changes.
pub(crate) fn recount<From: Unit, To: Unit>(change: &Delta<From>, document: &str) -> Delta<To> {
    let mut rest = document.chars();
    let mut skip = |mut length: usize| {
        let mut counted = 0;
        while length > 0 {
            let next = rest.next().expect("the change fits the document");
            length = length.checked_sub(From::length_of(next)).expect("no change cuts a character in two");
            counted += To::length_of(next);
        }
        counted
    };
    change.ops().iter().fold(Delta::new(), |mut recounted, op| {
        recounted.push(match op {
            Op::Retain { length, attributes } => Op::Retain { length: skip(*length), attributes: attributes.clone() },
            Op::Delete { length } => Op::Delete { length: skip(*length) },
            insert @ Op::Insert { .. } => insert.clone(),
        });
        recounted
    })
}

/// Carries an own change in flight and a committed one over each other (contract §3): what the committed
/// one does after ours, and what ours does after the committed one.
pub(crate) fn cross(pending: &Delta, committed: &Delta) -> (Delta, Delta) {
    (pending.transform(committed, Priority::Second), committed.transform(pending, Priority::First))
}

/// Whether a value is a moment as RFC 3339 writes it, in UTC.
pub(crate) fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok())
}
