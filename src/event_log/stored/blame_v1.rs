//! Blame, form 1: `["blame.1", [author, …], [length, author, version, time, …]]`. Frozen: add a form beside it, never
//! change it.
//!
//! Four numbers for each run, in the order of the text: its length in UTF-16 units, the place of its author in the list,
//! and how much greater than in the run before it (in the first one: than 0) the version and the time, in
//! microseconds, are.

use std::collections::BTreeMap;

use serde::de::{Error, SeqAccess};

use super::{Why, fields};
use crate::{
    domain::{Seq, Timestamp, UserId, Version},
    projection::{Blame, Run},
};

pub(in crate::event_log) const TAG: &str = "blame.1";

/// Writes it.
pub(super) fn encode(blame: &Blame) -> Result<String, Why> {
    let (mut authors, mut numbers, mut runs) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut before = (0, 0);
    for run in blame.runs() {
        let number = *numbers.entry(run.author).or_insert_with(|| {
            authors.push(run.author.as_str());
            authors.len() - 1
        });
        let version = i64::try_from(run.version.0).map_err(|error| error.to_string())?;
        let number = i64::try_from(number).map_err(|error| error.to_string())?;
        runs.extend([i64::from(run.length), number, version - before.0, run.time.0.wrapping_sub(before.1)]);
        before = (version, run.time.0);
    }
    serde_json::to_string(&(TAG, authors, runs)).map_err(|error| error.to_string())
}

/// What a text says, not yet as of a place.
pub(super) struct Read {
    authors: Vec<UserId>,
    numbers: Vec<i64>,
}

/// Reads it after its tag.
pub(super) fn read<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Read, A::Error> {
    let authors: Vec<String> = fields::next(&mut list, "authors")?;
    let authors = authors.iter().map(|author| fields::id(author, UserId::parse)).collect::<Result<_, A::Error>>()?;
    let numbers: Vec<i64> = fields::next(&mut list, "runs")?;
    if !numbers.len().is_multiple_of(4) {
        return Err(A::Error::custom("a run is four numbers"));
    }
    Ok(Read { authors, numbers })
}

impl Read {
    /// The state as of an event.
    pub(super) fn as_of(&self, seq: Seq) -> Result<Blame, Why> {
        let mut before = (0_i64, 0_i64);
        let mut run = |[length, author, version, time]: &[i64; 4]| {
            before = (before.0.wrapping_add(*version), before.1.wrapping_add(*time));
            let author = usize::try_from(*author).ok().and_then(|number| self.authors.get(number));
            Some(Run {
                length: u32::try_from(*length).ok().filter(|length| *length > 0)?,
                author: author?,
                version: Version(u64::try_from(before.0).ok()?),
                time: Timestamp(before.1),
            })
        };
        let mut is_sound = true;
        let runs = self.numbers.as_chunks::<4>().0.iter().map_while(|numbers| {
            let run = run(numbers);
            is_sound = run.is_some();
            run
        });
        let blame = Blame::restore(seq, runs);
        if is_sound { Ok(blame) } else { Err("a run has an impossible length, author or version".into()) }
    }
}
