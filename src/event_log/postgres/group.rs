//! Group commit: the appends of all streams that wait become one statement.
//!
//! A stream that has moved on is left out by the statement itself. If an index objects, because a message is
//! repeated, nothing has happened: then each append is looked at, those that cannot happen are answered, and the
//! others go again without them.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::{judge::objections, open::Session, trouble::Trouble, write::write};
use crate::{
    domain::{Timestamp, Version},
    event_log::{
        Expected, Head, StreamName, Unavailable, UnavailableKind,
        port::{NewRows, Refusal},
    },
};

/// Appends to one stream that follow one another; they happen together.
pub(super) struct Unit<'a> {
    pub stream: &'a StreamName,
    /// Which of the group, in their order.
    pub appends: Vec<usize>,
    pub expected: Expected,
    pub events: u64,
    /// Of the stream after it.
    pub version: Version,
    pub recorded_at: Timestamp,
    messages: HashSet<&'a str>,
}

impl<'a> Unit<'a> {
    fn of(append: &'a NewRows) -> Self {
        Self {
            stream: &append.stream,
            appends: Vec::new(),
            expected: append.expected,
            events: 0,
            version: Version(0),
            recorded_at: append.recorded_at,
            messages: HashSet::new(),
        }
    }

    /// Whether an append certainly fits behind the others, if they fit.
    fn takes(&self, append: &NewRows) -> bool {
        let follows = match (self.expected, append.expected) {
            (_, Expected::Any) => true,
            (Expected::At(first), Expected::At(next)) => first.0 + self.events == next.0,
            (Expected::Any, Expected::At(_)) => false,
        };
        follows && append.rows.iter().all(|row| !self.messages.contains(row.message_id.as_str()))
    }

    fn push(&mut self, index: usize, append: &'a NewRows) {
        self.appends.push(index);
        self.events += append.rows.len() as u64;
        self.version = append.rows.last().map_or(self.version, |row| row.version);
        self.recorded_at = self.recorded_at.max(append.recorded_at);
        self.messages.extend(append.rows.iter().map(|row| row.message_id.as_str()));
    }
}

/// What is tried next.
#[derive(Default)]
struct Round<'a> {
    units: Vec<Unit<'a>>,
    /// Appends that name one message twice: they cannot happen, and only have to be answered.
    twice: Vec<usize>,
}

/// Whether appends to one stream share a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chains {
    Allowed,
    /// After an objection: one by one, so that each is looked at in its turn.
    Broken,
}

impl<'a> Round<'a> {
    fn of(appends: &'a [NewRows], verdicts: &[Option<Verdict>], chains: Chains) -> Self {
        let mut round = Self::default();
        // Where a stream's unit is; `None` when it takes nothing more in this round.
        let mut open: HashMap<&StreamName, Option<usize>> = HashMap::new();
        for (index, append) in appends.iter().enumerate().filter(|(index, _)| verdicts[*index].is_none()) {
            let is_twice = || {
                let ids: HashSet<_> = append.rows.iter().map(|row| &row.message_id).collect();
                ids.len() < append.rows.len()
            };
            match open.entry(&append.stream) {
                Entry::Vacant(entry) if is_twice() => {
                    entry.insert(None);
                    round.twice.push(index);
                }
                Entry::Vacant(entry) => {
                    entry.insert(Some(round.units.len()));
                    let mut unit = Unit::of(append);
                    unit.push(index, append);
                    round.units.push(unit);
                }
                Entry::Occupied(mut entry) => match *entry.get() {
                    Some(unit) if chains == Chains::Allowed && round.units[unit].takes(append) && !is_twice() => {
                        round.units[unit].push(index, append);
                    }
                    _ => drop(entry.insert(None)),
                },
            }
        }
        round
    }
}

pub(super) type Verdict = Result<Head, Refusal>;

/// How often in a row nothing may come of a round, because others are always faster.
const FRUITLESS: usize = 10;

/// Commits those of the appends that fit, and says what is wrong with each other one.
pub(super) async fn commit(
    session: &mut Session,
    appends: &[NewRows],
    verdicts: &mut [Option<Verdict>],
) -> Result<(), Unavailable> {
    let (mut chains, mut fruitless) = (Chains::Allowed, 0);
    loop {
        let round = Round::of(appends, verdicts, chains);
        if round.units.is_empty() && round.twice.is_empty() {
            return Ok(());
        }
        let progress = match play(session, appends, &round, verdicts).await {
            Ok(()) => true,
            Err(Trouble::Again) => false,
            Err(Trouble::Unavailable(reason)) => return Err(reason),
            Err(Trouble::Conflict) if chains == Chains::Allowed => {
                chains = Chains::Broken;
                continue;
            }
            Err(Trouble::Conflict) => {
                let firsts: Vec<_> = round.units.iter().map(|unit| unit.appends[0]).collect();
                match refuse(session, appends, &firsts, verdicts).await {
                    Ok(any) => any,
                    Err(Trouble::Conflict | Trouble::Again) => false,
                    Err(Trouble::Unavailable(reason)) => return Err(reason),
                }
            }
        };
        chains = if progress { Chains::Allowed } else { chains };
        fruitless = if progress { 0 } else { fruitless + 1 };
        if fruitless == FRUITLESS {
            return Err(Unavailable::new(UnavailableKind::Busy, "others always write first"));
        }
    }
}

/// Tries a round. Afterwards at least one append of each of its streams has its verdict.
async fn play(
    session: &mut Session,
    appends: &[NewRows],
    round: &Round<'_>,
    verdicts: &mut [Option<Verdict>],
) -> Result<(), Trouble> {
    if !round.units.is_empty() {
        let outcomes = write(session, appends, &round.units).await?;
        for (unit, outcome) in round.units.iter().zip(outcomes) {
            if !outcome.moved {
                // Those behind it may fit all the same, by chance; they come in the next round.
                verdicts[unit.appends[0]] = Some(Err(Refusal::Stale { head: outcome.before.seq }));
                continue;
            }
            let mut head = outcome.before;
            for index in &unit.appends {
                head = appends[*index].head_after(head);
                verdicts[*index] = Some(Ok(head));
            }
        }
    }
    refuse(session, appends, &round.twice, verdicts).await?;
    Ok(())
}

/// Answers those appends that cannot happen; whether there were any.
async fn refuse(
    session: &mut Session,
    appends: &[NewRows],
    suspects: &[usize],
    verdicts: &mut [Option<Verdict>],
) -> Result<bool, Trouble> {
    if suspects.is_empty() {
        return Ok(false);
    }
    let refusals = objections(session, appends, suspects).await?;
    let any = !refusals.is_empty();
    for (index, refusal) in refusals {
        verdicts[index] = Some(Err(refusal));
    }
    Ok(any)
}
