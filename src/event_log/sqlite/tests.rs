//! What only a log on disk can do, and what only it can fail at.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::Settings;
use crate::{
    domain::Seq,
    event_log::{
        AppendError, EventLog, OpenError, Options, ReadError, UnavailableKind,
        suite::{append, edited, fill, for_every_law, ids, message, stream, typed},
    },
    telemetry::Metrics,
};

async fn at(directory: &TempDir) -> EventLog {
    with(settings(directory)).await
}

fn settings(directory: &TempDir) -> Settings {
    Settings::new(directory.path().join("log.db"))
}

async fn with(settings: Settings) -> EventLog {
    EventLog::sqlite(settings, Metrics::new()).await.unwrap()
}

async fn fresh() -> (EventLog, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (at(&directory).await, directory)
}

for_every_law!(fresh());
