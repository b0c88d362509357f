//! Projections that are kept, in memory.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::ready};

use super::{
    Position, StreamName,
    kept::{Generation, KeptPlace, KeptRow, Moved, Shelf},
    memory::Memory,
    port::Answer,
};
use crate::domain::Seq;

/// Generations with their names, and their states.
#[derive(Default)]
pub(super) struct Shelves {
    last: u64,
    generations: Vec<(String, Generation)>,
    kept: BTreeMap<(u64, StreamName, Seq), KeptRow>,
}

impl Shelves {
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Generation)) {
        if let Some((_, generation)) = self.generations.iter_mut().find(|(_, generation)| generation.id == id) {
            change(generation);
        }
    }

    fn of(&self, id: u64, stream: &StreamName, at_most: Seq) -> impl DoubleEndedIterator<Item = &KeptRow> {
        self.kept.range((id, stream.clone(), Seq(0))..=(id, stream.clone(), at_most)).map(|(_, row)| row)
    }
}

const END: Seq = Seq(u64::MAX);

impl Memory {
    fn shelves_now(&self) -> MutexGuard<'_, Shelves> {
        // Nothing here panics between two changes that belong together.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<T: Send + 'static>(answer: T) -> Answer<'static, T> {
    ready(Ok(answer)).boxed()
}

impl Shelf for Memory {
    fn generations<'a>(&'a self, form: &'a str) -> Answer<'a, Vec<Generation>> {
        let shelves = self.shelves_now();
        let of_form = shelves.generations.iter().filter(|(name, _)| name == form);
        done(of_form.map(|(_, generation)| generation.clone()).collect())
    }

    fn begin_generation<'a>(&'a self, form: &'a str, position: Position) -> Answer<'a, ()> {
        let mut shelves = self.shelves_now();
        if !shelves.generations.iter().any(|(name, generation)| name == form && !generation.is_in_use) {
            shelves.last += 1;
            let generation = Generation { id: shelves.last, position, building: Some(String::new()), is_in_use: false };
            shelves.generations.push((form.to_owned(), generation));
        }
        done(())
    }

    fn note_gone_through<'a>(&'a self, generation: u64, to: Option<&'a StreamName>) -> Answer<'a, ()> {
        self.shelves_now().change(generation, |it| {
            let to = to.map(|to| to.as_str().to_owned());
            if to.is_none() || (it.building.is_some() && to > it.building) {
                it.building = to;
            }
        });
        done(())
    }

    fn note_followed(&self, generation: u64, to: Position) -> Answer<'_, ()> {
        self.shelves_now().change(generation, |it| it.position = it.position.max(to));
        done(())
    }

    fn put_in_use(&self, generation: u64) -> Answer<'_, ()> {
        self.shelves_now().change(generation, |it| it.is_in_use |= it.building.is_none());
        done(())
    }

    fn forget_generation(&self, generation: u64) -> Answer<'_, u64> {
        let mut shelves = self.shelves_now();
        let before = shelves.generations.len() + shelves.kept.len();
        shelves.generations.retain(|(_, it)| it.id != generation);
        shelves.kept.retain(|(id, ..), _| *id != generation);
        done((before - shelves.generations.len() - shelves.kept.len()) as u64)
    }

    fn save_kept<'a>(&'a self, generation: u64, stream: &'a StreamName, row: KeptRow, spacing: u64) -> Answer<'a, ()> {
        let has_come_so_far = self.streams_now().get(stream).is_some_and(|stream| stream.can_keep(row.seq));
        let mut shelves = self.shelves_now();
        if has_come_so_far && shelves.generations.iter().any(|(_, it)| it.id == generation) {
            shelves.kept.entry((generation, stream.clone(), row.seq)).or_insert(row);
            let newest: Vec<_> = shelves.of(generation, stream, END).rev().take(3).map(|row| row.seq.0).collect();
            if let [first, second, rest @ ..] = &newest[..]
                && first - rest.first().unwrap_or(&0) <= spacing
            {
                shelves.kept.remove(&(generation, stream.clone(), Seq(*second)));
            }
        }
        done(())
    }

    fn kept<'a>(&'a self, generation: u64, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<KeptRow>> {
        done(self.shelves_now().of(generation, stream, at_most).next_back().cloned())
    }

    fn kept_places<'a>(&'a self, generation: u64, stream: &'a StreamName) -> Answer<'a, Vec<KeptPlace>> {
        let place = |row: &KeptRow| KeptPlace { seq: row.seq, size: row.content.len() as u64 };
        done(self.shelves_now().of(generation, stream, END).map(place).collect())
    }

    fn drop_kept<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, u64> {
        let mut shelves = self.shelves_now();
        let before = shelves.kept.len();
        shelves.kept.retain(|(_, name, _), _| name != stream);
        done((before - shelves.kept.len()) as u64)
    }

    fn moved(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<Moved>> {
        let mut moved: BTreeMap<StreamName, Moved> = BTreeMap::new();
        let feed = self.feed_now();
        let stretch = (1..).map(Position).zip(feed.iter()).filter(|(position, _)| after < *position && *position <= to);
        for (position, (stream, seq)) in stretch.take(limit) {
            let stream = stream.clone();
            let it = moved.entry(stream.clone()).or_insert(Moved { stream, seq: *seq, position, events: 0 });
            (it.seq, it.position, it.events) = (*seq, position, it.events + 1);
        }
        done(moved.into_values().collect())
    }

    fn documents_after<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        let streams = self.streams_now();
        let after = streams.keys().filter(|stream| stream.document_id().is_some() && stream.as_str() > name);
        done(after.count() as u64)
    }
}
