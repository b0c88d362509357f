//! Opening a database: its address, its sessions, its migrations.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, Postgres,
    migrate::{Migrate, MigrateError},
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};

use super::{
    doorbell::Way,
    trouble::{Trouble, unavailable},
};
use crate::event_log::{AppliedMigration, OpenError, Unavailable, UnavailableKind, migrations, sql::Columns};

/// How a database is reached and used.
#[derive(Debug, Clone)]
pub(in crate::event_log) struct Settings {
    pub address: PgConnectOptions,
    /// Connections for reading, and for snapshots.
    pub readers: u32,
    /// Connections that append, each its own share of the streams.
    pub lanes: u32,
    /// How others are told what was appended.
    pub rings: Way,
    pub patience: Patience,
}

/// How long to wait for what may never come.
#[derive(Debug, Clone, Copy)]
pub(in crate::event_log) struct Patience {
    /// For a connection to be made.
    pub connect: Duration,
    /// For a connection to become free.
    pub acquire: Duration,
    /// For a lock. Nobody holds one for longer than a statement takes.
    pub lock: Duration,
    /// For a statement, told to the server: it then answers that nothing happened.
    pub statement: Duration,
    /// For the answer to a statement. Longer than the statement may take, for after this nothing is known.
    pub answer: Duration,
    /// For another node that brings the database up to date.
    pub migration: Duration,
    /// So long after its last use a connection is taken to be alive without asking.
    pub fresh: Duration,
    /// For a word on the connection that listens; then the server is asked whether it is still there.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            acquire: seconds(5),
            lock: seconds(5),
            statement: seconds(10),
            answer: seconds(12),
            migration: seconds(60),
            fresh: seconds(1),
            silence: seconds(10),
        }
    }
}

/// What is used of Postgres exists from this version on.
const OLDEST: i64 = 13;

impl Settings {
    /// Reads an address such as `postgres://user:password@host:5432/database`.
    pub(in crate::event_log) fn parse(url: &str) -> Result<Self, OpenError> {
        // The error of the parser is not passed on: it may quote the address, password included.
        let wrong = |_| OpenError::Url {
            url: "postgres".to_owned(),
            why: "the address cannot be read; it looks like postgres://user:password@host:5432/database",
        };
        let address = PgConnectOptions::from_str(url).map_err(wrong)?;
        let address = match address.get_application_name() {
            Some(_) => address,
            None => address.application_name("scriptorium"),
        };
        let address = address.disable_statement_logging();
        Ok(Self { address, readers: 4, lanes: 4, rings: Way::Notify, patience: Patience::default() })
    }

    /// How the database is named to a person: without user and password.
    pub(super) fn shown(&self) -> String {
        let host = match self.address.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => self.address.get_host().to_owned(),
        };
        let database = self.address.get_database().unwrap_or_else(|| self.address.get_username());
        format!("postgres://{host}:{}/{database}", self.address.get_port())
    }

    /// A session that reads or appends.
    pub(super) async fn connect(&self) -> Result<PgConnection, Unavailable> {
        let milliseconds = |patience: Duration| patience.as_millis().to_string();
        self.connect_with([
            ("statement_timeout", milliseconds(self.patience.statement)),
            ("lock_timeout", milliseconds(self.patience.lock)),
            ("idle_in_transaction_session_timeout", milliseconds(self.patience.statement)),
            // Another level would fail statements that here wait for a lock and go on with what they find.
            ("default_transaction_isolation", "read committed".to_owned()),
            // The statements are few, and planning each one anew costs more than it finds out.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
        ])
        .await
    }

    async fn connect_with<const N: usize>(&self, options: [(&str, String); N]) -> Result<PgConnection, Unavailable> {
        let address = self.address.clone().options(options);
        let connect = async {
            let mut connection = address.connect().await?;
            // What is stronger than `on` stays.
            sqlx::query("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
                .execute(&mut connection)
                .await?;
            Ok(connection)
        };
        within(self.patience.connect, connect).await
    }

    /// A session for work that may take long, and waits for as long as it must.
    pub(super) async fn connect_for_long(&self) -> Result<PgConnection, Unavailable> {
        let waiting = self.patience.migration.as_millis().to_string();
        self.connect_with([("statement_timeout", "0".to_owned()), ("lock_timeout", waiting)]).await
    }

    /// Brings the database up to date. Others who do the same at this moment wait for each other.
    pub(super) async fn migrate(&self) -> Result<Vec<AppliedMigration>, OpenError> {
        let mut connection = self.connect_for_long().await.map_err(|reason| self.refused(reason))?;
        let outcome = self.migrate_on(&mut connection).await;
        // The lock goes with the session. Whatever closing says, the outcome says more.
        let _closed = connection.close().await;
        outcome
    }

    async fn migrate_on(&self, connection: &mut PgConnection) -> Result<Vec<AppliedMigration>, OpenError> {
        self.look_at_server(connection).await?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is sqlx's, and may grow")]
        connection.lock().await.map_err(|error| match error {
            MigrateError::Execute(error) => self.failed(&error),
            other => OpenError::Migration { database: self.shown(), why: other.to_string() },
        })?;
        let applied = applied(connection).await.map_err(|error| self.failed(&error))?;
        let database = self.shown();
        migrations::POSTGRES.bring_up_to_date(connection, &applied, &database, |error| self.failed(error)).await
    }

    /// Refuses a server that cannot do what is needed, and warns of one that may lose what it has committed.
    async fn look_at_server(&self, connection: &mut PgConnection) -> Result<(), OpenError> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'),
                    current_setting('fsync')",
        )
        .fetch_one(connection)
        .await;
        let row = row.map_err(|error| self.failed(&error))?;
        let read = || -> sqlx::Result<_> { Ok((row.number(0)?, row.text(1)?, row.text(2)?)) };
        let (version, encoding, fsync) = read().map_err(|error| self.failed(&error))?;
        let unfit = |why: String| OpenError::Migration { database: self.shown(), why };
        if version / 10_000 < OLDEST {
            return Err(unfit(format!("its server is PostgreSQL {}; {OLDEST} or newer is needed", version / 10_000)));
        }
        if encoding != "UTF8" {
            return Err(unfit(format!("its encoding is {encoding}; it has to be UTF8")));
        }
        if fsync != "on" {
            tracing::warn!(
                database = self.shown(),
                "fsync is off: an acknowledged edit does not survive a crash of the database's machine"
            );
        }
        Ok(())
    }

    fn failed(&self, error: &sqlx::Error) -> OpenError {
        self.refused(unavailable(error))
    }

    pub(super) fn refused(&self, reason: Unavailable) -> OpenError {
        OpenError::Database { database: self.shown(), reason }
    }
}

/// The versions of the migrations that a database has seen; none for a new one.
async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    let is_there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    if sqlx::query_scalar(is_there).fetch_one(&mut *connection).await? {
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations").fetch_all(connection).await
    } else {
        Ok(Vec::new())
    }
}

/// A connection that writes.
pub(super) struct Session {
    pub connection: PgConnection,
    /// For the answer to a statement.
    pub patience: Duration,
}

impl Session {
    pub(super) async fn fetch_all(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>, Trouble> {
        match tokio::time::timeout(self.patience, query.fetch_all(&mut self.connection)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(silent(self.patience).into()),
        }
    }
}

/// Waits for an answer, but not for ever.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, Unavailable> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|error| unavailable(&error)),
        Err(_) => Err(silent(patience)),
    }
}

fn silent(patience: Duration) -> Unavailable {
    let says = format!("database does not answer (waited for {} s)", patience.as_secs_f32());
    Unavailable::new(UnavailableKind::Unreachable, says)
}

pub(super) type Shared = Arc<Settings>;
