//! What happens in presence streams, form 1. Frozen: add a form beside it, never change it.
//!
//! Bodies: `["joined.1", [node, incarnation, number], user, client, name, avatar_url, color]`,
//! `["left.1", [node, incarnation, number], user]`, `["moved.1", [user, client, message_id, cursor], …]`,
//! `["typed.1", [user, client, message_id, is_typing, position], …]`. A cursor is `[position]` or
//! `[position, start, end]`, in UTF-16 units. The cause is `[]`: there is nothing that a fold could leave out.
//!
//! A snapshot: `["presence.1", [user, name, avatar_url, color, [[node, incarnation, number, client], …],
//! version and cursor or null], …]`.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::SeqAccess};

use super::Why;
use crate::{
    domain::{
        ClientId, ConnectionName, Cursor, IdError, Joined, Left, MessageId, Moved, NodeId, PresenceEvent, Profile,
        Typed, UserId, Version,
    },
    projection::{Placed, Presence},
};

pub(super) const JOINED: &str = "joined.1";
pub(super) const LEFT: &str = "left.1";
pub(super) const MOVED: &str = "moved.1";
pub(super) const TYPED: &str = "typed.1";
pub(super) const SNAPSHOT: &str = "presence.1";
pub(super) const CAUSE: &str = "[]";

type Connection<'a> = (&'a str, u64, u64);

/// A cursor as a list of one number or three.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum At {
    Selecting(usize, usize, usize),
    Alone((usize,)),
}

impl From<Cursor> for At {
    fn from(cursor: Cursor) -> Self {
        match cursor.selection {
            Some((start, end)) => Self::Selecting(cursor.position, start, end),
            None => Self::Alone((cursor.position,)),
        }
    }
}

impl From<At> for Cursor {
    fn from(at: At) -> Self {
        match at {
            At::Selecting(position, start, end) => Self { position, selection: Some((start, end)) },
            At::Alone((position,)) => Self { position, selection: None },
        }
    }
}

/// Writes an event.
pub(super) fn encode(event: &PresenceEvent) -> serde_json::Result<String> {
    match event {
        PresenceEvent::Joined(Joined { connection, user, client, profile }) => {
            let Profile { name, avatar_url, color } = &**profile;
            serde_json::to_string(&(JOINED, named(connection), user.as_str(), client.as_str(), name, avatar_url, color))
        }
        PresenceEvent::Left(Left { connection, user }) => {
            serde_json::to_string(&(LEFT, named(connection), user.as_str()))
        }
        PresenceEvent::Moved(moves) => list(
            MOVED,
            moves.iter().map(|moved| {
                let message = moved.message_id.as_ref().map(MessageId::as_str);
                (moved.user.as_str(), moved.client.as_str(), message, At::from(moved.cursor))
            }),
        ),
        PresenceEvent::Typed(all) => list(
            TYPED,
            all.iter().map(|typed| {
                let message = typed.message_id.as_ref().map(MessageId::as_str);
                (typed.user.as_str(), typed.client.as_str(), message, typed.is_typing, typed.position)
            }),
        ),
    }
}

fn named(connection: &ConnectionName) -> Connection<'_> {
    (connection.node.as_str(), connection.incarnation, connection.number)
}

/// The tag, and then each item.
fn list<T: Serialize>(tag: &str, items: impl Iterator<Item = T>) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(&[tag])?;
    text.pop();
    for item in items {
        text.push(',');
        text.push_str(&serde_json::to_string(&item)?);
    }
    text.push(']');
    Ok(text)
}

fn field<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(list: &mut A, name: &'static str) -> Result<T, A::Error> {
    list.next_element()?.ok_or_else(|| serde::de::Error::missing_field(name))
}

fn checked<T, E: serde::de::Error>(id: Result<T, IdError>) -> Result<T, E> {
    id.map_err(E::custom)
}

fn connection<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<ConnectionName, A::Error> {
    let (node, incarnation, number): (String, u64, u64) = field(list, "connection")?;
    Ok(ConnectionName { node: checked(NodeId::parse(&node))?, incarnation, number })
}

fn user<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<UserId, A::Error> {
    checked(UserId::parse(&field::<String, A>(list, "user")?))
}

/// Reads a [`JOINED`] after its tag.
pub(super) fn joined<'de, A: SeqAccess<'de>>(mut list: A) -> Result<PresenceEvent, A::Error> {
    let (connection, user) = (connection(&mut list)?, user(&mut list)?);
    let client = checked(ClientId::parse(&field::<String, A>(&mut list, "client")?))?;
    let name = field(&mut list, "name")?;
    let avatar_url = field(&mut list, "avatar_url")?;
    let color = field(&mut list, "color")?;
    let profile = Arc::new(Profile { name, avatar_url, color });
    Ok(PresenceEvent::Joined(Joined { connection, user, client, profile }))
}

/// Reads a [`LEFT`] after its tag.
pub(super) fn left<'de, A: SeqAccess<'de>>(mut list: A) -> Result<PresenceEvent, A::Error> {
    Ok(PresenceEvent::Left(Left { connection: connection(&mut list)?, user: user(&mut list)? }))
}

/// Reads a [`MOVED`] after its tag.
pub(super) fn moved<'de, A: SeqAccess<'de>>(mut list: A) -> Result<PresenceEvent, A::Error> {
    let mut moves = Vec::new();
    while let Some((user, client, message_id, at)) = list.next_element::<(String, String, Option<String>, At)>()? {
        moves.push(Moved {
            user: checked(UserId::parse(&user))?,
            client: checked(ClientId::parse(&client))?,
            message_id: checked(message_id.as_deref().map(MessageId::parse).transpose())?,
            cursor: at.into(),
        });
    }
    Ok(PresenceEvent::Moved(moves))
}

/// Reads a [`TYPED`] after its tag.
pub(super) fn typed<'de, A: SeqAccess<'de>>(mut list: A) -> Result<PresenceEvent, A::Error> {
    type Item = (String, String, Option<String>, bool, Option<usize>);
    let mut all = Vec::new();
    while let Some((user, client, message_id, is_typing, position)) = list.next_element::<Item>()? {
        all.push(Typed {
            user: checked(UserId::parse(&user))?,
            client: checked(ClientId::parse(&client))?,
            message_id: checked(message_id.as_deref().map(MessageId::parse).transpose())?,
            is_typing,
            position,
        });
    }
    Ok(PresenceEvent::Typed(all))
}

/// Writes everybody present.
pub(super) fn encode_snapshot(presence: &Presence) -> Result<String, Why> {
    let users = presence.users().map(|(user, present)| {
        let Profile { name, avatar_url, color } = &*present.profile;
        let connection = |(name, client): (&ConnectionName, &ClientId)| {
            (name.node.to_string(), name.incarnation, name.number, client.to_string())
        };
        let connections: Vec<_> = present.connections.iter().map(connection).collect();
        let cursor = presence.cursor(user).map(|placed| (placed.version, At::from(placed.cursor)));
        (user.as_str(), name, avatar_url, color, connections, cursor)
    });
    list(SNAPSHOT, users).map_err(|error| error.to_string())
}

/// Reads a [`SNAPSHOT`] after its tag.
pub(super) fn snapshot<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Presence, A::Error> {
    type Connections = Vec<(String, u64, u64, String)>;
    type Item = (String, Option<String>, Option<String>, Option<String>, Connections, Option<(u64, At)>);
    let mut presence = Presence::new();
    while let Some((user, name, avatar_url, color, connections, cursor)) = list.next_element::<Item>()? {
        let user = checked(UserId::parse(&user))?;
        let profile = Arc::new(Profile { name, avatar_url, color });
        for (node, incarnation, number, client) in connections {
            presence.join(&Joined {
                connection: ConnectionName { node: checked(NodeId::parse(&node))?, incarnation, number },
                user: user.clone(),
                client: checked(ClientId::parse(&client))?,
                profile: Arc::clone(&profile),
            });
        }
        if let Some((version, at)) = cursor {
            presence.place(&user, Placed { version: Version(version), cursor: at.into() });
        }
    }
    Ok(presence)
}
