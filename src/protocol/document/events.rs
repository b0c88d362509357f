//! Everything that is said on a connection, as a table: what describes the dialect is made of it.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{protocol::error::ErrorJson, text::Utf16};

use super::{
    CommentKind,
    client::{EditData, PingData, SyncData as SyncRequest},
    comment::{AddedData as AddComment, NamedData, UpdatedData as UpdateComment},
    comment_event::{AddedData, CommentAckData, DeletedData, ReopenedData, ResolvedData, UpdatedData},
    presence::{CursorData, CursorUpdateData, TypingData, TypingIndicatorData, UserJoinedData, UserLeftData},
    replay::{HoldData, ReplayState, SeekData, SpeedData},
    server::{AckData, BroadcastData, ConnectionAckData, DisconnectData, PongData, Told},
    steps::OperationJson,
    sync::SyncData,
    system::{AuthenticatedData, TokenData, TokenExpiringData},
};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum From {
    /// The client, to the server.
    Client,
    /// The server, to the client.
    Server,
}

/// An event of the dialect.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Who says it.
    pub from: From,
    /// `type` of its envelope.
    pub kind: &'static str,
    /// `event` of its envelope.
    pub event: &'static str,
    /// A line about it.
    pub says: &'static str,
    /// How its `data` looks.
    pub data: fn(&mut SchemaGenerator) -> Schema,
}

/// Every event of the dialect, those of clients first.
pub fn events() -> Vec<Event> {
    let comment = |kind: CommentKind| ("comment", kind.as_str());
    vec![
        sent::<EditData>(("operation", "document_edit"), "An edit."),
        sent::<AddComment>(comment(CommentKind::Added), "A comment, or a reply to one."),
        sent::<UpdateComment>(comment(CommentKind::Updated), "Other words for a comment."),
        sent::<NamedData>(comment(CommentKind::Resolved), "A thread is done."),
        sent::<NamedData>(comment(CommentKind::Reopened), "A thread is not done after all."),
        sent::<NamedData>(comment(CommentKind::Deleted), "A comment goes."),
        sent::<CursorData>(("presence", "cursor_update"), "Where one's own cursor is."),
        sent::<TypingData>(("presence", "typing_indicator"), "One types, or no longer."),
        sent::<SyncRequest>(("system", "document_sync"), "Asks for the document."),
        sent::<TokenData>(("system", "authenticate"), "Another token for the connection."),
        sent::<PingData>(("system", "ping"), "Asks whether the line is alive."),
        told::<ConnectionAckData<'_>>("Who one is here, and where the document stands."),
        told::<SyncData<'_>>("The document, and who is in it."),
        told::<AckData<'_>>("An edit is on disk."),
        told::<BroadcastData<'_, OperationJson<'_, Utf16>>>("An edit by somebody else, as it was applied."),
        told::<CommentAckData<'_>>("What was said about a comment is on disk."),
        told::<AddedData<'_>>("A comment was made."),
        told::<UpdatedData<'_>>("A comment has other words."),
        told::<ResolvedData<'_>>("A thread is done."),
        told::<ReopenedData<'_>>("A thread is not done after all."),
        told::<DeletedData<'_>>("A comment is gone."),
        told::<UserJoinedData<'_>>("Somebody is here, or is called otherwise from now on."),
        told::<UserLeftData<'_>>("Somebody has gone."),
        told::<CursorUpdateData<'_>>("Where the cursor of somebody else is."),
        told::<TypingIndicatorData<'_>>("Somebody else types, or no longer."),
        told::<TokenExpiringData<'_>>("The connection is about to end with its token."),
        told::<AuthenticatedData<'_>>("Another token holds from here on."),
        told::<PongData<'_>>("The line is alive."),
        told::<ErrorJson<'_>>("Something was not done, or the connection ends for this reason."),
        told::<DisconnectData<'_>>("The server is about to close the connection."),
    ]
}

/// Every event of a replay, those of watchers first.
pub fn watchers_events() -> Vec<Event> {
    let mut all = vec![
        sent::<SeekData>(("replay", "seek"), "Goes to a version or to a moment."),
        sent::<SpeedData>(("replay", "speed"), "How fast it goes on."),
        sent::<HoldData>(("replay", "pause"), "It waits."),
        sent::<HoldData>(("replay", "resume"), "It goes on."),
        told::<&ReplayState>("Where the replay is, and how it goes on."),
    ];
    let is_shared = |event: &Event| match (event.from, event.kind) {
        (From::Client, kind) => kind == "system" && event.event != "document_sync",
        (From::Server, "comment") => event.event != "comment_ack",
        (From::Server, "operation") => event.event != "operation_ack",
        (From::Server, kind) => kind == "system",
    };
    all.extend(events().into_iter().filter(is_shared));
    all.sort_by_key(|event| event.from == From::Server);
    all
}

fn sent<T: JsonSchema>((kind, event): (&'static str, &'static str), says: &'static str) -> Event {
    Event { from: From::Client, kind, event, says, data: SchemaGenerator::subschema_for::<T> }
}

fn told<T: Told>(says: &'static str) -> Event {
    let (kind, event) = T::NAME;
    Event { from: From::Server, kind, event, says, data: SchemaGenerator::subschema_for::<T> }
}
