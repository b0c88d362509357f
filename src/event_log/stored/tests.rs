//! Every form ever shipped stays readable, and what is written is read back as it was.

use std::{fs, path::Path, sync::Arc};

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{Stored, decode, decode_body, decode_snapshot, encode, encode_snapshot};
use crate::{
    domain::{Cause, ClientId, Edited, Effect, Event, MessageId, PositionEncoding, UserId, Version},
    projection::SavedComments,
    text::{Attributes, CodePoints, Content, Delta, Op, Text, Unit, Utf16},
};

/// One case of a golden file: the stored texts to the letter, and what they mean in Quill's words.
#[derive(Deserialize)]
struct Golden {
    what: String,
    /// The body of an event, or a snapshot.
    stored: String,
    ops: Vec<Value>,
    cause: Option<GoldenCause>,
}

#[derive(Deserialize)]
struct GoldenCause {
    stored: String,
    user: String,
    client: String,
    base: u64,
    origin: u64,
    after: Option<String>,
    encoding: String,
    transformed: bool,
    in_code_points: Option<Vec<Value>>,
    received: Box<RawValue>,
}

fn golden(form: &str) -> Vec<Golden> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored").join(format!("{form}.json"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn attributes(op: &Map<String, Value>) -> Attributes {
    let named = op.get("attributes").and_then(Value::as_object);
    named.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn quill<U: Unit>(ops: &[Value]) -> Delta<U> {
    let mut delta = Delta::new();
    for op in ops.iter().map(|op| op.as_object().unwrap()) {
        let length = |name| op.get(name).map(|length| usize::try_from(length.as_u64().unwrap()).unwrap());
        delta.push(match (length("retain"), length("delete"), op.get("insert")) {
            (Some(length), None, None) => Op::Retain { length, attributes: attributes(op) },
            (None, Some(length), None) => Op::Delete { length },
            (None, None, Some(Value::String(text))) => {
                Op::Insert { content: Content::Text(Text::new(text)), attributes: attributes(op) }
            }
            (None, None, Some(Value::Object(embed))) => {
                Op::Insert { content: Content::Embed(embed.clone().into_iter().collect()), attributes: attributes(op) }
            }
            odd => panic!("{odd:?}"),
        });
    }
    delta
}

#[test]
fn every_edit_ever_shipped_stays_readable() {
    for Golden { what, stored, ops, cause } in golden("edited.1") {
        let cause = cause.unwrap();
        let Event::Edited(read) = decode(stored.as_bytes(), cause.stored.as_bytes()).unwrap() else { panic!("{what}") };
        assert_eq!(read.applied, quill(&ops), "{what}");
        let placed = read.placed.clone();
        assert!(placed.is_empty(), "{what}");
        let effect = Effect::Edited { applied: read.applied.clone(), placed };
        assert_eq!(decode_body(stored.as_bytes()).unwrap(), effect, "{what}");
        assert_eq!(read.in_code_points, cause.in_code_points.as_deref().map(quill::<CodePoints>), "{what}");
        assert_eq!(read.transformed, cause.transformed, "{what}");
        assert_eq!(read.cause.user.as_str(), cause.user);
        assert_eq!(read.cause.client.as_str(), cause.client);
        assert_eq!((read.cause.base, read.cause.origin), (Version(cause.base), Version(cause.origin)));
        assert_eq!(read.cause.after.as_ref().map(MessageId::as_str), cause.after.as_deref());
        assert_eq!(read.cause.encoding.as_str(), cause.encoding);
        assert_eq!(read.cause.received.get(), cause.received.get(), "{what}: to the letter");
        // As long as this is the newest form, it is also what is written.
        let written = encode(&Event::Edited(read)).unwrap();
        assert_eq!(written, Stored { body: stored, cause: cause.stored }, "{what}");
    }
}

#[test]
fn every_snapshot_ever_shipped_stays_readable() {
    for Golden { what, stored, ops, .. } in golden("snapshot.1") {
        let (read, comments) = decode_snapshot(stored.as_bytes()).unwrap();
        assert_eq!(read, quill(&ops), "{what}");
        assert!(comments.is_empty(), "{what}");
        assert_eq!(encode_snapshot(&read, &comments).unwrap(), stored, "{what}");
    }
}

#[test]
fn every_form_has_a_golden_file_with_cases() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored");
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    // What is no change of a text has its examples read where its form is.
    let others =
        ["comments.json", "erased.1.json", "kept.json", "presence.1.json", "revoked.1.json", "user_erased.1.json"];
    names.retain(|name| !others.contains(&name.as_str()));
    assert_eq!(names, ["edited.1.json", "snapshot.1.json"], "a new form needs a test here");
    assert!(names.iter().all(|name| !golden(name.strip_suffix(".json").unwrap()).is_empty()));
}

#[test]
fn what_is_not_a_form_is_refused_with_a_reason() {
    for (body, why) in [
        ("", "EOF"),
        ("{}", "invalid type"),
        ("[]", "invalid length 0"),
        ("[5]", "invalid type"),
        ("[\"edited.0\",5]", "\"edited.0\" is not a known form"),
        ("[\"snapshot.1\",\"a\"]", "\"snapshot.1\" is not a known form of an event"),
        ("[\"edited.1\",5", "EOF"),
        ("[\"edited.1\",5]x", "trailing characters"),
        ("[\"edited.1\",null]", "invalid type"),
        ("[\"edited.1\",1.5]", "invalid type"),
        ("[\"edited.1\",true]", "invalid type"),
        ("[\"edited.1\",{}]", "invalid type"),
        ("[\"edited.1\",[]]", "invalid length 0"),
        ("[\"edited.1\",[-3,{\"b\":1}]]", "invalid type"),
        ("[\"edited.1\",[3,{},4]]", "invalid length 3"),
        ("[\"edited.1\",18446744073709551615]", "beyond 4 G units"),
        ("[\"edited.1\",-9223372036854775808]", "beyond 4 G units"),
        ("[\"edited.1\",\"\\ud800\"]", "hex escape"),
    ] {
        let refused = decode_body(body.as_bytes()).unwrap_err();
        assert!(refused.contains(why), "{body}: {refused}");
    }
    let deep = format!("[\"edited.1\",{}1{}]", "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode_body(deep.as_bytes()).is_err(), "and the stack survives it");
    let cause = r#"["cause.1","ann","c",3,2,null,"utf-16",false,null,{}]"#;
    assert!(decode(b"[\"edited.1\"]", cause.as_bytes()).is_ok());
    for (from, to, why) in [
        ("ann", "", "user_id"),
        ("\"c\"", "\"c c\"", "client_id"),
        ("utf-16", "utf-7", "position encoding"),
        ("cause.1", "cause.2", "not a known form"),
        (",{}", "", "received"),
        ("3,2", "3,-2", "invalid value"),
    ] {
        let refused = decode(b"[\"edited.1\"]", cause.replace(from, to).as_bytes()).unwrap_err();
        assert!(refused.contains(why), "{to}: {refused}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has none", |n| n.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn named() -> impl Strategy<Value = Attributes> {
    prop_oneof![
        2 => Just(Attributes::NONE),
        1 => prop::collection::btree_map(any::<String>(), value(), 1..4).prop_map(Attributes::new),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let text = prop_oneof![any::<String>(), "[\0\n\"\\\\é𐆐\u{2028}]{0,5}"];
    let embed = prop::collection::vec((any::<String>(), value()), 0..3);
    prop_oneof![
        (0..100_000_usize, named()).prop_map(|(length, attributes)| Op::Retain { length, attributes }),
        (0..100_000_usize).prop_map(|length| Op::Delete { length }),
        (text, named())
            .prop_map(|(text, attributes)| Op::Insert { content: Content::Text(Text::new(&text)), attributes }),
        (embed, named()).prop_map(|(embed, attributes)| Op::Insert {
            content: Content::Embed(embed.into_iter().collect()),
            attributes
        }),
    ]
}

fn delta<U: Unit>() -> impl Strategy<Value = Delta<U>> {
    prop::collection::vec(op(), 0..8).prop_map(|ops| {
        let mut delta = Delta::new();
        for op in ops {
            delta.push(op);
        }
        delta
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        applied in delta::<Utf16>(), in_code_points in prop::option::of(delta::<CodePoints>()), transformed: bool,
        data in value(), base: u64, origin: u64, after in prop::option::of("[^\\pC]{1,9}"), utf32: bool,
    ) {
        let cause = Cause {
            user: UserId::parse("Ann 𐆐 \"\\").unwrap(),
            client: ClientId::parse("c/1").unwrap(),
            base: Version(base),
            origin: Version(origin),
            after: after.map(|id| MessageId::parse(&id).unwrap()),
            encoding: if utf32 { PositionEncoding::Utf32 } else { PositionEncoding::Utf16 },
            received: serde_json::value::to_raw_value(&json!({ "operation": data })).unwrap().into(),
        };
        let event = Event::Edited(Edited { applied, in_code_points, transformed, placed: Vec::new(), cause: Arc::new(cause) });
        let stored = encode(&event).unwrap();
        prop_assert!(!stored.body.contains('\n'), "a body is one line");
        let read = decode(stored.body.as_bytes(), stored.cause.as_bytes()).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{event:?}"));
        let Event::Edited(Edited { applied, placed, .. }) = event else { unreachable!() };
        prop_assert_eq!(decode_body(stored.body.as_bytes()).unwrap(), Effect::Edited { applied, placed });
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written(content in delta::<Utf16>()) {
        let none = SavedComments::default();
        let read = decode_snapshot(encode_snapshot(&content, &none).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(read, (content, none));
    }

    #[test]
    fn nothing_stored_can_make_a_reader_panic(tag in "(edited|snapshot|cause|comment_(added|updated|deleted|cause))\\.[12]", rest in r#"[\[\]{}",:0-9a-z\\ -]{0,40}"#) {
        let text = format!("[\"{tag}\",{rest}");
        let (_body, _event, _snapshot) =
            (decode_body(text.as_bytes()), decode(text.as_bytes(), text.as_bytes()), decode_snapshot(text.as_bytes()));
    }
}
