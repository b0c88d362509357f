//! `events`: what is recorded, one JSON object per line.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    domain::{DocumentId, Event, MessageId, Seq},
    event_log::{EventLog, Head, Recorded, StreamName},
    protocol::OpsJson,
    settings::Settings,
};

use super::{Failure, database, output};

/// Print recorded events, one JSON object per line
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Events {
    /// The document's id; all documents, one after the other, when absent
    #[arg(value_parser = database::document_id)]
    document: Option<DocumentId>,
    /// Then wait, and print each new event as soon as it is recorded, until interrupted
    #[arg(long)]
    follow: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium events minutes
  scriptorium events --follow | jq .user";

/// How often the log is asked for more. It is another process that writes, and nobody rings.
const POLL: Duration = Duration::from_millis(200);
/// Events that are read at a time.
const PAGE: usize = 500;

impl Events {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        let mut printed = BTreeMap::new();
        if self.follow {
            let interrupted = tokio::signal::ctrl_c();
            tokio::select! {
                ended = self.follow(&log, &mut printed) => ended?,
                _ = interrupted => (),
            }
        } else {
            let streams = database::streams(&log, self.document.as_ref()).await?;
            print_new(&log, streams, &mut printed).await?;
        }
        log.close().await;
        Ok(())
    }

    async fn follow(&self, log: &EventLog, printed: &mut BTreeMap<StreamName, Seq>) -> Result<(), Failure> {
        let mut tick = interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let streams = match &self.document {
                // A document that has no events yet may get some.
                Some(document) => {
                    let stream = StreamName::document(document);
                    let head = log.head(&stream).await.map_err(Failure::failed)?;
                    head.map(|head| (stream, head)).into_iter().collect()
                }
                None => database::streams(log, None).await?,
            };
            print_new(log, streams, printed).await?;
        }
    }
}

/// Prints what each stream has after the last event that was printed of it.
async fn print_new(
    log: &EventLog,
    streams: Vec<(StreamName, Head)>,
    printed: &mut BTreeMap<StreamName, Seq>,
) -> Result<(), Failure> {
    for (stream, head) in streams {
        let mut last = printed.get(&stream).copied().unwrap_or_default();
        while last < head.seq {
            let page = log.read(&stream, last, PAGE).await.map_err(Failure::failed)?;
            let Some(newest) = page.last() else { break };
            last = newest.seq;
            for recorded in &page {
                output::json(&as_json(&stream, recorded))?;
            }
        }
        printed.insert(stream, last);
    }
    Ok(())
}

fn as_json(stream: &StreamName, recorded: &Recorded) -> Value {
    let Event::Edited(edited) = &recorded.event;
    let cause = &edited.cause;
    json!({
        "document": database::shown(stream),
        "seq": recorded.seq.0,
        "version": recorded.version,
        "type": "edited",
        "message_id": recorded.message_id.as_str(),
        "time": recorded.recorded_at.to_string(),
        "user": cause.user.as_str(),
        "client": cause.client.as_str(),
        "base": cause.base,
        "after": cause.after.as_ref().map(MessageId::as_str),
        "transformed": edited.transformed,
        "applied": OpsJson(edited.applied.ops()),
        "received": cause.received,
    })
}
