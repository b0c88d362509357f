//! The anchors of threads: which part of the text each is about, while the text changes.
//!
//! # How an anchor moves
//!
//! Its two ends are places in the text. Text inserted at either end stays outside: the start moves behind
//! it, the end stays before it. A deletion moves what was inside of it to where it was. Where an edit deletes and
//! inserts at one place the deletion counts first: what replaces the edge of an anchor is text at its edge. An
//! anchor whose ends have met is orphaned; it goes on moving like a start. See [`Delta::transform_edge`].
//!
//! # How it finds its text again
//!
//! What was deleted last is remembered: where, the length and fingerprint of the text, by which version, and
//! which part of it each thread was about that lost it. Where it was is a [`Spot`]: a point, or the stretch of all that has
//! been inserted there since. An edit that inserts at the end of such a spot, or deletes and inserts anywhere in it, whole and
//! in order, what one edit deleted there, or what the last few did, brings it back; of several that fit the
//! youngest is meant. Then each thread that had lost a part of it grows by that part, if the part touches it, and
//! an orphan that stood in it stands there again. Text that is replaced by itself keeps its threads.
//!
//! So an edit that is followed by its inverse leaves every anchor where it was, but for an orphan whose text it brought back
//! elsewhere in its spot; `tests` holds it to that, and to finding text again when a replacement is undone.
//!
//! # What it costs
//!
//! Ends are kept in [`marks::Marks`]: an edit costs some hundred additions with 10,000 anchors. Only a
//! deletion that reaches the end of an anchor looks at all of them once. A text without anchors remembers
//! nothing and costs nothing.

mod deletions;
mod marks;
mod matching;
mod saved;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{Stretch, Version},
    text::{Content, Delta, Op, RichText, Utf16},
};

use deletions::{Deletion, Deletions, Part, Spot};
use marks::{Keeps, Marks};
use matching::Fingerprint;

pub use saved::{SavedDeletion, SavedPart};

/// The anchors of a document. Threads are numbers here.
#[derive(Debug, Clone, Default)]
pub(super) struct Anchors {
    starts: Marks,
    ends: Marks,
    deletions: Deletions,
    threads: usize,
}

/// Whether threads may find their text again, or the log says which did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// They may.
    Allowed,
    /// Only what was brought back is noted; who grows by it is on record.
    OnRecord,
}

/// What an edit does in one place: it deletes, then inserts.
struct Block<'a> {
    /// Where, in the text as it is after all before this place has been edited.
    at: u32,
    /// Where that was before the edit.
    was_at: usize,
    /// What is inserted, an embed being U+FFFC.
    pieces: &'a [&'a str],
    inserted: u32,
    deleted: u32,
    /// Whether it deletes here or elsewhere.
    edit_deletes: bool,
    /// The text before the edit, and the version that it makes.
    before: &'a RichText,
    version: Version,
}

/// An anchor of which a deletion takes something, or that is beside it: its number, start and end.
type Lost = (u32, u32, u32);

/// A part of a thread's text, or the place where an orphan stood, that an insert has brought back.
struct Returned {
    from: u32,
    to: u32,
    /// The version that deleted it.
    version: Version,
    /// Where its thread may stand to find it if this edit has orphaned it, and if an earlier one has: beside what is inserted,
    /// and anywhere where the whole deletion was.
    beside: Spot,
    spot: Spot,
}

impl Block<'_> {
    /// The spot of a deletion that this edit touches, once the edit is made: all that it inserts is in it.
    fn spot_after(&self, Spot { from, to }: Spot) -> Spot {
        let (end, inserted_to) = (self.at + self.deleted, self.at + self.inserted);
        Spot::between(from.min(self.at), if to > end { to - end + inserted_to } else { inserted_to })
    }
}

impl Anchors {
    /// Where every thread is, by its number.
    pub(super) fn all(&self) -> BTreeMap<u32, Stretch> {
        self.stretches(|_| true).into_iter().map(|(thread, (start, end))| (thread, stretch(start, end))).collect()
    }

    /// Where a thread is.
    pub(super) fn of(&self, thread: u32) -> Option<Stretch> {
        self.stretches(|other| other == thread).get(&thread).map(|(start, end)| stretch(*start, *end))
    }

    /// Puts the anchor of a new thread somewhere.
    pub(super) fn add(&mut self, thread: u32, at: Stretch) {
        self.starts.add(units(at.start), thread);
        self.ends.add(units(at.end), thread);
        self.threads += 1;
    }

    /// Puts the anchor of a thread somewhere else.
    pub(super) fn put(&mut self, thread: u32, at: Stretch) {
        self.remove(thread);
        self.add(thread, at);
    }

    fn remove(&mut self, thread: u32) {
        self.starts.remove(thread);
        self.ends.remove(thread);
        self.threads -= 1;
    }

    /// A thread is no more.
    pub(super) fn forget(&mut self, thread: u32) {
        self.remove(thread);
        self.deletions.forget_thread(thread);
    }

    /// Moves everything with an edit of `before` that makes `version`. Answers the threads that grew.
    pub(super) fn edit(
        &mut self,
        applied: &Delta<Utf16>,
        before: &RichText,
        version: Version,
        finding: Finding,
    ) -> Vec<(u32, Stretch)> {
        let (mut at, mut was_at, mut returned, mut had_text) = (0, 0, BTreeMap::new(), BTreeSet::new());
        let edit_deletes = applied.ops().iter().any(|op| matches!(op, Op::Delete { .. }));
        let mut ops = applied.ops().iter().peekable();
        while let Some(op) = ops.next() {
            if let Op::Retain { length, .. } = op {
                (at, was_at) = (at + units(*length), was_at + length);
                continue;
            }
            let (mut pieces, mut inserted, mut deleted) = (Vec::new(), 0, 0);
            let mut next = Some(op);
            while let Some(op) = next {
                match op {
                    Op::Insert { content, .. } => {
                        pieces.push(plain(content));
                        inserted += units(content.length::<Utf16>());
                    }
                    Op::Delete { length } => deleted += units(*length),
                    Op::Retain { .. } => {}
                }
                next = ops.next_if(|op| !matches!(op, Op::Retain { .. }));
            }
            let block = Block { at, was_at, pieces: &pieces, inserted, deleted, edit_deletes, before, version };
            self.block(&block, &mut returned, &mut had_text);
            (at, was_at) = (at + inserted, was_at + deleted as usize);
        }
        self.deletions.forget_oldest(self.threads);
        // Only now, so that all that is remembered is the same where it is on record who grows.
        if finding == Finding::OnRecord { Vec::new() } else { self.grow(&returned, &had_text) }
    }

    /// One place of an edit. Adds what it brings back of each thread, which no later place of the edit moves, and whom it takes
    /// text from.
    fn block(&mut self, block: &Block<'_>, returned: &mut BTreeMap<u32, Vec<Returned>>, had_text: &mut BTreeSet<u32>) {
        let end = block.at + block.deleted;
        if block.deleted == 0 && !self.deletions.any_touched(block.at, end, block.edit_deletes) {
            self.deletions.shift(block.at, block.inserted, 0);
            self.move_ends(block);
            return;
        }
        let lost = if block.deleted > 0 { self.losers(block.at, end) } else { Vec::new() };
        had_text.extend(lost.iter().filter(|(_, start, end)| start < end).map(|(thread, ..)| *thread));
        let (spots, remembered): (Vec<_>, Vec<_>) = self.remember(block, &lost).into_iter().unzip();
        self.deletions.shift(block.at, block.inserted, block.deleted);
        self.move_ends(block);
        let back = if block.inserted > 0 {
            matching::brought_back(&remembered, block.pieces, block.inserted, block.version)
        } else {
            None
        };
        let spots = spots.into_iter().map(|spot| block.spot_after(spot));
        let Some(back) = back else {
            self.deletions.put(spots.zip(remembered).collect());
            return;
        };
        let (mut place, mut rest) = (block.at, Vec::new());
        for (at, (spot, deletion)) in spots.zip(remembered).enumerate() {
            if back.contains(&at) {
                for part in deletion.parts().iter().filter(|part| **part != Part::none_of(part.thread)) {
                    let (from, to, version) = (place + part.from, place + part.to, deletion.version);
                    let beside = Spot { from: block.at, to: block.at + block.inserted };
                    returned.entry(part.thread).or_default().push(Returned { from, to, version, beside, spot });
                }
                place += deletion.length;
            } else {
                // Among what came back it has its place. Of its spot there is left what lies beyond.
                let to = if spot.to > block.at + block.inserted { spot.to } else { place };
                let from = if spot.from < block.at { spot.from } else { place };
                rest.push((Spot { from, to }, deletion));
            }
        }
        self.deletions.put(rest);
    }

    fn move_ends(&mut self, Block { at, inserted, deleted, .. }: &Block<'_>) {
        if *deleted > 0 {
            self.starts.delete(*at, at + deleted);
            self.ends.delete(*at, at + deleted);
        }
        if *inserted > 0 {
            self.starts.insert(*at, *inserted, Keeps::Right);
            self.ends.insert(*at, *inserted, Keeps::Left);
        }
    }

    /// The anchors that a deletion takes something of, and those beside it; orphans among them.
    fn losers(&self, start: u32, end: u32) -> Vec<Lost> {
        let begins = self.starts.within(start..=end);
        let threads: BTreeSet<u32> = begins.chain(self.ends.within(start..=end)).map(|(_, thread)| thread).collect();
        if threads.is_empty() {
            return Vec::new();
        }
        let all = self.stretches(|thread| threads.contains(&thread));
        let touched = all.into_iter().map(|(thread, (from, to))| (thread, from, to));
        touched.filter(|(_, from, to)| *from <= end && start <= *to).collect()
    }

    /// Takes the deletions out that this edit touches, those that it makes among them, in the order of the text.
    fn remember(&mut self, block: &Block<'_>, lost: &[Lost]) -> Vec<(Spot, Deletion)> {
        let Block { before, version, .. } = *block;
        let (start, end) = (block.at, block.at + block.deleted);
        let touched = self.deletions.take_touched(start, end, block.edit_deletes);
        let mut remembered = Vec::with_capacity(touched.len() + 1);
        let mut from = start;
        let mut cut = |to: u32, remembered: &mut Vec<_>| {
            if from < to {
                let was = block.was_at + (from - start) as usize..block.was_at + (to - start) as usize;
                let spans = before.slice::<Utf16>(was);
                let fingerprint = spans.fold(Fingerprint::default(), |so_far, span| so_far.with(span.text));
                let part = |(thread, begin, finish): &Lost| {
                    let is_orphan = begin == finish;
                    let (begin, finish) = ((*begin).max(from), (*finish).min(to));
                    if begin < finish || (is_orphan && begin == finish) {
                        return Some(Part { thread: *thread, from: begin - from, to: finish - from });
                    }
                    (!is_orphan).then(|| Part::none_of(*thread))
                };
                let parts: Vec<_> = lost.iter().filter_map(part).collect();
                let parts = (!parts.is_empty()).then(|| parts.into());
                remembered.push((Spot::at(to), Deletion { length: to - from, fingerprint, version, parts }));
                from = to;
            }
        };
        for (spot, mut older) in touched {
            cut(spot.to.min(end), &mut remembered);
            // What was gone from the middle of an anchor stays its own when the anchor withdraws from there.
            for (thread, begin, finish) in lost {
                if spot.to <= end && *begin < spot.to && spot.to < *finish {
                    older.belonged_to(*thread);
                }
            }
            remembered.push((spot, older));
        }
        cut(end, &mut remembered);
        remembered
    }

    /// Lets threads grow by the parts that came back, as far as these touch them. Answers those that did, and where they are.
    fn grow(&mut self, returned: &BTreeMap<u32, Vec<Returned>>, had_text: &BTreeSet<u32>) -> Vec<(u32, Stretch)> {
        if returned.is_empty() {
            return Vec::new();
        }
        let mut grown = Vec::new();
        for (thread, (start, end)) in self.stretches(|thread| returned.contains_key(&thread)) {
            let parts = &returned[&thread];
            let is_near = |part: &&Returned| {
                let spot = if had_text.contains(&thread) { part.beside } else { part.spot };
                (spot.from..=spot.to).contains(&start)
            };
            let has_text = |part: &&Returned| part.from < part.to;
            // Of the places where an orphan stood, the oldest is right: younger deletions saw the text that it left.
            let near = || parts.iter().filter(is_near);
            let home = near().find(has_text).or_else(|| near().min_by_key(|part| part.version));
            let (mut now, mut changed) = match home {
                _ if start < end => ((start, end), false),
                // An orphan is where its text was: what comes back there is all that it has.
                Some(home) => ((home.from, home.to), (home.from, home.to) != (start, start)),
                None => continue,
            };
            // Twice, for those on the left touch it only once those between have come.
            for Returned { from, to, .. } in parts.iter().chain(parts.iter().rev()).filter(has_text) {
                if *from <= now.1 && now.0 <= *to && (*from < now.0 || now.1 < *to) {
                    (now, changed) = ((now.0.min(*from), now.1.max(*to)), true);
                }
            }
            if changed {
                let now = stretch(now.0, now.1);
                self.put(thread, now);
                grown.push((thread, now));
            }
        }
        grown
    }

    /// Both ends of some threads.
    fn stretches(&self, of: impl Fn(u32) -> bool) -> BTreeMap<u32, (u32, u32)> {
        let starts = self.starts.iter().filter(|(_, thread)| of(*thread));
        let mut found: BTreeMap<_, _> = starts.map(|(start, thread)| (thread, (start, start))).collect();
        for (end, thread) in self.ends.iter() {
            if let Some(it) = found.get_mut(&thread) {
                // The end of an orphan may have stayed behind its start: it counts no more.
                it.1 = end.max(it.0);
            }
        }
        found
    }
}

fn plain(content: &Content) -> &str {
    match content {
        Content::Text(text) => text.as_str(),
        Content::Embed(_) => "\u{FFFC}",
    }
}

const fn stretch(start: u32, end: u32) -> Stretch {
    Stretch { start: start as usize, end: end as usize }
}

/// A document is far shorter than 4 G units: its length has a limit, and the log accepts no longer edit.
fn units(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
