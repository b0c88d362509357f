//! What holds after any history.

use proptest::{prelude::*, sample::Index};

use crate::{
    domain::{CommentChange, Effect, Stretch},
    projection::{Comments, Document},
    text::{Attributes, CodePoints, Delta, Priority, RichText, Utf16},
};

use super::{History, Places, at, commented, delete, insert};

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
        let is_orphan = |place: &Stretch| place.start == place.end;
        let (orphans, others): (Places, Places) = before.into_iter().partition(|(_, place)| is_orphan(place));
        let (now, others_now): (Places, Places) = history.places().into_iter().partition(|(name, _)| orphans.contains_key(name));
        prop_assert!(now.values().all(is_orphan), "{:?} found by {:?} of {:?}, {:?} of {:?}, {:?}", now, edit, text, inverse, between, history.effects);
        prop_assert_eq!(others_now, others, "{:?} made {:?} of {:?}, and {:?} back", edit, between, text, inverse);
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

    /// An orphan keeps its place through deletions around it, also when they are undone in one edit.
    #[test]
    fn an_orphan_finds_its_text_after_deletions_around_it_are_undone_at_once(
        (start, length) in (0..14_usize, 1..4_usize), cuts in prop::collection::vec((any::<Index>(), any::<Index>()), 1..6),
    ) {
        let end = (start + length).min(15);
        let mut history = commented("abcdefghijklmno", at(start, end));
        let back = history.edit(delete(start, end - start));
        let (before, orphan) = (history.document.content().clone(), history.place("c"));
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
        prop_assert_eq!(history.place("c"), orphan);
        history.edit(back);
        prop_assert_eq!(history.place("c"), at(start, end));
    }

    /// Somebody replaces text, others type and delete in what replaced it and beside it, and the replacement is undone: the
    /// inverse carried over what the others did. Every thread that had lost all its text has it again.
    #[test]
    fn an_undone_replacement_brings_threads_back_whatever_others_typed_there(
        (from, length) in (0..8_usize, 1..8_usize), replacement in "[A-Z]{1,5}",
        threads in prop::collection::vec((any::<Index>(), any::<Index>()), 1..4),
        others in prop::collection::vec((any::<bool>(), any::<Index>(), "[0-9]{1,3}"), 0..6),
    ) {
        let text = "abcdefghijklmno";
        let mut history = History::of(text);
        let mut commented_on = Vec::new();
        for (n, (a, b)) in threads.iter().enumerate() {
            let (a, b) = (from + a.index(length), from + b.index(length) + 1);
            if a < b {
                history.comment(&format!("c{n}"), at(a, b));
                commented_on.push((format!("c{n}"), &text[a..b]));
            }
        }
        let replace = Delta::new().retain(from).insert(&*replacement, Attributes::NONE).delete(length);
        let mut undo = history.edit(replace);
        let mut here = from..from + replacement.len();
        for (deletes, place, typed) in &others {
            let place = here.start + place.index(here.len() + 1);
            let now = history.text();
            // Some of the replacement stays: else nothing of it is left to be undone.
            let may_go = |at: usize| !now[at..=at].starts_with(char::is_uppercase) || now.matches(char::is_uppercase).count() > 1;
            let edit = if *deletes && place < here.end && may_go(place) {
                here.end -= 1;
                delete(place, 1)
            } else {
                here.end += typed.len();
                insert(place, typed)
            };
            undo = edit.transform(&undo, Priority::First);
            history.edit(edit);
        }
        history.edit(undo);
        let now = history.text();
        for (name, quote) in commented_on {
            let place = history.place(&name);
            prop_assert_eq!(now.get(place.start..place.end), Some(quote), "{} in {:?}", name, now);
        }
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
