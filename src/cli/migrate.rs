//! `migrate`: makes the database, or brings it up to date.

use clap::Args;

use crate::{event_log::EventLog, settings::Settings};

use super::{Failure, output};

/// Make the database, or bring it up to date; `serve` does the same at its start
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Migrate {}

const EXAMPLE: &str = "Example:
  scriptorium migrate
  DATABASE_URL=sqlite:///var/lib/scriptorium/log.db scriptorium migrate";

impl Migrate {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let url = &settings.database.url;
        let applied = EventLog::migrate(url.expose()).await.map_err(Failure::failed)?;
        if applied.is_empty() {
            output::line(format_args!("{url} is up to date"))?;
        }
        for migration in applied {
            output::line(format_args!("{url}: applied {}, {}", migration.version, migration.description))?;
        }
        Ok(())
    }
}
