//! A log moves to another database and back, event for event: the real binary on real databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail")]

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use scriptorium::{
    domain::{
        Cause, ClientId, DocumentId, Edited, Event, MessageId, PositionEncoding, Seq, Timestamp, UserId, Version,
    },
    event_log::{Append, EventLog, Expected, NewEvent, Options, Position, StreamName},
    telemetry::Metrics,
    text::{Attributes, Delta},
};
use serde_json::{Value, json, value::to_raw_value};
use sqlx::{Connection, Row};
use support::{
    command::{Done, command},
    postgres,
};
use tempfile::TempDir;

/// Shared with the other tests.
mod support {
    pub(crate) mod command;
    pub(crate) mod postgres;
}

/// A folder with databases.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn url(&self, database: &str) -> String {
        format!("sqlite://{}", self.file(database).display())
    }

    async fn log(&self, database: &str) -> EventLog {
        EventLog::open(Options { readers: 1, ..options(&self.url(database)) }).await.unwrap()
    }

    fn command(&self, database: &str, arguments: &[&str]) -> Command {
        command(self.0.path(), &self.url(database), arguments)
    }

    fn run(&self, database: &str, arguments: &[&str]) -> Done {
        self.command(database, arguments).output().unwrap().into()
    }
}

fn options(url: &str) -> Options {
    Options { url: url.to_owned(), readers: 4, lanes: 4, nats: None, metrics: Metrics::new() }
}

/// `count` edits of three documents in turns, one or two in an append, each at its own time, some of them odd.
async fn write(log: &EventLog, count: u64) {
    write_in(log, count, 2).await;
}

/// The same with up to `most` in an append.
async fn write_in(log: &EventLog, count: u64, most: u64) {
    let texts = ["a", "é𐆐", "'; DROP TABLE events; --\n\u{2028}", "\0\"\\", ""];
    let mut written = 0;
    for turn in 0.. {
        if written == count {
            break;
        }
        let stream = StreamName::document(&DocumentId::parse(["one", "a/b", "x:y"][turn % 3]).unwrap());
        let head = log.head(&stream).await.unwrap().unwrap_or_default();
        let events = (0..(1 + turn as u64 % most).min(count - written)).map(|n| {
            let version = Version(head.version.0 + n + 1);
            // As a client may have written it, on lines of its own.
            let received = format!("{{\n  \"version\" : {written},\r\n \"é\": \"\\u00e9\"}}");
            let cause = Cause {
                user: UserId::parse("ada").unwrap(),
                client: ClientId::parse("ada-1").unwrap(),
                base: head.version,
                origin: head.version,
                after: None,
                encoding: PositionEncoding::Utf16,
                received: serde_json::value::RawValue::from_string(received).unwrap().into(),
            };
            let applied = Delta::new().insert(texts[turn % texts.len()], Attributes::NONE);
            let event = Event::Edited(Edited {
                applied,
                in_code_points: None,
                transformed: true,
                placed: Vec::new(),
                cause: Arc::new(cause),
            });
            NewEvent { message_id: MessageId::parse(&format!("m \"{version}é")).unwrap(), version, event }
        });
        let events: Vec<_> = events.collect();
        written += events.len() as u64;
        let recorded_at = Timestamp(1_700_000_000_000_000 + i64::try_from(written).unwrap() * 1_001);
        log.append(Append { stream, expected: Expected::At(head.seq), recorded_at, events }).await.unwrap();
    }
}

/// Everything that is stored of events and heads, but for what belongs to one database.
async fn contents(url: &str) -> Vec<String> {
    let mut database = sqlx::SqliteConnection::connect(url).await.unwrap();
    let events = "SELECT s.name || '|' || e.seq || '|' || e.version || '|' || e.message_id || '|' || e.recorded_at
        || '|' || e.body || '|' || e.cause FROM events e JOIN streams s ON s.id = e.stream ORDER BY e.position";
    let heads = "SELECT name || '|' || seq || '|' || version || '|' || recorded_at FROM streams ORDER BY name";
    let mut all = Vec::new();
    for sql in [events, heads] {
        all.extend(sqlx::query(sql).fetch_all(&mut database).await.unwrap().iter().map(|row| row.get(0)));
    }
    all
}

#[tokio::test]
async fn a_log_moves_by_a_file_and_is_the_same_to_the_letter() {
    let place = Place::new();
    write(&place.log("from.db").await, 500).await;
    let exported = place.run("from.db", &["export", "--output", "log.ndjson"]);
    assert_eq!(exported.err, "exported 500 events, up to position 500\n");
    assert_eq!(exported.fine(), "");
    assert!(!place.file("log.ndjson.partial").exists());

    let import = || place.run("to.db", &["import", "log.ndjson"]).fine();
    assert_eq!(import(), "imported 500 events, 0 there already; up to position 500 of the export\n");
    assert_eq!(contents(&place.url("to.db")).await, contents(&place.url("from.db")).await);
    assert_eq!(import(), "imported 0 events, 500 there already; up to position 500 of the export\n");
    assert_eq!(contents(&place.url("to.db")).await, contents(&place.url("from.db")).await);
    assert!(place.run("to.db", &["verify"]).fine().ends_with("500 events, 0 snapshots: 0 differences\n"));
    place.run("to.db", &["export", "--output", "again.ndjson"]).fine();
    assert_eq!(fs::read(place.file("again.ndjson")).unwrap(), fs::read(place.file("log.ndjson")).unwrap());
}

#[tokio::test]
async fn a_log_moves_by_a_pipe_and_what_came_later_follows() {
    let place = Place::new();
    let log = place.log("from.db").await;
    write(&log, 100).await;
    let pipe = |after: &str| {
        let mut export =
            place.command("from.db", &["export", "--after", after]).stdout(Stdio::piped()).spawn().unwrap();
        let import = place.command("to.db", &["import"]).stdin(export.stdout.take().unwrap()).output().unwrap();
        assert!(export.wait().unwrap().success());
        Done::from(import).fine()
    };
    assert_eq!(pipe("0"), "imported 100 events, 0 there already; up to position 100 of the export\n");
    write(&log, 50).await;
    assert_eq!(pipe("90"), "imported 50 events, 10 there already; up to position 150 of the export\n");
    assert_eq!(pipe("150"), "imported 0 events, 0 there already; up to position 150 of the export\n");
    assert_eq!(contents(&place.url("to.db")).await, contents(&place.url("from.db")).await);
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_when_it_is_run_again() {
    let place = Place::new();
    write_in(&place.log("from.db").await, 9_000, 200).await;
    let export = place.run("from.db", &["export"]).fine();
    let to = place.log("to.db").await;
    let mut import = place.command("to.db", &["import"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut half = import.stdin.take().unwrap();
    half.write_all(&export.as_bytes()[..export.len() / 3 * 2]).unwrap();
    half.flush().unwrap();
    // It is in the middle of it, with what is imported committed.
    let imported = to.follow(Position(0)).next().await.unwrap();
    import.kill().unwrap();
    import.wait().unwrap();
    assert!(!imported.is_empty());

    fs::write(place.file("log.ndjson"), &export).unwrap();
    let again = place.run("to.db", &["import", "log.ndjson"]).fine();
    assert!(!again.contains("imported 9000 events") && !again.contains("imported 0 events"), "{again}");
    assert_eq!(contents(&place.url("to.db")).await, contents(&place.url("from.db")).await);
}

#[tokio::test]
async fn an_export_that_is_cut_off_or_changed_is_known() {
    let place = Place::new();
    write(&place.log("from.db").await, 40).await;
    let export = place.run("from.db", &["export"]).fine();
    let refused = |content: &str| {
        fs::write(place.file("log.ndjson"), content).unwrap();
        let complaint = place.run("to.db", &["import", "log.ndjson"]).failed(1);
        assert!(complaint.contains("not"), "{complaint}");
        complaint
    };
    let lines: Vec<_> = export.lines().collect();
    assert!(refused("").contains("it is empty"));
    assert!(refused("{\"a\":1}\n").contains("it is no export"));
    assert!(refused(&export.replacen(":1,", ":2,", 1)).contains("it is of form 2"));
    assert!(refused(&lines[..20].join("\n")).contains("it is cut off after line 20"));
    assert!(refused(&export[..export.len() / 2]).contains("line "));
    assert!(refused(&export.replacen("ada", "bob", 1)).contains("SHA-256"));
    assert!(refused(&format!("{export}{export}")).contains("something follows the end"));
    assert!(refused(&[lines[0], lines[2], lines[1], lines[3]].join("\n")).contains("is not in its place"));
    let without_one = [&lines[..9], &lines[10..]].concat().join("\n");
    assert!(refused(&without_one).contains("holds 39 events, and its end says 40"));
    assert!(contents(&place.url("to.db")).await.is_empty(), "a file is looked through before anything is appended");

    // A pipe is taken as it comes, and says how far it came.
    let mut import = place.command("to.db", &["import"]);
    let mut import = import.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(lines[..20].join("\n").as_bytes()).unwrap();
    let complaint = Done::from(import.wait_with_output().unwrap()).failed(1);
    assert!(complaint.contains("cut off after line 20") && complaint.contains("up to position 0 "), "{complaint}");
}

#[tokio::test]
async fn a_database_that_says_something_else_refuses_the_import() {
    let place = Place::new();
    write(&place.log("from.db").await, 60).await;
    place.run("from.db", &["export", "--output", "log.ndjson"]).fine();
    let to = place.log("to.db").await;
    let stream = StreamName::parse("document:x:y").unwrap();
    let event = Event::Edited(Edited {
        applied: Delta::new().insert("mine", Attributes::NONE),
        in_code_points: None,
        placed: Vec::new(),
        transformed: false,
        cause: Arc::new(Cause {
            user: UserId::parse("bob").unwrap(),
            client: ClientId::parse("b").unwrap(),
            base: Version(0),
            origin: Version(0),
            after: None,
            encoding: PositionEncoding::Utf16,
            received: to_raw_value(&json!({})).unwrap().into(),
        }),
    });
    let events = vec![NewEvent { message_id: MessageId::parse("mine").unwrap(), version: Version(1), event }];
    let append = Append { stream, expected: Expected::At(Seq(0)), recorded_at: Timestamp(1), events };
    to.append(append).await.unwrap();
    let before = contents(&place.url("to.db")).await;
    let complaint = place.run("to.db", &["import", "log.ndjson"]).failed(1);
    assert!(complaint.contains("nothing was imported: event 1 of document:x:y is another one here"), "{complaint}");
    assert_eq!(contents(&place.url("to.db")).await, before);
}

#[tokio::test]
async fn events_are_printed_in_the_order_of_their_commits_from_any_position() {
    let place = Place::new();
    write(&place.log("log.db").await, 30).await;
    let lines = |arguments: &[&str]| {
        let out = place.run("log.db", &[&["events"], arguments].concat()).fine();
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = lines(&[]);
    let positions: Vec<_> = all.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=30).collect::<Vec<_>>());
    assert_eq!(
        all.iter().take(3).map(|event| event["document"].as_str().unwrap()).collect::<Vec<_>>(),
        ["one", "a/b", "a/b"]
    );
    assert_eq!(lines(&["--after", "12"]), all[12..]);
    assert_eq!(place.run("log.db", &["events", "one", "--after", "12"]).code, Some(2));
}

#[tokio::test]
async fn a_log_moves_from_sqlite_to_postgres_and_back() {
    let (place, schema) = (Place::new(), postgres::Schema::make().await);
    write(&place.log("from.db").await, 3_000).await;
    let postgres = schema.url();
    let run =
        |url: &str, arguments: &[&str]| Done::from(command(place.0.path(), url, arguments).output().unwrap()).fine();
    let (from, back) = (place.url("from.db"), place.url("back.db"));

    run(&from, &["export", "--output", "there.ndjson"]);
    let imported = run(&postgres, &["import", "there.ndjson"]);
    assert!(imported.starts_with("imported 3000 events, 0 there already"), "{imported}");
    assert!(run(&postgres, &["verify"]).ends_with("3 streams, 3000 events, 0 snapshots: 0 differences\n"));
    assert!(run(&postgres, &["import", "there.ndjson"]).starts_with("imported 0 events, 3000 there already"));

    run(&postgres, &["export", "--output", "back.ndjson"]);
    run(&back, &["import", "back.ndjson"]);
    assert_eq!(contents(&back).await, contents(&from).await);
    assert!(run(&back, &["verify"]).ends_with("3 streams, 3000 events, 0 snapshots: 0 differences\n"));
}
