//! The rules for the content of edits and of whole documents.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::{EditLimits, SentOperation, read_document, read_edit, read_sent};
use crate::{
    domain::PositionEncoding,
    protocol::{OpsJson, Refusal},
    text::{Attributes, Delta, RichText, Utf16},
};

const LIMITS: EditLimits = EditLimits { components: 100, attributes: 4, attribute_bytes: 400 };

fn raw(operation: &Value) -> Arc<RawValue> {
    RawValue::from_string(json!({"operation": operation, "version": 0}).to_string()).unwrap().into()
}

fn read(operation: &Value) -> Result<Delta<Utf16>, Refusal> {
    let SentOperation::Utf16(delta) = read_edit(raw(operation), &LIMITS)?.operation else { panic!("other units") };
    Ok(delta)
}

fn as_json(delta: &Delta<Utf16>) -> String {
    serde_json::to_string(&OpsJson(delta.ops())).unwrap()
}

fn path(refusal: &Refusal) -> &str {
    refusal.details["path"].as_str().unwrap()
}

#[test]
fn drops_components_of_no_length_in_the_delta_form_alone() {
    let empty = [json!({"retain": 0, "attributes": {"bold": true}}), json!({"insert": ""}), json!({"delete": 0.0})];
    let delta = |ops: &[Value]| read(&json!({"type": "delta", "ops": ops}));
    let [retain, insert, delete] = empty;
    let around = [retain, json!({"retain": 1}), insert, json!({"insert": "a"}), delete];
    assert_eq!(as_json(&delta(&around).unwrap()), r#"[{"retain":1},{"insert":"a"}]"#);
    assert!(delta(&around[..1]).unwrap().is_empty());
    assert_eq!(
        as_json(&read_document(r#"[{"insert":""},{"insert":"a"},{"retain":0}]"#).unwrap()),
        r#"[{"insert":"a"}]"#
    );
    for (refused, at) in [
        (json!({"type": "delta", "ops": [{"retain": -1}]}), "data.operation.ops[0].retain"),
        (json!({"type": "delta", "ops": [{"insert": {}}]}), "data.operation.ops[0].insert"),
        (json!({"type": "delta", "ops": [{}]}), "data.operation.ops[0]"),
        (json!({"type": "insert", "position": 0, "content": ""}), "data.operation.content"),
        (json!({"type": "delete", "position": 0, "length": 0}), "data.operation.length"),
        (json!({"type": "format", "position": 0, "length": 0, "attributes": {}}), "data.operation.length"),
    ] {
        assert_eq!(path(&read(&refused).unwrap_err()), at, "{refused}");
    }
}

#[test]
fn refuses_attributes_that_quill_delta_would_lose() {
    for name in ["__proto__", "constructor", "toString", "hasOwnProperty"] {
        let format = json!({"type": "format", "position": 0, "length": 1, "attributes": {"bold": true, name: 1}});
        let refusal = read(&format).unwrap_err();
        assert_eq!(path(&refusal), format!("data.operation.attributes.{name}"));
        assert!(refusal.message.contains(name), "{}", refusal.message);
        let document = json!([{"insert": "a", "attributes": {name: 1}}]).to_string();
        assert_eq!(path(&read_document(&document).unwrap_err()), format!("delta[0].attributes.{name}"));
        assert!(read_sent(&raw(&format), PositionEncoding::Utf16).is_some(), "what is recorded stays readable");
    }
    let harmless = json!({"type": "insert", "position": 0, "content": "a", "attributes": {"prototype": 1}});
    assert!(read(&harmless).is_ok());
}

#[test]
fn an_edit_has_no_carriage_return_and_a_document_gets_line_feeds() {
    for (operation, at) in [
        (json!({"type": "insert", "position": 0, "content": "a\r\nb"}), "data.operation.content"),
        (json!({"type": "delta", "ops": [{"insert": "a\r"}]}), "data.operation.ops[0].insert"),
    ] {
        assert_eq!(path(&read(&operation).unwrap_err()), at);
        assert!(read_sent(&raw(&operation), PositionEncoding::Utf16).is_some(), "what is recorded stays readable");
    }
    for (ops, expected) in [
        (r#"[{"insert":"a\r\nb\rc\n\rd"}]"#, r#"[{"insert":"a\nb\nc\n\nd"}]"#),
        (
            r#"[{"insert":"a\r"},{"insert":"\nb","attributes":{"bold":true}}]"#,
            r#"[{"insert":"a"},{"insert":"\nb","attributes":{"bold":true}}]"#,
        ),
        (r#"[{"insert":"a\r"},{"insert":""},{"insert":"\n"}]"#, r#"[{"insert":"a\n"}]"#),
        (r#"[{"insert":"a\r"},{"insert":"b"}]"#, r#"[{"insert":"a\nb"}]"#),
        (r#"[{"insert":"a\r"},{"insert":{"x":1}}]"#, r#"[{"insert":"a\n"},{"insert":{"x":1}}]"#),
        (
            r#"[{"insert":"\r","attributes":{"header":1}},{"insert":"\r"}]"#,
            r#"[{"insert":"\n","attributes":{"header":1}},{"insert":"\n"}]"#,
        ),
    ] {
        assert_eq!(as_json(&read_document(ops).unwrap()), expected, "{ops}");
    }
}

#[test]
fn embeds_keep_the_order_of_their_fields_and_numbers_become_whole() {
    let ops = r#"[{"insert":{"video":"u","align":-0.0,"Z":3.0,"a":2.5}}]"#;
    let written = r#"[{"insert":{"video":"u","align":0,"Z":3,"a":2.5}}]"#;
    assert_eq!(as_json(&read_document(ops).unwrap()), written);
    let operation = RawValue::from_string(format!(r#"{{"operation":{{"type":"delta","ops":{ops}}},"version":0}}"#));
    let SentOperation::Utf16(edit) = read_edit(operation.unwrap().into(), &LIMITS).unwrap().operation else { panic!() };
    assert_eq!(as_json(&edit), written);
}

/// A value that is nested so deep, lists and objects by turns.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"in": inner}) })
}

/// An edit that is as large as one may be, or somewhat smaller.
fn operation() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        2 => Just(json!(true)),
        1 => (0..60_usize).prop_map(nested),
        1 => "[a-z\"\\\\é]{0,90}".prop_map(Value::from),
    ];
    let attributes = prop::collection::btree_map("[a-z]{1,5}", value.clone(), 0..=4);
    prop_oneof![
        3 => (0..3_usize, 1..3_usize, attributes.clone()).prop_map(|(position, length, attributes)| {
            json!({"type": "format", "position": position, "length": length, "attributes": attributes})
        }),
        1 => ("[a\n\"é]{1,4}", attributes.clone()).prop_map(|(content, attributes)| {
            json!({"type": "insert", "position": 0, "content": content, "attributes": attributes})
        }),
        1 => (value, attributes).prop_map(|(value, attributes)| {
            json!({"type": "insert", "position": 0, "embed": {"kind": value}, "attributes": attributes})
        }),
    ]
}

proptest! {
    #[test]
    fn every_document_that_edits_can_build_is_read_again(edits in prop::collection::vec(operation(), 0..12)) {
        let mut document = RichText::from_delta(&Delta::<Utf16>::new().insert("abcdef", Attributes::NONE)).unwrap();
        for edit in &edits {
            // Some are too large; the others build the document.
            if let Ok(edit) = read(edit) {
                document.apply(&edit).unwrap();
            }
        }
        let whole = document.to_delta::<Utf16>();
        let read = read_document(&as_json(&whole));
        prop_assert_eq!(read.map_err(|refusal| refusal.message), Ok(whole));
    }
}

#[test]
fn a_document_may_be_larger_than_one_edit_but_not_nested_deeper() {
    let many: serde_json::Map<String, Value> = (0..500).map(|n| (format!("name{n}"), json!("x".repeat(100)))).collect();
    assert!(read_document(&json!([{"insert": "a", "attributes": many}]).to_string()).is_ok());
    assert!(read_document(&json!([{"insert": {"a": nested(63)}}]).to_string()).is_ok());
    let refusal = read_document(&json!([{"insert": {"a": nested(64)}}]).to_string()).unwrap_err();
    assert!(refusal.message.contains("nested deeper"), "{}", refusal.message);
}
