//! The tree does what the simplest model does, at every size.

use proptest::prelude::*;

use crate::text::{Attributes, CodePoints, Content, Delta, EditError, RichText, Text, Utf16};

use super::{Model, Step, any_attributes, any_content, any_document, any_steps, cases};

fn agree(document: &RichText, model: &Model) {
    document.assert_balanced();
    assert_eq!(document.to_delta::<Utf16>(), model.to_delta::<Utf16>());
    assert_eq!(document.text(), model.text());
    assert_eq!(document.length::<CodePoints>(), model.0.len());
    assert_eq!(document.length::<Utf16>(), model.0.iter().map(super::model::Unitary::length).sum::<usize>());
    assert_eq!(document.word_count(), model.text().split_whitespace().count());
    assert_eq!(*document, RichText::from_delta(&model.to_delta::<Utf16>()).unwrap());
    assert_eq!(document.spans().filter_map(|span| span.embed).count(), model.embeds().count());
}

/// One edit somewhere in a large document: the place as a part of 1000 of its length.
fn any_big_edit() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let step = prop_oneof![
        4 => (any_content(), any_attributes()).prop_map(|(content, attributes)| Step::Insert(content, attributes)),
        2 => ("[ab 😀é]{1,2500}", any_attributes())
            .prop_map(|(text, attributes)| Step::Insert(Content::Text(text.as_str().into()), attributes)),
        3 => (1..5_usize).prop_map(Step::Delete),
        1 => (1..4000_usize).prop_map(Step::Delete),
        3 => (1..30_usize, any_attributes()).prop_map(|(length, attributes)| Step::Retain(length, attributes)),
        1 => (1..4000_usize, any_attributes()).prop_map(|(length, attributes)| Step::Retain(length, attributes)),
    ];
    (0..=1000_usize, prop::collection::vec(step, 1..4))
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_large_document_changes_as_the_model_does(
        start in "[ab 😀é]{0,20000}", edits in prop::collection::vec(any_big_edit(), 1..120),
    ) {
        let start = Delta::new().insert(Text::from(start), Attributes::NONE);
        let mut document = RichText::from_delta::<Utf16>(&start).unwrap();
        let mut model = Model::default().apply(&start);
        for (at, (place, mut steps)) in edits.into_iter().enumerate() {
            steps.insert(0, Step::Retain(model.0.len() * place / 1000, Attributes::NONE));
            let edit = model.edit::<Utf16>(&steps);
            let (snapshot, before) = (document.clone(), model.clone());
            document.apply(&edit).unwrap();
            model = model.apply(&edit);
            if at % 8 == 0 {
                agree(&document, &model);
                agree(&snapshot, &before);
                let counted = before.edit::<CodePoints>(&steps);
                prop_assert_eq!(&snapshot.to_code_points(&edit), &counted);
                prop_assert_eq!(&snapshot.to_utf16(&counted).unwrap(), &edit);
            }
        }
        agree(&document, &model);
    }

    #[test]
    fn what_is_deleted_leaves_no_fragments(cuts in prop::collection::vec(0..1000_usize, 1..60)) {
        let text: String = "0123456789abcdef".repeat(4000);
        let mut document = RichText::from_delta(&Delta::<Utf16>::new().insert(&*text, Attributes::NONE)).unwrap();
        for cut in cuts {
            let length = document.length::<Utf16>();
            let (at, deleted) = (length * cut / 1000, length / 7 + 1);
            document.apply(&Delta::new().retain(at.min(length - deleted)).delete(deleted)).unwrap();
            document.assert_balanced();
            prop_assert!(document.chunks().count() <= document.length::<Utf16>() / 200 + 4);
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_small_document_changes_as_the_model_does(document in any_document(), steps in any_steps()) {
        let mut tree = RichText::from_delta(&document.to_delta::<Utf16>()).unwrap();
        let edit = document.edit::<Utf16>(&steps);
        agree(&tree, &document);
        tree.apply(&edit).unwrap();
        agree(&tree, &document.apply(&edit));
    }

    #[test]
    fn a_refused_edit_changes_nothing(document in any_document(), steps in any_steps(), more in 1..4_usize) {
        let mut tree = RichText::from_delta(&document.to_delta::<Utf16>()).unwrap();
        let edit = document.edit::<Utf16>(&steps);
        let length = tree.length::<Utf16>();
        let too_long = edit.clone().retain(length - edit.base_length()).delete(more);
        prop_assert_eq!(tree.apply(&too_long), Err(EditError::OutsideDocument { position: length + more, length }));
        agree(&tree, &document);
    }
}

#[test]
fn an_edit_inside_a_surrogate_pair_is_refused() {
    let mut document = RichText::new();
    document.apply(&Delta::new().insert("a😀b", Attributes::NONE)).unwrap();
    let before = document.clone();
    for edit in [
        Delta::new().delete(2),
        Delta::new().retain(2).insert("x", Attributes::NONE),
        Delta::new().insert("x", Attributes::NONE).retain(2).delete(1),
    ] {
        assert_eq!(document.apply(&edit), Err(EditError::InsideSurrogatePair { position: 2 }));
        assert_eq!(document, before);
    }
    assert_eq!(document.position::<CodePoints, Utf16>(2), Ok(3));
    assert_eq!(document.position::<Utf16, CodePoints>(2), Err(EditError::InsideSurrogatePair { position: 2 }));
}

#[test]
fn typing_makes_no_fragments() {
    let mut document = RichText::new();
    for at in 0..5000 {
        document.apply(&Delta::new().retain(at).insert("x", Attributes::NONE)).unwrap();
    }
    document.assert_balanced();
    assert_eq!(document.spans().count(), document.chunks().count());
    assert!(document.chunks().count() <= 10);
}

#[test]
fn a_change_is_no_document() {
    let change = Delta::<Utf16>::new().insert("a", Attributes::NONE).delete(1);
    assert_eq!(RichText::from_delta(&change), Err(EditError::NotADocument));
}
