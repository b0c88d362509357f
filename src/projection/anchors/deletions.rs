//! What was deleted last, and from which threads: so that they find their text again when it comes back.

use std::{ops::Range, sync::Arc};

use crate::domain::Version;

use super::matching::Fingerprint;

/// A deleted stretch of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deletion {
    /// Its length in UTF-16 units.
    pub(super) length: u32,
    /// What it was.
    pub(super) fingerprint: Fingerprint,
    /// The version that the edit made which deleted it.
    pub(super) version: Version,
    /// The parts of it that threads have lost.
    pub(super) parts: Option<Arc<[Part]>>,
}

/// A part of a deleted text that a thread was about; or, empty, the place in it where an orphan stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The thread's number.
    pub(super) thread: u32,
    /// Where the part begins in the deleted text.
    pub(super) from: u32,
    /// Where it ends.
    pub(super) to: u32,
}

impl Part {
    /// Says that a thread was beside this text, and not about it: should the thread come to reach over this place
    /// and withdraw again, this was still not its own.
    pub(super) const fn none_of(thread: u32) -> Self {
        Self { thread, from: 1, to: 0 }
    }
}

impl Deletion {
    pub(super) fn parts(&self) -> &[Part] {
        self.parts.as_deref().unwrap_or_default()
    }

    /// Notes that all of this was inside of a thread that has just withdrawn from here.
    pub(super) fn belonged_to(&mut self, thread: u32) {
        if self.parts().iter().all(|part| part.thread != thread) {
            let whole = Part { thread, from: 0, to: self.length };
            self.parts = Some(self.parts().iter().copied().chain([whole]).collect());
        }
    }
}

/// Where a deleted text was: a point, or the stretch of what has come into its place.
///
/// Its own author may have replaced the text, and others may have typed in what replaced it or beside it. An undo takes the
/// replacement out piece by piece, around what others typed, and inserts the deleted text before the first or behind the last
/// of the pieces: so an edit that deletes may bring it back anywhere in there. One that only inserts does at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) from: u32,
    /// The end; of a text that nothing has replaced both are the same.
    pub(super) to: u32,
}

impl Spot {
    pub(super) const fn at(place: u32) -> Self {
        Self { from: place, to: place }
    }

    /// From here or from `to - WIDEST` on, whichever is later.
    pub(super) const fn between(from: u32, to: u32) -> Self {
        let widest = to.saturating_sub(WIDEST);
        Self { from: if from > widest { from } else { widest }, to }
    }

    const fn is_touched(self, from: u32, to: u32, edit_deletes: bool) -> bool {
        self.from <= to && from <= self.to && (edit_deletes || self.to == from)
    }
}

/// The deletions that are remembered, ordered by where their spots end.
#[derive(Debug, Clone, Default)]
pub(super) struct Deletions {
    spots: Vec<Spot>,
    what: Vec<Deletion>,
    parts: usize,
}

/// How long a spot may be, in UTF-16 units: as long as the text that replaces a selection usually is, and no reason to hold
/// every later edit of a long chapter against all that was ever deleted where it was written.
const WIDEST: u32 = 4_096;

/// With more than so many some are forgotten, the oldest first; those that took nothing from a thread before
/// the others.
const MOST: usize = 1_024;
const KEPT_WITH_PARTS: usize = 512;
const KEPT_WITHOUT: usize = 256;
/// Lost parts that are remembered for each thread, on average, and some more.
const PARTS_PER_THREAD: usize = 4;
const MORE_PARTS: usize = 1_024;

impl Deletions {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Spot, &Deletion)> {
        self.spots.iter().copied().zip(&self.what)
    }

    /// Whether there are any that an edit touches in this stretch.
    pub(super) fn any_touched(&self, from: u32, to: u32, edit_deletes: bool) -> bool {
        self.reach(from, to).any(|at| self.spots[at].is_touched(from, to, edit_deletes))
    }

    /// Where those may be: they end at its beginning or later, as far as the longest could reach.
    fn reach(&self, from: u32, to: u32) -> Range<usize> {
        let furthest = to.saturating_add(WIDEST);
        self.spots.partition_point(|spot| spot.to < from)..self.spots.partition_point(|spot| spot.to <= furthest)
    }

    /// Takes those out, in their order.
    pub(super) fn take_touched(&mut self, from: u32, to: u32, edit_deletes: bool) -> Vec<(Spot, Deletion)> {
        let reach = self.reach(from, to);
        let (spots, what) = (self.spots.drain(reach.clone()), self.what.drain(reach.clone()));
        let (taken, left): (Vec<_>, Vec<_>) =
            spots.zip(what).partition(|(spot, _)| spot.is_touched(from, to, edit_deletes));
        self.parts -= taken.iter().map(|(_, it)| it.parts().len()).sum::<usize>();
        let (spots, what): (Vec<_>, Vec<_>) = left.into_iter().unzip();
        self.spots.splice(reach.start..reach.start, spots);
        self.what.splice(reach.start..reach.start, what);
        taken
    }

    /// Puts some in, each behind those whose spots end where its own does or earlier.
    pub(super) fn put(&mut self, deletions: Vec<(Spot, Deletion)>) {
        for (spot, deletion) in deletions {
            let at = self.spots.partition_point(|other| other.to <= spot.to);
            self.parts += deletion.parts().len();
            self.spots.insert(at, spot);
            self.what.insert(at, deletion);
        }
    }

    /// The others move with an edit, or grow by what it inserts in them.
    pub(super) fn shift(&mut self, at: u32, inserted: u32, deleted: u32) {
        let moved = |place: u32| place.saturating_add(inserted).saturating_sub(deleted);
        let first = self.spots.partition_point(|spot| spot.to < at);
        for spot in &mut self.spots[first..] {
            *spot = Spot::between(if spot.from > at { moved(spot.from) } else { spot.from }, moved(spot.to));
        }
    }

    /// A thread is no more.
    pub(super) fn forget_thread(&mut self, thread: u32) {
        for deletion in &mut self.what {
            if deletion.parts().iter().any(|part| part.thread == thread) {
                let rest: Arc<[_]> = deletion.parts().iter().copied().filter(|part| part.thread != thread).collect();
                self.parts -= deletion.parts().len() - rest.len();
                deletion.parts = (!rest.is_empty()).then_some(rest);
            }
        }
    }

    /// Keeps the memory within its bounds, in a document with so many threads. Depends on nothing but what is
    /// remembered: every fold of the same events forgets the same.
    pub(super) fn forget_oldest(&mut self, threads: usize) {
        let most_parts = threads.saturating_mul(PARTS_PER_THREAD).saturating_add(MORE_PARTS);
        if self.what.len() <= MOST && self.parts <= most_parts {
            return;
        }
        let mut youngest_first: Vec<_> = (0..self.what.len()).collect();
        youngest_first.sort_by_key(|at| std::cmp::Reverse(self.what[*at].version));
        let (mut with_parts, mut without, mut parts) = (KEPT_WITH_PARTS, KEPT_WITHOUT, most_parts);
        let mut kept = vec![false; self.what.len()];
        for at in youngest_first {
            let has = self.what[at].parts().len();
            let left = if has > 0 { &mut with_parts } else { &mut without };
            kept[at] = *left > 0 && has <= parts;
            if kept[at] {
                (*left, parts) = (*left - 1, parts - has);
            }
        }
        let mut keep = kept.iter();
        self.spots.retain(|_| *keep.next().unwrap_or(&false));
        let mut keep = kept.iter();
        self.what.retain(|_| *keep.next().unwrap_or(&false));
        self.parts = most_parts - parts;
    }
}
