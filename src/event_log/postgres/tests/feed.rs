//! The feed, where a position is not the order of commits.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Schema, Settings, fresh, settings, with};
use crate::{
    domain::Seq,
    event_log::{
        EventLog, ImportError, Position, Published, Purpose,
        suite::{append, fill, stream},
    },
};

/// A transaction that has appended an event to a stream, and has neither committed nor given up.
async fn late_commit(schema: &Schema, document: &str) -> PgConnection {
    let mut shell = schema.shell().await;
    let sql = format!(
        "BEGIN;
         UPDATE streams SET seq = seq + 1, version = version + 1 WHERE name = 'document:{document}';
         INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
         SELECT e.stream, e.seq + 1, e.version + 1, 'late', e.recorded_at, e.body, e.cause FROM events e
         WHERE stream = (SELECT id FROM streams WHERE name = 'document:{document}') ORDER BY seq DESC LIMIT 1"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut shell).await.unwrap();
    shell
}

async fn end(mut shell: PgConnection, how: &'static str) {
    sqlx::query(how).execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
}

fn places(published: &[Published]) -> Vec<(&str, u64)> {
    published.iter().map(|event| (event.stream.as_str(), event.seq.0)).collect()
}

async fn page(log: &EventLog, after: Position) -> Vec<Published> {
    log.read_all(after, 100).await.unwrap()
}

#[tokio::test]
async fn a_reader_does_not_step_over_an_event_that_commits_late() {
    for (how, late) in [("COMMIT", Some(("document:a", 2))), ("ROLLBACK", None)] {
        let (log, schema) = fresh().await;
        let (a, b) = (stream("a"), stream("b"));
        log.append(append(&a, 0, &["a1"])).await.unwrap();
        let before = page(&log, Position(0)).await;
        assert_eq!(places(&before), [("document:a", 1)]);
        let after = before[0].position;

        let shell = late_commit(&schema, "a").await;
        // It has a position before these, which are committed before it.
        log.append(append(&b, 0, &["b1"])).await.unwrap();
        log.append(append(&b, 1, &["b2"])).await.unwrap();
        assert_eq!(log.head(&b).await.unwrap().unwrap().seq, Seq(2));
        assert_eq!(places(&page(&log, after).await), [], "b1 would step over the late event");
        // What was settled before is still given out, to whoever is behind, and one who starts now waits as well.
        assert_eq!(places(&page(&log, Position(0)).await), [("document:a", 1)]);
        let other = with(settings(&schema)).await;
        assert_eq!(places(&page(&other, after).await), []);

        end(shell, how).await;
        let expected: Vec<_> = late.into_iter().chain([("document:b", 1), ("document:b", 2)]).collect();
        for log in [&log, &other] {
            let rest = page(log, after).await;
            assert_eq!(places(&rest), expected, "{how}");
            assert!(rest.is_sorted_by(|one, next| one.position < next.position));
        }
        // And on.
        fill(&log, &stream("c"), 3).await;
        let last = page(&log, after).await.last().unwrap().position;
        assert!(page(&log, last).await.is_empty());
        other.close().await;
        log.close().await;
    }
}

#[tokio::test]
async fn a_follower_goes_on_by_itself_when_the_late_one_has_committed() {
    let (log, schema) = fresh().await;
    fill(&log, &stream("a"), 1).await;
    let mut feed = log.follow(page(&log, Position(0)).await[0].position);
    let shell = late_commit(&schema, "a").await;
    fill(&log, &stream("b"), 2).await;
    // For longer than a follower waits for commits that are under way.
    let waited = tokio::time::timeout(Duration::from_secs(1), feed.next());
    assert!(waited.await.is_err());
    end(shell, "COMMIT").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(feed.next().await.unwrap());
    }
    assert_eq!(places(&seen), [("document:a", 2), ("document:b", 1), ("document:b", 2)]);
    log.close().await;
}

#[tokio::test]
async fn transactions_that_write_elsewhere_do_not_hold_the_feed_up() {
    let (log, schema) = fresh().await;
    let (other_log, other_schema) = fresh().await;
    fill(&other_log, &stream("a"), 1).await;
    fill(&log, &stream("a"), 1).await;
    // A log in another schema, another table of this one, and one who only reads and keeps its snapshot.
    let elsewhere = late_commit(&other_schema, "a").await;
    let mut beside = schema.shell().await;
    let sql = "BEGIN; CREATE TABLE mine (a int); INSERT INTO mine VALUES (1); SELECT pg_current_xact_id()";
    sqlx::raw_sql(sql).execute(&mut beside).await.unwrap();
    let mut reader = schema.shell().await;
    let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events";
    sqlx::raw_sql(sql).execute(&mut reader).await.unwrap();

    let mut after = Position(0);
    for n in 1..=5 {
        fill(&log, &stream("b"), n).await;
        let more = page(&log, after).await;
        assert_eq!(more.last().map(|event| event.seq), Some(Seq(n)));
        after = more.last().unwrap().position;
    }
    for shell in [elsewhere, beside, reader] {
        end(shell, "ROLLBACK").await;
    }
    other_log.close().await;
    log.close().await;
}

#[tokio::test]
async fn the_feed_survives_the_loss_of_its_session() {
    let schema = Schema::make().await;
    let name = uuid::Uuid::new_v4().to_string();
    let url = format!("{}&application_name={name}", schema.url());
    let log = with(Settings::parse(&url).unwrap()).await;
    fill(&log, &stream("a"), 2).await;
    let after = page(&log, Position(0)).await.last().unwrap().position;
    let mut shell = schema.shell().await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%pg_locks%'";
    let ended: i64 = sqlx::query_scalar(sql).bind(&name).fetch_one(&mut shell).await.unwrap();
    assert_eq!(ended, 1);
    fill(&log, &stream("b"), 1).await;
    assert_eq!(places(&page(&log, after).await), [("document:b", 1)]);
    shell.close().await.unwrap();
    log.close().await;
}

#[tokio::test]
async fn an_import_that_meets_a_new_stream_of_the_same_name_looks_again() {
    let (log, schema) = fresh().await;
    let source = EventLog::memory();
    fill(&source, &stream("a"), 3).await;
    let events = source.export(Position(0)).await.unwrap().next().await.unwrap();
    // Somebody begins the stream with just this event, and commits while the import waits for it.
    fill(&log, &stream("z"), 1).await;
    let mut shell = schema.shell().await;
    let first = &events[0];
    let sql = "WITH s AS (INSERT INTO streams (name, seq, version, recorded_at) VALUES ('document:a', 1, $1, $2) RETURNING id)
        INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
        SELECT id, 1, $1, $3, $2, $4, $5 FROM s";
    sqlx::query("BEGIN").execute(&mut shell).await.unwrap();
    sqlx::query(sql)
        .bind(i64::try_from(first.version.0).unwrap())
        .bind(first.recorded_at.0)
        .bind(first.message_id.as_str())
        .bind(&*first.body)
        .bind(&*first.cause)
        .execute(&mut shell)
        .await
        .unwrap();
    let mut importer = log.import(Purpose::Append);
    let committed = async {
        // Not before the import waits for this transaction.
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()
            AND transactionid = pg_current_xact_id()::xid";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut shell).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        sqlx::query("COMMIT").execute(&mut shell).await.unwrap();
    };
    let (imported, ()) = futures_util::future::join(importer.add(&events), committed).await;
    let imported = imported.unwrap();
    assert_eq!((imported.appended, imported.present), (2, 1));
    assert_eq!(log.head(&stream("a")).await.unwrap().unwrap().seq, Seq(3));
    shell.close().await.unwrap();
    log.close().await;
}

/// The import has no event at the place of the one that was begun with: no unique index notices that both begin the stream.
#[tokio::test]
async fn an_import_of_a_trimmed_stream_leaves_one_alone_that_was_begun_meanwhile() {
    let (log, schema) = fresh().await;
    let source = EventLog::memory();
    fill(&source, &stream("a"), 5).await;
    let mut events = source.export(Position(0)).await.unwrap().next().await.unwrap().split_off(2);
    events[0].begins = true;
    // The import has looked at the streams when it waits for this lock, and has written nothing yet.
    let mut shell = schema.shell().await;
    sqlx::query("BEGIN").execute(&mut shell).await.unwrap();
    sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut shell).await.unwrap();
    let mut importer = log.import(Purpose::Append);
    let begun = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut shell).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        let begin = "WITH s AS
            (INSERT INTO streams (name, seq, version, recorded_at) VALUES ('document:a', 1, 1, 1) RETURNING id)
            INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
            SELECT id, 1, 1, 'mine', 1, '[]', '[]' FROM s";
        sqlx::query(begin).execute(&mut shell).await.unwrap();
        sqlx::query("COMMIT").execute(&mut shell).await.unwrap();
    };

    let (imported, ()) = futures_util::future::join(importer.add(&events), begun).await;

    let Err(ImportError::Refused { why, .. }) = imported else { panic!("{imported:?}") };
    assert_eq!(why, "cannot follow event 1");
    let outline = log.outline(&stream("a")).await.unwrap().unwrap();
    assert_eq!((outline.events, outline.head.seq, outline.flaws()), (1, Seq(1), Vec::new()));
    shell.close().await.unwrap();
    log.close().await;
}
