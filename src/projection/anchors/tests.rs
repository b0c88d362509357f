//! Laws of anchors, in a document where everything happens as it does in the service.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{prelude::*, sample::Index};
use serde_json::json;

use crate::{
    domain::{
        CommentChange, CommentId, Commented, Effect, NewComment, NewThread, Stretch, ThreadId, Timestamp, UserId,
        Version,
    },
    projection::{Comments, Document},
    text::{Attributes, CodePoints, Delta, Priority, RichText, Utf16},
};

type Places = BTreeMap<String, Stretch>;

fn at(start: usize, end: usize) -> Stretch {
    Stretch { start, end }
}

fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

/// A document, and all that was recorded of it.
#[derive(Clone)]
struct History {
    document: Document,
    effects: Vec<Effect>,
    undo: Vec<Delta>,
}

impl History {
    fn of(text: &str) -> Self {
        let mut history = Self { document: Document::new(), effects: Vec::new(), undo: Vec::new() };
        history.edit(Delta::new().insert(text, Attributes::NONE));
        history
    }

    /// Makes an edit, and answers its inverse.
    fn edit(&mut self, applied: Delta) -> Delta {
        let inverse = applied.invert(self.document.content()).unwrap();
        let placed = self.document.edit(&applied).unwrap();
        self.effects.push(Effect::Edited { applied, placed });
        self.undo.push(inverse.clone());
        inverse
    }

    fn comment(&mut self, name: &str, on: Stretch) {
        let begins = NewThread { place: self.document.place(on).unwrap(), quote: "quoted".into() };
        let new = NewComment {
            id: CommentId::parse(name).unwrap(),
            thread: thread(name),
            content: "so?".into(),
            author_name: None,
            begins: Some(begins),
        };
        self.change(CommentChange::Added(Arc::new(new)));
    }

    fn delete(&mut self, name: &str) {
        self.change(CommentChange::Deleted { comment: CommentId::parse(name).unwrap(), thread: thread(name) });
    }

    fn change(&mut self, change: CommentChange) {
        let commented = Commented { change, by: UserId::parse("ann").unwrap(), at: Timestamp(7) };
        self.document.comment(&commented).unwrap();
        self.effects.push(Effect::Commented(commented));
    }

    fn places(&self) -> Places {
        let threads = self.document.comments().threads();
        threads.into_iter().map(|(thread, at)| (thread.id.to_string(), at)).collect()
    }

    fn place(&self, name: &str) -> Stretch {
        self.document.comments().thread(&thread(name)).unwrap().1
    }

    fn text(&self) -> String {
        self.document.content().text()
    }
}

fn insert(position: usize, text: &str) -> Delta {
    Delta::new().retain(position).insert(text, Attributes::NONE)
}

fn delete(position: usize, length: usize) -> Delta {
    Delta::new().retain(position).delete(length)
}

fn commented(text: &str, on: Stretch) -> History {
    let mut history = History::of(text);
    history.comment("c", on);
    history
}

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

/// A step of a random history. Small texts of few letters, so that things meet and look alike.
#[derive(Debug, Clone)]
enum Step {
    Edit(Vec<(u8, Index, String)>),
    Comment(Index, Index),
    Undo,
    Forget(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let part = (0..4_u8, any::<Index>(), "[ab😀]{1,3}");
    prop_oneof![
        8 => prop::collection::vec(part, 1..4).prop_map(Step::Edit),
        3 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Step::Comment(a, b)),
        4 => Just(Step::Undo),
        1 => any::<Index>().prop_map(Step::Forget),
    ]
}

/// An edit of a document: parts from left to right, which count characters so that none is cut in two.
fn edit_of(document: &RichText, parts: &[(u8, Index, String)]) -> Delta {
    let mut left = document.length::<CodePoints>();
    let mut edit = Delta::<CodePoints>::new();
    for (kind, how_far, text) in parts {
        let skip = how_far.index(left + 1);
        edit = edit.retain(skip);
        left -= skip;
        let length = text.chars().count().min(left);
        match kind {
            0 | 1 => edit = edit.insert(text.as_str(), Attributes::NONE),
            2 => (edit, left) = (edit.delete(length), left - length),
            _ => {
                edit = edit.insert(text.as_str(), Attributes::NONE).delete(length);
                left -= length;
            }
        }
    }
    document.to_utf16(&edit.into_iter().collect()).unwrap()
}

fn history(steps: &[Step]) -> History {
    let mut history = History::of("abba😀ab");
    for (n, step) in steps.iter().enumerate() {
        match step {
            Step::Edit(parts) => {
                let edit = edit_of(history.document.content(), parts);
                history.edit(edit);
            }
            Step::Comment(a, b) => {
                let points = history.document.content().length::<CodePoints>();
                let utf16 = |point: usize| history.document.content().position::<CodePoints, Utf16>(point).unwrap();
                let (a, b) = (a.index(points + 1), b.index(points + 1));
                if a != b {
                    history.comment(&format!("c{n}"), at(utf16(a.min(b)), utf16(a.max(b))));
                }
            }
            Step::Undo => {
                if let Some(inverse) = history.undo.pop()
                    && history.document.content().check(&inverse).is_ok()
                    && history.undo.len() > 1
                {
                    history.edit(inverse);
                    // An undo is not undone in these histories: the stack shrinks.
                    history.undo.pop();
                }
            }
            Step::Forget(which) => {
                let places = history.places();
                if !places.is_empty() {
                    let name = places.keys().nth(which.index(places.len())).unwrap().clone();
                    history.delete(&name);
                }
            }
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// The law: after any history, an edit that is followed by its inverse leaves every anchor where it was.
    #[test]
    fn an_edit_and_its_inverse_leave_every_anchor_where_it_was(
        steps in prop::collection::vec(step(), 0..25), parts in prop::collection::vec((0..4_u8, any::<Index>(), "[ab😀]{1,3}"), 1..5),
    ) {
        let mut history = history(&steps);
        let (before, text) = (history.places(), history.text());
        let edit = edit_of(history.document.content(), &parts);
        let inverse = history.edit(edit.clone());
        let between = history.text();
        history.edit(inverse.clone());
        prop_assert_eq!(history.text(), &text[..]);
        prop_assert_eq!(history.places(), before, "{:?} made {:?} of {:?}, and {:?} back", edit, between, text, inverse);
    }

    /// Deletions are taken back one after the other, the last one first.
    #[test]
    fn deletions_are_undone_in_reverse(
        ends in prop::collection::vec((any::<Index>(), any::<Index>()), 1..5),
        cuts in prop::collection::vec((any::<Index>(), any::<Index>()), 1..9),
    ) {
        let mut history = History::of("abcabbaabcdefgh");
        for (n, (a, b)) in ends.iter().enumerate() {
            let (a, b) = (a.index(16), b.index(16));
            if a != b {
                history.comment(&format!("c{n}"), at(a.min(b), a.max(b)));
            }
        }
        let mut undo = Vec::new();
        for (from, length) in &cuts {
            let long = history.document.content().length::<Utf16>();
            if long > 0 {
                let from = from.index(long);
                let places = history.places();
                undo.push((history.edit(delete(from, length.index(long - from) + 1)), places));
            }
        }
        while let Some((inverse, places)) = undo.pop() {
            history.edit(inverse);
            prop_assert_eq!(history.places(), places);
        }
    }

    /// All of them at once: what an editor does that keeps one undo step for a burst of edits.
    #[test]
    fn deletions_are_undone_all_at_once(
        (a, b) in (0..15_usize, 0..15_usize), cuts in prop::collection::vec((any::<Index>(), any::<Index>()), 1..9),
    ) {
        prop_assume!(a != b);
        let mut history = commented("abcdefghijklmno", at(a.min(b), a.max(b)));
        let before = history.document.content().clone();
        let mut all = Delta::new();
        for (from, length) in &cuts {
            let long = history.document.content().length::<Utf16>();
            if long > 0 {
                let from = from.index(long);
                let cut = delete(from, length.index(long - from) + 1);
                all = all.compose(&cut);
                history.edit(cut);
            }
        }
        history.edit(all.invert(&before).unwrap());
        prop_assert_eq!(history.place("c"), at(a.min(b), a.max(b)));
    }

    /// A restore to any earlier state puts every thread of then where it was then, and a fold of it does the same.
    #[test]
    fn a_restore_puts_anchors_back_as_of_then(steps in prop::collection::vec(step(), 0..25), when in any::<Index>()) {
        let History { mut document, mut effects, .. } = history(&steps);
        let (first, later) = effects.split_at(when.index(effects.len()) + 1);
        let mut then = Document::new();
        for effect in first {
            then.apply(effect).unwrap();
        }
        let edits = later.iter().filter_map(|effect| match effect {
            Effect::Edited { applied, .. } => Some(applied),
            Effect::Commented(_) => None,
        });
        let all = edits.fold(Delta::new(), |all, edit| all.compose(edit));
        let applied = all.invert(then.content()).unwrap();
        let placed = document.edit_back_to(&then, &applied).unwrap();
        prop_assert_eq!(document.content(), then.content());
        for (thread, at) in then.comments().threads() {
            if let Some((_, now)) = document.comments().thread(&thread.id) {
                prop_assert_eq!(now, at, "{}", thread.id);
            }
        }
        effects.push(Effect::Edited { applied, placed });
        let mut folded = Document::new();
        for effect in &effects {
            folded.apply(effect).unwrap();
        }
        prop_assert_eq!(folded, document);
    }

    /// What a client does with `transformPosition` and what it is told gives the same.
    #[test]
    fn a_client_gets_by_with_two_transformed_positions(steps in prop::collection::vec(step(), 0..30)) {
        let history = history(&steps);
        let mut clients = Places::new();
        for effect in &history.effects {
            match effect {
                Effect::Edited { applied, placed } => {
                    for place in clients.values_mut() {
                        let start = applied.transform_edge(place.start, Priority::Second);
                        *place = at(start, applied.transform_edge(place.end, Priority::First).max(start));
                    }
                    for it in placed {
                        clients.insert(it.thread.to_string(), it.place.utf16);
                    }
                }
                Effect::Commented(commented) => {
                    let thread = commented.change.thread().to_string();
                    if let CommentChange::Added(new) = &commented.change {
                        clients.insert(thread, new.begins.as_ref().unwrap().place.utf16);
                    } else {
                        clients.remove(&thread);
                    }
                }
            }
        }
        prop_assert_eq!(clients, history.places());
    }

    /// A fold of what was recorded, from zero or from any snapshot, gives the same comments and remembers the same.
    #[test]
    fn a_fold_gives_the_same(steps in prop::collection::vec(step(), 0..30), cut in any::<Index>()) {
        let history = history(&steps);
        let (first, rest) = history.effects.split_at(cut.index(history.effects.len() + 1));
        let mut folded = Document::new();
        for effect in first {
            folded.apply(effect).unwrap();
        }
        let (content, saved) = (folded.content().clone(), folded.comments().saved());
        let comments = Comments::restore(&saved, content.length::<Utf16>()).unwrap();
        prop_assert_eq!(&comments.saved(), &saved);
        let mut restored = Document::restore(content, comments, (folded.version(), folded.seq()), None);
        for effect in rest {
            folded.apply(effect).unwrap();
            restored.apply(effect).unwrap();
        }
        prop_assert_eq!(&folded, &history.document);
        prop_assert_eq!(&restored, &history.document);
    }

    /// No history leads an anchor out of the text, or its end before its start.
    #[test]
    fn anchors_stay_in_the_text(steps in prop::collection::vec(step(), 0..40)) {
        let history = history(&steps);
        for place in history.places().into_values() {
            prop_assert!(place.start <= place.end && place.end <= history.document.content().length::<Utf16>());
            prop_assert!(history.document.place(place).is_some(), "an anchor does not cut a character in two");
        }
    }
}
