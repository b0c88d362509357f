//! Opening a database: its file, its pragmas, its migrations.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::trouble::unavailable;
use crate::event_log::{AppliedMigration, OpenError};

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

    /// Opens the writer, with the database made where it is missing and brought up to date.
    pub(super) async fn open(&self) -> Result<(SqliteConnection, Vec<AppliedMigration>), OpenError> {
        let Self { path, .. } = self;
        if let Some(directory) = path.parent() {
            let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
            tokio::fs::create_dir_all(directory).await.map_err(failed)?;
        }
        let failed = |error| OpenError::Database { path: path.clone(), reason: unavailable(&error) };
        let mut connection = self.writer().await.map_err(failed)?;
        match migrate(path, &mut connection).await {
            Ok(applied) => Ok((connection, applied)),
            Err(error) => {
                // The error at hand says more than one about closing.
                let _closed = connection.close().await;
                Err(error)
            }
        }
    }
}

fn migrations() -> Migrator {
    let migration = |version, description: &'static str, sql: &'static str| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![migration(
        1,
        "event log",
        include_str!("../../../migrations/sqlite/0001_event_log.sql"),
    )])
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<Vec<AppliedMigration>, OpenError> {
    let failed = |error| OpenError::Database { path: path.to_owned(), reason: unavailable(&error) };
    let migrations = migrations();
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    let applied = applied(connection).await.map_err(failed)?;
    if let Some(found) = applied.iter().copied().filter(|version| *version > known).max() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is sqlx's, and may grow")]
    migrations.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(error),
        other => OpenError::Migration { path: path.to_owned(), why: other.to_string() },
    })?;
    let new = migrations.iter().filter(|migration| !applied.contains(&migration.version));
    Ok(new.map(|new| AppliedMigration { version: new.version, description: new.description.to_string() }).collect())
}

/// The versions of the migrations that a database has seen; none for a new one.
async fn applied(connection: &mut SqliteConnection) -> sqlx::Result<Vec<i64>> {
    let table = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(table).fetch_one(&mut *connection).await? == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT version FROM _sqlx_migrations").fetch_all(connection).await
}
