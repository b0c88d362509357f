//! What clients send.

use std::{borrow::Cow, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{ClientId, DocumentId, MessageId, PositionEncoding, Version},
    protocol::{
        ErrorCode, Natural, Refusal,
        schema::{Id, Name},
    },
    text::{Delta, Utf16},
};

use super::{
    EditLimits, SentOperation, Token,
    comment::{CommentKind, CommentMessage},
    content::{Rules, whole},
    operation::{WireComponent, WireOperation, read_state},
    presence::{CursorData, CursorMessage, TypingData, TypingMessage},
    reading::{DEEPEST, check_depth, invalid_json, read, short},
    system::read_token,
};

/// A message that could be read.
#[derive(Debug, Clone)]
pub struct ClientMessage<E = ClientEvent> {
    /// The client's name for the message.
    pub message_id: Option<MessageId>,
    /// What it says.
    pub event: E,
}

/// What a client may say.
#[derive(Debug, Clone)]
pub enum ClientEvent {
    /// `operation`/`document_edit`
    Edit(EditMessage),
    /// `comment`/…
    Comment(Box<CommentMessage>),
    /// `system`/`document_sync`
    Sync {
        /// Resume from here instead of a full sync.
        since: Option<Version>,
    },
    /// `presence`/`cursor_update`
    Cursor(CursorMessage),
    /// `presence`/`typing_indicator`
    Typing(TypingMessage),
    /// `system`/`ping`
    Ping {
        /// The client's clock, given back as it came.
        timestamp: Value,
    },
    /// `system`/`authenticate`
    Authenticate {
        /// The token that takes the place of the connection's.
        token: Token,
    },
}

/// An edit as sent.
#[derive(Debug, Clone)]
pub struct EditMessage {
    /// The change.
    pub operation: SentOperation,
    /// How long the document must be in the edit's context, in the connection's unit.
    pub end: usize,
    /// The last version that the client had received.
    pub base: Version,
    /// The client's own edit before this one.
    pub after: Option<MessageId>,
    /// `data` as it came.
    pub received: Arc<RawValue>,
}

/// What a connection's messages are held against.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The connection's document.
    pub document_id: DocumentId,
    /// The connection's client.
    pub client_id: ClientId,
    /// The connection's unit.
    pub encoding: PositionEncoding,
    /// How large an edit may be.
    pub limits: EditLimits,
    /// Makes names for comments and threads that come without one.
    pub make_id: fn() -> String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    client_id: Option<String>,
    message_id: Option<String>,
}

/// An edit. Its positions refer to `version`, plus the client's own edits that are not acknowledged yet.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "DocumentEdit")]
#[schemars(extend("anyOf" = [{"required": ["version"]}, {"required": ["base_version"]}]))]
pub(super) struct EditData {
    operation: WireOperation,
    #[schemars(with = "Option<Version>")]
    version: Option<Natural>,
    /// Another name for `version`.
    #[schemars(with = "Option<Version>")]
    base_version: Option<Natural>,
    /// The client's own edit before this one: should that one have been refused, this one is too.
    #[schemars(with = "Option<Name>")]
    after: Option<String>,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

/// The document is asked for, or what came after a version of it.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "DocumentSyncRequest")]
pub(super) struct SyncData {
    #[schemars(with = "Option<Version>")]
    since: Option<Natural>,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

/// A client wants to know whether the line is alive; `timestamp` comes back as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "Ping")]
pub(super) struct PingData {
    #[serde(default)]
    timestamp: Value,
}

/// What clients may send, for one who sent something else.
const EVENTS: &str = "operation/document_edit, a comment event, presence/cursor_update, presence/typing_indicator, \
     system/document_sync, system/authenticate or system/ping";

/// Reads the `data` of an event, whose `type` and name come first.
pub(super) type ReadEvent<E> = fn(&Reader, (&str, &str), &RawValue) -> Result<E, Refusal>;

impl Reader {
    /// Reads a text frame: one envelope, or an array of them. A refusal inside stands for the envelope at
    /// its place; the others are not affected. Each is read when it is asked for: a frame of very many
    /// mistakes would else become very many refusals in memory at once.
    pub fn read_frame<'a>(
        &'a self,
        frame: &'a str,
    ) -> Result<impl Iterator<Item = Result<ClientMessage, Refusal>> + 'a, Refusal> {
        self.read_frame_of(frame, Self::read_event)
    }

    /// The same for a connection whose events are others.
    pub(super) fn read_frame_of<'a, E: 'a>(
        &'a self,
        frame: &'a str,
        read: ReadEvent<E>,
    ) -> Result<impl Iterator<Item = Result<ClientMessage<E>, Refusal>> + 'a, Refusal> {
        check_depth(frame, DEEPEST)?;
        let envelopes = if frame.trim_start().starts_with('[') {
            let all: Vec<&RawValue> = serde_json::from_str(frame).map_err(|error| invalid_json(&error))?;
            all.into_iter().map(RawValue::get).collect()
        } else {
            vec![frame]
        };
        Ok(envelopes.into_iter().map(move |envelope| self.read_envelope(envelope, read)))
    }

    fn read_envelope<E>(&self, json: &str, read_event: ReadEvent<E>) -> Result<ClientMessage<E>, Refusal> {
        let envelope: Envelope<'_> =
            read(json, "").map_err(|refusal| refusal.of_raw(message_id_in(json).as_deref()))?;
        let named = |refusal: Refusal| refusal.of_raw(envelope.message_id.as_deref());
        let message_id = parse_message_id(envelope.message_id.as_deref(), "message_id").map_err(named)?;
        if envelope.client_id.as_deref().is_some_and(|id| id != self.client_id.as_str()) {
            let refusal = Refusal::new(ErrorCode::ClientIdMismatch, "`client_id` is not the one of this connection")
                .with("path", "client_id")
                .with("expected", self.client_id.as_str());
            return Err(named(refusal));
        }
        if !envelope.data.get().starts_with('{') {
            return Err(named(Refusal::invalid("data", "an object")));
        }
        let event = read_event(self, (&envelope.kind, &envelope.event), envelope.data);
        event.map(|event| ClientMessage { message_id, event }).map_err(named)
    }

    fn read_event(&self, event: (&str, &str), data: &RawValue) -> Result<ClientEvent, Refusal> {
        match event {
            ("operation", "document_edit") => self.read_edit(data),
            ("comment", event) => match CommentKind::named(event) {
                Some(kind) => self.read_comment(kind, data),
                None => Err(unknown("comment", event, EVENTS)),
            },
            ("system", "document_sync") => self.read_sync(data),
            ("presence", "cursor_update") => self.read_cursor(data),
            ("presence", "typing_indicator") => self.read_typing(data),
            ("system", "ping") => read_ping(data).map(|timestamp| ClientEvent::Ping { timestamp }),
            ("system", "authenticate") => read_token(data).map(|token| ClientEvent::Authenticate { token }),
            (kind, event) => Err(unknown(kind, event, EVENTS)),
        }
    }

    fn read_edit(&self, data: &RawValue) -> Result<ClientEvent, Refusal> {
        let edit: EditData = read(data.get(), "data")?;
        self.check_document(edit.document_id.as_deref())?;
        edit_message(edit, Arc::from(data.to_owned()), self.encoding, &self.limits).map(ClientEvent::Edit)
    }

    fn read_sync(&self, data: &RawValue) -> Result<ClientEvent, Refusal> {
        let sync: SyncData = read(data.get(), "data")?;
        self.check_document(sync.document_id.as_deref())?;
        Ok(ClientEvent::Sync { since: sync.since.map(Version::from) })
    }

    fn read_cursor(&self, data: &RawValue) -> Result<ClientEvent, Refusal> {
        let cursor = CursorData::of(data)?;
        self.check_document(cursor.document_id.as_deref())?;
        cursor.check().map(ClientEvent::Cursor)
    }

    fn read_typing(&self, data: &RawValue) -> Result<ClientEvent, Refusal> {
        let typing = TypingData::of(data)?;
        self.check_document(typing.document_id.as_deref())?;
        typing.check().map(ClientEvent::Typing)
    }

    pub(super) fn check_document(&self, id: Option<&str>) -> Result<(), Refusal> {
        match id {
            Some(id) if id != self.document_id.as_str() => {
                Err(Refusal::invalid("data.document_id", "the document of this connection")
                    .with("document_id", self.document_id.as_str()))
            }
            _ => Ok(()),
        }
    }
}

/// The version that a message refers to, under either of its names.
pub(super) fn base(version: Option<Natural>, base_version: Option<Natural>) -> Result<Option<Version>, Refusal> {
    match (version, base_version) {
        (Some(version), Some(base)) if version != base => {
            Err(Refusal::invalid("data.base_version", "the same as `version`, of which it is another name"))
        }
        (version, base) => Ok(version.or(base).map(Version::from)),
    }
}

/// Reads an edit that came without an envelope, in UTF-16 units.
pub fn read_edit(data: Arc<RawValue>, limits: &EditLimits) -> Result<EditMessage, Refusal> {
    check_depth(data.get(), DEEPEST)?;
    let edit: EditData = read(data.get(), "data")?;
    edit_message(edit, data, PositionEncoding::Utf16, limits)
}

fn edit_message(
    edit: EditData,
    received: Arc<RawValue>,
    encoding: PositionEncoding,
    limits: &EditLimits,
) -> Result<EditMessage, Refusal> {
    let Some(base) = base(edit.version, edit.base_version)? else {
        return Err(Refusal::invalid("data.version", "the last version that this client has received"));
    };
    let after = parse_message_id(edit.after.as_deref(), "data.after")?;
    let (operation, end) = read_operation(edit.operation, encoding, Rules::Edit(limits))?;
    Ok(EditMessage { operation, end, base, after, received })
}

/// Reads a whole document from the list of its inserts. What many edits have built may be larger than one may be, but
/// its values are nested no deeper.
pub fn read_document(ops: &str) -> Result<Delta<Utf16>, Refusal> {
    // The list and the component around a value.
    check_depth(ops, DEEPEST + 2)?;
    let ops: Vec<WireComponent> = read(ops, "delta")?;
    read_state(ops, "delta")
}

/// Reads the operation of an edit that the log has, from `data` as it was sent. `None` if it is not one.
pub fn read_sent(received: &RawValue, encoding: PositionEncoding) -> Option<SentOperation> {
    let operation = serde_json::from_str::<EditData>(received.get()).ok()?.operation;
    read_operation(operation, encoding, Rules::Recorded).ok().map(|(sent, _)| sent)
}

/// Whether a message says the same as an earlier one, however it is written: equal as JSON values.
pub fn is_same_json(one: &RawValue, other: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok().map(whole);
    one.get() == other.get() || matches!((value(one), value(other)), (Some(one), Some(other)) if one == other)
}

fn read_operation(
    operation: WireOperation,
    encoding: PositionEncoding,
    rules: Rules<'_>,
) -> Result<(SentOperation, usize), Refusal> {
    const PATH: &str = "data.operation";
    match encoding {
        PositionEncoding::Utf16 => operation.read(PATH, rules).map(|it| (SentOperation::Utf16(it.delta), it.end)),
        PositionEncoding::Utf32 => operation.read(PATH, rules).map(|it| (SentOperation::CodePoints(it.delta), it.end)),
    }
}

/// The message id in an envelope that is no envelope otherwise.
fn message_id_in(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Named {
        message_id: String,
    }
    serde_json::from_str(json).ok().map(|Named { message_id }| message_id)
}

fn parse_message_id(id: Option<&str>, path: &str) -> Result<Option<MessageId>, Refusal> {
    id.map(MessageId::parse).transpose().map_err(|error| Refusal::invalid_id(path, &error))
}

/// The client's clock.
pub(super) fn read_ping(data: &RawValue) -> Result<Value, Refusal> {
    read(data.get(), "data").map(|PingData { timestamp }| timestamp)
}

/// A pair that clients of this connection do not send; `events` are those that they do.
pub(super) fn unknown(kind: &str, event: &str, events: &str) -> Refusal {
    let (kind, event) = (short(kind), short(event));
    Refusal::new(ErrorCode::UnknownEvent, format!("clients cannot send `{kind}`/`{event}`"))
        .with("type", kind)
        .with("event", event)
        .with("expected", events)
}
