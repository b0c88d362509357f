//! Blame: of every piece of the text who wrote it, in which version, and when.
//!
//! There is no text in it, lengths only: what is there now is the document's business. Who inserts something is its
//! author, also of what was there before and comes back, by an undo or a restore. Formatting changes nothing. An embed
//! is one unit, like a letter.

mod runs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    domain::{Event, Seq, Timestamp, UserId, Version},
    text::{Delta, EditError, Op, Utf16},
};

use super::{Happened, Kept};
use runs::{Origin, Piece, Runs};

/// Who wrote what is there.
#[derive(Debug, Default)]
pub struct Blame {
    seq: Seq,
    runs: Runs,
    authors: Vec<UserId>,
    numbers: BTreeMap<UserId, u32>,
}

/// A piece of the text that came with one edit; neighbours came with different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    /// In UTF-16 units.
    pub length: u32,
    /// Who inserted it.
    pub author: &'a UserId,
    /// The version that it came with.
    pub version: Version,
    /// When that was recorded.
    pub time: Timestamp,
}

impl Blame {
    /// A state as of a place, from its runs, none of which is empty.
    pub fn restore<'a>(seq: Seq, runs: impl IntoIterator<Item = Run<'a>>) -> Self {
        let (mut blame, mut last) = (Self { seq, ..Self::default() }, None);
        for Run { length, author, version, time } in runs {
            // Nearly always the same one again.
            let number = match last {
                Some((known, number)) if known == author => number,
                _ => blame.number(author),
            };
            last = Some((author, number));
            let from = Origin { author: number, version: version.0, time: time.0 };
            blame.runs.push(Piece { length, from });
        }
        blame
    }

    /// The runs, in the order of the text; none is empty.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.runs.iter().map(|Piece { length, from }| Run {
            length,
            author: &self.authors[from.author as usize],
            version: Version(from.version),
            time: Timestamp(from.time),
        })
    }

    /// The length of the text, in UTF-16 units.
    pub const fn length(&self) -> usize {
        self.runs.length()
    }

    fn number(&mut self, author: &UserId) -> u32 {
        if let Some(number) = self.numbers.get(author) {
            return *number;
        }
        // A document has fewer authors than versions, and no disk has so many.
        let number = u32::try_from(self.authors.len()).unwrap_or(u32::MAX);
        self.authors.push(author.clone());
        self.numbers.insert(author.clone(), number);
        number
    }

    fn edit(&mut self, applied: &Delta<Utf16>, from: Origin) -> Result<(), EditError> {
        let mut at = 0_usize;
        for op in applied.ops() {
            match op {
                Op::Retain { length, .. } => at = self.within(at, *length)?,
                Op::Insert { content, .. } => {
                    let length = content.length::<Utf16>();
                    let piece = Piece { length: u32::try_from(length).unwrap_or(u32::MAX), from };
                    self.runs.insert(at, piece);
                    at += piece.length as usize;
                }
                Op::Delete { length } => {
                    self.within(at, *length)?;
                    self.runs.delete(at, *length);
                }
            }
        }
        Ok(())
    }

    fn within(&self, at: usize, length: usize) -> Result<usize, EditError> {
        let position = at.saturating_add(length);
        let length = self.runs.length();
        if position <= length { Ok(position) } else { Err(EditError::OutsideDocument { position, length }) }
    }
}

impl Kept for Blame {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn fold(&mut self, happened: &Happened<'_>) -> Result<(), EditError> {
        if let Event::Edited(edited) = happened.event {
            let author = self.number(&edited.cause.user);
            let from = Origin { author, version: happened.version.0, time: happened.at.0 };
            self.edit(&edited.applied, from)?;
        }
        self.seq = happened.seq;
        Ok(())
    }
}

impl PartialEq for Blame {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq && self.runs().eq(other.runs())
    }
}
