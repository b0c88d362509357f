//! What the others are told of those who are here.

use std::cell::OnceCell;

use tokio::time::Instant;

use crate::{
    domain::{ClientId, Cursor, Moved, PositionEncoding, Profile, Typed, UserId, Version},
    protocol::{
        document::{cursor_update, typing_indicator, user_joined, user_left},
        frames::{Frames, Series},
    },
    telemetry::Sent,
    text::RichText,
};

use super::{
    super::{
        command::ConnectionId, committed::ClientKey, document::OpenDocument, outbox::Item, subscriber::Subscriber,
    },
    By, Now, Said, counted,
};

/// What is told to everybody but those who said it, encoded once per unit.
struct Told<'a> {
    content: &'a RichText,
    version: Version,
    timestamp: &'a str,
    moved: &'a [(ConnectionId, Moved)],
    typed: &'a [(ConnectionId, Typed)],
    series: [OnceCell<Series>; 2],
}

impl Told<'_> {
    /// What one connection is told.
    fn to(&self, subscriber: &Subscriber) -> impl Iterator<Item = Frames> {
        let by = self.moved.iter().map(|it| it.0).chain(self.typed.iter().map(|it| it.0));
        let own: Vec<_> = by.enumerate().filter(|(_, by)| *by == subscriber.connection).map(|(at, _)| at).collect();
        let starts = std::iter::once(0).chain(own.clone().into_iter().map(|at| at + 1));
        let ends = own.into_iter().chain([self.moved.len() + self.typed.len()]);
        let series = self.series(subscriber.encoding);
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| series.run(start..end))
    }

    fn series(&self, encoding: PositionEncoding) -> &Series {
        // In most texts the units are the same.
        let encoding = if self.content.is_single_unit() { PositionEncoding::Utf16 } else { encoding };
        self.series[usize::from(encoding == PositionEncoding::Utf32)].get_or_init(|| self.encode(encoding))
    }

    fn encode(&self, encoding: PositionEncoding) -> Series {
        let moved = self
            .moved
            .iter()
            .map(|(_, it)| cursor_update(it, counted(self.content, it.cursor, encoding), self.version, self.timestamp));
        let typed = self.typed.iter().map(|(_, it)| {
            let place = it.position.map(|position| Cursor { position, selection: None });
            let place = place.map(|place| counted(self.content, place, encoding).position);
            typing_indicator(it, place, self.version, self.timestamp)
        });
        Series::of(moved.chain(typed).map(|message| Frames::text(&message)))
    }
}

impl OpenDocument {
    /// Tells what is due, if anything is.
    pub(in crate::live) fn tell_if_due(&mut self) {
        if self.presence.due().is_some_and(|due| due <= Instant::now()) {
            self.tell();
        }
    }

    /// Tells what was said since the last time: to the others, and to the log.
    pub(in crate::live) fn tell(&mut self) {
        self.place_cursors();
        self.presence.due = None;
        let said = std::mem::take(&mut self.presence.said);
        let (mut moved, mut typed) = (Vec::new(), Vec::new());
        for (user, Said { cursor, typing }) in said {
            if let (Some(by), Some(placed)) = (cursor, self.presence.here.cursor(&user)) {
                let By { connection, client, message_id, .. } = by;
                moved.push((connection, Moved { user: user.clone(), client, message_id, cursor: placed.cursor }));
            }
            if let Some(by) = typing {
                typed.extend(self.place_typing(user, by));
            }
        }
        if moved.is_empty() && typed.is_empty() {
            return;
        }
        self.presence.last_told = Some(Instant::now());
        self.broadcast(&moved, &typed);
        let told = (moved.into_iter().map(|it| it.1).collect(), typed.into_iter().map(|it| it.1).collect());
        let (unlogged, metrics) = (&self.presence.unlogged, &self.live.metrics);
        if unlogged.add_told(self.document.version(), &self.presence.here, told, metrics) {
            self.live.write_presence(&self.id, unlogged, &self.streams.presence);
        }
    }

    fn place_typing(&self, user: UserId, by: By<(super::TypingMessage, super::Seen)>) -> Option<(ConnectionId, Typed)> {
        let By { connection, client, message_id, what: (typing, seen) } = by;
        let now = Now { content: self.document.content(), recent: &self.recent };
        let encoding = self.subscriber(connection).map(|it| it.encoding).unwrap_or_default();
        let key = ClientKey { user: user.clone(), client: client.clone() };
        let place = |position| now.place(&key, seen, Cursor { position, selection: None }, encoding);
        match typing.position.map(place).transpose() {
            Ok(place) => {
                let position = place.map(|place| place.position);
                Some((connection, Typed { user, client, message_id, is_typing: typing.is_typing, position }))
            }
            Err(why) => {
                self.refuse_presence(connection, message_id.as_ref(), &why);
                None
            }
        }
    }

    pub(super) fn broadcast(&self, moved: &[(ConnectionId, Moved)], typed: &[(ConnectionId, Typed)]) {
        let (version, timestamp) = (self.document.version(), &self.live.clock.now().to_string());
        let content = self.document.content();
        let told = Told { content, version, timestamp, moved, typed, series: Default::default() };
        let mut sent = 0;
        for subscriber in &self.subscribers {
            let items = told.to(subscriber).inspect(|frames| sent += frames.count() as u64).map(Item::Frames);
            subscriber.outbox.push_all(items);
        }
        self.live.metrics.messages_sent(Sent::Presence, sent);
    }

    /// Tells the others that the user of a connection is here, and who that is.
    pub(in crate::live) fn announce(&self, newcomer: ConnectionId) {
        let Some(newcomer) = self.subscriber(newcomer) else { return };
        let ClientKey { user, client } = &newcomer.client;
        let now = self.live.clock.now().to_string();
        let joined = user_joined(user, &newcomer.profile, &now, client);
        self.tell_all(&joined, |it| it.client.user != *user);
        self.tell_cursor(user, client, |it| it.client.user != *user);
    }

    /// Tells again where somebody is who has shown it: who is told that they joined forgets where they were.
    fn tell_cursor(&self, user: &UserId, client: &ClientId, who: impl Fn(&Subscriber) -> bool) {
        let Some(placed) = self.presence.here.cursor(user) else { return };
        let moved = Moved { user: user.clone(), client: client.clone(), message_id: None, cursor: placed.cursor };
        let (content, version) = (self.document.content(), self.document.version());
        let (now, mut sent) = (self.live.clock.now().to_string(), 0);
        for reader in self.subscribers.iter().filter(|it| who(it)) {
            let cursor = counted(content, placed.cursor, reader.encoding);
            reader.outbox.push(Item::text(&cursor_update(&moved, cursor, version, &now)));
            sent += 1;
        }
        self.live.metrics.messages_sent(Sent::Presence, sent);
    }

    /// Tells everybody that a user is here, on another process, and who that is.
    pub(super) fn tell_joined(&self, user: &UserId, profile: &Profile, client: &ClientId) {
        let now = self.live.clock.now().to_string();
        self.tell_all(&user_joined(user, profile, &now, client), |it| it.client.user != *user);
        self.tell_cursor(user, client, |it| it.client.user != *user);
    }

    /// Tells one who resumes who is here: it is not sent the whole document, where that would stand.
    pub(in crate::live) fn tell_who_is_here(&self, reader: &Subscriber) {
        let (content, now) = (self.document.content(), self.live.clock.now().to_string());
        let (version, mut sent) = (self.document.version(), 0);
        for (id, user) in self.presence.here.users().filter(|(id, _)| **id != reader.client.user) {
            // A user who is present has a connection, and that a client.
            let Some(client) = user.connections.values().next() else { continue };
            let joined = user_joined(id, &user.profile, &now, client);
            reader.outbox.push(Item::text(&joined));
            sent += 1;
            if let Some(placed) = self.presence.here.cursor(id) {
                let (user, client) = (id.clone(), client.clone());
                let moved = Moved { user, client, message_id: None, cursor: placed.cursor };
                let cursor = counted(content, placed.cursor, reader.encoding);
                reader.outbox.push(Item::text(&cursor_update(&moved, cursor, version, &now)));
                sent += 1;
            }
        }
        self.live.metrics.messages_sent(Sent::Presence, sent);
    }

    pub(super) fn tell_left(&self, user: &UserId, client: &ClientId) {
        let now = self.live.clock.now().to_string();
        self.tell_all(&user_left(user, &now, client), |_| true);
    }

    fn tell_all(&self, message: &str, who: impl Fn(&Subscriber) -> bool) {
        let (frames, mut sent) = (Frames::text(message), 0);
        for subscriber in self.subscribers.iter().filter(|it| who(it)) {
            subscriber.outbox.push(Item::Frames(frames.clone()));
            sent += 1;
        }
        self.live.metrics.messages_sent(Sent::Presence, sent);
    }
}
