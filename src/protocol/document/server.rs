//! What the server sends. Each function gives one envelope as JSON text.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::presence::ActiveUser;
use crate::{
    domain::{ClientId, DocumentId, MessageId, PositionEncoding, UserId, Version},
    protocol::{Refusal, json::OpsJson},
    text::{Delta, RichText, Unit, Utf16},
};

use super::{
    comment_event::{AnchorsJson, CommentList, CommentsJson},
    steps::OperationJson,
};

/// In which form a connection wants its operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// `insert`, `delete`, `format`, and `composite` where it takes several.
    #[default]
    Simple,
    /// Always `delta`.
    Delta,
}

#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    event: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

pub(super) fn encode<T: Serialize>(
    (kind, event): (&'static str, &'static str),
    data: T,
    cause: (Option<&ClientId>, Option<&MessageId>),
) -> String {
    let client_id = cause.0.map(ClientId::as_str);
    let message_id = cause.1.map(MessageId::as_str);
    serde_json::to_string(&Envelope { kind, event, data, client_id, message_id })
        .expect("our own messages have text keys and no failing parts")
}

/// `system`/`connection_ack`
#[derive(Debug)]
pub struct ConnectionAck<'a> {
    /// This connection's client.
    pub client_id: &'a ClientId,
    /// Who it is.
    pub user_id: &'a UserId,
    /// What they may do with this document, by the short names.
    pub permissions: &'a [&'static str],
    /// The document's version now.
    pub document_version: Version,
    /// The server's clock, RFC 3339.
    pub server_time: &'a str,
    /// The unit of this connection.
    pub encoding: PositionEncoding,
    /// Whether what follows is the missing tail instead of the whole document.
    pub resumed: bool,
}

/// The first message of a connection.
pub fn connection_ack(ack: &ConnectionAck<'_>) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        client_id: &'a str,
        user_id: &'a str,
        permissions: &'a [&'static str],
        document_version: Version,
        server_time: &'a str,
        position_encoding: &'static str,
        resumed: bool,
    }
    let data = Data {
        client_id: ack.client_id.as_str(),
        user_id: ack.user_id.as_str(),
        permissions: ack.permissions,
        document_version: ack.document_version,
        server_time: ack.server_time,
        position_encoding: ack.encoding.as_str(),
        resumed: ack.resumed,
    };
    encode(("system", "connection_ack"), data, (Some(ack.client_id), None))
}

/// `system`/`document_sync`: a document as of one version.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Which document.
    pub document_id: DocumentId,
    /// Its version.
    pub version: Version,
    /// Its text and formatting.
    pub content: RichText,
    /// When it was last edited, RFC 3339; `None` before the first edit.
    pub last_modified: Option<String>,
    /// Everybody present, the newcomer included.
    pub active_users: Vec<ActiveUser>,
    /// All comments; `None` where there are none.
    pub comments: Option<Arc<dyn CommentList>>,
}

impl Sync {
    /// How long the document is, in UTF-16 units.
    pub fn length(&self) -> usize {
        self.content.length::<Utf16>()
    }
}

/// The whole document. `asked_by` is the message that asked for it, if one did.
pub fn document_sync(sync: &Sync, asked_by: (Option<&ClientId>, Option<&MessageId>)) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        document: Document<'a>,
        active_users: &'a [ActiveUser],
        comments: CommentsJson<'a>,
    }
    #[derive(Serialize)]
    struct Document<'a> {
        id: &'a str,
        version: Version,
        content: String,
        delta: OpsJson<'a>,
        metadata: Metadata<'a>,
    }
    #[derive(Serialize)]
    struct Metadata<'a> {
        word_count: usize,
        last_modified: Option<&'a str>,
    }
    let delta: Delta<Utf16> = sync.content.to_delta();
    let document = Document {
        id: sync.document_id.as_str(),
        version: sync.version,
        content: sync.content.text(),
        delta: OpsJson(delta.ops()),
        metadata: Metadata { word_count: sync.content.word_count(), last_modified: sync.last_modified.as_deref() },
    };
    let data = Data { document, active_users: &sync.active_users, comments: CommentsJson(sync.comments.as_deref()) };
    encode(("system", "document_sync"), data, asked_by)
}

/// Whether an acknowledgement tells of this sending or of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// The message was new.
    First,
    /// The message had been accepted before; nothing happened this time.
    Repeated,
}

/// `operation`/`operation_ack`
pub fn ack(
    (client, message): (&ClientId, &MessageId),
    (version, timestamp): (Version, &str),
    anchors: AnchorsJson<'_>,
    sending: Sending,
) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        message_id: &'a str,
        server_version: Version,
        timestamp: &'a str,
        acknowledged: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
        #[serde(skip_serializing_if = "AnchorsJson::is_empty")]
        anchors: AnchorsJson<'a>,
    }
    let data = Data {
        anchors,
        message_id: message.as_str(),
        server_version: version,
        timestamp,
        acknowledged: true,
        duplicate: sending == Sending::Repeated,
    };
    encode(("operation", "operation_ack"), data, (Some(client), Some(message)))
}

/// `operation`/`operation_broadcast`: an edit by somebody else, as it was applied.
#[derive(Debug)]
pub struct Broadcast<'a, U: Unit> {
    /// The document.
    pub document_id: &'a DocumentId,
    /// Who made the edit.
    pub author: &'a UserId,
    /// With which client.
    pub client_id: &'a ClientId,
    /// By which message.
    pub message_id: &'a MessageId,
    /// The change, in the receiver's unit.
    pub applied: &'a Delta<U>,
    /// The version that it makes.
    pub version: Version,
    /// Whether it differs from what was sent.
    pub transformed: bool,
    /// The position that was sent, if one was, in the sender's unit and context.
    pub original_position: Option<u64>,
    /// When it was recorded, RFC 3339.
    pub timestamp: &'a str,
    /// The threads that found their text again by it.
    pub anchors: AnchorsJson<'a>,
}

/// Encodes a broadcast for everybody who wants this form and unit.
pub fn broadcast<U: Unit>(broadcast: &Broadcast<'_, U>, form: Form) -> String {
    #[derive(Serialize)]
    struct Data<'a, O: Serialize> {
        operation: O,
        version: Version,
        transformed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        original_position: Option<u64>,
        document_id: &'a str,
        timestamp: &'a str,
        #[serde(skip_serializing_if = "AnchorsJson::is_empty")]
        anchors: AnchorsJson<'a>,
    }
    let data = Data {
        operation: OperationJson { delta: broadcast.applied, form, author: broadcast.author.as_str() },
        version: broadcast.version,
        transformed: broadcast.transformed,
        original_position: broadcast.original_position.filter(|_| broadcast.transformed),
        document_id: broadcast.document_id.as_str(),
        timestamp: broadcast.timestamp,
        anchors: broadcast.anchors,
    };
    encode(("operation", "operation_broadcast"), data, (Some(broadcast.client_id), Some(broadcast.message_id)))
}

/// The position that an edit named when it was sent; for edits that are read back from the log.
pub fn position_sent(received: &RawValue) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Data {
        operation: Operation,
    }
    #[derive(serde::Deserialize)]
    struct Operation {
        position: Option<serde_json::Number>,
    }
    let data: Data = serde_json::from_str(received.get()).ok()?;
    data.operation.position?.as_u64()
}

/// `system`/`error`, to the client whose message `details` names, or without either.
pub fn error(refusal: &Refusal, timestamp: &str, client: Option<&ClientId>) -> String {
    let message = refusal.details.get("message_id").and_then(Value::as_str).and_then(|id| MessageId::parse(id).ok());
    encode(("system", "error"), refusal.data(timestamp), (client, message.as_ref()))
}

/// `system`/`pong`; `server_time` in milliseconds since 1970.
pub fn pong(timestamp: &Value, server_time: i64, client: &ClientId, message: Option<&MessageId>) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        timestamp: &'a Value,
        server_time: i64,
    }
    encode(("system", "pong"), Data { timestamp, server_time }, (Some(client), message))
}

/// `system`/`disconnect`: the server is about to close the connection.
pub fn disconnect(reason: &str, code: u16) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        reason: &'a str,
        code: u16,
    }
    encode(("system", "disconnect"), Data { reason, code }, (None, None))
}
