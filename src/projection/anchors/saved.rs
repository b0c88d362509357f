//! What is remembered of deletions, as plain data for a snapshot.

use crate::domain::Version;

use super::{Anchors, Deletion, Part, Spot, matching::Fingerprint, units};

/// A deletion that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedDeletion {
    /// Where it was, in UTF-16 units: from here
    pub from: usize,
    /// to here, the stretch of what has come in its place.
    pub at: usize,
    /// How long the text was.
    pub length: usize,
    /// Its fingerprint.
    pub fingerprint: u64,
    /// The version that its edit made.
    pub version: Version,
    /// What threads have lost by it.
    pub parts: Vec<SavedPart>,
}

/// A part of a deletion that a thread was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedPart {
    /// The place of the thread in the list of threads.
    pub thread: usize,
    /// Where the part begins in the deleted text.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
}

impl Anchors {
    /// What is remembered; `place_of` says where a thread is in the list of threads.
    pub(in crate::projection) fn deletions(&self, place_of: impl Fn(u32) -> usize) -> Vec<SavedDeletion> {
        let part =
            |part: &Part| SavedPart { thread: place_of(part.thread), from: part.from as usize, to: part.to as usize };
        let saved = |(spot, it): (Spot, &Deletion)| {
            let mut parts: Vec<_> = it.parts().iter().map(part).collect();
            parts.sort_by_key(|part| part.thread);
            SavedDeletion {
                from: spot.from as usize,
                at: spot.to as usize,
                length: it.length as usize,
                fingerprint: it.fingerprint.0,
                version: it.version,
                parts,
            }
        };
        self.deletions.iter().map(saved).collect()
    }

    /// Remembers what was saved.
    pub(in crate::projection) fn remember_again(&mut self, saved: &[SavedDeletion]) {
        let part = |part: &SavedPart| Part { thread: units(part.thread), from: units(part.from), to: units(part.to) };
        let deletion = |it: &SavedDeletion| {
            let parts = (!it.parts.is_empty()).then(|| it.parts.iter().map(part).collect());
            let (length, fingerprint) = (units(it.length), Fingerprint(it.fingerprint));
            (Spot::between(units(it.from), units(it.at)), Deletion { length, fingerprint, version: it.version, parts })
        };
        self.deletions = super::Deletions::default();
        self.deletions.put(saved.iter().map(deletion).collect());
    }
}
