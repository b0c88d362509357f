//! `events`: what is recorded, one JSON object per line.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    domain::{DocumentId, Seq},
    event_log::{EventLog, Head, Position, Published, Recorded, StreamName},
    protocol::history::{Record, Source, event_as_json},
    settings::Settings,
};

use super::{Failure, database, output};

/// Print recorded events, one JSON object per line
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Events {
    /// The document's id; when absent all documents, in the order of the commits, each event with its position
    #[arg(value_parser = database::document_id)]
    document: Option<DocumentId>,
    /// Only what comes after this position; of all documents
    #[arg(long, value_name = "POSITION", default_value_t = 0, conflicts_with = "document")]
    after: u64,
    /// Then wait, and print each new event as soon as it is recorded, until interrupted
    #[arg(long)]
    follow: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium events minutes
  scriptorium events --follow | jq .user
  scriptorium events --after 120000";

/// How often the log is asked for more. It is another process that writes, and nobody rings.
const POLL: Duration = Duration::from_millis(200);
/// Events that are read at a time.
const PAGE: usize = 500;

impl Events {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        let interrupted = tokio::signal::ctrl_c();
        tokio::select! {
            ended = self.print(&log) => ended?,
            _ = interrupted => (),
        }
        log.close().await;
        Ok(())
    }

    async fn print(&self, log: &EventLog) -> Result<(), Failure> {
        match &self.document {
            None => self.print_all(log).await,
            Some(document) if self.follow => follow(log, document).await,
            Some(document) => {
                let head = database::head(log, document).await?;
                print_new(log, document, Seq(0), head).await.map(|_| ())
            }
        }
    }

    async fn print_all(&self, log: &EventLog) -> Result<(), Failure> {
        let mut after = Position(self.after);
        let mut feed = log.follow(after);
        loop {
            let page = if self.follow { feed.next().await } else { log.read_all(after, PAGE).await };
            let page = page.map_err(Failure::failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.position;
            for published in page {
                output::json(&published_as_json(published))?;
            }
        }
    }
}

/// Prints a stream, which need not have begun, as it grows.
async fn follow(log: &EventLog, document: &DocumentId) -> Result<(), Failure> {
    let stream = StreamName::document(document);
    let (mut tick, mut printed) = (interval(POLL), Seq(0));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(head) = log.head(&stream).await.map_err(Failure::failed)? {
            printed = print_new(log, document, printed, head).await?;
        }
    }
}

/// Prints what a stream has after an event up to its head, and answers the last one.
async fn print_new(log: &EventLog, document: &DocumentId, after: Seq, head: Head) -> Result<Seq, Failure> {
    let (mut last, stream) = (after, StreamName::document(document));
    while last < head.seq {
        let page = log.read(&stream, last, PAGE).await.map_err(Failure::failed)?;
        let Some(newest) = page.last() else { break };
        last = newest.seq;
        for recorded in &page {
            output::json(&as_json(document, recorded))?;
        }
    }
    Ok(last)
}

fn published_as_json(published: Published) -> Value {
    let Published { position, stream, seq, version, message_id, recorded_at, event } = published;
    let id = stream.document_id();
    let stream = id.as_ref().map_or(Source::Stream(stream.as_str()), Source::Document);
    let mut json =
        event_as_json(&Record { stream, seq, version, message_id: &message_id, recorded_at }, event.as_ref());
    json["position"] = position.0.into();
    json
}

fn as_json(document: &DocumentId, recorded: &Recorded) -> Value {
    let Recorded { seq, version, ref message_id, recorded_at, ref event } = *recorded;
    event_as_json(&Record { stream: Source::Document(document), seq, version, message_id, recorded_at }, Some(event))
}
