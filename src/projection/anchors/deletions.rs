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

/// The deletions that are remembered, in the order of their places in the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Deletions {
    places: Vec<u32>,
    what: Vec<Deletion>,
    parts: usize,
}

/// With more than so many some are forgotten, the oldest first; those that took nothing from a thread before
/// the others.
const MOST: usize = 1_024;
const KEPT_WITH_PARTS: usize = 512;
const KEPT_WITHOUT: usize = 256;
/// Lost parts that are remembered for each thread, on average, and some more.
const PARTS_PER_THREAD: usize = 4;
const MORE_PARTS: usize = 1_024;

impl Deletions {
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Deletion)> {
        self.places.iter().copied().zip(&self.what)
    }

    /// Which lie from one place up to and including another.
    pub(super) fn within(&self, from: u32, to: u32) -> Range<usize> {
        self.places.partition_point(|place| *place < from)..self.places.partition_point(|place| *place <= to)
    }

    pub(super) fn places(&self, range: Range<usize>) -> &[u32] {
        &self.places[range]
    }

    /// Takes some out.
    pub(super) fn take(&mut self, range: Range<usize>) -> Vec<Deletion> {
        self.places.drain(range.clone());
        let taken: Vec<_> = self.what.drain(range).collect();
        self.parts -= taken.iter().map(|it| it.parts().len()).sum::<usize>();
        taken
    }

    /// Puts some in, before the `at`th.
    pub(super) fn put(&mut self, at: usize, deletions: Vec<(u32, Deletion)>) {
        self.parts += deletions.iter().map(|(_, it)| it.parts().len()).sum::<usize>();
        self.places.splice(at..at, deletions.iter().map(|(place, _)| *place));
        self.what.splice(at..at, deletions.into_iter().map(|(_, it)| it));
    }

    /// Everything from the `at`th on moves.
    pub(super) fn shift(&mut self, at: usize, inserted: u32, deleted: u32) {
        for place in &mut self.places[at..] {
            *place = place.saturating_add(inserted).saturating_sub(deleted);
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
        self.places.retain(|_| *keep.next().unwrap_or(&false));
        let mut keep = kept.iter();
        self.what.retain(|_| *keep.next().unwrap_or(&false));
        self.parts = most_parts - parts;
    }
}
