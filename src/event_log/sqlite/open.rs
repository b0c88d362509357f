//! Opening a database: its file, its pragmas, its migrations.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{lives::LifeLocks, trouble::unavailable};
use crate::event_log::{AppliedMigration, OpenError, Unavailable, UnavailableKind, migrations};

/// How long SQLite itself waits for a lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a database is opened and run.
#[derive(Debug, Clone)]
pub(in crate::event_log) struct Settings {
    /// The file.
    pub path: PathBuf,
    /// Connections for reading; there is one more for writing.
    pub readers: u32,
    /// How many pages in the WAL make a commit copy them into the database: fewer make for more copying,
    /// more make for longer pauses.
    pub checkpoint_pages: u32,
    /// From which size on the writer waits for readers and empties the WAL.
    pub wal_bytes: u64,
    /// More pragmas for the writer; tests break things with them.
    pub pragmas: Vec<(&'static str, &'static str)>,
}

impl Settings {
    pub(in crate::event_log) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: 4, checkpoint_pages: 4_000, wal_bytes: 64 << 20, pragmas: Vec::new() }
    }

    /// The connection that writes. One at a time.
    pub(super) async fn writer(&self) -> sqlx::Result<SqliteConnection> {
        let options = self
            .connection()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .statement_cache_capacity(512)
            // What is deleted is not to be found in the file.
            .pragma("secure_delete", "ON")
            .pragma("cache_size", "-65536") // 64 MiB
            .pragma("wal_autocheckpoint", self.checkpoint_pages.to_string())
            // What a checkpoint leaves of the file.
            .pragma("journal_size_limit", self.wal_bytes.to_string());
        self.pragmas.iter().fold(options, |options, (name, value)| options.pragma(*name, *value)).connect().await
    }

    /// Connections that cannot write.
    pub(super) fn reader_pool(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(self.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .connect_lazy_with(self.connection().read_only(true))
    }

    fn connection(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().filename(&self.path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
    }

    /// Applies what is missing in one transaction, which locks the database before it looks: of several processes that start
    /// at once the first one does it, and the others find it done.
    async fn migrate(&self, connection: &mut SqliteConnection) -> Result<Vec<AppliedMigration>, OpenError> {
        let failed = |error: &sqlx::Error| self.failed(error);
        let found = applied(connection).await.map_err(|error| failed(&error))?;
        if migrations::SQLITE.are_among(&found) {
            return migrations::SQLITE.bring_up_to_date(connection, &found, &self.shown(), failed).await;
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| failed(&error))?;
        let found = applied(&mut transaction).await.map_err(|error| failed(&error))?;
        let new = migrations::SQLITE.bring_up_to_date(&mut *transaction, &found, &self.shown(), failed).await?;
        transaction.commit().await.map_err(|error| failed(&error))?;
        Ok(new)
    }

    /// How the database is named to a person.
    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn failed(&self, error: &sqlx::Error) -> OpenError {
        OpenError::Database { database: self.shown(), reason: unavailable(error) }
    }

    /// The locks of the processes on this database, which must be there.
    pub(super) fn life_locks(&self) -> Result<LifeLocks, OpenError> {
        LifeLocks::beside(&self.path).map_err(|error| OpenError::Database {
            database: self.shown(),
            reason: Unavailable::new(UnavailableKind::Failed, error.to_string()),
        })
    }

    /// Opens the writer, with the database made where it is missing and brought up to date.
    pub(super) async fn open(&self) -> Result<(SqliteConnection, Vec<AppliedMigration>), OpenError> {
        let Self { path, .. } = self;
        if let Some(directory) = path.parent() {
            let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
            tokio::fs::create_dir_all(directory).await.map_err(failed)?;
        }
        let mut connection = self.writer().await.map_err(|error| self.failed(&error))?;
        match self.migrate(&mut connection).await {
            Ok(applied) => Ok((connection, applied)),
            Err(error) => {
                // The error at hand says more than one about closing.
                let _closed = connection.close().await;
                Err(error)
            }
        }
    }
}

/// The versions of the migrations that a database has seen; none for a new one.
async fn applied(connection: &mut SqliteConnection) -> sqlx::Result<Vec<i64>> {
    let table = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(table).fetch_one(&mut *connection).await? == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT version FROM _sqlx_migrations").fetch_all(connection).await
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use crate::event_log::EventLog;

    #[tokio::test]
    async fn of_processes_that_open_a_new_file_at_once_one_brings_it_up_to_date() {
        for round in 0..10 {
            let directory = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}", directory.path().join("new/log.db").display());

            // Each has a connection, and so a thread, of its own.
            let applied = join_all((0..6).map(|_| EventLog::migrate(&url))).await;

            let counts: Vec<_> = applied.into_iter().map(|applied| applied.map(|it| it.len())).collect();
            let is_sound =
                counts.iter().all(Result::is_ok) && counts.iter().flatten().filter(|it| **it > 0).count() == 1;
            assert!(is_sound, "round {round}: {counts:?}");
        }
    }
}
