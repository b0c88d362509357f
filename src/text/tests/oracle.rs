//! Quill itself decides: the answers of quill-delta 5.1.0 that `tests/fixtures/quill/generate.mjs` wrote down.

use std::{fs::File, io::Read};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::text::{Attributes, Carried, Content, Delta, Footprint, Op, Priority, RichText, Utf16};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quill/cases.jsonl.gz");

/// An answer of Quill, which must be canonical to us as it is.
fn delta(ops: &Value) -> Delta<Utf16> {
    let ops = ops.as_array().unwrap();
    let delta: Delta = ops.iter().map(op).collect();
    assert_eq!(delta.ops().len(), ops.len(), "Quill's own form is canonical");
    delta
}

fn op(op: &Value) -> Op {
    let length = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let pairs = op["attributes"].as_object().into_iter().flatten();
    let attributes: Attributes = pairs.map(|(name, value)| (name.clone(), value.clone())).collect();
    match (&op["insert"], &op["retain"], &op["delete"]) {
        (Value::String(text), ..) => Op::Insert { content: Content::Text(text.as_str().into()), attributes },
        (Value::Object(embed), ..) => {
            Op::Insert { content: Content::Embed(embed.clone().into_iter().collect()), attributes }
        }
        (_, retain @ Value::Number(_), _) => Op::Retain { length: length(retain), attributes },
        (.., delete) => Op::Delete { length: length(delete) },
    }
}

/// The same to JavaScript: every number becomes a double.
fn with_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().unwrap().into(),
        Value::Array(items) => items.iter_mut().for_each(with_doubles),
        Value::Object(members) => members.values_mut().for_each(with_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn agrees(case: &mut Value) {
    with_doubles(&mut case["doc"]);
    let [doc, a, b, then] = ["doc", "a", "b", "then"].map(|name| delta(&case[name]));
    let answer = |name: &str| delta(&case[name]);
    let number = |name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
    let document = RichText::from_delta(&doc).unwrap();
    let mut applied = document.clone();
    applied.apply(&a).unwrap();

    assert_eq!(applied.to_delta::<Utf16>(), answer("applied"));
    assert_eq!(doc.compose(&a), answer("applied"));
    assert_eq!(a.compose(&then), answer("composed"));
    assert_eq!(a.transform(&b, Priority::First), answer("first"));
    assert_eq!(a.transform(&b, Priority::Second), answer("second"));
    assert_eq!(a.invert(&document).unwrap(), answer("inverted"));
    assert_eq!(a.transform_position(number("position"), Priority::First), number("position_first"));
    assert_eq!(a.transform_position(number("position"), Priority::Second), number("position_second"));
    assert_eq!(a.length_change(), isize::try_from(case["length_change"].as_i64().unwrap()).unwrap());
    let mut carried = Carried::new(b);
    carried.over(&Footprint::of(&a));
    assert_eq!(carried.into_delta(), answer("first"));
}

#[test]
fn quill_agrees_in_every_recorded_case() {
    let mut lines = String::new();
    GzDecoder::new(File::open(CASES).unwrap()).read_to_string(&mut lines).unwrap();
    assert!(lines.lines().count() >= 5000, "the fixture is whole");
    for line in lines.lines() {
        let mut case: Value = serde_json::from_str(line).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| agrees(&mut case)));
        assert!(result.is_ok(), "Quill disagrees in {line}");
    }
}
