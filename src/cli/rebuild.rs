//! `rebuild`: throws away what is derived, and derives it again.

use std::collections::BTreeSet;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use crate::{
    domain::DocumentId,
    event_log::{Effort, EventLog, Head, Projection, ReadError, StreamName},
    settings::Settings,
};

use super::{Failure, database, output, progress};

/// Fold everything that is derived again from the log: snapshots of documents and of who is in them, and projections
///
/// The service may run. Snapshots are replaced one by one; a projection is built beside the one in use, and takes its
/// place when it has caught up. What is interrupted is finished by the service, or by the same command again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Rebuild {
    /// Only those of this document
    #[arg(long, value_name = "ID", value_parser = database::document_id)]
    document: Option<DocumentId>,
    /// Only this projection, and no snapshots
    #[arg(long, value_name = "NAME", value_parser = projection, conflicts_with = "document")]
    projection: Option<Projection>,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// A projection by its name.
fn projection(text: &str) -> Result<Projection, String> {
    let names = Projection::ALL.map(Projection::name).join(" and ");
    Projection::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| format!("the projections are {names}"))
}

const EXAMPLE: &str = "Examples:
  scriptorium rebuild
  scriptorium rebuild --document minutes
  scriptorium rebuild --projection blame";

impl Rebuild {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        // What is folded now may still know them.
        if !log.unfinished_user_erasures().await.map_err(Failure::failed)?.is_empty() {
            return Err(Failure::failed("a person is being erased; run it again when that is done"));
        }
        if let Some(projection) = self.projection {
            let mut failed = BTreeSet::new();
            rebuild_projection(&log, projection, &mut failed).await?;
            log.close().await;
            output::line(format_args!("{} rebuilt", projection.name()))?;
            return verdict(&failed);
        }
        let streams = database::streams(&log, self.document.as_ref()).await?;
        let presence = match &self.document {
            Some(document) => vec![document.clone()],
            None => database::presence_streams(&log).await?.into_iter().map(|(document, _)| document).collect(),
        };
        let bar = progress::bar("rebuilding", database::events_in(&streams));
        let (mut rebuilt, mut failed) = (0_u64, BTreeSet::new());
        for (stream, head) in streams.iter().filter(|(_, head)| !head.is_erased) {
            match rebuild(&log, stream, *head, &bar).await {
                Ok(()) => rebuilt += 1,
                Err(why) => {
                    failed.insert(stream.clone());
                    bar.suspend(|| output::error(&why.to_string()));
                }
            }
        }
        for document in &presence {
            if let Err(why) = log.rebuild_presence(document).await {
                failed.insert(StreamName::presence(document));
                bar.suspend(|| output::error(&why.to_string()));
            }
        }
        bar.finish_and_clear();
        if let Some(document) = &self.document {
            for (stream, head) in &streams {
                if let Err(why) = log.rebuild_kept(stream, head.seq, &mut Effort::full(&mut |_| ())).await
                    && failed.insert(stream.clone())
                {
                    output::error(&format!("{document}: {why}"));
                }
            }
        } else {
            for projection in Projection::ALL {
                rebuild_projection(&log, projection, &mut failed).await?;
            }
        }
        log.close().await;
        if self.json {
            output::json(&json!({"documents": rebuilt, "failed": failed.len()}))?;
        } else {
            output::line(format_args!("{} rebuilt", output::count(rebuilt, "document")))?;
        }
        verdict(&failed)
    }
}

fn verdict(failed: &BTreeSet<StreamName>) -> Result<(), Failure> {
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(format!("{} could not be rebuilt", output::count(failed.len() as u64, "stream"))))
    }
}

/// Builds a projection anew and puts it in use; adds the streams that could not be folded, and names each once.
async fn rebuild_projection(
    log: &EventLog,
    projection: Projection,
    failed: &mut BTreeSet<StreamName>,
) -> Result<(), Failure> {
    let streams = database::streams(log, None).await?;
    let bar = progress::bar(projection.name(), database::events_in(&streams));
    log.begin_rebuild(projection).await.map_err(Failure::failed)?;
    let mut is_done = false;
    while !is_done {
        let mut progress = |events| bar.inc(events);
        let tended = log.tend(projection, &mut Effort::full(&mut progress)).await.map_err(Failure::failed)?;
        for damaged in tended.damaged.iter().filter(|damaged| failed.insert(damaged.stream.clone())) {
            bar.suspend(|| output::error(&damaged.to_string()));
        }
        is_done = tended.is_done;
    }
    bar.finish_and_clear();
    Ok(())
}

async fn rebuild(log: &EventLog, stream: &StreamName, head: Head, bar: &ProgressBar) -> Result<(), ReadError> {
    let before = bar.position();
    log.rebuild_snapshots(stream, head.seq, |seq| bar.set_position(before + seq.0)).await?;
    bar.set_position(before + head.seq.0);
    Ok(())
}
