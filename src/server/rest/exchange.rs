//! Documents in the formats of others: given out, and taken in as one new version.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use mime::Mime;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    domain::{DocumentId, MessageId, Version},
    formats::{self, Unreadable},
    history::{self, Untold, When},
    live::Task,
    projection::Document,
    protocol::{
        document::{EditMessage, SentOperation},
        history::RichTextJson,
    },
    server::problem::{Code, Problem},
    text::{Attributes, Delta, Utf16, with_line_feeds},
};

use super::{
    Ask,
    answer::{Answer, has_already, not_modified},
    body::content_type,
    query::bad,
    reading,
    writing::{document, needed_message_id, order, raw, serve, to_json, unusable, written},
};

/// What a document is given out or taken in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Markdown,
    Html,
    Delta,
    Json,
}

impl Format {
    /// Each by its name, its media type, and how names of its files end.
    const ALL: [(Self, &'static str, &'static str, &'static str); 5] = [
        (Self::Text, "text", "text/plain; charset=utf-8", "txt"),
        (Self::Markdown, "markdown", "text/markdown; charset=utf-8", "md"),
        (Self::Html, "html", "text/html; charset=utf-8", "html"),
        (Self::Delta, "delta", "application/json", "delta.json"),
        (Self::Json, "json", "application/json", "json"),
    ];

    fn named(ask: &Ask) -> Result<Option<Self>, Problem> {
        let Some(wanted) = ask.query.text("format") else { return Ok(None) };
        let found = Self::ALL.iter().find(|(_, name, ..)| *name == wanted).map(|(format, ..)| *format);
        found.map(Some).ok_or_else(|| bad("`format` must be text, markdown, html, delta or json"))
    }

    fn row(self) -> (&'static str, &'static str, &'static str) {
        Self::ALL.iter().find(|row| row.0 == self).map_or(("", "", ""), |(_, name, kind, end)| (name, kind, end))
    }
}

/// `GET /v1/documents/{id}/export`
pub(super) async fn export(ask: &Ask, id: &DocumentId) -> Answer {
    let format = Format::named(ask)?.unwrap_or(Format::Text);
    let place = history::find(&ask.shared.log, id, ask.query.when()?).await?;
    let (name, kind, end) = format.row();
    let tag = HeaderValue::from_str(&format!("\"{}-{name}\"", place.seq.0)).expect("digits and letters");
    if has_already(&ask.headers, &tag) {
        return Ok(not_modified(tag));
    }
    let turn = ask.turn().await?;
    let document = history::document(&ask.shared.log, &place, |_| ()).await?;
    let title = id.clone();
    let body = aside(turn, move || Ok(write(&title, &document, format))).await?;
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Should somebody open it here all the same, it may do nothing.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let file = format!("attachment; filename=\"{}.{end}\"", file_name(id));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&file).expect("plain characters"));
    Ok(response)
}

fn write(id: &DocumentId, document: &Document, format: Format) -> String {
    let content = document.content();
    match format {
        Format::Text => content.text(),
        Format::Markdown => formats::to_markdown(content),
        Format::Html => formats::to_html(content, id.as_str()),
        Format::Delta => to_json(&RichTextJson(content)),
        Format::Json => to_json(&reading::as_json(id, document)),
    }
}

/// A document's id as the name of a file, which is neither hidden nor a path.
fn file_name(id: &DocumentId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = id.as_str().chars().map(plain).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// `POST /v1/documents/{id}/import`: another content, as one new version that changes as little as it can.
pub(super) async fn import(ask: &Ask, id: &DocumentId, body: &Bytes) -> Answer {
    let message_id = needed_message_id(&ask.headers, ask.query.text("message_id"))?;
    let format = match Format::named(ask)? {
        Some(format) => format,
        None => of_content_type(ask)?,
    };
    // The content is in the change itself; this tells whether the same comes again.
    let digest = format!("{:x}", Sha256::digest(body));
    let received = raw(json!({"import": {"format": format.row().0, "sha256": digest}}).to_string());
    let turn = ask.import_turn().await?;
    let (ask, id, body) = (ask.clone(), id.clone(), body.clone());
    // A task of its own, which holds the turn and goes on when the client has gone: what is begun here is a thread's work
    // and an order, and neither can be called back.
    let taken_in = ask.shared.sessions.spawn({
        let ask = ask.clone();
        async move {
            let _turn = turn;
            take_in(&ask, &id, (body, format), (message_id, received)).await
        }
    });
    taken_in.await.map_err(|_| failed())?
}

async fn take_in(
    ask: &Ask,
    id: &DocumentId,
    (body, format): (Bytes, Format),
    (message_id, received): (MessageId, Arc<RawValue>),
) -> Answer {
    let limits = import_limits(ask);
    let wanted = aside((), move || read(&body, format, limits)).await?;
    let before = match history::find(&ask.shared.log, id, When::Now).await {
        Ok(place) => Some(history::document(&ask.shared.log, &place, |_| ()).await?),
        Err(Untold::NoDocument) => None,
        Err(why) => return Err(why.into()),
    };
    let is_new = before.is_none();
    let before = before.unwrap_or_default();
    let base = if is_new { Version(0) } else { before.version() };
    let change =
        aside((), move || formats::change(before.content(), &wanted).map_err(|why| unusable(why.to_string()))).await?;
    let edit = EditMessage {
        end: change.base_length(),
        operation: SentOperation::Utf16(change),
        base,
        after: None,
        received: received.clone(),
    };
    let task = if is_new { Task::Create(edit) } else { Task::Edit(edit) };
    let order = order(ask, message_id, received, task);
    let done = serve(ask, id, order.clone()).await?;
    Ok(written(id, &order, &done))
}

fn of_content_type(ask: &Ask) -> Result<Format, Problem> {
    let kind = content_type(&ask.headers);
    match kind.as_ref().map_or("", Mime::essence_str) {
        "text/plain" => Ok(Format::Text),
        "text/markdown" => Ok(Format::Markdown),
        "text/html" => Ok(Format::Html),
        "application/json" => Ok(Format::Json),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "`format` or the content type must say what it is: text/plain, text/markdown, text/html or application/json",
        )),
    }
}

/// What an import may make of its body: links are counted for each stretch inside, so there may be more than was sent.
fn import_limits(ask: &Ask) -> formats::Limits {
    let limits = &ask.shared.settings.limits;
    formats::Limits { operations: limits.import_operations, bytes: limits.import_bytes.saturating_mul(2) }
}

/// The document in a body, as the inserts that make it.
fn read(body: &[u8], format: Format, limits: formats::Limits) -> Result<Delta<Utf16>, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| unusable(format!("the body is not UTF-8: {error}")))?;
    let refused = |why: Unreadable| match why {
        Unreadable::TooManyOperations { .. } | Unreadable::TooLong { .. } => {
            Problem::new(Code::DocumentTooLarge, why.to_string())
        }
        Unreadable::TooDeep { .. } | Unreadable::LongTag { .. } => unusable(why.to_string()),
    };
    match format {
        Format::Markdown => formats::from_markdown(text, limits).map_err(refused),
        Format::Html => formats::from_html(text, limits).map_err(refused),
        Format::Text => Ok(plain(text)),
        Format::Delta | Format::Json => from_json(text),
    }
}

fn plain(text: &str) -> Delta<Utf16> {
    Delta::new().insert(&*with_line_feeds(text), Attributes::NONE)
}

/// A list of inserts, alone or in an object, or a document as it is given out.
fn from_json(text: &str) -> Result<Delta<Utf16>, Problem> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Whole {
        #[serde(alias = "ops")]
        delta: Option<Box<RawValue>>,
        content: Option<String>,
    }
    let failed = |error: serde_json::Error| super::writing::not_json(&error);
    if text.trim_start().starts_with('[') {
        return document(text);
    }
    match serde_json::from_str(text).map_err(failed)? {
        Whole { delta: Some(ops), .. } => document(ops.get()),
        Whole { content: Some(text), .. } => Ok(plain(&text)),
        Whole { .. } => Err(unusable("a document has `delta`, `ops` or `content`")),
    }
}

/// Does what may take long where nobody else waits for it. It cannot be stopped: what it holds it keeps until it is done, also
/// when nobody waits any more.
async fn aside<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let work = move || {
        let done = work();
        drop(held);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| failed())?
}

fn failed() -> Problem {
    Problem::new(Code::Internal, "something went wrong here")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_turn_when_nobody_waits_for_it_any_more() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        let ((begun, has_begun), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        let work = aside(turn, move || {
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            Ok(())
        });
        #[expect(clippy::disallowed_methods, reason = "a test is its own root task")]
        let asked = tokio::spawn(work);
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0, "the thread works on");
        go_on.send(()).unwrap();
        drop(turns.acquire().await.unwrap());
    }
}
