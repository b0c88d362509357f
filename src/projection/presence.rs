//! Who is in a document and where their cursors are, folded from its presence stream and moved by its edits.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{ClientId, ConnectionName, Cursor, Joined, Left, PresenceEvent, Profile, UserId, Version},
    text::{Footprint, Priority, Utf16},
};

/// Everybody present. Users have one cursor each, however many connections they have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Presence {
    users: BTreeMap<UserId, Present>,
    /// Apart from the users: every edit goes through these, and most who are present only read.
    cursors: BTreeMap<UserId, Placed>,
}

/// A user who is present.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// Who that is to the others.
    pub profile: Arc<Profile>,
    /// Their connections, with the client of each; at least one.
    pub connections: BTreeMap<ConnectionName, ClientId>,
}

/// What it means to the others that a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Its user was not here before.
    Newcomer,
    /// Its user was, and is called otherwise, or looks otherwise, from now on.
    Renamed,
    /// Nothing.
    Known,
}

/// A cursor, and the version of the document that it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The version.
    pub version: Version,
    /// Where it is in that version.
    pub cursor: Cursor,
}

impl Presence {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds in an event that refers to `version`. Whatever does not fit (a cursor of somebody who has left,
    /// a goodbye without a beginning) changes nothing: streams are trimmed, and merged.
    pub fn fold(&mut self, version: Version, event: &PresenceEvent) {
        match event {
            PresenceEvent::Joined(joined) => {
                self.join(joined);
            }
            PresenceEvent::Left(left) => drop(self.leave(left)),
            PresenceEvent::Moved(moves) => {
                for moved in moves {
                    self.place(&moved.user, Placed { version, cursor: moved.cursor });
                }
            }
            PresenceEvent::Typed(_) => (),
        }
    }

    /// A connection comes, or says anew who its user is.
    pub fn join(&mut self, joined: &Joined) -> Arrival {
        let arrival = match self.users.get(&joined.user) {
            None => Arrival::Newcomer,
            Some(user) if user.profile != joined.profile => Arrival::Renamed,
            Some(_) => Arrival::Known,
        };
        let user = self
            .users
            .entry(joined.user.clone())
            .or_insert_with(|| Present { profile: Arc::clone(&joined.profile), connections: BTreeMap::new() });
        user.profile = Arc::clone(&joined.profile);
        user.connections.insert(joined.connection.clone(), joined.client.clone());
        arrival
    }

    /// A user is called otherwise, or looks otherwise, from now on; whether that is news.
    pub fn rename(&mut self, user: &UserId, profile: &Arc<Profile>) -> bool {
        let Some(user) = self.users.get_mut(user).filter(|user| user.profile != *profile) else { return false };
        user.profile = Arc::clone(profile);
        true
    }

    /// A connection goes; the client it belonged to, if it was the last one of its user.
    pub fn leave(&mut self, left: &Left) -> Option<ClientId> {
        let user = self.users.get_mut(&left.user)?;
        let client = user.connections.remove(&left.connection)?;
        if !user.connections.is_empty() {
            return None;
        }
        self.users.remove(&left.user);
        self.cursors.remove(&left.user);
        Some(client)
    }

    /// A user's cursor is here now.
    pub fn place(&mut self, user: &UserId, placed: Placed) {
        if !self.users.contains_key(user) {
            return;
        }
        match self.cursors.get_mut(user) {
            Some(cursor) => *cursor = placed,
            None => drop(self.cursors.insert(user.clone(), placed)),
        }
    }

    /// The document was edited, and `version` came of it: cursors that refer to the version before are moved.
    pub fn edited(&mut self, version: Version, edit: &Footprint<Utf16>, author: &UserId) {
        for (user, placed) in &mut self.cursors {
            if placed.version < version {
                *placed = Placed { version, cursor: carried(placed.cursor, edit, user == author) };
            }
        }
    }

    /// Everybody present, by their ids.
    pub fn users(&self) -> impl Iterator<Item = (&UserId, &Present)> {
        self.users.iter()
    }

    /// A user, if they are present.
    pub fn user(&self, id: &UserId) -> Option<&Present> {
        self.users.get(id)
    }

    /// A user's cursor, if they have shown it.
    pub fn cursor(&self, user: &UserId) -> Option<&Placed> {
        self.cursors.get(user)
    }

    /// Every connection, as its end would be told.
    pub fn connections(&self) -> impl Iterator<Item = Left> {
        self.users.iter().flat_map(|(user, present)| {
            present.connections.keys().map(|name| Left { connection: name.clone(), user: user.clone() })
        })
    }

    /// The oldest version that a cursor refers to.
    pub fn oldest_cursor(&self) -> Option<Version> {
        self.cursors.values().map(|placed| placed.version).min()
    }

    /// Forgets cursors that refer to an earlier version: their users count as not having shown one.
    pub fn forget_cursors_before(&mut self, version: Version) {
        self.cursors.retain(|_, placed| placed.version >= version);
    }

    /// How many users are present.
    pub fn count(&self) -> usize {
        self.users.len()
    }
}

/// A cursor after an edit: where text is inserted just at it, it goes along with its own user's text, and
/// stays before everybody else's.
pub fn carried(cursor: Cursor, edit: &Footprint<Utf16>, is_own: bool) -> Cursor {
    let priority = if is_own { Priority::Second } else { Priority::First };
    cursor.map(|position| edit.transform_position(position, priority))
}
