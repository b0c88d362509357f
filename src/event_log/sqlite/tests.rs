//! What only a log on disk can do, and what only it can fail at.

use std::{fs, path::Path};

use futures_util::future::{join, join_all};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::Settings;
use crate::{
    domain::Seq,
    event_log::{
        Append, AppendError, EventLog, OpenError, Options, ReadError, Snapshot, UnavailableKind,
        suite::{append, fill, for_every_law, for_every_sharing_law, ids, stream, typed},
    },
    telemetry::Metrics,
};

for_every_law!(fresh());
for_every_sharing_law!(shared());

async fn fresh() -> (EventLog, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (with(settings(&directory)).await, directory)
}

fn settings(directory: &TempDir) -> Settings {
    Settings::new(directory.path().join("log.db"))
}

async fn shared() -> (EventLog, EventLog, TempDir) {
    let (log, directory) = fresh().await;
    (log, with(settings(&directory)).await, directory)
}

async fn with(settings: Settings) -> EventLog {
    EventLog::sqlite(settings, Metrics::new()).await.unwrap()
}

/// A connection past the log, as an operator's shell would have one.
async fn shell(directory: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(directory.path().join("log.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn run(directory: &TempDir, sql: &'static str) {
    let mut shell = shell(directory).await;
    sqlx::query(sql).execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
}

#[tokio::test]
async fn a_log_opened_again_has_everything() {
    let (log, directory) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 10).await;
    log.close().await;

    let log = with(settings(&directory)).await;
    assert_eq!(log.head(&stream).await.unwrap().unwrap().seq, Seq(10));
    assert!(matches!(log.append(append(&stream, 10, &["m3"])).await, Err(AppendError::Repeated(_))));
    assert_eq!(log.append(append(&stream, 10, &["m11"])).await.unwrap().seq, Seq(11));
    assert_eq!(log.read(&stream, Seq(0), 100).await.unwrap().len(), 11);
    log.close().await;
}

/// The files as they are at this moment, without a goodbye: what a killed process leaves.
#[tokio::test]
async fn what_was_acknowledged_survives_a_sudden_end() {
    let (log, directory) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 1_000).await;
    let copy = tempfile::tempdir().unwrap();
    for file in ["log.db", "log.db-wal"] {
        fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let found = with(settings(&copy)).await;
    assert_eq!(found.read(&stream, Seq(0), 2_000).await.unwrap().len(), 1_000);
    assert_eq!(found.append(append(&stream, 1_000, &["next"])).await.unwrap().seq, Seq(1_001));
    join(log.close(), found.close()).await;
}

#[tokio::test]
async fn closing_writes_what_was_accepted_and_refuses_what_comes_after() {
    let (log, directory) = fresh().await;
    let streams: Vec<_> = (0..30).map(|n| stream(&format!("s{n}"))).collect();
    let appends = join_all(streams.iter().map(|stream| log.append(append(stream, 0, &["m"]))));
    let (accepted, ()) = join(appends, log.close()).await;
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    let refused = log.append(append(&streams[0], 1, &["late"])).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(reason)) if reason.kind() == UnavailableKind::Closed));
    assert!(matches!(log.head(&streams[0]).await, Err(ReadError::Unavailable(_))));
    assert!(log.check_writable().await.is_err());
    log.close().await;
    assert!(!directory.path().join("log.db-wal").exists(), "the last one out leaves one file");
}

#[tokio::test]
async fn who_writes_behind_our_back_is_noticed() {
    let (ours, directory) = fresh().await;
    let theirs = with(settings(&directory)).await;
    let (a, b) = (stream("a"), stream("b"));
    ours.append(append(&a, 0, &["1"])).await.unwrap();
    theirs.append(append(&a, 1, &["2"])).await.unwrap();
    // Both make a new stream, and must not give it the id of the other's.
    theirs.append(append(&b, 0, &["1"])).await.unwrap();
    ours.append(append(&stream("c"), 0, &["1"])).await.unwrap();
    assert!(matches!(ours.append(append(&a, 1, &["x"])).await, Err(AppendError::Stale { head: Seq(2) })));
    assert!(matches!(ours.append(append(&b, 0, &["x"])).await, Err(AppendError::Stale { head: Seq(1) })));
    assert_eq!(ours.append(append(&a, 2, &["3"])).await.unwrap().seq, Seq(3));
    assert_eq!(ids(&theirs.read(&a, Seq(0), 9).await.unwrap()), [(1, "1"), (2, "2"), (3, "3")]);
    join(ours.close(), theirs.close()).await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let small = Settings { pragmas: vec![("max_page_count", "60")], ..settings(&directory) };
    let log = with(small).await;
    let stream = stream("d");
    let mut head = 0;
    let reason = loop {
        let event = typed(head, head, &"x".repeat(5_000));
        match log.append(Append { events: vec![event], ..append(&stream, head, &[]) }).await {
            Ok(new) => head = new.seq.0,
            Err(AppendError::Unavailable(reason)) => break reason,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(reason.kind(), UnavailableKind::Full);
    assert!(reason.to_string().starts_with("disk is full"), "{reason}");
    assert!(head > 5, "{head}");
    // Reading goes on, and what was acknowledged is there.
    assert_eq!(log.head(&stream).await.unwrap().unwrap().seq, Seq(head));
    assert_eq!(log.read(&stream, Seq(0), 1_000).await.unwrap().len() as u64, head);
    let again = log.append(append(&stream, head, &["big"])).await;
    assert!(again.is_ok() || matches!(again, Err(AppendError::Unavailable(_))), "{again:?}");
    log.close().await;

    let log = with(settings(&directory)).await;
    let head = log.head(&stream).await.unwrap().unwrap().seq.0;
    assert_eq!(log.append(append(&stream, head, &["room again"])).await.unwrap().seq, Seq(head + 1));
    log.close().await;
}

#[tokio::test]
async fn a_database_that_must_not_be_written_is_read_all_the_same() {
    let (log, directory) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    log.close().await;

    let log = with(Settings { pragmas: vec![("query_only", "1")], ..settings(&directory) }).await;
    for refused in
        [log.append(append(&stream, 3, &["x"])).await.map(|_| ()), log.check_writable().await.map_err(Into::into)]
    {
        let Err(AppendError::Unavailable(reason)) = refused else { panic!("{refused:?}") };
        assert_eq!(reason.kind(), UnavailableKind::ReadOnly);
        assert!(reason.to_string().starts_with("database is read-only"), "{reason}");
    }
    assert_eq!(log.read(&stream, Seq(0), 9).await.unwrap().len(), 3);
    log.close().await;
}

#[tokio::test]
async fn a_lock_is_waited_for() {
    let (log, directory) = fresh().await;
    let mut other = shell(&directory).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let stream = stream("d");
    let appended = log.append(append(&stream, 0, &["m"]));
    let released = async { sqlx::query("COMMIT").execute(&mut other).await.unwrap() };
    assert_eq!(join(appended, released).await.0.unwrap().seq, Seq(1));
    log.close().await;
}

#[tokio::test]
async fn checking_writes() {
    let (log, directory) = fresh().await;
    log.check_writable().await.unwrap();
    log.check_writable().await.unwrap();
    let mut shell = shell(&directory).await;
    let checks: i64 = sqlx::query_scalar("SELECT checks FROM write_checks").fetch_one(&mut shell).await.unwrap();
    assert_eq!(checks, 2);
    log.close().await;
}

#[tokio::test]
async fn the_write_ahead_log_stays_small_while_somebody_always_reads() {
    let directory = tempfile::tempdir().unwrap();
    let bound = 1 << 20;
    let log = with(Settings { wal_bytes: bound, checkpoint_pages: 0, ..settings(&directory) }).await;
    let stream = stream("d");
    fill(&log, &stream, 500).await;
    let wal = directory.path().join("log.db-wal");
    let size = || fs::metadata(&wal).map_or(0, |file| file.len());
    let write = async {
        let mut largest = 0;
        for seq in 500..2_000 {
            let event = typed(seq, seq, &"x".repeat(3_000));
            log.append(Append { events: vec![event], ..append(&stream, seq, &[]) }).await.unwrap();
            largest = size().max(largest);
        }
        largest
    };
    // Two readers that take turns, so that at every moment one of them is in the file.
    let page = || async { drop(log.changes(&stream, Seq(0), 500).await.unwrap()) };
    let read = async {
        loop {
            join(page(), page()).await;
        }
    };
    let largest = tokio::select! { done = write => done, () = read => unreachable!() };
    assert!(largest < 2 * bound, "the file grew to {largest}");
    // Nothing else than the writer has emptied it, and there was much more to write than fits.
    log.close().await;
    assert!(fs::metadata(directory.path().join("log.db")).unwrap().len() > 4 * bound);
}

#[tokio::test]
async fn a_long_read_from_outside_delays_the_writer_only_for_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let log = with(Settings { wal_bytes: 1 << 20, checkpoint_pages: 100, ..settings(&directory) }).await;
    let stream = stream("d");
    fill(&log, &stream, 10).await;
    let mut reader = shell(&directory).await;
    sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
    sqlx::query("SELECT count(*) FROM events").execute(&mut reader).await.unwrap();
    let wal = directory.path().join("log.db-wal");
    for seq in 10..600 {
        let event = typed(seq, seq, &"x".repeat(6_000));
        log.append(Append { events: vec![event], ..append(&stream, seq, &[]) }).await.unwrap();
    }
    assert!(fs::metadata(&wal).unwrap().len() > 1 << 20, "the reader does not hinder anything");
    reader.close().await.unwrap();
    for seq in 600..900 {
        let event = typed(seq, seq, &"x".repeat(6_000));
        log.append(Append { events: vec![event], ..append(&stream, seq, &[]) }).await.unwrap();
    }
    assert!(fs::metadata(&wal).unwrap().len() < 2 << 20, "the file is small again");
    log.close().await;
}

#[tokio::test]
async fn a_damaged_event_names_itself_and_the_others_stay_readable() {
    for (sql, why) in [
        ("UPDATE events SET body = '[\"edited.1\",' WHERE seq = 7", "EOF"),
        ("UPDATE events SET body = '[\"edited.9\",1]' WHERE seq = 7", "\"edited.9\" is not a known form"),
        ("UPDATE events SET body = '[\"edited.1\"' || char(10) || ',1]' || char(10) WHERE seq = 7", ""),
        ("UPDATE events SET body = CAST(x'5B22FF225D' AS TEXT) WHERE seq = 7", ""),
        // What stands between whole events when they are read together, and between their parts.
        ("UPDATE events SET body = body || char(30) || body WHERE seq = 7", ""),
        ("UPDATE events SET body = body || char(31) || body WHERE seq = 7", ""),
        ("DELETE FROM events WHERE seq = 7", "it is missing"),
    ] {
        let (log, directory) = fresh().await;
        let stream = stream("d");
        fill(&log, &stream, 20).await;
        run(&directory, sql).await;
        let readable = why.is_empty() && sql.contains("char(10)");
        for refused in [
            log.read(&stream, Seq(0), 20).await.map(|_| ()),
            log.changes(&stream, Seq(0), 20).await.map(|_| ()),
            log.changes(&stream, Seq(6), 1).await.map(|_| ()),
        ] {
            match refused {
                Ok(()) => assert!(readable, "{sql}"),
                Err(ReadError::Damaged(damaged)) => {
                    assert!(!readable && damaged.seq == Seq(7) && damaged.stream == stream, "{sql}: {damaged}");
                    assert!(damaged.why.contains(why), "{sql}: {damaged}");
                }
                Err(other) => panic!("{sql}: {other}"),
            }
        }
        assert_eq!(log.read(&stream, Seq(0), 6).await.unwrap().len(), 6);
        assert_eq!(log.changes(&stream, Seq(7), 100).await.unwrap().len(), 13);
        log.close().await;
    }
}

#[tokio::test]
async fn a_damaged_cause_is_found_by_reading_whole_events() {
    let (log, directory) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    run(&directory, "UPDATE events SET cause = replace(cause, 'utf-16', 'utf-7') WHERE seq = 2").await;
    let Err(ReadError::Damaged(damaged)) = log.read(&stream, Seq(0), 9).await else { panic!() };
    assert_eq!((damaged.seq, damaged.why.as_str()), (Seq(2), "\"utf-7\" is not a position encoding"));
    assert_eq!(log.changes(&stream, Seq(0), 9).await.unwrap().len(), 3);
    let repeated = log.append(append(&stream, 3, &["m2"])).await;
    assert!(matches!(repeated, Err(AppendError::Damaged(damaged)) if damaged.seq == Seq(2)));
    log.close().await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over() {
    let (log, directory) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 9).await;
    for seq in [4, 8] {
        let snapshot = Snapshot {
            comments: crate::projection::SavedComments::default(),
            seq: Seq(seq),
            version: crate::domain::Version(seq),
            last_modified: None,
            content: crate::text::Delta::new(),
        };
        log.save_snapshot(&stream, &snapshot).await.unwrap();
    }
    run(&directory, "UPDATE snapshots SET content = '[\"snapshot.1\",{}]' WHERE seq = 8").await;
    assert_eq!(log.snapshot(&stream, Seq(9)).await.unwrap().unwrap().seq, Seq(4));
    run(&directory, "UPDATE snapshots SET content = 'x'").await;
    assert_eq!(log.snapshot(&stream, Seq(9)).await.unwrap(), None);
    log.close().await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_with_both_versions() {
    let (log, directory) = fresh().await;
    log.close().await;
    run(&directory, "INSERT INTO _sqlx_migrations VALUES (9001, 'comments', CURRENT_TIMESTAMP, TRUE, x'00', 1)").await;
    let Err(error) = EventLog::sqlite(settings(&directory), Metrics::new()).await else { panic!("opened") };
    assert!(matches!(error, OpenError::Newer { found: 9001, known: 4, .. }), "{error:?}");
    let says = error.to_string();
    assert!(says.contains("log.db") && says.contains("9001") && says.contains("up to 4"), "{says}");
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let (log, directory) = fresh().await;
    log.close().await;
    run(&directory, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    let Err(error) = EventLog::sqlite(settings(&directory), Metrics::new()).await else { panic!("opened") };
    assert!(error.to_string().contains("migration 1"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::write(place("text"), "not a database, but long enough to have a header ".repeat(100)).unwrap();
    fs::create_dir(place("directory")).unwrap();
    let refused = async |path: &Path| match EventLog::sqlite(Settings::new(path), Metrics::new()).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    };
    for (path, why) in [
        (place("text"), "file is not a database"),
        (place("directory"), "database file cannot be opened"),
        (place("text").join("log.db"), "cannot create the directory"),
    ] {
        let says = refused(&path).await;
        assert!(says.contains(why) && says.contains(directory.path().to_str().unwrap()), "{says}");
    }
    assert_eq!(fs::read(place("text")).unwrap().len(), 4_900, "the file was not touched");
}

#[tokio::test]
async fn migrating_alone_answers_what_it_did() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("made/here/log.db").display());
    let applied = EventLog::migrate(&url).await.unwrap();
    assert_eq!(
        applied.iter().map(|new| (new.version, new.description.as_str())).collect::<Vec<_>>(),
        [(1, "event log"), (2, "presence"), (3, "projections"), (4, "erasure")]
    );
    assert!(EventLog::migrate(&url).await.unwrap().is_empty());
    EventLog::open(Options { url, readers: 1, lanes: 1, nats: None, metrics: Metrics::new() })
        .await
        .unwrap()
        .close()
        .await;
    for url in ["mysql://ann:secret@db/x", "log.db", "sqlite://"] {
        let says = EventLog::migrate(url).await.unwrap_err().to_string();
        assert!(says.contains("sqlite://path/to/file") && !says.contains("secret"), "{says}");
    }
}

#[tokio::test]
async fn settings_are_what_they_are_said_to_be() {
    let (log, directory) = fresh().await;
    log.close().await;
    let mut writer = settings(&directory).writer().await.unwrap();
    for (pragma, value) in
        [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("cache_size", "-65536")]
    {
        let query = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
        let found: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut writer).await.unwrap();
        assert_eq!(found, value, "{pragma}");
    }
}
