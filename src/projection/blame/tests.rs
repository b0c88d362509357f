//! Blame beside a list that says of every single unit where it came from.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{json, value::to_raw_value};

use super::*;
use crate::{
    domain::{Cause, ClientId, CommentCause, CommentChange, CommentId, Commented, Edited, PositionEncoding, ThreadId},
    text::{Attributes, Priority},
};

const AUTHORS: [&str; 4] = ["ann", "ben", "cat", "dan"];

fn edited(applied: Delta<Utf16>, by: usize) -> Event {
    let cause = Cause {
        user: UserId::parse(AUTHORS[by]).unwrap(),
        client: ClientId::parse("c").unwrap(),
        base: Version(0),
        origin: Version(0),
        after: None,
        encoding: PositionEncoding::Utf16,
        received: to_raw_value(&json!({})).unwrap().into(),
    };
    let placed = Vec::new();
    Event::Edited(Edited { applied, in_code_points: None, transformed: false, placed, cause: Arc::new(cause) })
}

/// Of every unit of the text its author and its version.
#[derive(Default)]
struct Plain(Vec<(usize, u64)>);

impl Plain {
    fn edit(&mut self, applied: &Delta<Utf16>, by: usize, version: u64) {
        let mut old = std::mem::take(&mut self.0).into_iter();
        for op in applied.ops() {
            match op {
                Op::Retain { length, .. } => self.0.extend(old.by_ref().take(*length)),
                Op::Insert { content, .. } => {
                    self.0.extend(std::iter::repeat_n((by, version), content.length::<Utf16>()));
                }
                Op::Delete { length } => old.by_ref().take(*length).for_each(drop),
            }
        }
        self.0.extend(old);
    }
}

fn time(version: u64) -> Timestamp {
    Timestamp(i64::try_from(version).unwrap() * 7)
}

/// Every unit as the runs tell it; they must be as long as can be.
fn units(blame: &Blame) -> Vec<(usize, u64)> {
    let runs: Vec<_> = blame.runs().collect();
    assert!(runs.windows(2).all(|pair| pair[0].version != pair[1].version), "neighbours that came with one edit");
    assert!(runs.iter().all(|run| run.length > 0 && run.time == time(run.version.0)));
    assert_eq!(runs.iter().map(|run| run.length as usize).sum::<usize>(), blame.length());
    let number = |run: &Run| AUTHORS.iter().position(|name| *name == run.author.as_str()).unwrap();
    runs.iter().flat_map(|run| std::iter::repeat_n((number(run), run.version.0), run.length as usize)).collect()
}

/// Somebody's edit: who, how many versions behind, and what at which parts of the text.
#[derive(Debug, Clone)]
struct Wish {
    by: usize,
    behind: usize,
    parts: Vec<(usize, Part)>,
}

#[derive(Debug, Clone)]
enum Part {
    Insert(usize),
    Embed,
    Delete(usize),
    Format(usize),
}

fn wish() -> impl Strategy<Value = Wish> {
    let part = prop_oneof![
        5 => (1..9_usize).prop_map(Part::Insert),
        1 => Just(Part::Embed),
        4 => (1..12_usize).prop_map(Part::Delete),
        1 => (1..9_usize).prop_map(Part::Format),
    ];
    (0..AUTHORS.len(), 0..6_usize, prop::collection::vec((0..40_usize, part), 1..4))
        .prop_map(|(by, behind, parts)| Wish { by, behind, parts })
}

impl Wish {
    /// The edit of a text of this length.
    fn on(&self, length: usize) -> Delta<Utf16> {
        let (mut edit, mut left) = (Delta::new(), length);
        let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
        for (skip, part) in &self.parts {
            let skip = (*skip).min(left);
            left -= skip;
            edit = edit.retain(skip);
            edit = match part {
                Part::Insert(length) => edit.insert("x".repeat(*length), Attributes::NONE),
                Part::Embed => edit.embed([("image".to_owned(), json!("u"))].into_iter().collect(), bold.clone()),
                Part::Delete(length) | Part::Format(length) if left == 0 || *length == 0 => edit,
                Part::Delete(length) => edit.delete((*length).min(left)),
                Part::Format(length) => edit.format((*length).min(left), bold.clone()),
            };
            if let Part::Delete(length) | Part::Format(length) = part {
                left -= (*length).min(left);
            }
        }
        edit
    }
}

/// What is committed when each is transformed over what it had not seen.
fn committed(wishes: &[Wish]) -> Vec<(Delta<Utf16>, usize)> {
    let (mut committed, mut lengths): (Vec<(Delta<Utf16>, usize)>, _) = (Vec::new(), vec![0_usize]);
    for wish in wishes {
        let base = committed.len().saturating_sub(wish.behind);
        let mut edit = wish.on(lengths[base]);
        for (other, _) in &committed[base..] {
            edit = other.transform(&edit, Priority::First);
        }
        let length = edit.ops().iter().fold(*lengths.last().unwrap(), |length, op| match op {
            Op::Retain { .. } => length,
            Op::Insert { content, .. } => length + content.length::<Utf16>(),
            Op::Delete { length: gone } => length - gone,
        });
        lengths.push(length);
        committed.push((edit, wish.by));
    }
    committed
}

fn fold(blame: &mut Blame, version: u64, event: &Event) {
    let happened = Happened { seq: Seq(version), version: Version(version), at: time(version), event };
    blame.fold(&happened).unwrap();
    assert_eq!(blame.seq(), Seq(version));
}

proptest! {
    #[test]
    fn every_unit_is_told_to_be_by_whom_it_is(wishes in prop::collection::vec(wish(), 0..60)) {
        let (mut blame, mut plain) = (Blame::default(), Plain::default());
        for ((applied, by), version) in committed(&wishes).into_iter().zip(1..) {
            plain.edit(&applied, by, version);
            fold(&mut blame, version, &edited(applied, by));
            prop_assert_eq!(units(&blame), plain.0.clone());
        }
        let runs: Vec<_> = blame.runs().collect();
        prop_assert_eq!(Blame::restore(blame.seq(), runs), blame);
    }
}

/// Enough for many chunks, in order and at random, until nothing is left.
#[test]
fn a_long_text_of_many_hands_is_told_right_and_in_short_chunks() {
    let (mut blame, mut plain, mut random) = (Blame::default(), Plain::default(), 0x2545_F491_4F6C_DD1D_u64);
    let mut chance = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % (below as u64 + 1)).unwrap()
    };
    for version in 1..=6_000_u64 {
        let at = if version % 3 == 0 { plain.0.len() } else { chance(plain.0.len()) };
        let by = usize::try_from(version % 4).unwrap();
        let mut applied = Delta::new().retain(at);
        if version % 5 == 4 {
            applied = applied.delete(chance(8).min(plain.0.len() - at));
        } else {
            applied = applied.insert("ab", Attributes::NONE);
        }
        plain.edit(&applied, by, version);
        fold(&mut blame, version, &edited(applied, by));
    }
    assert_eq!(units(&blame), plain.0);
    assert!(blame.runs.is_in_short_chunks());
    let runs: Vec<_> = blame.runs().collect();
    let mut blame = Blame::restore(blame.seq(), runs);
    assert!(blame.runs.is_in_short_chunks());
    let mut version = 6_001;
    while !plain.0.is_empty() {
        let at = chance(plain.0.len() - 1);
        let applied = Delta::new().retain(at).delete((plain.0.len() - at).min(1 + chance(700)));
        plain.edit(&applied, 0, version);
        fold(&mut blame, version, &edited(applied, 0));
        assert_eq!(units(&blame), plain.0);
        version += 1;
    }
    fold(&mut blame, version, &edited(Delta::new().insert("z", Attributes::NONE), 2));
    assert_eq!(units(&blame), [(2, version)]);
}

#[test]
fn what_is_said_about_a_text_moves_the_place_and_nothing_else() {
    let mut blame = Blame::default();
    fold(&mut blame, 1, &edited(Delta::new().insert("abc", Attributes::NONE), 0));
    let before = units(&blame);
    let (comment, thread) = (CommentId::parse("c").unwrap(), ThreadId::parse("t").unwrap());
    let said = Commented {
        change: CommentChange::Resolved { comment, thread },
        by: UserId::parse("ben").unwrap(),
        at: time(1),
    };
    let cause = CommentCause {
        client: ClientId::parse("c").unwrap(),
        base: None,
        encoding: PositionEncoding::Utf16,
        received: to_raw_value(&json!({})).unwrap().into(),
    };
    let event = Event::Commented(said, Arc::new(cause));
    blame.fold(&Happened { seq: Seq(2), version: Version(1), at: time(2), event: &event }).unwrap();
    assert_eq!((blame.seq(), units(&blame)), (Seq(2), before));
}

#[test]
fn an_edit_that_does_not_fit_is_refused() {
    let mut blame = Blame::default();
    fold(&mut blame, 1, &edited(Delta::new().insert("abc", Attributes::NONE), 0));
    for odd in [Delta::new().delete(4), Delta::new().retain(4).insert("x", Attributes::NONE)] {
        let event = edited(odd, 0);
        let happened = Happened { seq: Seq(2), version: Version(2), at: time(2), event: &event };
        assert!(matches!(blame.fold(&happened), Err(EditError::OutsideDocument { position: 4, length: 3 })));
    }
}
