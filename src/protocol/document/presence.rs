//! Who is here, and where: what clients say of themselves, and what they hear of the others.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{
    domain::{ClientId, Cursor, Moved, Profile, Typed, UserId, Version},
    protocol::Refusal,
};

use super::{client::read, operation::Count, server::encode};

/// A place as a client says it: in its unit, and as of what its user sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorMessage {
    /// Where, in the connection's unit.
    pub cursor: Cursor,
    /// The last version that the client had received; the last one sent to it when absent.
    pub version: Option<Version>,
}

/// `typing_indicator` as a client says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypingMessage {
    /// Whether its user types now.
    pub is_typing: bool,
    /// Where, in the connection's unit, if it says so.
    pub position: Option<usize>,
    /// As with cursors.
    pub version: Option<Version>,
}

#[derive(Deserialize)]
pub(super) struct CursorData {
    cursor: WireCursor,
    version: Option<u64>,
    pub(super) document_id: Option<String>,
}

#[derive(Deserialize)]
struct WireCursor {
    position: Count,
    selection: Option<WireSelection>,
}

#[derive(Deserialize)]
struct WireSelection {
    start: Count,
    end: Count,
}

#[derive(Deserialize)]
pub(super) struct TypingData {
    is_typing: bool,
    position: Option<Count>,
    version: Option<u64>,
    pub(super) document_id: Option<String>,
}

impl CursorData {
    pub(super) fn of(data: &RawValue) -> Result<Self, Refusal> {
        read(data.get(), "data")
    }

    pub(super) fn check(self) -> Result<CursorMessage, Refusal> {
        let place = |path: &str, count: Count| count.at_least_zero(&format!("data.cursor.{path}"));
        let selection = match self.cursor.selection {
            Some(WireSelection { start, end }) => {
                Some((place("selection.start", start)?, place("selection.end", end)?))
            }
            None => None,
        };
        let cursor = Cursor { position: place("position", self.cursor.position)?, selection };
        Ok(CursorMessage { cursor, version: self.version.map(Version) })
    }
}

impl TypingData {
    pub(super) fn of(data: &RawValue) -> Result<Self, Refusal> {
        read(data.get(), "data")
    }

    pub(super) fn check(self) -> Result<TypingMessage, Refusal> {
        let position = self.position.map(|count| count.at_least_zero("data.position")).transpose()?;
        Ok(TypingMessage { is_typing: self.is_typing, position, version: self.version.map(Version) })
    }
}

/// Somebody who is present, in `document_sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveUser {
    /// Who.
    pub user_id: UserId,
    /// Who that is to the others.
    pub profile: Arc<Profile>,
    /// Where their cursor is, in the receiver's unit; at 0 until they have shown it.
    pub cursor: Cursor,
}

impl Serialize for ActiveUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Profile { name, avatar_url, color } = &*self.profile;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("user_id", self.user_id.as_str())?;
        map.serialize_entry("cursor_position", &self.cursor.position)?;
        for (key, known) in [("name", name), ("avatar_url", avatar_url), ("color", color)] {
            known.as_ref().map_or(Ok(()), |text| map.serialize_entry(key, text))?;
        }
        selection(&self.cursor).map_or(Ok(()), |selection| map.serialize_entry("selection", &selection))?;
        map.end()
    }
}

#[derive(Serialize)]
struct Selection {
    start: usize,
    end: usize,
}

fn selection(cursor: &Cursor) -> Option<Selection> {
    cursor.selection.map(|(start, end)| Selection { start, end })
}

/// `presence`/`user_joined`: somebody who has not shown their cursor yet.
pub fn user_joined(user: &UserId, profile: &Profile, timestamp: &str, by: &ClientId) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        user: User<'a>,
        cursor_position: usize,
        timestamp: &'a str,
    }
    #[derive(Serialize)]
    struct User<'a> {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        avatar_url: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        color: Option<&'a str>,
    }
    let user = User {
        id: user.as_str(),
        name: profile.name.as_deref(),
        avatar_url: profile.avatar_url.as_deref(),
        color: profile.color.as_deref(),
    };
    let data = Data { user, cursor_position: 0, timestamp };
    encode(("presence", "user_joined"), data, (Some(by), None))
}

/// `presence`/`user_left`
pub fn user_left(user: &UserId, timestamp: &str, by: &ClientId) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
        timestamp: &'a str,
    }
    encode(("presence", "user_left"), Data { user_id: user.as_str(), timestamp }, (Some(by), None))
}

/// `presence`/`cursor_update`: somebody's cursor in `version`, in the receiver's unit.
pub fn cursor_update(moved: &Moved, cursor: Cursor, version: Version, timestamp: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
        cursor: At,
        version: Version,
        timestamp: &'a str,
    }
    #[derive(Serialize)]
    struct At {
        position: usize,
        // `null` says that there is none any more; left out, a client might keep the one before.
        selection: Option<Selection>,
    }
    let cursor = At { position: cursor.position, selection: selection(&cursor) };
    let data = Data { user_id: moved.user.as_str(), cursor, version, timestamp };
    encode(("presence", "cursor_update"), data, (Some(&moved.client), moved.message_id.as_ref()))
}

/// `presence`/`typing_indicator`: somebody types, or no longer; `position` in `version`, in the receiver's unit.
pub fn typing_indicator(typed: &Typed, position: Option<usize>, version: Version, timestamp: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
        is_typing: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<usize>,
        version: Version,
        timestamp: &'a str,
    }
    let data = Data { user_id: typed.user.as_str(), is_typing: typed.is_typing, position, version, timestamp };
    encode(("presence", "typing_indicator"), data, (Some(&typed.client), typed.message_id.as_ref()))
}
