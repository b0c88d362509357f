//! What other processes record of who is here: read from the presence stream, and told to those who are here.
//!
//! What is said here is told at once, before it is in the stream. Where somebody else says something of the same user at that
//! moment, the later one in the stream counts, on every node: so what this process has said is looked at once more when it
//! is read behind something of others, and what others have said is left out as long as something newer is on its way.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    domain::{Cursor, Joined, Left, MessageId, Moved, PresenceEvent, Typed, Version},
    event_log::{ReadError, RecordedPresence, StreamName},
    projection::{Arrival, Placed},
    telemetry::TailRead,
};

use super::{
    super::{command::ConnectionId, committed::Committed, document::OpenDocument},
    Presence,
    place::Now,
    unlogged::Told,
};

/// Cursors that have not moved for more versions are not worth reading all that happened since, while somebody waits
/// for the document to open.
const CARRIED: u64 = 10_000;
/// Events that are read at a time.
const PAGE: usize = 500;
/// No connection of this process has this number: what others did goes to everybody.
const NOBODY: ConnectionId = ConnectionId(0);

impl OpenDocument {
    /// Learns who is here already, by what other processes have recorded.
    pub(in crate::live) async fn load_presence(&mut self) -> Result<(), ReadError> {
        if !self.live.log.is_shared() {
            return Ok(());
        }
        let saved = self.live.log.presence(&self.id).await?;
        self.presence.here = saved.presence;
        self.presence.progress.reach(saved.seq);
        // One of ours cannot be here before the document is open; that it left is not recorded yet.
        let own = self.presence.here.connections().filter(|left| self.live.node.is_own(&left.connection));
        for left in own.collect::<Vec<_>>() {
            self.presence.here.leave(&left);
        }
        self.presence.metrics.users_came(self.presence.here.count());
        let now = self.document.version();
        // Better none than one in the wrong place.
        self.presence.here.forget_cursors_before(Version(now.0.saturating_sub(CARRIED)));
        let Some(oldest) = self.presence.here.oldest_cursor().filter(|oldest| *oldest < now) else { return Ok(()) };
        let stream = StreamName::document(&self.id);
        let mut seq = self.live.log.seq_of_version(&stream, oldest).await?.unwrap_or_default();
        while seq < self.document.seq() {
            let page = self.live.log.read(&stream, seq, PAGE).await?;
            let Some(last) = page.last() else { break };
            seq = last.seq;
            page.into_iter().map(Committed::from_log).for_each(|edit| self.presence.edited(&edit));
        }
        Ok(())
    }

    /// Takes in what has been recorded since the last time.
    pub(in crate::live) async fn read_presence(&mut self) -> Result<(), ReadError> {
        self.presence.last_read = Some(Instant::now());
        loop {
            let page = self.live.log.read_presence(&self.id, self.presence.progress.reached(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let (end, now, is_last) = (last.seq, self.document.version(), page.len() < PAGE);
            if page.iter().any(|recorded| recorded.version > now) {
                // Whoever recorded it had seen edits that are still to be read here.
                self.read_tail(TailRead::Presence).await?;
            }
            for recorded in page {
                self.take_in_recorded(recorded);
            }
            self.presence.progress.reach(end);
            // What others have told meanwhile is for the next time: they may tell faster than this node reads.
            if is_last || !self.presence.progress.is_behind() {
                return Ok(());
            }
        }
    }

    /// Takes in one event, which refers to a version that this document has reached.
    fn take_in_recorded(&mut self, RecordedPresence { version, id, event, .. }: RecordedPresence) {
        let is_own = self.live.node.named(&id);
        match event {
            PresenceEvent::Joined(joined) if is_own => self.take_in_own_joined(&id, &joined),
            PresenceEvent::Joined(joined) => self.take_in_joined(&joined),
            PresenceEvent::Left(left) if !self.live.node.is_own(&left.connection) => self.take_in_left(&left),
            PresenceEvent::Left(left) if !is_own => self.take_in_own_left(&id, &left),
            PresenceEvent::Moved(moved) => {
                if is_own {
                    self.presence.unlogged.was_read(&id);
                }
                self.take_in_moved(version, moved);
            }
            PresenceEvent::Typed(typed) if !is_own => self.take_in_typed(version, typed),
            PresenceEvent::Left(_) | PresenceEvent::Typed(_) => (),
        }
    }

    fn take_in_joined(&mut self, joined: &Joined) {
        let newer = self.presence.here.user(&joined.user).map(|user| Arc::clone(&user.profile));
        let newer = newer.filter(|_| self.presence.unlogged.has(Told::Name, &joined.user));
        let mut arrival = self.presence.here.join(joined);
        if let Some(profile) = newer {
            self.presence.here.rename(&joined.user, &profile);
            arrival = Arrival::Known;
        }
        if arrival == Arrival::Newcomer {
            self.presence.metrics.users_came(1);
        }
        if arrival != Arrival::Known {
            self.tell_joined(&joined.user, &joined.profile, &joined.client);
        }
    }

    /// The connection may be gone by now, but it came after all that has been read.
    fn take_in_own_joined(&mut self, id: &MessageId, Joined { user, client, profile, .. }: &Joined) {
        let Presence { unlogged, here, .. } = &mut self.presence;
        unlogged.was_read(id);
        if !unlogged.has(Told::Name, user) && here.rename(user, profile) {
            self.tell_joined(user, profile, client);
        }
    }

    fn take_in_left(&mut self, left: &Left) {
        if let Some(client) = self.presence.here.leave(left) {
            self.presence.said.remove(&left.user);
            self.presence.metrics.users_gone(1);
            self.tell_left(&left.user, &client);
        }
    }

    fn take_in_moved(&mut self, version: Version, moved: Vec<Moved>) {
        let now = self.document.version();
        let Presence { unlogged, said, .. } = &self.presence;
        let is_newest = |moved: &Moved| {
            let is_to_be_told = said.get(&moved.user).is_some_and(|said| said.cursor.is_some());
            !is_to_be_told && !unlogged.has(Told::Cursor, &moved.user)
        };
        let placed = moved.into_iter().filter(is_newest).map(|it| Moved { cursor: self.carried(version, &it), ..it });
        // A cursor of this process is in place already, unless another process's event came between.
        let is_news = |it: &Moved| self.presence.here.cursor(&it.user).is_none_or(|placed| placed.cursor != it.cursor);
        let placed: Vec<_> = placed.filter(is_news).map(|moved| (NOBODY, moved)).collect();
        for (_, moved) in &placed {
            self.presence.here.place(&moved.user, Placed { version: now, cursor: moved.cursor });
        }
        self.broadcast(&placed, &[]);
    }

    fn take_in_typed(&self, version: Version, typed: Vec<Typed>) {
        let typed = typed.into_iter().map(|typed| {
            let cursor = typed.position.map(|position| Cursor { position, selection: None });
            let moved = cursor.map(|cursor| Moved {
                user: typed.user.clone(),
                client: typed.client.clone(),
                message_id: None,
                cursor,
            });
            (NOBODY, Typed { position: moved.map(|moved| self.carried(version, &moved).position), ..typed })
        });
        self.broadcast(&[], &typed.collect::<Vec<_>>());
    }

    /// A cursor that another process has placed in `version`, where it is now.
    fn carried(&self, version: Version, moved: &Moved) -> Cursor {
        let now = Now { content: self.document.content(), recent: &self.recent };
        now.carry(&moved.user, version, moved.cursor)
    }

    /// This process was taken for dead and has begun a new life: its people come again.
    pub(in crate::live) fn enter_again(&mut self) {
        self.presence.unlogged.begin_again();
        for subscriber in self.subscribers.clone() {
            self.enter(&subscriber);
        }
        let gone = self.presence.here.connections().filter(|left| self.live.node.was_own(&left.connection));
        for left in gone.collect::<Vec<_>>() {
            self.take_in_left(&left);
        }
    }
}
