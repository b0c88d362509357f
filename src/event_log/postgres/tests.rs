//! The suite on Postgres, and what only a Postgres can do wrong.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use super::Settings;
use crate::{
    event_log::{EventLog, suite},
    telemetry::Metrics,
};

#[path = "../../../tests/support/postgres.rs"]
mod server;

/// A schema of its own for each test, in a database that they share.
struct Schema {
    name: String,
}

impl Schema {
    async fn make() -> Self {
        let schema = Self { name: format!("test_{}", Uuid::new_v4().simple()) };
        schema.run(&format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    fn url(&self) -> String {
        server::in_schema(server::server(), &self.name)
    }

    fn settings(&self) -> Settings {
        Settings::parse(&self.url()).unwrap()
    }

    async fn shell(&self) -> PgConnection {
        let options: PgConnectOptions = self.url().parse().unwrap();
        options.disable_statement_logging().connect().await.unwrap()
    }

    async fn run(&self, sql: &str) {
        let mut shell = self.shell().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut shell).await.unwrap();
        shell.close().await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop =
            async { self.run(&format!("SET client_min_messages = error; DROP SCHEMA {} CASCADE", self.name)).await };
        // The runtime of the test cannot be waited on from here.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = std::thread::scope(|scope| scope.spawn(|| runtime().block_on(drop)).join());
        // A test that has failed already is to say why by itself.
        assert!(outcome.is_ok() || std::thread::panicking(), "the schema of the test could not be dropped");
    }
}

async fn with(settings: Settings) -> EventLog {
    EventLog::postgres(settings, Metrics::new()).await.unwrap()
}

async fn fresh() -> (EventLog, Schema) {
    let schema = Schema::make().await;
    (with(schema.settings()).await, schema)
}

suite::for_every_law!(fresh());

/// All streams on one lane share their statements.
mod on_one_lane {
    use super::{Schema, suite, with};

    async fn fresh() -> (crate::event_log::EventLog, Schema) {
        let schema = Schema::make().await;
        (with(super::Settings { lanes: 1, ..schema.settings() }).await, schema)
    }

    suite::for_every_law!(fresh());
}
