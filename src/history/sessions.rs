//! Edits grouped into sessions: who wrote, from when to when, and how much.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::{Edited, Event, Timestamp, UserId, Version},
    event_log::{EventLog, Recorded},
    projection::amounts,
};

use super::{Place, Untold};

/// Edits without a long pause between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The version before its first edit.
    pub from_version: Version,
    /// The version that its last edit made.
    pub to_version: Version,
    /// When the first one was recorded.
    pub from: Timestamp,
    /// When the last one was recorded.
    pub to: Timestamp,
    /// Who wrote how much.
    pub authors: BTreeMap<UserId, Share>,
}

/// What somebody has done in a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Edits.
    pub edits: u64,
    /// Characters inserted; an embed counts as one.
    pub added: u64,
    /// Characters deleted.
    pub removed: u64,
}

impl Session {
    /// What all have done together.
    pub fn total(&self) -> Share {
        self.authors.values().fold(Share::default(), |sum, share| Share {
            edits: sum.edits + share.edits,
            added: sum.added + share.added,
            removed: sum.removed + share.removed,
        })
    }
}

/// Events that are read at a time.
const PAGE: usize = 500;
/// A session of more edits than this is told as several: else a page would have no end.
pub(super) const LONGEST: u64 = 5_000;
/// After so many events a page holds no further session.
const BUDGET: u64 = 20_000;

/// Up to `limit` sessions after the one that ends with a version, and where to go on if there may be more. The last
/// session of all may still be growing.
pub async fn sessions(
    log: &EventLog,
    place: &Place,
    (after, limit): (Version, usize),
    pause: Duration,
) -> Result<(Vec<Session>, Option<Version>), Untold> {
    let current = place.head.version;
    if after > current {
        return Err(Untold::Ahead { wanted: after, current });
    }
    let pause = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    let mut sessions: Vec<Session> = Vec::new();
    let (mut last, mut read) = (log.seq_of_version(&place.stream, after).await?.unwrap_or_default(), 0);
    while last < place.seq {
        let page = log.read(&place.stream, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        (last, read) = (end.seq, read + page.len() as u64);
        for recorded in page.iter().take_while(|recorded| recorded.seq <= place.seq) {
            let Event::Edited(edited) = &recorded.event else { continue };
            let is_full = sessions.len() == limit;
            match sessions.last_mut().filter(|session| session.goes_on(recorded, pause)) {
                Some(session) => session.add(recorded, edited),
                None if is_full => return Ok(up_to_here(sessions)),
                None => {
                    let mut session = Session::before(recorded);
                    session.add(recorded, edited);
                    sessions.push(session);
                }
            }
        }
        // The last one may have more: it is told when there is time for all of it.
        if read >= BUDGET && sessions.len() > 1 && last < place.seq {
            sessions.pop();
            return Ok(up_to_here(sessions));
        }
    }
    Ok((sessions, None))
}

fn up_to_here(sessions: Vec<Session>) -> (Vec<Session>, Option<Version>) {
    let next = sessions.last().map(|session| session.to_version);
    (sessions, next)
}

impl Session {
    fn before(recorded: &Recorded) -> Self {
        let (version, time) = (Version(recorded.version.0 - 1), recorded.recorded_at);
        Self { from_version: version, to_version: version, from: time, to: time, authors: BTreeMap::new() }
    }

    fn goes_on(&self, recorded: &Recorded, pause: i64) -> bool {
        let is_near = recorded.recorded_at.0.saturating_sub(self.to.0) <= pause;
        is_near && self.to_version.0 - self.from_version.0 < LONGEST
    }

    fn add(&mut self, recorded: &Recorded, edited: &Edited) {
        (self.to_version, self.to) = (recorded.version, recorded.recorded_at);
        let share = self.authors.entry(edited.cause.user.clone()).or_default();
        let (added, removed) = amounts(edited);
        share.edits += 1;
        share.added += added;
        share.removed += removed;
    }
}
