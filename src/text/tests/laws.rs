//! The laws of compose, transform, invert and of the canonical form.

use proptest::prelude::*;

use crate::text::{Attributes, CodePoints, Delta, Footprint, Op, Priority, RichText, Unit, Utf16};

use super::{Model, Step, any_document, any_steps, cases};

/// Rebuilds a change through the builder.
fn rebuilt<U: Unit>(delta: &Delta<U>) -> Delta<U> {
    delta.ops().iter().cloned().collect()
}

fn is_canonical<U: Unit>(delta: &Delta<U>) -> bool {
    let whole = |op: &Op| op.length::<U>() > 0;
    let plain_end = matches!(delta.ops().last(), Some(Op::Retain { attributes, .. }) if attributes.is_empty());
    rebuilt(delta) == *delta && delta.ops().iter().all(whole) && !plain_end
}

fn rich(model: &Model) -> RichText {
    RichText::from_delta(&model.to_delta::<Utf16>()).unwrap()
}

fn after(document: &RichText, edits: &[&Delta]) -> RichText {
    let mut document = document.clone();
    for edit in edits {
        document.apply(edit).unwrap();
    }
    document
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn both_orders_of_two_concurrent_edits_end_alike(
        document in any_document(), a in any_steps(), b in any_steps(),
    ) {
        let (a, b) = (document.edit::<Utf16>(&a), document.edit::<Utf16>(&b));
        let (a_after_b, b_after_a) = (b.transform(&a, Priority::Second), a.transform(&b, Priority::First));
        prop_assert!(is_canonical(&a_after_b) && is_canonical(&b_after_a));
        let document = rich(&document);
        prop_assert_eq!(after(&document, &[&a, &b_after_a]), after(&document, &[&b, &a_after_b]));
    }

    /// A cursor is where a mark would be that was put there at the same time.
    #[test]
    fn a_position_moves_like_a_mark_put_there(document in any_document(), edit in any_steps(), place in any::<prop::sample::Index>()) {
        let edit = document.edit::<Utf16>(&edit);
        let position = place.index(rich(&document).length::<Utf16>() + 1);
        let mark = Delta::<Utf16>::new().retain(position).insert("|", Attributes::NONE);
        for (goes_along, priority) in [(Priority::Second, Priority::First), (Priority::First, Priority::Second)] {
            let marked = edit.transform(&mark, priority);
            let expected = match marked.ops() {
                [Op::Retain { length, .. }, Op::Insert { .. }] => *length,
                _ => 0,
            };
            prop_assert_eq!(edit.transform_position(position, goes_along), expected);
            prop_assert_eq!(Footprint::of(&edit).transform_position(position, goes_along), expected);
        }
    }

    #[test]
    fn a_composed_edit_does_what_its_parts_do(
        document in any_document(), a in any_steps(), b in any_steps(), c in any_steps(),
    ) {
        let a = document.edit::<Utf16>(&a);
        let second = document.apply(&a);
        let b = second.edit::<Utf16>(&b);
        let third = second.apply(&b);
        let c = third.edit::<Utf16>(&c);
        let composed = a.compose(&b);
        prop_assert!(is_canonical(&composed));
        let document = rich(&document);
        prop_assert_eq!(after(&document, &[&composed]), after(&document, &[&a, &b]));
        prop_assert_eq!(composed.compose(&c), a.compose(&b.compose(&c)));
        prop_assert_eq!(composed.length_change(), a.length_change() + b.length_change());
    }

    #[test]
    fn an_inverted_edit_undoes_it(document in any_document(), a in any_steps()) {
        let edit = document.edit::<Utf16>(&a);
        let base = rich(&document);
        let inverted = edit.invert(&base).unwrap();
        prop_assert!(is_canonical(&inverted));
        prop_assert_eq!(after(&base, &[&edit, &inverted]), base.clone());
        prop_assert_eq!(document.edit::<CodePoints>(&a).invert(&base).unwrap(),
            after(&base, &[&edit]).to_code_points(&inverted));
    }

    /// Only where nothing is inserted beside deleted text: of an insert and a delete at one place the
    /// composed edit no longer knows which was on which side of the other.
    #[test]
    fn a_position_goes_through_a_composed_edit_as_through_its_parts(
        document in any_document(), mut a in any_steps(), mut b in any_steps(),
        position in 0..20_usize, deleting in any::<bool>(),
    ) {
        for steps in [&mut a, &mut b] {
            steps.retain(|step| match step {
                Step::Retain(..) => true,
                Step::Insert(..) => !deleting,
                Step::Delete(_) => deleting,
            });
        }
        let a = document.edit::<Utf16>(&a);
        let b = document.apply(&a).edit::<Utf16>(&b);
        for priority in [Priority::First, Priority::Second] {
            prop_assert_eq!(a.compose(&b).transform_position(position, priority),
                b.transform_position(a.transform_position(position, priority), priority));
        }
    }

    #[test]
    fn lengths_add_up(document in any_document(), a in any_steps()) {
        let edit = document.edit::<Utf16>(&a);
        let base = rich(&document);
        prop_assert!(edit.base_length() <= base.length::<Utf16>());
        let length = after(&base, &[&edit]).length::<Utf16>();
        prop_assert_eq!(base.length::<Utf16>().checked_add_signed(edit.length_change()), Some(length));
    }
}
