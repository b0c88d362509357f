//! Blame of real editing histories, beside a gap buffer that holds the version of every unit.

use std::{sync::Arc, time::Instant};

use scriptorium::{
    domain::{Cause, ClientId, Edited, Event, PositionEncoding, Seq, Timestamp, UserId, Version},
    projection::{Blame, Happened, Kept},
    text::{Delta, Op, Utf16},
};
use serde_json::value::to_raw_value;

use crate::support::trace::{self, Sequential};

#[test]
fn blame_of_a_program_is_that_of_every_unit() {
    fold(&trace::sequential("rustcode", 40_000));
}

#[test]
fn blame_of_a_paper_is_that_of_every_unit() {
    fold(&trace::sequential("automerge-paper", 100_000));
}

/// The version of every unit, edited where it was edited before: a gap buffer.
#[derive(Default)]
pub(super) struct Versions {
    before: Vec<u64>,
    /// Backwards.
    after: Vec<u64>,
}

impl Versions {
    fn go_to(&mut self, at: usize) {
        while self.before.len() > at {
            self.after.extend(self.before.pop());
        }
        while self.before.len() < at {
            self.before.push(self.after.pop().unwrap());
        }
    }

    pub(super) fn edit(&mut self, applied: &Delta<Utf16>, version: u64) {
        let mut at = 0;
        for op in applied.ops() {
            match op {
                Op::Retain { length, .. } => at += length,
                Op::Insert { .. } => {
                    self.go_to(at);
                    let length = op.length::<Utf16>();
                    self.before.extend(std::iter::repeat_n(version, length));
                    at += length;
                }
                Op::Delete { length } => {
                    self.go_to(at);
                    self.after.truncate(self.after.len() - length);
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.before.iter().chain(self.after.iter().rev()).copied()
    }
}

fn fold(trace: &Sequential) {
    let edits: Vec<Delta<Utf16>> = trace.txns.iter().map(|step| trace::change(&step.patches)).collect();
    let cause = Arc::new(Cause {
        user: UserId::parse("ann").unwrap(),
        client: ClientId::parse("c").unwrap(),
        base: Version(0),
        origin: Version(0),
        after: None,
        encoding: PositionEncoding::Utf16,
        received: to_raw_value(&()).unwrap().into(),
    });
    let events: Vec<_> = edits
        .iter()
        .map(|applied| {
            let (applied, cause) = (applied.clone(), Arc::clone(&cause));
            Event::Edited(Edited { applied, in_code_points: None, transformed: false, placed: Vec::new(), cause })
        })
        .collect();
    let (mut blame, began) = (Blame::default(), Instant::now());
    for (event, n) in events.iter().zip(1..) {
        let at = Timestamp(i64::try_from(n).unwrap());
        blame.fold(&Happened { seq: Seq(n), version: Version(n), at, event }).unwrap();
    }
    let took = began.elapsed();
    let mut plain = Versions::default();
    for (applied, version) in edits.iter().zip(1..) {
        plain.edit(applied, version);
    }
    let runs: Vec<_> = blame.runs().collect();
    println!("{} edits folded in {took:?}; {} units in {} runs", edits.len(), blame.length(), runs.len());
    assert_eq!(blame.length(), trace.end_content.encode_utf16().count());
    assert!(runs.iter().all(|run| run.time.0.unsigned_abs() == run.version.0 && run.author.as_str() == "ann"));
    let told = runs.iter().flat_map(|run| std::iter::repeat_n(run.version.0, run.length as usize));
    assert!(told.eq(plain.iter()), "blame tells other versions than every unit has");
    assert!(runs.windows(2).all(|pair| pair[0].version != pair[1].version));
}
