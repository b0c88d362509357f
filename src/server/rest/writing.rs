//! What servers do to documents: create, edit, bring back a version.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{error::Category, json, value::RawValue};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    auth::Permission,
    domain::{DocumentId, MessageId, Rejection, Version},
    history::{self, Untold, When},
    live::{Done, Order, Restore, Task},
    protocol::{
        ErrorCode, OpsJson, Refusal,
        document::{EditLimits, EditMessage, SentOperation, in_words_of_json, read_document, read_edit},
        history::{CreateJson, EditJson, RestoreJson, WrittenJson},
    },
    server::problem::{Code, Problem},
    text::{Attributes, Delta, Utf16, with_line_feeds},
};

use super::{
    Ask,
    answer::{Answer, json as answer_json},
    query::bad,
};

/// `POST /v1/documents`: a document with its first text.
pub(super) async fn create(ask: &Ask, body: &Bytes) -> Answer {
    let CreateJson { id, content, delta, message_id } = read(body)?;
    let message_id = self::message_id(&ask.headers, message_id.as_deref())?;
    let id = match (&id, &message_id) {
        (Some(id), _) => DocumentId::from_client(id).map_err(|error| unusable(error.to_string()))?,
        // The same request once more is to find the same document.
        (None, Some(message)) => named_after(ask, message),
        (None, None) => made_up_document(),
    };
    ask.check(&id, Permission::Write)?;
    let message_id = message_id.unwrap_or_else(made_up);
    let (delta, operation) = match (content, delta) {
        (Some(_), Some(_)) => return Err(unusable("`content` and `delta` exclude each other")),
        (Some(text), None) if !text.is_empty() => {
            let text = with_line_feeds(&text);
            let operation = json!({"type": "insert", "position": 0, "content": text}).to_string();
            (Delta::new().insert(&*text, Attributes::NONE), operation)
        }
        (None, Some(ops)) => {
            let delta = document(ops.get())?;
            // The record says what was made: a carriage return would be in it and not in the document.
            let is_plain = !["\\r", "\\u000"].iter().any(|it| ops.get().contains(it));
            let written = if is_plain { ops.to_string() } else { to_json(&OpsJson(delta.ops())) };
            (delta, format!(r#"{{"type":"delta","ops":{written}}}"#))
        }
        (Some(_) | None, None) => (Delta::new(), r#"{"type":"delta","ops":[]}"#.to_owned()),
    };
    let edit = EditMessage {
        operation: SentOperation::Utf16(delta),
        end: 0,
        base: Version(0),
        after: None,
        received: received(&operation, Version(0)),
    };
    let order = order(ask, message_id, Arc::clone(&edit.received), Task::Create(edit));
    let done = serve(ask, &id, order.clone()).await?;
    let mut response = written(&id, &order, &done);
    response.headers_mut().insert(header::LOCATION, location(&id));
    Ok(response)
}

/// `POST /v1/documents/{id}/operations`: an edit.
pub(super) async fn edit(ask: &Ask, id: &DocumentId, body: &Bytes) -> Answer {
    let EditJson { operation, version, message_id } = read(body)?;
    let message_id = needed_message_id(&ask.headers, message_id.as_deref())?;
    let edit = edit_message(operation.get(), version.into(), limits(ask))?;
    let order = order(ask, message_id, Arc::clone(&edit.received), Task::Edit(edit));
    let done = serve(ask, id, order.clone()).await?;
    Ok(written(id, &order, &done))
}

/// `POST /v1/documents/{id}/restore`: a version comes back, as a new one.
pub(super) async fn restore(ask: &Ask, id: &DocumentId, body: &Bytes) -> Answer {
    let RestoreJson { version, message_id } = read(body)?;
    let version = Version::from(version);
    let message_id = needed_message_id(&ask.headers, message_id.as_deref())?;
    let log = &ask.shared.log;
    let turn = ask.turn().await?;
    let now = history::find(log, id, When::Now).await?;
    let place = history::find(log, id, When::Version(version)).await.map_err(|why| match why {
        Untold::Ahead { .. } => Problem::new(Code::VersionAhead, why.to_string()),
        Untold::NoDocument | Untold::Forgotten { .. } | Untold::Unread(_) => why.into(),
    })?;
    let then = history::document(log, &place, |_| ()).await?;
    let since = history::change_between(log, &place.stream, place.seq.min(now.seq), now.seq).await?;
    drop(turn);
    let until = now.head.version;
    let received = raw(json!({"restore": {"version": version}}).to_string());
    let task = Task::Restore(Box::new(Restore { then, since, until }));
    let order = order(ask, message_id, received, task);
    let done = serve(ask, id, order.clone()).await?;
    Ok(written(id, &order, &done))
}

pub(super) fn order(ask: &Ask, message_id: MessageId, received: Arc<RawValue>, task: Task) -> Order {
    Order { user: ask.identity.user_id.clone(), message_id, task, received }
}

pub(super) async fn serve(ask: &Ask, id: &DocumentId, order: Order) -> Result<Done, Problem> {
    ask.shared.live.serve(id, order).await.map_err(|rejection| problem_of(&rejection))
}

pub(super) fn written(id: &DocumentId, order: &Order, done: &Done) -> warp::reply::Response {
    let status = if done.was_repeated { StatusCode::OK } else { StatusCode::CREATED };
    let written = WrittenJson {
        id: id.as_str(),
        version: done.version,
        seq: done.seq.0,
        message_id: order.message_id.as_str(),
        timestamp: &done.timestamp,
        delta: OpsJson(done.applied.ops()),
        transformed: done.transformed,
        duplicate: done.was_repeated,
    };
    answer_json(status, &written)
}

pub(super) fn limits(ask: &Ask) -> EditLimits {
    let limits = &ask.shared.settings.limits;
    EditLimits {
        components: limits.edit_components,
        attributes: limits.attributes,
        attribute_bytes: limits.attribute_bytes,
    }
}

/// Reads an operation as it would come in a message.
fn edit_message(operation: &str, version: Version, limits: EditLimits) -> Result<EditMessage, Problem> {
    read_edit(received(operation, version), &limits).map_err(|refusal| problem_of_refusal(&refusal))
}

/// An edit as it would come in a message.
fn received(operation: &str, version: Version) -> Arc<RawValue> {
    raw(format!(r#"{{"operation":{operation},"version":{version}}}"#))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("all keys are strings")
}

/// Reads a whole document from the list of its inserts.
pub(super) fn document(ops: &str) -> Result<Delta<Utf16>, Problem> {
    read_document(ops).map_err(|refusal| problem_of_refusal(&refusal))
}

pub(super) fn raw(json: String) -> Arc<RawValue> {
    RawValue::from_string(json).expect("made of JSON").into()
}

pub(in crate::server) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| not_json(&error))
}

pub(super) fn not_json(error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => unusable(format!("the body is not as it must be: {}", in_words_of_json(&error.to_string()))),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
        }
    }
}

pub(in crate::server) fn unusable(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidBody, detail)
}

/// The name of the message, from the body or from `Idempotency-Key`.
fn message_id(headers: &HeaderMap, in_body: Option<&str>) -> Result<Option<MessageId>, Problem> {
    let key = match headers.get("idempotency-key") {
        Some(key) => Some(key.to_str().map_err(|_| bad("`Idempotency-Key` must be plain text"))?.trim()),
        None => None,
    };
    // The header is a quoted string by its draft, and a bare one in practice.
    let key = key.map(|key| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key));
    let id = match (in_body, key) {
        (Some(id), Some(key)) if id != key => {
            return Err(unusable("`message_id` and `Idempotency-Key` are two names for one thing, and differ"));
        }
        (id, key) => id.or(key),
    };
    id.map(MessageId::parse).transpose().map_err(|error| unusable(error.to_string()))
}

pub(super) fn needed_message_id(headers: &HeaderMap, in_body: Option<&str>) -> Result<MessageId, Problem> {
    message_id(headers, in_body)?.ok_or_else(|| {
        unusable("`message_id` (or the header `Idempotency-Key`) is missing: with it, sending again is safe")
    })
}

fn made_up() -> MessageId {
    MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is 36 plain characters")
}

fn made_up_document() -> DocumentId {
    DocumentId::parse(&format!("doc_{}", Uuid::now_v7().simple())).expect("letters and digits")
}

/// The same for the same message of the same user, and another one for everybody else.
fn named_after(ask: &Ask, message: &MessageId) -> DocumentId {
    let mut digest = Sha256::new();
    digest.update(ask.identity.user_id.as_str());
    digest.update([0]);
    digest.update(message.as_str());
    let start = digest.finalize().iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    DocumentId::parse(&format!("doc_{start:032x}")).expect("letters and digits")
}

fn location(id: &DocumentId) -> HeaderValue {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-').remove(b'~').remove(b':');
    let path = format!("/v1/documents/{}", utf8_percent_encode(id.as_str(), PLAIN));
    HeaderValue::from_str(&path).expect("percent-encoded")
}

fn problem_of(rejection: &Rejection) -> Problem {
    let code = match rejection {
        Rejection::NoSuchDocument => Code::DocumentNotFound,
        Rejection::Erased => Code::DocumentErased,
        Rejection::DocumentExists => Code::DocumentExists,
        Rejection::MessageIdConflict => Code::MessageIdConflict,
        Rejection::VersionAhead { .. } => Code::VersionAhead,
        Rejection::DocumentTooLarge { .. } | Rejection::TooManyComments { .. } => Code::DocumentTooLarge,
        Rejection::StorageUnavailable { .. } => Code::StorageUnavailable,
        Rejection::OutOfBounds { .. } | Rejection::DoesNotFit(_) | Rejection::PredecessorRefused { .. } => {
            Code::InvalidOperation
        }
        Rejection::CommentNotFound { .. }
        | Rejection::ThreadNotFound { .. }
        | Rejection::NotTheAuthor { .. }
        | Rejection::CommentDoesNotFit { .. } => Code::InvalidBody,
    };
    Problem::new(code, rejection.to_string())
}

pub(super) fn problem_of_refusal(refusal: &Refusal) -> Problem {
    let codes = [(ErrorCode::InvalidJson, Code::InvalidJson), (ErrorCode::InvalidOperation, Code::InvalidOperation)];
    let code = codes.iter().find(|(it, _)| *it == refusal.code).map_or(Code::InvalidBody, |(_, code)| *code);
    let path = refusal.details.get("path").and_then(serde_json::Value::as_str).unwrap_or_default();
    // Where it would be in a message; here it stands in the body itself.
    let said = refusal.message.replace("data.", "");
    let path = path.strip_prefix("data.").unwrap_or(path);
    let detail = if path.is_empty() || said.contains(path) { said } else { format!("`{path}`: {said}") };
    Problem::new(code, detail)
}
