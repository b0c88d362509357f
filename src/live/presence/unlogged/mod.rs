//! Presence on its way into the log.
//!
//! Nobody waits for the log here, and it may be as slow as it likes: what is not written yet is merged to
//! the newest of each user, so there is never more of it than there are people. Who comes and who goes is
//! never merged, up to a bound that only a log that is away for long meets: from there on a visit that had
//! not been recorded when it ended is forgotten whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::{ConnectionName, Joined, MessageId, Moved, PresenceEvent, Typed, UserId, Version},
    event_log::NewPresence,
    projection::Presence,
    telemetry::{Metrics, PresenceOutcome},
};

/// What is to be written next. Shared by the document, which adds, and the task that writes.
#[derive(Debug, Default)]
pub(super) struct Unlogged(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    comings_and_goings: Vec<(Version, PresenceEvent)>,
    /// Connections whose coming is among these.
    came: BTreeSet<ConnectionName>,
    /// The version that the places below refer to.
    version: Version,
    moved: BTreeMap<UserId, Moved>,
    typed: BTreeMap<UserId, Typed>,
    /// Of whom cursors and names are being written, in which event.
    writing: [HashMap<UserId, Option<MessageId>>; 2],
    is_writing: bool,
    /// Connections that came and have not gone.
    connections: usize,
    /// Whether it is noted in the log that this process has people here.
    is_noted: bool,
}

/// What is to be written.
#[derive(Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) events: Vec<(Version, PresenceEvent)>,
    /// Before these are, it has to be noted that there are people here.
    pub(super) is_first: bool,
}

/// A property of a user that any node may change. The last change in the stream counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Cursor,
    Name,
}

/// So many comings and goings may wait before visits are forgotten.
const MOST: usize = 4_096;

impl Unlogged {
    /// Adds a coming or going, of a connection of this process or of another's. Whether a task has to be started that
    /// writes.
    pub(super) fn add(&self, version: Version, event: PresenceEvent, is_own: bool, metrics: &Metrics) -> bool {
        let mut state = self.lock();
        match &event {
            PresenceEvent::Joined(joined) if is_own => {
                state.connections += 1;
                state.came.insert(joined.connection.clone());
            }
            PresenceEvent::Left(_) if is_own => state.connections = state.connections.saturating_sub(1),
            PresenceEvent::Joined(_) | PresenceEvent::Left(_) | PresenceEvent::Moved(_) | PresenceEvent::Typed(_) => (),
        }
        state.push(version, event, metrics)
    }

    /// Adds that a connection which came before says anew who its user is. Whether a task has to be started that
    /// writes.
    pub(super) fn add_renamed(&self, version: Version, joined: Joined, metrics: &Metrics) -> bool {
        self.lock().push(version, PresenceEvent::Joined(joined), metrics)
    }

    /// Adds what was told of the cursors that are in `here`. Whether a task has to be started that writes.
    pub(super) fn add_told(
        &self,
        version: Version,
        here: &Presence,
        (moved, typed): (Vec<Moved>, Vec<Typed>),
        metrics: &Metrics,
    ) -> bool {
        let mut state = self.lock();
        if state.version < version {
            state.version = version;
            // What has waited since an earlier version is moved along, so that one event holds it all.
            state.moved.retain(|user, moved| here.cursor(user).map(|placed| moved.cursor = placed.cursor).is_some());
            state.typed.values_mut().for_each(|typed| typed.position = None);
        }
        let mut merged = 0;
        for moved in moved {
            merged += u64::from(state.moved.insert(moved.user.clone(), moved).is_some());
        }
        for typed in typed {
            merged += u64::from(state.typed.insert(typed.user.clone(), typed).is_some());
        }
        metrics.presence(PresenceOutcome::Merged, merged);
        !mem::replace(&mut state.is_writing, true)
    }

    /// A user has left: where they were is not to be recorded behind that.
    pub(super) fn forget(&self, user: &UserId) {
        let mut state = self.lock();
        state.moved.remove(user);
        state.typed.remove(user);
    }

    /// Takes everything, in the order in which it is to be recorded. `None` when there is nothing: then the
    /// task that asks is done.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut state = self.lock();
        let mut events = mem::take(&mut state.comings_and_goings);
        state.came.clear();
        let (moved, typed) = (mem::take(&mut state.moved), mem::take(&mut state.typed));
        let named = events.iter().filter_map(|(_, event)| match event {
            PresenceEvent::Joined(joined) => Some((joined.user.clone(), None)),
            PresenceEvent::Left(_) | PresenceEvent::Moved(_) | PresenceEvent::Typed(_) => None,
        });
        state.writing = [moved.keys().map(|user| (user.clone(), None)).collect(), named.collect()];
        if !moved.is_empty() {
            events.push((state.version, PresenceEvent::Moved(moved.into_values().collect())));
        }
        if !typed.is_empty() {
            events.push((state.version, PresenceEvent::Typed(typed.into_values().collect())));
        }
        state.is_writing = !events.is_empty();
        let is_first = !events.is_empty() && !mem::replace(&mut state.is_noted, true);
        (!events.is_empty()).then_some(Taken { events, is_first })
    }

    /// Notes under which names the events that were taken are being written.
    pub(super) fn named(&self, events: &[NewPresence]) {
        let mut state = self.lock();
        let [cursors, names] = &mut state.writing;
        for NewPresence { id, event, .. } in events {
            let note = |told: &mut HashMap<_, _>, user: &UserId| drop(told.insert(user.clone(), Some(id.clone())));
            match event {
                PresenceEvent::Joined(joined) => note(names, &joined.user),
                PresenceEvent::Moved(moved) => moved.iter().for_each(|moved| note(cursors, &moved.user)),
                PresenceEvent::Left(_) | PresenceEvent::Typed(_) => (),
            }
        }
    }

    /// All of it is written.
    pub(super) fn written(&self) {
        self.lock().writing = Default::default();
    }

    /// An event of this process was read from the stream: what is read from there on comes after it.
    pub(super) fn was_read(&self, event: &MessageId) {
        self.lock().writing.iter_mut().for_each(|told| told.retain(|_, by| by.as_ref() != Some(event)));
    }

    /// Whether something of a user is still on its way: it comes after all that has been read from the stream.
    pub(super) fn has(&self, told: Told, user: &UserId) -> bool {
        let state = self.lock();
        let [cursors, names] = &state.writing;
        let is_joined = |(_, event): &(Version, PresenceEvent)| match event {
            PresenceEvent::Joined(joined) => joined.user == *user,
            PresenceEvent::Left(_) | PresenceEvent::Moved(_) | PresenceEvent::Typed(_) => false,
        };
        match told {
            Told::Cursor => cursors.contains_key(user) || state.moved.contains_key(user),
            Told::Name => names.contains_key(user) || state.comings_and_goings.iter().any(is_joined),
        }
    }

    /// Whether everybody has gone and all is written, so that the note can be taken back. It counts as taken
    /// back from then on.
    pub(super) fn was_last(&self) -> bool {
        let mut state = self.lock();
        let is_over = state.connections == 0 && state.comings_and_goings.is_empty();
        is_over && mem::replace(&mut state.is_noted, false)
    }

    /// Somebody else has taken back the note, and recorded that all connections so far are gone.
    pub(super) fn begin_again(&self) {
        let mut state = self.lock();
        (state.connections, state.is_noted) = (0, false);
    }

    /// The task that writes ends early.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        (state.is_writing, state.writing) = (false, Default::default());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, version: Version, event: PresenceEvent, metrics: &Metrics) -> bool {
        self.comings_and_goings.push((version, event));
        if self.comings_and_goings.len() > MOST {
            metrics.presence(PresenceOutcome::Dropped, forget_visits(&mut self.comings_and_goings, &mut self.came));
        }
        !mem::replace(&mut self.is_writing, true)
    }
}

/// Forgets connections that came and went, of those that `came` while this waits; answers how many events that were.
fn forget_visits(events: &mut Vec<(Version, PresenceEvent)>, came: &mut BTreeSet<ConnectionName>) -> u64 {
    let mut said: BTreeMap<ConnectionName, Vec<usize>> = BTreeMap::new();
    let mut forgotten = vec![false; events.len()];
    for (at, (_, event)) in events.iter().enumerate() {
        match event {
            PresenceEvent::Joined(joined) => said.entry(joined.connection.clone()).or_default().push(at),
            // Of one that is in the log already its end has to get there too.
            PresenceEvent::Left(left) if came.remove(&left.connection) => {
                said.remove(&left.connection).into_iter().flatten().chain([at]).for_each(|at| forgotten[at] = true);
            }
            PresenceEvent::Left(_) | PresenceEvent::Moved(_) | PresenceEvent::Typed(_) => (),
        }
    }
    let before = events.len();
    let mut at = 0;
    events.retain(|_| {
        at += 1;
        !forgotten[at - 1]
    });
    (before - events.len()) as u64
}

#[cfg(test)]
mod tests;
