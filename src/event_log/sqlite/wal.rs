//! Keeps the write-ahead log small.
//!
//! SQLite copies pages back as part of a commit once enough of them have gathered, and then begins the file
//! anew, but only at a moment when nobody reads from it. Under steady reading that moment may never
//! come; so beyond a bound the writer asks readers to leave the file and empties it. Whoever holds a read
//! transaction open from outside (a shell, a backup) can still hinder that; it is tried again.

use std::{fs, path::PathBuf, time::Duration};

use sqlx::{Row as _, SqliteConnection};

use super::open::{BUSY_TIMEOUT, Settings};
use crate::telemetry::Metrics;

pub(super) struct Wal {
    file: PathBuf,
    bound: u64,
    /// The size from which on to empty the file; above the bound after a failure.
    empty_from: u64,
    commits: u32,
}

/// The size of the file is asked for after every so many commits.
const LOOK_EVERY: u32 = 16;
/// How long commits may stand still while readers leave the file.
const PATIENCE: Duration = Duration::from_millis(250);

impl Wal {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut file = settings.path.clone().into_os_string();
        file.push("-wal");
        let bound = settings.wal_bytes;
        Self { file: file.into(), bound, empty_from: bound, commits: 0 }
    }

    /// To be called after each commit.
    pub(super) async fn after_commit(&mut self, connection: &mut SqliteConnection, metrics: &Metrics) {
        self.commits = self.commits.wrapping_add(1);
        if !self.commits.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let size = self.size();
        metrics.log_wal_bytes(size);
        if size < self.empty_from {
            return;
        }
        if self.empty(connection).await {
            self.empty_from = self.bound;
        } else {
            self.empty_from = size + self.bound / 4;
            tracing::warn!(bytes = size, "a long read keeps the write-ahead log from being emptied; it grows");
        }
    }

    /// Copies everything into the database and cuts the file; whether that succeeded. It may always fail
    /// without harm: the next time will do.
    pub(super) async fn empty(&mut self, connection: &mut SqliteConnection) -> bool {
        set_patience(connection, PATIENCE).await;
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
        set_patience(connection, BUSY_TIMEOUT).await;
        match row.and_then(|row| row.try_get::<i64, _>(0)) {
            Ok(busy) => busy == 0,
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be emptied");
                false
            }
        }
    }

    /// The size of the file; 0 while there is none.
    fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

async fn set_patience(connection: &mut SqliteConnection, patience: Duration) {
    let pragma = format!("PRAGMA busy_timeout = {}", patience.as_millis());
    if let Err(error) = sqlx::query(sqlx::AssertSqlSafe(pragma)).execute(connection).await {
        tracing::warn!(%error, "the time to wait for locks could not be set");
    }
}
