//! Edits that were made at the same time: exhaustive on small documents, and by footprints alone.

use proptest::prelude::*;
use serde_json::json;

use crate::text::{Attributes, Carried, Delta, Footprint, Priority, RichText, Splice, Utf16};

use super::{any_document, any_steps, attributes, cases, embed};

fn apply(document: &RichText, edit: &Delta) -> RichText {
    let mut document = document.clone();
    document.apply(edit).unwrap();
    document
}

/// Every edit in one place of a document of this length; `tag` tells the authors apart.
fn every_edit(length: usize, tag: &str) -> Vec<Delta> {
    let mut edits = vec![Delta::new()];
    for at in 0..=length {
        edits.push(Delta::new().retain(at).insert(tag, Attributes::NONE));
        edits.push(Delta::new().retain(at).embed(embed(tag), attributes(&[("bold", json!(true))])));
        for end in at + 1..=length {
            edits.push(Delta::new().retain(at).delete(end - at));
            edits.push(Delta::new().retain(at).insert(tag, Attributes::NONE).delete(end - at));
            edits.push(Delta::new().retain(at).format(end - at, attributes(&[("color", json!(tag))])));
            edits.push(Delta::new().retain(at).format(end - at, attributes(&[("color", json!(null))])));
        }
    }
    edits
}

fn base() -> RichText {
    let base = Delta::<Utf16>::new().insert("a", Attributes::NONE).insert("b", attributes(&[("color", json!("red"))]));
    RichText::from_delta(&base).unwrap()
}

#[test]
fn every_pair_of_edits_ends_alike_in_either_order() {
    let base = base();
    for a in every_edit(2, "A") {
        for b in every_edit(2, "B") {
            let a_first = apply(&apply(&base, &a), &a.transform(&b, Priority::First));
            let b_first = apply(&apply(&base, &b), &b.transform(&a, Priority::Second));
            assert_eq!(a_first, b_first, "{a:?} and {b:?}");
        }
    }
}

/// A client as the contract wants it: its edit in flight, and the document as it sees it.
struct Client {
    document: RichText,
    pending: Delta,
}

impl Client {
    fn receive(&mut self, committed: &Delta) {
        self.document.apply(&self.pending.transform(committed, Priority::Second)).unwrap();
        self.pending = committed.transform(&self.pending, Priority::First);
    }
}

#[test]
fn three_people_agree_with_the_log_in_every_order_of_arrival() {
    let base = base();
    let [a, b, c] = ["A", "B", "C"].map(|tag| every_edit(2, tag));
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    for edits in pairs.flat_map(|(a, b)| c.iter().map(move |c| [a, b, c])) {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut log: Vec<Delta> = Vec::new();
            let mut clients = edits.map(|edit| Client { document: apply(&base, edit), pending: edit.clone() });
            for author in order {
                let mut carried = Carried::new(edits[author].clone());
                for committed in &log {
                    carried.over(&Footprint::of(committed));
                }
                let committed = carried.into_delta();
                for (at, client) in clients.iter_mut().enumerate() {
                    if at == author {
                        assert_eq!(std::mem::take(&mut client.pending), committed);
                    } else {
                        client.receive(&committed);
                    }
                }
                log.push(committed);
            }
            let fold = log.iter().fold(base.clone(), |document, edit| apply(&document, edit));
            assert!(clients.iter().all(|client| client.document == fold), "{edits:?} arriving as {order:?}");
        }
    }
}

fn every_splice() -> Vec<Delta> {
    let mut edits = Vec::new();
    for (at, delete, insert) in (0..5).flat_map(|at| (0..5).flat_map(move |d| (0..3).map(move |i| (at, d, i)))) {
        edits.push(Delta::new().retain(at).insert(&*"x".repeat(insert), Attributes::NONE).delete(delete));
    }
    edits
}

#[test]
fn splices_transform_as_the_edits_do() {
    for a in every_splice() {
        for b in every_splice() {
            for priority in [Priority::First, Priority::Second] {
                let splice = Splice::of(&a).unwrap().transform(Splice::of(&b).unwrap(), priority);
                assert_eq!(splice, Splice::of(&a.transform(&b, priority)), "{a:?} and {b:?}, {priority:?}");
            }
        }
    }
}

#[test]
fn inserts_cross_as_they_transform() {
    let mut crossed = 0;
    for ours in every_splice() {
        for committed in every_splice() {
            let (ours, committed) = (Splice::of(&ours).unwrap(), Splice::of(&committed).unwrap());
            let Some((ours_then, committed_then)) = ours.cross_inserts(committed) else { continue };
            crossed += 1;
            assert_eq!(committed.transform(ours, Priority::First), Some(ours_then), "{ours:?} over {committed:?}");
            assert_eq!(
                ours.transform(committed, Priority::Second),
                Some(committed_then),
                "{committed:?} over {ours:?}"
            );
        }
    }
    assert!(crossed > 0);
    let far = Splice { at: u32::MAX - 1, delete: 0, insert: 1 };
    assert_eq!(far.cross_inserts(Splice { at: 0, delete: 0, insert: 2 }), None, "the place would not fit");
}

#[test]
fn a_splice_that_would_not_fit_is_none() {
    let far = Delta::<Utf16>::new().retain(u32::MAX as usize).delete(1);
    assert_eq!(Splice::of(&far), None);
    let end = Splice { at: u32::MAX - 1, delete: 1, insert: 0 };
    assert_eq!(Splice { at: 0, delete: 0, insert: 1 }.transform(end, Priority::First), None);
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_carried_edit_ends_where_the_algebra_puts_it(
        document in any_document(), edit in any_steps(), others in prop::collection::vec(any_steps(), 1..6),
    ) {
        let mut edit = document.edit::<Utf16>(&edit);
        let (mut crossing, mut over) = (Carried::new(edit.clone()), Carried::new(edit.clone()));
        let (mut document, mut passed) = (document, Vec::new());
        for steps in others {
            let mut other = document.edit::<Utf16>(&steps);
            document = document.apply(&other);
            let mut footprint = Footprint::of(&other);
            over.over(&footprint);
            crossing.cross(&mut footprint);
            let edit_then = other.transform(&edit, Priority::First);
            other = edit.transform(&other, Priority::Second);
            edit = edit_then;
            prop_assert_eq!(Splice::of(&crossing.to_delta()), Splice::of(&edit));
            prop_assert_eq!(footprint.length_change(), other.length_change());
            passed.push((footprint, other));
        }
        prop_assert_eq!(&over.into_delta(), &edit);
        prop_assert_eq!(&crossing.footprint().length_change(), &edit.length_change());
        prop_assert_eq!(&crossing.into_delta(), &edit);
        let Some((_, last)) = passed.last() else { return Ok(()) };
        let next = Delta::new().retain(1).insert("z", Attributes::NONE).delete(last.base_length());
        for (footprint, other) in &passed {
            for priority in [Priority::First, Priority::Second] {
                let moved = footprint.transform(&Footprint::of(&next), priority);
                prop_assert_eq!(moved.length_change(), other.transform(&next, priority).length_change());
            }
        }
    }
}
