//! Places in a text that move with its edits, in order.
//!
//! They lie in chunks, and each chunk knows its places only from its own first one on. What moves alike
//! moves with one addition per chunk: an edit costs about `n / CHUNK + CHUNK` steps for `n` places.

use std::{ops::RangeInclusive, sync::Arc};

/// Places per chunk, about.
const CHUNK: usize = 128;

/// Places in order, each with the number of whom it belongs to. A clone shares the chunks.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    chunks: Vec<Chunk>,
}

#[derive(Debug, Clone)]
struct Chunk {
    first: u32,
    last: u32,
    /// Never empty; offsets from `first` on, ascending.
    marks: Arc<Vec<Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: u32,
    whose: u32,
}

/// Where a place goes when text is inserted just there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// It stays: the text comes behind it.
    Left,
    /// It moves: the text comes before it.
    Right,
}

impl Chunk {
    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.marks.iter().map(|mark| (self.first + mark.offset, mark.whose))
    }

    fn set(&mut self, places: impl IntoIterator<Item = (u32, u32)>) {
        let mut places = places.into_iter().peekable();
        self.first = places.peek().map_or(0, |(place, _)| *place);
        let (marks, mut last) = (Arc::make_mut(&mut self.marks), self.first);
        marks.clear();
        for (place, whose) in places {
            last = place;
            marks.push(Mark { offset: place - self.first, whose });
        }
        self.last = last;
    }

    fn of(places: &[(u32, u32)]) -> Self {
        let mut chunk = Self { first: 0, last: 0, marks: Arc::default() };
        chunk.set(places.iter().copied());
        chunk
    }
}

impl Marks {
    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.chunks.iter().flat_map(Chunk::iter)
    }

    /// Those within a range of places, in order.
    pub(super) fn within(&self, range: RangeInclusive<u32>) -> impl Iterator<Item = (u32, u32)> {
        let (from, to) = range.into_inner();
        let start = self.chunks.partition_point(|chunk| chunk.last < from);
        let chunks = self.chunks[start..].iter().take_while(move |chunk| chunk.first <= to);
        chunks.flat_map(Chunk::iter).filter(move |(place, _)| (from..=to).contains(place))
    }

    /// Text was inserted.
    pub(super) fn insert(&mut self, at: u32, length: u32, keeps: Keeps) {
        let from = if keeps == Keeps::Right { at } else { at.saturating_add(1) };
        self.alter(from, from, |place| if place >= from { place.saturating_add(length) } else { place });
    }

    /// Text was deleted, up to `end`.
    pub(super) fn delete(&mut self, start: u32, end: u32) {
        self.alter(start.saturating_add(1), end, |place| match place {
            _ if place <= start => place,
            _ if place <= end => start,
            _ => place - (end - start),
        });
    }

    /// Moves places: nothing before `first` moves, and from `alike` on everything by the same distance.
    fn alter(&mut self, first: u32, alike: u32, to: impl Fn(u32) -> u32) {
        let start = self.chunks.partition_point(|chunk| chunk.last < first);
        for chunk in &mut self.chunks[start..] {
            if chunk.first >= alike {
                (chunk.first, chunk.last) = (to(chunk.first), to(chunk.last));
            } else {
                let places: Vec<_> = chunk.iter().map(|(place, whose)| (to(place), whose)).collect();
                chunk.set(places);
            }
        }
    }

    /// Adds a place, behind those that are the same.
    pub(super) fn add(&mut self, place: u32, whose: u32) {
        let at = self.chunks.partition_point(|chunk| chunk.first <= place).saturating_sub(1);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::of(&[(place, whose)]));
            return;
        };
        let mut places: Vec<_> = chunk.iter().collect();
        places.insert(places.partition_point(|(other, _)| *other <= place), (place, whose));
        if places.len() <= 2 * CHUNK {
            chunk.set(places);
        } else {
            let halves = places.chunks(CHUNK + 1).map(Chunk::of).collect::<Vec<_>>();
            self.chunks.splice(at..=at, halves);
        }
    }

    /// Takes somebody's place away.
    pub(super) fn remove(&mut self, whose: u32) {
        let has = |chunk: &Chunk| chunk.marks.iter().any(|mark| mark.whose == whose);
        let Some(at) = self.chunks.iter().position(has) else { return };
        let rest: Vec<_> = self.chunks[at].iter().filter(|(_, other)| *other != whose).collect();
        if rest.is_empty() {
            self.chunks.remove(at);
        } else {
            self.chunks[at].set(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u32, u32, bool),
        Delete(u32, u32),
        Add(u32),
        Remove(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0..60_u32, 1..9_u32, any::<bool>()).prop_map(|(at, length, left)| Step::Insert(at, length, left)),
            2 => (0..60_u32, 1..20_u32).prop_map(|(start, length)| Step::Delete(start, start + length)),
            9 => (0..80_u32).prop_map(Step::Add),
            1 => any::<usize>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Chunks make it fast, and nothing else: a plain list says the same.
        #[test]
        fn places_move_as_in_a_plain_list(steps in prop::collection::vec(step(), 0..900)) {
            let (mut marks, mut plain, mut next) = (Marks::default(), Vec::<(u32, u32)>::new(), 0);
            for step in steps {
                match step {
                    Step::Insert(at, length, left) => {
                        marks.insert(at, length, if left { Keeps::Left } else { Keeps::Right });
                        for (place, _) in &mut plain {
                            *place += if *place > at || (*place == at && !left) { length } else { 0 };
                        }
                    }
                    Step::Delete(start, end) => {
                        marks.delete(start, end);
                        for (place, _) in &mut plain {
                            *place -= place.saturating_sub(start).min(end - start);
                        }
                    }
                    Step::Add(place) => {
                        marks.add(place, next);
                        plain.push((place, next));
                        plain.sort_by_key(|(place, _)| *place);
                        next += 1;
                    }
                    Step::Remove(nth) if !plain.is_empty() => {
                        let (_, whose) = plain.remove(nth % plain.len());
                        marks.remove(whose);
                    }
                    Step::Remove(_) => {}
                }
            }
            let sorted = |places: &mut dyn Iterator<Item = (u32, u32)>| {
                let mut places: Vec<_> = places.collect();
                assert!(places.is_sorted_by_key(|(place, _)| *place));
                places.sort_unstable();
                places
            };
            prop_assert_eq!(sorted(&mut marks.iter()), sorted(&mut plain.iter().copied()));
            let here = |place: &u32| (10..=40).contains(place);
            let within: Vec<_> = plain.iter().copied().filter(|(place, _)| here(place)).collect();
            prop_assert_eq!(sorted(&mut marks.within(10..=40)), sorted(&mut within.into_iter()));
        }
    }
}
