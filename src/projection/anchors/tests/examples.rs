//! One thing at a time.

use serde_json::json;

use crate::{
    domain::Version,
    projection::Comments,
    text::{Attributes, Delta, Priority},
};

use super::{at, commented, delete, insert};

#[test]
fn text_at_either_edge_stays_outside_and_text_within_comes_in() {
    let mut history = commented("some text here", at(5, 9));
    history.edit(insert(5, "<"));
    assert_eq!(history.place("c"), at(6, 10));
    history.edit(insert(10, ">"));
    assert_eq!(history.place("c"), at(6, 10));
    history.edit(insert(8, "--"));
    assert_eq!(history.place("c"), at(6, 12));
    history.edit(insert(0, "x"));
    assert_eq!(history.place("c"), at(7, 13));
}

#[test]
fn who_loses_all_text_is_orphaned_and_finds_it_again() {
    let mut history = commented("some text here", at(5, 9));
    let inverse = history.edit(delete(3, 8));
    assert_eq!(history.place("c"), at(3, 3));
    history.edit(insert(3, "other"));
    assert_eq!(history.place("c"), at(8, 8), "an orphan moves behind what comes to its place");
    history.edit(delete(3, 5));
    history.edit(inverse);
    assert_eq!(history.place("c"), at(5, 9));
}

#[test]
fn an_orphan_stands_again_where_the_oldest_deletion_saw_it() {
    let mut history = commented("abcdefghij", at(5, 6));
    let f = history.edit(delete(5, 1));
    history.edit(delete(4, 1));
    history.edit(delete(3, 1));
    history.edit(insert(3, "de"));
    assert_eq!(history.place("c"), at(5, 5));
    history.edit(f);
    assert_eq!((history.text().as_str(), history.place("c")), ("abcdefghij", at(5, 6)));
}

#[test]
fn an_edge_that_was_deleted_comes_back() {
    let mut history = commented("some text here", at(5, 9));
    let (tail, head) = (history.edit(delete(7, 3)), history.edit(delete(4, 2)));
    assert_eq!((history.text().as_str(), history.place("c")), ("someehere", at(4, 5)));
    history.edit(head);
    assert_eq!(history.place("c"), at(5, 7));
    history.edit(tail);
    assert_eq!(history.place("c"), at(5, 9));
}

#[test]
fn deletions_may_come_back_in_any_order() {
    let mut history = commented("abcdef", at(0, 6));
    history.edit(delete(4, 2));
    history.edit(delete(2, 2));
    history.edit(insert(2, "ef"));
    assert_eq!(history.place("c"), at(0, 4));
    history.edit(insert(2, "cd"));
    assert_eq!(history.place("c"), at(0, 6));
}

#[test]
fn a_word_that_was_deleted_key_by_key_comes_back_at_once() {
    let mut history = commented("say hello now", at(4, 9));
    for position in (3..9).rev() {
        history.edit(delete(position, 1));
    }
    assert_eq!(history.place("c"), at(3, 3));
    history.edit(insert(3, " hello"));
    assert_eq!(history.place("c"), at(4, 9));
}

#[test]
fn the_middle_comes_back_with_the_rest() {
    let mut history = commented("abcdef", at(0, 6));
    history.edit(delete(2, 2));
    history.edit(delete(2, 2));
    history.edit(delete(0, 2));
    history.edit(insert(0, "abcdef"));
    assert_eq!(history.place("c"), at(0, 6));
}

#[test]
fn what_was_written_in_between_does_not_hide_the_old_text() {
    let mut history = commented("hello world", at(0, 5));
    history.edit(delete(2, 3));
    history.edit(insert(2, "y"));
    history.edit(delete(0, 2));
    assert_eq!(history.text(), "y world");
    history.edit(Delta::new().insert("hello", Attributes::NONE).delete(1));
    assert_eq!((history.text().as_str(), history.place("c")), ("hello world", at(0, 5)));
}

#[test]
fn what_replaces_an_edge_stays_outside() {
    let mut history = commented("some text here", at(5, 9));
    history.edit(Delta::new().retain(7).insert("!!", Attributes::NONE).delete(5));
    assert_eq!((history.text().as_str(), history.place("c")), ("some te!!re", at(5, 7)));
    history.edit(Delta::new().retain(4).insert("-", Attributes::NONE).delete(2));
    assert_eq!((history.text().as_str(), history.place("c")), ("some-e!!re", at(5, 6)));
}

#[test]
fn an_orphan_keeps_its_side_of_what_comes_and_goes() {
    let mut history = commented("abcd", at(1, 2));
    history.edit(delete(1, 1));
    for (place, length) in [(0, 1), (1, 1), (0, 2)] {
        let inverse = history.edit(delete(place, length));
        history.edit(inverse);
        assert_eq!(history.place("c"), at(1, 1), "after {length} at {place}");
    }
    history.edit(insert(1, "b"));
    assert_eq!(history.place("c"), at(1, 2));
}

#[test]
fn text_that_is_replaced_by_itself_keeps_its_comment() {
    let mut history = commented("a word here", at(2, 6));
    let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
    history.edit(Delta::new().retain(2).insert("word", bold).delete(4));
    assert_eq!(history.place("c"), at(2, 6));
}

#[test]
fn other_text_does_not_attach_an_orphan() {
    let mut history = commented("a word here", at(2, 6));
    history.edit(delete(2, 4));
    for text in ["words", "wor", "Word", "here"] {
        history.edit(insert(2, text));
        assert!(history.place("c").is_empty(), "{text}");
        history.edit(delete(2, text.len()));
    }
    history.edit(insert(0, "word"));
    assert!(history.place("c").is_empty(), "not at another place");
}

#[test]
fn a_text_without_comments_remembers_nothing() {
    let mut history = commented("some text", at(0, 4));
    history.edit(delete(0, 2));
    assert_eq!(history.document.comments().saved().deletions.len(), 1);
    history.delete("c");
    assert_eq!(history.document.comments(), &Comments::default());
    history.edit(delete(0, 2));
    assert!(history.document.comments().saved().deletions.is_empty());
}

#[test]
fn the_memory_is_bounded() {
    let mut history = commented(&"word ".repeat(2_000), at(100, 200));
    for n in 0..1_500 {
        history.edit(delete(9_000 - n * 2, 1));
    }
    let saved = history.document.comments().saved();
    assert!((256..=1_024).contains(&saved.deletions.len()), "{}", saved.deletions.len());
    assert!(saved.deletions.iter().any(|it| it.version == Version(1_501)), "the last one is there");
    assert!(saved.deletions.iter().all(|it| it.version > Version(500)), "the first ones are not");
}

#[test]
fn a_restore_leaves_a_thread_alone_that_only_has_the_id_of_an_older_one() {
    let mut history = commented("alpha beta gamma", at(0, 5));
    let then = history.document.clone();
    history.delete("c");
    history.comment("c", at(6, 10));
    let placed = history.document.edit_back_to(&then, &Delta::new()).unwrap();
    assert_eq!((placed, history.place("c")), (Vec::new(), at(6, 10)));
}

#[test]
fn all_threads_come_back_when_a_replaced_document_does_though_somebody_typed_behind() {
    let mut history = commented("alpha beta gamma", at(6, 10));
    history.comment("d", at(0, 16));
    let undo = history.edit(Delta::new().insert("x", Attributes::NONE).delete(16));
    let typed = insert(1, "!!");
    let undo = typed.transform(&undo, Priority::First);
    history.edit(typed);
    history.edit(undo);
    assert_eq!(history.text(), "alpha beta gamma!!");
    assert_eq!((history.place("c"), history.place("d")), (at(6, 10), at(0, 16)));
}
