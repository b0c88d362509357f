//! Who is here, and where: what clients say of themselves, and what they hear of the others.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    domain::{ClientId, Cursor, Moved, Profile, Typed, UserId, Version},
    protocol::{
        Natural, Refusal, Whole,
        schema::{Id, Name, Place, Time},
    },
};

use super::{
    operation::at_least_zero,
    reading::read,
    server::{Told, encode},
};

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

/// Where the user of a client is.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "CursorUpdate")]
pub(super) struct CursorData {
    cursor: WireCursor,
    #[schemars(with = "Option<Version>")]
    version: Option<Natural>,
    #[schemars(with = "Option<Id>")]
    pub(super) document_id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "Cursor")]
struct WireCursor {
    #[schemars(with = "Place")]
    position: Whole,
    #[schemars(with = "Option<Selection>")]
    selection: Option<WireSelection>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct WireSelection {
    start: Whole,
    end: Whole,
}

/// Whether the user of a client types.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "TypingIndicator")]
pub(super) struct TypingData {
    is_typing: bool,
    #[schemars(with = "Option<Place>")]
    position: Option<Whole>,
    #[schemars(with = "Option<Version>")]
    version: Option<Natural>,
    #[schemars(with = "Option<Id>")]
    pub(super) document_id: Option<String>,
}

impl CursorData {
    pub(super) fn of(data: &RawValue) -> Result<Self, Refusal> {
        read(data.get(), "data")
    }

    pub(super) fn check(self) -> Result<CursorMessage, Refusal> {
        let place = |path: &str, count: Whole| at_least_zero(count, &format!("data.cursor.{path}"));
        let selection = match self.cursor.selection {
            Some(WireSelection { start, end }) => {
                Some((place("selection.start", start)?, place("selection.end", end)?))
            }
            None => None,
        };
        let cursor = Cursor { position: place("position", self.cursor.position)?, selection };
        Ok(CursorMessage { cursor, version: self.version.map(Version::from) })
    }
}

impl TypingData {
    pub(super) fn of(data: &RawValue) -> Result<Self, Refusal> {
        read(data.get(), "data")
    }

    pub(super) fn check(self) -> Result<TypingMessage, Refusal> {
        let position = self.position.map(|count| at_least_zero(count, "data.position")).transpose()?;
        Ok(TypingMessage { is_typing: self.is_typing, position, version: self.version.map(Version::from) })
    }
}

/// Somebody who is present, in `document_sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveUser {
    /// Who.
    pub user_id: UserId,
    /// Who that is to the others.
    pub profile: Arc<Profile>,
    /// Where their cursor is, in the receiver's unit; `None` until they have shown it.
    pub cursor: Option<Cursor>,
}

/// Somebody who is present.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ActiveUser")]
pub struct ActiveUserJson<'a> {
    #[schemars(with = "Name")]
    user_id: &'a str,
    /// Null until they have shown it.
    #[schemars(with = "Option<Place>")]
    cursor_position: Option<usize>,
    #[serde(flatten)]
    profile: ProfileJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selection")]
    selection: Option<Selection>,
}

impl Serialize for ActiveUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = ActiveUserJson {
            user_id: self.user_id.as_str(),
            cursor_position: self.cursor.map(|cursor| cursor.position),
            profile: ProfileJson::of(&self.profile),
            selection: self.cursor.as_ref().and_then(Selection::of),
        };
        json.serialize(serializer)
    }
}

/// Who somebody is to the others, as far as is known.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProfileJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    avatar_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    color: Option<&'a str>,
}

impl<'a> ProfileJson<'a> {
    /// How it is told.
    pub fn of(profile: &'a Profile) -> Self {
        let Profile { name, avatar_url, color } = profile;
        Self { name: name.as_deref(), avatar_url: avatar_url.as_deref(), color: color.as_deref() }
    }
}

/// What is selected; either end may come first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Selection {
    #[schemars(with = "Place")]
    start: usize,
    #[schemars(with = "Place")]
    end: usize,
}

impl Selection {
    /// Of a cursor.
    pub fn of(cursor: &Cursor) -> Option<Self> {
        cursor.selection.map(|(start, end)| Self { start, end })
    }
}

/// Somebody is here.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UserJoined")]
pub(super) struct UserJoinedData<'a> {
    user: JoinedUser<'a>,
    #[schemars(with = "Place")]
    cursor_position: usize,
    #[schemars(with = "Time")]
    timestamp: &'a str,
}

impl Told for UserJoinedData<'_> {
    const NAME: (&'static str, &'static str) = ("presence", "user_joined");
}

/// Who that is.
#[derive(Serialize, JsonSchema)]
struct JoinedUser<'a> {
    #[schemars(with = "Name")]
    id: &'a str,
    #[serde(flatten)]
    profile: ProfileJson<'a>,
}

/// `presence`/`user_joined`: somebody who has not shown their cursor yet.
pub fn user_joined(user: &UserId, profile: &Profile, timestamp: &str, by: &ClientId) -> String {
    let user = JoinedUser { id: user.as_str(), profile: ProfileJson::of(profile) };
    let data = UserJoinedData { user, cursor_position: 0, timestamp };
    encode(data, (Some(by), None))
}

/// Somebody has gone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UserLeft")]
pub(super) struct UserLeftData<'a> {
    #[schemars(with = "Name")]
    user_id: &'a str,
    #[schemars(with = "Time")]
    timestamp: &'a str,
}

impl Told for UserLeftData<'_> {
    const NAME: (&'static str, &'static str) = ("presence", "user_left");
}

/// `presence`/`user_left`
pub fn user_left(user: &UserId, timestamp: &str, by: &ClientId) -> String {
    encode(UserLeftData { user_id: user.as_str(), timestamp }, (Some(by), None))
}

/// Somebody's cursor.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CursorMoved")]
pub(super) struct CursorUpdateData<'a> {
    #[schemars(with = "Name")]
    user_id: &'a str,
    cursor: CursorAt,
    version: Version,
    #[schemars(with = "Time")]
    timestamp: &'a str,
}

impl Told for CursorUpdateData<'_> {
    const NAME: (&'static str, &'static str) = ("presence", "cursor_update");
}

/// Where it is.
#[derive(Serialize, JsonSchema)]
struct CursorAt {
    #[schemars(with = "Place")]
    position: usize,
    // `null` says that there is none any more; left out, a client might keep the one before.
    selection: Option<Selection>,
}

/// `presence`/`cursor_update`: somebody's cursor in `version`, in the receiver's unit.
pub fn cursor_update(moved: &Moved, cursor: Cursor, version: Version, timestamp: &str) -> String {
    let cursor = CursorAt { position: cursor.position, selection: Selection::of(&cursor) };
    let data = CursorUpdateData { user_id: moved.user.as_str(), cursor, version, timestamp };
    encode(data, (Some(&moved.client), moved.message_id.as_ref()))
}

/// Somebody types, or no longer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Typed")]
pub(super) struct TypingIndicatorData<'a> {
    #[schemars(with = "Name")]
    user_id: &'a str,
    is_typing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Place")]
    position: Option<usize>,
    version: Version,
    #[schemars(with = "Time")]
    timestamp: &'a str,
}

impl Told for TypingIndicatorData<'_> {
    const NAME: (&'static str, &'static str) = ("presence", "typing_indicator");
}

/// `presence`/`typing_indicator`: somebody types, or no longer; `position` in `version`, in the receiver's unit.
pub fn typing_indicator(typed: &Typed, position: Option<usize>, version: Version, timestamp: &str) -> String {
    let data =
        TypingIndicatorData { user_id: typed.user.as_str(), is_typing: typed.is_typing, position, version, timestamp };
    encode(data, (Some(&typed.client), typed.message_id.as_ref()))
}
