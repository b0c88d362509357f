//! Arbitrary edits: those that fit a document obey the laws, those that do not are refused without a trace,
//! and none of them panics.
//!
//! `cargo +nightly fuzz run algebra`

#![no_main]


use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use scriptorium::text::{Attributes, Carried, CodePoints, Content, Delta, Footprint, Op, Priority, RichText, Utf16};
use serde_json::json;

#[derive(Debug, Arbitrary)]
struct Case {
    document: Vec<Step>,
    a: Vec<Step>,
    b: Vec<Step>,
    then: Vec<Step>,
    position: usize,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Retain(u8, u8),
    RetainFar(usize),
    Insert(String, u8),
    Embed(u8, u8),
    Delete(u8),
    DeleteFar(usize),
}

/// One of a few sets of attributes, so that neighbours are often alike.
fn attributes(choice: u8) -> Attributes {
    let names = [("bold", 0b11), ("color", 0b1100), ("size", 0b11_0000)];
    let pair = |(name, mask): &(&str, u8)| match (choice & mask) >> mask.trailing_zeros() {
        0 => None,
        1 => Some(((*name).to_owned(), json!(null))),
        2 => Some(((*name).to_owned(), json!(1))),
        _ => Some(((*name).to_owned(), json!({ "of": [1.0, name] }))),
    };
    names.iter().filter_map(pair).collect()
}

fn op(step: &Step) -> Op {
    match step {
        Step::Retain(length, choice) => Op::Retain { length: usize::from(*length), attributes: attributes(*choice) },
        Step::RetainFar(length) => Op::Retain { length: *length, attributes: Attributes::NONE },
        Step::Insert(text, choice) => {
            Op::Insert { content: Content::Text(text.as_str().into()), attributes: attributes(*choice) }
        }
        Step::Embed(name, choice) => {
            let embed = [("image".to_owned(), json!(name))].into_iter().collect();
            Op::Insert { content: Content::Embed(embed), attributes: attributes(*choice) }
        }
        Step::Delete(length) => Op::Delete { length: usize::from(*length) },
        Step::DeleteFar(length) => Op::Delete { length: *length },
    }
}

fn delta(steps: &[Step]) -> Delta<Utf16> {
    steps.iter().map(op).collect()
}

fn rebuilt(delta: &Delta) -> Delta {
    delta.ops().iter().cloned().collect()
}

/// The document after an edit, or nothing if the edit does not fit; then the document is what it was.
fn after(document: &RichText, edit: &Delta) -> Option<RichText> {
    let mut result = document.clone();
    match result.apply(edit) {
        Ok(()) => Some(result),
        Err(_) => {
            assert_eq!(result, *document);
            None
        }
    }
}

fuzz_target!(|case: Case| {
    let inserts = |op: &Op| matches!(op, Op::Insert { .. });
    let whole: Delta = case.document.iter().map(op).filter(inserts).collect();
    let (a, b, then) = (delta(&case.a), delta(&case.b), delta(&case.then));

    // Whatever the edits are, nothing panics and everything is canonical.
    for made in [a.compose(&then), a.transform(&b, Priority::First), a.transform(&b, Priority::Second)] {
        assert_eq!(made, rebuilt(&made));
    }
    let _ = a.transform_position(case.position, Priority::First);
    let (mut carried, mut footprint) = (Carried::new(b.clone()), Footprint::of(&a));
    carried.cross(&mut footprint);
    assert_eq!(carried.into_delta(), a.transform(&b, Priority::First));
    assert_eq!(footprint.length_change(), b.transform(&a, Priority::Second).length_change());

    let document = RichText::from_delta(&whole).expect("only inserts");
    assert_eq!(document.to_delta::<Utf16>(), whole);
    let (Some(after_a), Some(after_b)) = (after(&document, &a), after(&document, &b)) else { return };
    assert_eq!(after_a.to_delta::<Utf16>(), whole.compose(&a));
    assert_eq!(after(&after_a, &a.invert(&document).expect("fits")), Some(document.clone()));
    let counted: Delta<CodePoints> = document.to_code_points(&a);
    assert_eq!(document.to_utf16(&counted), Ok(a.clone()));

    let both = after(&after_a, &a.transform(&b, Priority::First));
    assert!(both.is_some());
    assert_eq!(both, after(&after_b, &b.transform(&a, Priority::Second)));

    if let Some(result) = after(&after_a, &then) {
        assert_eq!(after(&document, &a.compose(&then)), Some(result));
    }
});
