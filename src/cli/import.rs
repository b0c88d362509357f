//! `import`: takes in what `export` has written.

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::{
    event_log::{EventLog, Imported, Purpose, StoredEvent},
    settings::Settings,
};

use super::{Failure, database, exchange::Reader, output, progress};

/// Append the events of an export that are not there yet, exactly as they were recorded
///
/// Events that are there already are compared and left. Where the database says something else, nothing of that batch
/// is appended, and the command fails with the stream and the event. Run it again after an interruption: it goes on. A
/// file is read to its end and compared before anything is appended; a pipe is taken as it comes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Import {
    /// The export; standard input when absent
    file: Option<PathBuf>,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium import log.ndjson
  zstdcat more.ndjson.zst | scriptorium import
  DATABASE_URL=sqlite://data/scriptorium.db scriptorium export | DATABASE_URL=postgres://db/docs scriptorium import";

/// A batch is full with so many events or bytes, and is one transaction.
const BATCH: usize = 4_000;
const BATCH_BYTES: usize = 4 << 20;

impl Import {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open_or_make(settings).await?;
        let summary = match &self.file {
            None => take(&log, stdin().lock(), Purpose::Append).await,
            Some(path) => {
                // What is not seekable cannot be read twice.
                if path.is_file() {
                    take(&log, open(path)?, Purpose::Check).await?;
                }
                take(&log, open(path)?, Purpose::Append).await
            }
        };
        // A tombstone may have come for what is here.
        log.finish_erasures().await.map_err(Failure::failed)?;
        log.close().await;
        let Summary { done: Imported { appended, present }, last } = summary?;
        if self.json {
            output::json(&json!({"imported": appended, "present": present, "position": last}))?;
            return Ok(());
        }
        let appended = output::count(appended, "event");
        output::line(format_args!(
            "imported {appended}, {present} there already; up to position {last} of the export"
        ))?;
        Ok(())
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let cannot = |why| Failure::failed(format!("cannot read {}: {why}", path.display()));
    File::open(path).map(|file| BufReader::with_capacity(1 << 20, file)).map_err(cannot)
}

/// What was done so far, and the last position of the export that it holds for.
#[derive(Default)]
struct Summary {
    done: Imported,
    last: u64,
}

async fn take(log: &EventLog, from: impl BufRead, purpose: Purpose) -> Result<Summary, Failure> {
    let mut export = Reader::begin(from).map_err(|why| Failure::failed(format!("the export is not usable: {why}")))?;
    let head = export.head();
    let message = if purpose == Purpose::Check { "checking" } else { "importing" };
    let bar = progress::bar(message, head.to.saturating_sub(head.after));
    let mut importer = log.import(purpose);
    let mut summary = Summary { done: Imported::default(), last: head.after };
    loop {
        let batch = batch(&mut export).map_err(|why| summary.failed(&why, purpose))?;
        let Some(last) = batch.last() else { break };
        let Imported { appended, present } =
            importer.add(&batch).await.map_err(|why| summary.failed(&why.to_string(), purpose))?;
        summary.done.appended += appended;
        summary.done.present += present;
        summary.last = last.position.0;
        bar.set_position(summary.last - head.after);
    }
    bar.finish_and_clear();
    summary.last = head.to;
    Ok(summary)
}

impl Summary {
    fn failed(&self, why: &str, purpose: Purpose) -> Failure {
        let last = self.last;
        Failure::failed(match purpose {
            Purpose::Check => format!("the export does not fit, and nothing was imported: {why}"),
            Purpose::Append => format!("{why}; everything up to position {last} of the export is imported"),
        })
    }
}

/// The next events; none at the end of the export.
fn batch(export: &mut Reader<impl BufRead>) -> Result<Vec<StoredEvent>, String> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let Some(event) = export.event()? else { break };
        bytes += event.body.len() + event.cause.len();
        batch.push(event);
    }
    Ok(batch)
}
