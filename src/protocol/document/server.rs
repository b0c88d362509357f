//! What the server sends. Each function gives one envelope as JSON text.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{ClientId, DocumentId, MessageId, PositionEncoding, UserId, Version},
    protocol::{
        Natural, Refusal,
        error::ErrorJson,
        schema::{Id, Name, Place, Time},
    },
    text::{Delta, Unit},
};

use super::{comment_event::AnchorsJson, steps::OperationJson};

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

/// `data` of an event. The name is the type's, so that nothing goes out under another one, or undescribed.
pub(super) trait Told: Serialize + JsonSchema {
    /// `type` and `event`.
    const NAME: (&'static str, &'static str);
}

impl<'a, T: Told> Envelope<'a, T> {
    fn of(data: T, cause: (Option<&'a ClientId>, Option<&'a MessageId>)) -> Self {
        let (kind, event) = T::NAME;
        Self { kind, event, data, client_id: cause.0.map(ClientId::as_str), message_id: cause.1.map(MessageId::as_str) }
    }
}

pub(super) fn encode<T: Told>(data: T, cause: (Option<&ClientId>, Option<&MessageId>)) -> String {
    serde_json::to_string(&Envelope::of(data, cause)).expect("our own messages have text keys and no failing parts")
}

/// Encodes into something that may fail.
pub(super) fn write<T: Told>(
    into: impl io::Write,
    data: T,
    cause: (Option<&ClientId>, Option<&MessageId>),
) -> serde_json::Result<()> {
    serde_json::to_writer(into, &Envelope::of(data, cause))
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

/// `system`/`connection_ack`: who a client is here, and where the document stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectionAck")]
pub(super) struct ConnectionAckData<'a> {
    #[schemars(with = "Id")]
    client_id: &'a str,
    #[schemars(with = "Name")]
    user_id: &'a str,
    permissions: &'a [&'static str],
    document_version: Version,
    #[schemars(with = "Time")]
    server_time: &'a str,
    #[schemars(extend("enum" = ["utf-16", "utf-32"]))]
    position_encoding: &'static str,
    resumed: bool,
}

impl Told for ConnectionAckData<'_> {
    const NAME: (&'static str, &'static str) = ("system", "connection_ack");
}

/// The first message of a connection.
pub fn connection_ack(ack: &ConnectionAck<'_>) -> String {
    let data = ConnectionAckData {
        client_id: ack.client_id.as_str(),
        user_id: ack.user_id.as_str(),
        permissions: ack.permissions,
        document_version: ack.document_version,
        server_time: ack.server_time,
        position_encoding: ack.encoding.as_str(),
        resumed: ack.resumed,
    };
    encode(data, (Some(ack.client_id), None))
}

/// Whether an acknowledgement tells of this sending or of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// The message was new.
    First,
    /// The message had been accepted before; nothing happened this time.
    Repeated,
}

/// An edit is on disk.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperationAck")]
pub(super) struct AckData<'a> {
    #[schemars(with = "Name")]
    message_id: &'a str,
    server_version: Version,
    #[schemars(with = "Time")]
    timestamp: &'a str,
    acknowledged: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    #[serde(skip_serializing_if = "AnchorsJson::is_empty")]
    anchors: AnchorsJson<'a>,
}

impl Told for AckData<'_> {
    const NAME: (&'static str, &'static str) = ("operation", "operation_ack");
}

/// `operation`/`operation_ack`
pub fn ack(
    (client, message): (&ClientId, &MessageId),
    (version, timestamp): (Version, &str),
    anchors: AnchorsJson<'_>,
    sending: Sending,
) -> String {
    let data = AckData {
        anchors,
        message_id: message.as_str(),
        server_version: version,
        timestamp,
        acknowledged: true,
        duplicate: sending == Sending::Repeated,
    };
    encode(data, (Some(client), Some(message)))
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
    /// The position that was sent, in the sender's context; `None` unless one was, in the receiver's unit.
    pub original_position: Option<u64>,
    /// When it was recorded, RFC 3339.
    pub timestamp: &'a str,
    /// The threads that found their text again by it.
    pub anchors: AnchorsJson<'a>,
}

/// An edit by somebody else, as it was applied.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperationBroadcast")]
pub(super) struct BroadcastData<'a, O: Serialize> {
    operation: O,
    version: Version,
    transformed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Place")]
    original_position: Option<u64>,
    #[schemars(with = "Id")]
    document_id: &'a str,
    #[schemars(with = "Time")]
    timestamp: &'a str,
    #[serde(skip_serializing_if = "AnchorsJson::is_empty")]
    anchors: AnchorsJson<'a>,
}

impl<O: Serialize + JsonSchema> Told for BroadcastData<'_, O> {
    const NAME: (&'static str, &'static str) = ("operation", "operation_broadcast");
}

/// Encodes a broadcast for everybody who wants this form and unit.
pub fn broadcast<U: Unit>(broadcast: &Broadcast<'_, U>, form: Form) -> String {
    let data = BroadcastData {
        operation: OperationJson { delta: broadcast.applied, form, author: broadcast.author.as_str() },
        version: broadcast.version,
        transformed: broadcast.transformed,
        original_position: broadcast.original_position.filter(|_| broadcast.transformed),
        document_id: broadcast.document_id.as_str(),
        timestamp: broadcast.timestamp,
        anchors: broadcast.anchors,
    };
    encode(data, (Some(broadcast.client_id), Some(broadcast.message_id)))
}

/// The position that an edit named when it was sent; for edits that are read back from the log.
pub fn position_sent(received: &RawValue) -> Option<u64> {
    #[derive(serde::Deserialize)]
    #[serde(expecting = "an object")]
    struct Data {
        operation: Operation,
    }
    #[derive(serde::Deserialize)]
    #[serde(expecting = "an object")]
    struct Operation {
        position: Option<Natural>,
    }
    let data: Data = serde_json::from_str(received.get()).ok()?;
    data.operation.position.map(|Natural(position)| position)
}

impl Told for ErrorJson<'_> {
    const NAME: (&'static str, &'static str) = ("system", "error");
}

/// `system`/`error`, to the client whose message `details` names, or without either.
pub fn error(refusal: &Refusal, timestamp: &str, client: Option<&ClientId>) -> String {
    let message = refusal.details.get("message_id").and_then(Value::as_str).and_then(|id| MessageId::parse(id).ok());
    encode(refusal.data(timestamp), (client, message.as_ref()))
}

/// The line is alive.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Pong")]
pub(super) struct PongData<'a> {
    timestamp: &'a Value,
    server_time: i64,
}

impl Told for PongData<'_> {
    const NAME: (&'static str, &'static str) = ("system", "pong");
}

/// `system`/`pong`; `server_time` in milliseconds since 1970.
pub fn pong(timestamp: &Value, server_time: i64, client: &ClientId, message: Option<&MessageId>) -> String {
    encode(PongData { timestamp, server_time }, (Some(client), message))
}

/// The connection is about to be closed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Disconnect")]
pub(super) struct DisconnectData<'a> {
    reason: &'a str,
    code: u16,
}

impl Told for DisconnectData<'_> {
    const NAME: (&'static str, &'static str) = ("system", "disconnect");
}

/// `system`/`disconnect`: the server is about to close the connection.
pub fn disconnect(reason: &str, code: u16) -> String {
    encode(DisconnectData { reason, code }, (None, None))
}
