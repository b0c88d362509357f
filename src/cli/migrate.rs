//! `migrate`: makes the database, or brings it up to date.

use clap::Args;
use serde_json::json;

use crate::{
    event_log::{AppliedMigration, EventLog},
    settings::Settings,
};

use super::{Failure, output};

/// Make the database, or bring it up to date; `serve` does the same at its start
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Migrate {
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Example:
  scriptorium migrate
  DATABASE_URL=sqlite:///var/lib/scriptorium/log.db scriptorium migrate";

impl Migrate {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let url = &settings.database.url;
        let applied = EventLog::migrate(url.expose()).await.map_err(Failure::failed)?;
        if self.json {
            let one = |it: &AppliedMigration| json!({"version": it.version, "description": it.description});
            output::json(&json!({"applied": applied.iter().map(one).collect::<Vec<_>>()}))?;
            return Ok(());
        }
        if applied.is_empty() {
            output::line(format_args!("{url} is up to date"))?;
        }
        for migration in applied {
            output::line(format_args!("{url}: applied {}, {}", migration.version, migration.description))?;
        }
        Ok(())
    }
}
