//! What is found at the address, and how a session is set up.

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, Row, postgres::PgListener};

use super::{
    super::doorbell::CHANNEL,
    Schema, Settings, fresh,
    nats::{self, by_nats},
    settings, with,
};
use crate::{
    domain::Seq,
    event_log::{
        EventLog, OpenError, Options,
        suite::{append, fill, stream},
    },
    telemetry::Metrics,
};

async fn refused(schema: &Schema) -> OpenError {
    match EventLog::postgres(settings(schema), Metrics::new()).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn migrating_alone_answers_what_it_did() {
    let schema = Schema::make().await;
    let applied = EventLog::migrate(&schema.url()).await.unwrap();
    assert_eq!(
        applied.iter().map(|new| (new.version, new.description.as_str())).collect::<Vec<_>>(),
        [(1, "event log"), (2, "presence"), (3, "projections"), (4, "erasure")]
    );
    assert!(EventLog::migrate(&schema.url()).await.unwrap().is_empty());
    let options = Options { url: schema.url(), readers: 1, lanes: 1, nats: None, metrics: Metrics::new() };
    EventLog::open(options).await.unwrap().close().await;
}

#[tokio::test]
async fn nodes_that_start_at_once_bring_the_database_up_to_date_once() {
    let schema = Schema::make().await;
    let url = schema.url();
    let applied = join_all((0..5).map(|_| EventLog::migrate(&url))).await;
    let counts: usize = applied.into_iter().map(|applied| applied.unwrap().len()).sum();
    assert_eq!(counts, 4, "one node did it, the others found it done");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_with_both_versions() {
    let (log, schema) = fresh().await;
    log.close().await;
    schema.run("INSERT INTO _sqlx_migrations VALUES (9001, 'comments', now(), TRUE, '\\x00', 1)").await;
    let error = refused(&schema).await;
    assert!(matches!(error, OpenError::Newer { found: 9001, .. }), "{error:?}");
    assert!(error.to_string().contains("postgres://") && error.to_string().contains("9001"), "{error}");
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let (log, schema) = fresh().await;
    log.close().await;
    schema.run("UPDATE _sqlx_migrations SET checksum = '\\x00'").await;
    assert!(refused(&schema).await.to_string().contains("migration 1"));
}

/// Whatever goes wrong, the password is not said.
#[tokio::test]
async fn what_cannot_be_opened_is_named_without_its_password() {
    for (url, words) in [
        ("postgres://ann:sesame@127.0.0.1:1/log", &["127.0.0.1:1/log", "cannot be reached"][..]),
        ("postgres://127.0.0.1:1/log?password=sesame", &["127.0.0.1:1/log", "cannot be reached"]),
        ("postgres://ann:sesame@[::1/log", &["the address cannot be read"]),
        ("postgres://ann:sesame@host:many/log", &["the address cannot be read"]),
        ("postgres://host/log?sslmode=sesame", &["the address cannot be read"]),
        ("mysql://ann:sesame@host/log", &["mysql", "postgres://"]),
    ] {
        let error = EventLog::migrate(url).await.unwrap_err();
        let says = format!("{error} {error:?}");
        assert!(!says.contains("sesame"), "{says}");
        assert!(words.iter().all(|word| says.contains(word)), "{says}");
    }
    let mut elsewhere = settings(&Schema::make().await);
    elsewhere.address = elsewhere.address.database("no_such_database");
    let says = elsewhere.migrate().await.unwrap_err().to_string();
    assert!(says.contains("no_such_database") && says.contains("does not exist"), "{says}");
}

#[tokio::test]
async fn a_session_commits_durably_whatever_the_default_is() {
    let schema = Schema::make().await;
    for (asked, found) in [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
        let url = format!("{}&options[synchronous_commit]={asked}", schema.url());
        let mut session = Settings::parse(&url).unwrap().connect().await.unwrap();
        for (setting, value) in [
            ("synchronous_commit", found),
            ("default_transaction_isolation", "read committed"),
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
        ] {
            let query = AssertSqlSafe(format!("SHOW {setting}"));
            let shown: String = sqlx::query(query).fetch_one(&mut session).await.unwrap().get(0);
            assert_eq!(shown, value, "{setting} with {asked}");
        }
        session.close().await.unwrap();
    }
}

/// The doorbell: who listens hears which streams moved, and to where; once per flush, after the commit.
#[tokio::test]
async fn who_listens_hears_what_was_appended() {
    let schema = Schema::make().await;
    let log = with(Settings { lanes: 1, ..settings(&schema) }).await;
    let channel: String = sqlx::query(CHANNEL).fetch_one(&mut schema.shell().await).await.unwrap().get(0);
    let mut listener = PgListener::connect(&schema.url()).await.unwrap();
    listener.listen(&channel).await.unwrap();

    fill(&log, &stream("a"), 2).await;
    assert_eq!(listener.recv().await.unwrap().payload(), "document:a=2");
    assert_eq!(log.read(&stream("a"), Seq(0), 9).await.unwrap().len(), 2, "it is there when the bell rings");
    log.append(append(&stream("a"), 1, &["stale"])).await.unwrap_err();
    log.append(append(&stream("a"), 2, &["m1"])).await.unwrap_err();

    // What does not fit into a notification is not listed; whoever hears that looks for itself.
    let streams: Vec<_> = (0..300).map(|n| stream(&format!("{n}-{}", "x".repeat(100)))).collect();
    let appended = join_all(streams.iter().map(|stream| log.append(append(stream, 0, &["m"])))).await;
    assert!(appended.iter().all(Result::is_ok));
    let mut told = Vec::new();
    while !told.iter().any(|payload: &String| payload == "*") {
        let payload = listener.recv().await.unwrap().payload().to_owned();
        assert!(!payload.contains("document:a"), "nothing was said of appends that did not happen: {payload}");
        told.push(payload);
    }
    log.close().await;
}

#[tokio::test]
async fn a_log_that_rings_by_nats_does_not_notify() {
    let schema = Schema::make().await;
    let (loud, silent) = (with(settings(&schema)).await, with(by_nats(&schema, nats::server())).await);
    let channel: String = sqlx::query(CHANNEL).fetch_one(&mut schema.shell().await).await.unwrap().get(0);
    let mut listener = PgListener::connect(&schema.url()).await.unwrap();
    listener.listen(&channel).await.unwrap();
    fill(&silent, &stream("a"), 2).await;
    fill(&loud, &stream("b"), 1).await;
    assert_eq!(listener.recv().await.unwrap().payload(), "document:b=1");
    loud.close().await;
    silent.close().await;
}
