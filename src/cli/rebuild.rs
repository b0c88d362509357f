//! `rebuild`: throws away what is derived, and derives it again.

use clap::Args;
use indicatif::ProgressBar;

use crate::{
    domain::DocumentId,
    event_log::{EventLog, Head, ReadError, StreamName},
    settings::Settings,
};

use super::{Failure, database, output, progress};

/// Drop all snapshots, of documents and of who is in them, and fold them again from the log
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Rebuild {
    /// Only those of this document
    #[arg(long, value_name = "ID", value_parser = database::document_id)]
    document: Option<DocumentId>,
}

const EXAMPLE: &str = "Examples:
  scriptorium rebuild
  scriptorium rebuild --document minutes";

impl Rebuild {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        let streams = database::streams(&log, self.document.as_ref()).await?;
        let presence = match &self.document {
            Some(document) => vec![document.clone()],
            None => database::presence_streams(&log).await?.into_iter().map(|(document, _)| document).collect(),
        };
        let bar = progress::bar("rebuilding", database::events_in(&streams));
        let (mut rebuilt, mut failed) = (0_u64, 0_u64);
        for (stream, head) in &streams {
            match rebuild(&log, stream, *head, &bar).await {
                Ok(()) => rebuilt += 1,
                Err(why) => {
                    failed += 1;
                    bar.suspend(|| output::error(&why.to_string()));
                }
            }
        }
        for document in &presence {
            if let Err(why) = log.rebuild_presence(document).await {
                failed += 1;
                bar.suspend(|| output::error(&why.to_string()));
            }
        }
        bar.finish_and_clear();
        log.close().await;
        output::line(format_args!("{rebuilt} documents rebuilt"))?;
        if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} streams could not be rebuilt"))) }
    }
}

async fn rebuild(log: &EventLog, stream: &StreamName, head: Head, bar: &ProgressBar) -> Result<(), ReadError> {
    let before = bar.position();
    log.rebuild_snapshots(stream, head.seq, |seq| bar.set_position(before + seq.0)).await?;
    bar.set_position(before + head.seq.0);
    Ok(())
}
