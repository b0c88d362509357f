//! Contributions: who has done how much to a document, and from when to when.

use std::collections::BTreeMap;

use crate::{
    domain::{CommentChange, Edited, Event, Seq, Timestamp, UserId},
    text::{CodePoints, Delta, EditError, Op, Unit},
};

use super::{Happened, Kept};

/// Who has done how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contributions {
    seq: Seq,
    authors: BTreeMap<UserId, Contribution>,
}

/// What somebody has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// Edits, those that change nothing any more included.
    pub edits: u64,
    /// Characters (code points) that they inserted; an embed counts as one.
    pub added: u64,
    /// Characters that they deleted, whoever wrote them.
    pub removed: u64,
    /// Comments and replies that they wrote, also those that are gone.
    pub comments: u64,
    /// When the first of that was recorded.
    pub first: Timestamp,
    /// When the last of that was recorded.
    pub last: Timestamp,
}

impl Contributions {
    /// A state as of a place.
    pub fn restore(seq: Seq, authors: impl IntoIterator<Item = (UserId, Contribution)>) -> Self {
        Self { seq, authors: authors.into_iter().collect() }
    }

    /// Everybody, by their ids.
    pub fn authors(&self) -> impl Iterator<Item = (&UserId, &Contribution)> {
        self.authors.iter()
    }

    fn of(&mut self, user: &UserId, at: Timestamp) -> &mut Contribution {
        let contribution = self.authors.entry(user.clone()).or_insert(Contribution {
            edits: 0,
            added: 0,
            removed: 0,
            comments: 0,
            first: at,
            last: at,
        });
        contribution.last = at;
        contribution
    }
}

impl Kept for Contributions {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn fold(&mut self, happened: &Happened<'_>) -> Result<(), EditError> {
        match happened.event {
            Event::Edited(edited) => {
                let (added, removed) = amounts(edited);
                let contribution = self.of(&edited.cause.user, happened.at);
                contribution.edits += 1;
                contribution.added += added;
                contribution.removed += removed;
            }
            Event::Commented(commented, _) => {
                if let CommentChange::Added(_) = commented.change {
                    self.of(&commented.by, happened.at).comments += 1;
                }
            }
        }
        self.seq = happened.seq;
        Ok(())
    }
}

/// How many characters (code points) an edit adds and removes; an embed is one.
pub fn amounts(edited: &Edited) -> (u64, u64) {
    match &edited.in_code_points {
        Some(applied) => count(applied),
        None => count(&edited.applied),
    }
}

fn count<U: Unit>(applied: &Delta<U>) -> (u64, u64) {
    applied.ops().iter().fold((0, 0), |(added, removed), op| match op {
        Op::Insert { content, .. } => (added + content.length::<CodePoints>() as u64, removed),
        Op::Delete { length } => (added, removed + *length as u64),
        Op::Retain { .. } => (added, removed),
    })
}
