//! `replay`: a document as it was.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    domain::{DocumentId, Stretch, Timestamp, Version},
    formats,
    history::{self, Untold, When},
    projection::{Comment, Document, Stamp, Thread},
    protocol::OpsJson,
    settings::Settings,
    text::Utf16,
};

use super::{Failure, database, output, progress};

/// Print a document as of now, of a version, or of a time
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Replay {
    /// The document's id
    #[arg(value_parser = database::document_id)]
    document: DocumentId,
    /// As it was after its first N operations
    #[arg(long, value_name = "N", conflicts_with = "at")]
    to_version: Option<u64>,
    /// As it was at a time, e.g. 2026-11-21T10:20:10Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
    /// What to print: the plain text, Markdown, a page of HTML, the rich text as a Quill Delta, or everything that is
    /// known
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Html,
    Delta,
    Json,
}

const EXAMPLE: &str = "Examples:
  scriptorium replay minutes
  scriptorium replay minutes --to-version 41 --format delta
  scriptorium replay minutes --format markdown > minutes.md
  scriptorium replay minutes --at 2026-11-21T10:20:10Z --format json";

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).map_err(|error| error.to_string())
}

impl Replay {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        let place = history::find(&log, &self.document, self.when()).await.map_err(|why| self.untold(&why))?;
        let bar = progress::bar("replaying", place.seq.0);
        let document = history::document(&log, &place, |seq| bar.set_position(seq.0)).await;
        bar.finish_and_clear();
        let document = document.map_err(Failure::failed)?;
        log.close().await;
        self.print(&document)
    }

    const fn when(&self) -> When {
        match (self.to_version, self.at) {
            (Some(version), _) => When::Version(Version(version)),
            (None, Some(moment)) => When::Moment(moment),
            (None, None) => When::Now,
        }
    }

    fn untold(&self, why: &Untold) -> Failure {
        let Self { document, .. } = self;
        Failure::failed(match why {
            Untold::NoDocument => format!("document {document} has no events"),
            Untold::Ahead { current, .. } => format!("document {document} is at version {current} so far"),
            Untold::Forgotten { .. } | Untold::Unread(_) => why.to_string(),
        })
    }

    fn print(&self, document: &Document) -> Result<(), Failure> {
        let content = document.content();
        let delta = || content.to_delta::<Utf16>();
        match if self.json { Format::Json } else { self.format } {
            Format::Text => output::exactly(&content.text())?,
            Format::Markdown => output::exactly(&formats::to_markdown(content))?,
            Format::Html => output::exactly(&formats::to_html(content, self.document.as_str()))?,
            Format::Delta => output::json(&OpsJson(delta().ops()))?,
            Format::Json => output::json(&Printed {
                id: self.document.as_str(),
                version: document.version().0,
                seq: document.seq().0,
                content: &content.text(),
                delta: OpsJson(delta().ops()),
                metadata: json!({
                    "word_count": content.word_count(),
                    "last_modified": document.last_modified().map(|at| at.to_string()),
                }),
                comments: document.comments().threads().into_iter().map(thread_as_json).collect(),
            })?,
        }
        Ok(())
    }
}

/// Everything that is known of a document. Not a [`Value`], in which the fields of embeds would lose their order.
#[derive(Serialize)]
struct Printed<'a> {
    id: &'a str,
    version: u64,
    seq: u64,
    content: &'a str,
    delta: OpsJson<'a>,
    metadata: Value,
    comments: Value,
}

/// A thread; its position counts UTF-16 units.
fn thread_as_json((thread, at): (&Thread, Stretch)) -> Value {
    let stamp = |stamp: &Stamp| json!({"by": stamp.by.as_str(), "at": stamp.at.to_string()});
    let comment = |comment: &Arc<Comment>| {
        json!({
            "id": comment.id.as_str(),
            "author_id": comment.author.as_str(),
            "author_name": comment.author_name.as_deref(),
            "content": &*comment.content,
            "created_at": comment.created_at.to_string(),
            "updated": comment.updated.as_ref().map(stamp),
        })
    };
    json!({
        "thread_id": thread.id.as_str(),
        "position": {"start": at.start, "end": at.end},
        "orphaned": at.is_empty(),
        "quote": &*thread.quote,
        "resolved": thread.resolved.as_ref().map(stamp),
        "comments": thread.comments.iter().map(comment).collect::<Value>(),
    })
}
