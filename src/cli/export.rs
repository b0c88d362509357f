//! `export`: the log as lines, for another database.

use std::{
    fs::File,
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::{event_log::Position, settings::Settings};

use super::{Failure, database, exchange, output, progress};

/// Write the events of all streams as they are stored, in the order of their commits, for `import`
///
/// Takes what is committed when it begins. Snapshots are not exported: whoever opens a document makes them again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Export {
    /// Only events after this position, where an earlier export or import has ended
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// The file to write; standard output when absent
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what was done as one JSON object, on standard error where the events are on standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium export --output log.ndjson
  scriptorium export --after 120000 | zstd > more.ndjson.zst
  DATABASE_URL=sqlite://data/scriptorium.db scriptorium export | DATABASE_URL=postgres://db/docs scriptorium import";

impl Export {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let (events, to) = match &self.output {
            None => self.write(settings, BufWriter::new(stdout())).await?,
            Some(path) if path.exists() && !path.is_file() => self.write(settings, create(path)?).await?,
            Some(path) => {
                // Whatever is there stays until the new one is whole.
                let mut partial = path.clone().into_os_string();
                partial.push(".partial");
                let partial = PathBuf::from(partial);
                let written = self.write(settings, create(&partial)?).await?;
                let replaced = File::open(&partial).and_then(|file| file.sync_all());
                replaced.and_then(|()| std::fs::rename(&partial, path)).map_err(|why| cannot_write(path, &why))?;
                written
            }
        };
        let done = json!({"exported": events, "position": to.0});
        match (self.json, &self.output) {
            (true, Some(_)) => output::json(&done)?,
            (true, None) => output::note(done),
            (false, _) => {
                output::note(format_args!("exported {}, up to position {to}", output::count(events, "event")));
            }
        }
        Ok(())
    }

    /// Answers how many events there were, and the position at which the export ends.
    async fn write(&self, settings: &Settings, to: impl Write) -> Result<(u64, Position), Failure> {
        let log = database::open(settings).await?;
        let mut events = log.export(Position(self.after)).await.map_err(Failure::failed)?;
        let bar = progress::bar("exporting", events.to().0 - self.after);
        let failed = |why| match &self.output {
            Some(path) => cannot_write(path, &why),
            None => Failure::from(why),
        };
        let mut export = exchange::Writer::begin(to, Position(self.after), events.to()).map_err(failed)?;
        loop {
            let page = events.next().await.map_err(Failure::failed)?;
            let Some(last) = page.last() else { break };
            page.iter().try_for_each(|event| export.event(event)).map_err(failed)?;
            bar.set_position(last.position.0 - self.after);
        }
        let count = export.end().map_err(failed)?;
        bar.finish_and_clear();
        log.close().await;
        Ok((count, events.to()))
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    File::create(path).map(BufWriter::new).map_err(|why| cannot_write(path, &why))
}

fn cannot_write(path: &Path, why: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {why}", path.display()))
}
