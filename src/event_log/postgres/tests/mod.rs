//! The suite on Postgres, and what only a Postgres can do wrong.

mod faults;
mod feed;
mod nats;
mod nodes;
mod opening;
#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
#[path = "../../../../tests/support/proxy.rs"]
mod proxy;

use std::time::Duration;

use super::{Settings, open::Patience};
use crate::{
    event_log::{EventLog, suite},
    telemetry::Metrics,
};
use postgres::Schema;

fn settings(schema: &Schema) -> Settings {
    Settings::parse(&schema.url()).unwrap()
}

async fn with(settings: Settings) -> EventLog {
    EventLog::postgres(settings, Metrics::new()).await.unwrap()
}

async fn fresh() -> (EventLog, Schema) {
    let schema = Schema::make().await;
    (with(settings(&schema)).await, schema)
}

/// Waits that a test can wait for.
fn short() -> Patience {
    let wait = Duration::from_millis(300);
    let long = Duration::from_secs(30);
    let patience = Patience { connect: long, acquire: wait, lock: wait, statement: wait, ..Patience::default() };
    Patience { answer: 2 * wait, migration: long, silence: wait, ..patience }
}

async fn shared() -> (EventLog, EventLog, Schema) {
    let (log, schema) = fresh().await;
    (log, with(settings(&schema)).await, schema)
}

suite::for_every_law!(fresh());
suite::for_every_sharing_law!(shared());
suite::for_every_law!(@ fresh(); who_listens_hears_which_stream_has_moved_and_how_far);

/// All streams on one lane share their statements.
mod on_one_lane {
    use super::{EventLog, Schema, Settings, settings, suite, with};

    async fn fresh() -> (EventLog, Schema) {
        let schema = Schema::make().await;
        (with(Settings { lanes: 1, ..settings(&schema) }).await, schema)
    }

    suite::for_every_law!(fresh());
}
