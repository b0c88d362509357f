//! `events`: what is recorded, one JSON object per line.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    domain::Seq,
    event_log::{EventLog, Head, Position, Published, ReadError, Recorded, StreamName, Tombstone, What},
    protocol::history::{Record, Source, Told, event_as_json},
    settings::Settings,
};

use super::{Failure, database, output, presence_events::presence_as_json};

/// Print recorded events, one JSON object per line
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Events {
    /// The document's id, or `presence:ID` for who was in it and where; when absent everything, in the order of the
    /// commits, each event with its position
    #[arg(value_name = "DOCUMENT", value_parser = stream)]
    stream: Option<StreamName>,
    /// Only what comes after this position; of everything
    #[arg(long, value_name = "POSITION", default_value_t = 0, conflicts_with = "stream")]
    after: u64,
    /// Then wait, and print each new event as soon as it is recorded, until interrupted
    #[arg(long)]
    follow: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium events minutes
  scriptorium events presence:minutes
  scriptorium events --follow | jq .user
  scriptorium events --after 120000";

/// A document by its id, or a stream by its name. A document that is called like a stream needs the whole name.
fn stream(text: &str) -> Result<StreamName, String> {
    match StreamName::parse(text) {
        Ok(stream) => Ok(stream),
        Err(_) => database::document_id(text).map(|id| StreamName::document(&id)),
    }
}

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
        let printed = match &self.stream {
            None => return self.print_all(log).await,
            Some(stream) if self.follow => follow(log, stream).await,
            Some(stream) => {
                let head = database::head(log, stream).await?;
                print_new(log, stream, Seq(0), head).await.map(|_| ())
            }
        };
        match printed {
            // All that is left of it, and nothing comes after it.
            Err(Unprinted::Unread(ReadError::Erased(tombstone))) => Ok(output::json(&tombstone_as_json(&tombstone))?),
            Err(Unprinted::Unread(error)) => Err(Failure::failed(error)),
            Err(Unprinted::Unwritten(failure)) => Err(failure),
            Ok(()) => Ok(()),
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

/// Why a stream was not printed to its end.
enum Unprinted {
    Unread(ReadError),
    Unwritten(Failure),
}

impl From<ReadError> for Unprinted {
    fn from(error: ReadError) -> Self {
        Self::Unread(error)
    }
}

impl From<std::io::Error> for Unprinted {
    fn from(error: std::io::Error) -> Self {
        Self::Unwritten(error.into())
    }
}

/// Prints a stream, which need not have begun, as it grows.
async fn follow(log: &EventLog, stream: &StreamName) -> Result<(), Unprinted> {
    let (mut tick, mut printed) = (interval(POLL), Seq(0));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(head) = log.living_head(stream).await? {
            printed = print_new(log, stream, printed, head).await?;
        }
    }
}

/// Prints what a stream has after an event up to its head, and answers the last one.
async fn print_new(log: &EventLog, stream: &StreamName, after: Seq, head: Head) -> Result<Seq, Unprinted> {
    let mut last = after;
    while last < head.seq {
        let page: Vec<_> = match stream.presence_id() {
            Some(document) => {
                let page = log.read_presence(&document, last, PAGE).await?;
                page.iter().map(|recorded| (recorded.seq, presence_as_json(stream, recorded))).collect()
            }
            None => {
                let page = log.read(stream, last, PAGE).await?;
                page.iter().map(|recorded| (recorded.seq, as_json(stream, recorded))).collect()
            }
        };
        if page.is_empty() {
            break;
        }
        for (seq, json) in page {
            output::json(&json)?;
            last = seq;
        }
    }
    Ok(last)
}

fn published_as_json(published: Published) -> Value {
    let Published { position, stream, seq, version, message_id, recorded_at, what } = published;
    let id = stream.document_id();
    let stream = id.as_ref().map_or(Source::Stream(stream.as_str()), Source::Document);
    let told = match &what {
        What::Event(event) => Told::Event(event),
        What::Erased => Told::Erased,
        What::Elsewhere => Told::Elsewhere,
    };
    let mut json = event_as_json(&Record { stream, seq, version, message_id: &message_id, recorded_at }, told);
    json["position"] = position.0.into();
    json
}

fn as_json(stream: &StreamName, recorded: &Recorded) -> Value {
    let Recorded { seq, version, ref message_id, recorded_at, ref event } = *recorded;
    let id = stream.document_id();
    let stream = id.as_ref().map_or(Source::Stream(stream.as_str()), Source::Document);
    event_as_json(&Record { stream, seq, version, message_id, recorded_at }, Told::Event(event))
}

fn tombstone_as_json(Tombstone { stream, seq, version, message_id, recorded_at }: &Tombstone) -> Value {
    let (seq, version, recorded_at) = (*seq, *version, *recorded_at);
    let id = stream.document_id();
    let stream = id.as_ref().map_or(Source::Stream(stream.as_str()), Source::Document);
    event_as_json(&Record { stream, seq, version, message_id, recorded_at }, Told::Erased)
}
