//! The command line, as a person or a script meets it: the real binary on a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use scriptorium::{
    domain::{
        Cause, ClientId, DocumentId, Edited, Event, MessageId, PositionEncoding, Seq, Timestamp, UserId, Version,
    },
    event_log::{Append, EventLog, Expected, NewEvent, Options, StreamName},
    telemetry::Metrics,
    text::{Attributes, Delta},
};
use serde_json::{Value, json, value::to_raw_value};
use sqlx::{Connection, PgConnection, SqliteConnection};
use support::storage::{Storage, on_every_database};
use tempfile::TempDir;

/// Shared with the tests that talk to the service.
mod support {
    pub(crate) mod postgres;
    pub(crate) mod storage;
}

/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;

/// A folder of its own, and the database in it.
struct Scene {
    folder: TempDir,
    log: EventLog,
    storage: Storage,
}

impl Scene {
    /// Two documents: `a` spells its letters one by one, a second each; `b` is `hello`, bold.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::of_this_test(folder.path());
        let url = storage.url();
        let log = EventLog::open(Options { url, readers: 1, lanes: 1, metrics: Metrics::new() }).await.unwrap();
        let scene = Self { folder, log, storage };
        for (n, letter) in ["o", "n", "e", " ", "😀"].into_iter().enumerate() {
            let position = n;
            scene.append("a", Delta::new().retain(position).insert(letter, Attributes::NONE)).await;
        }
        let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
        scene.append("b", Delta::new().insert("hello", bold)).await;
        scene
    }

    async fn append(&self, document: &str, applied: Delta) {
        let stream = StreamName::document(&DocumentId::parse(document).unwrap());
        let expected = self.log.head(&stream).await.unwrap().unwrap_or_default().seq;
        let cause = Cause {
            user: UserId::parse("ada").unwrap(),
            client: ClientId::parse("ada-1").unwrap(),
            base: Version(expected.0),
            origin: Version(expected.0),
            after: None,
            encoding: PositionEncoding::Utf16,
            received: to_raw_value(&json!({ "version": expected.0 })).unwrap().into(),
        };
        let edited =
            Edited { applied, in_code_points: None, transformed: false, placed: Vec::new(), cause: Arc::new(cause) };
        let events = vec![NewEvent {
            message_id: MessageId::parse(&format!("m{}", expected.0 + 1)).unwrap(),
            version: Version(expected.0 + 1),
            event: Event::Edited(edited),
        }];
        let recorded_at = Timestamp(START + i64::try_from(expected.0 + 1).unwrap() * SECOND);
        self.log.append(Append { stream, expected: Expected::At(expected), recorded_at, events }).await.unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command_in(self.folder.path(), arguments);
        command.env("DATABASE_URL", self.storage.url());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// Does what no part of the service would ever do.
    async fn tamper(&self, sql: &'static str) {
        assert_ne!(tamper(&self.storage.url(), sql).await, 0, "{sql}");
    }
}

/// Runs a statement past every line of our own code; how many rows it changed.
async fn tamper(url: &str, sql: &'static str) -> u64 {
    if url.starts_with("sqlite:") {
        let mut database = SqliteConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut database).await.unwrap().rows_affected()
    } else {
        let mut database = PgConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut database).await.unwrap().rows_affected()
    }
}

fn url_in(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("log.db").display())
}

fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scriptorium"));
    command.args(arguments).current_dir(folder).env("DATABASE_URL", url_in(folder));
    command
}

/// How a command ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Done {
    /// What it printed, if all was fine.
    fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What it complained about with this exit code.
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_ne!(self.err, "");
        self.err
    }
}

on_every_database! {
    replay_prints_the_document_as_it_is_and_as_it_was
    replay_prints_rich_text_and_everything_that_is_known
    what_cannot_be_replayed_is_said
    events_are_one_json_object_per_line
    follow_prints_what_another_process_records
    a_reader_that_has_seen_enough_is_no_failure
    verify_finds_nothing_in_a_sound_log_with_sound_snapshots
    verify_names_each_damaged_event_and_goes_on
    verify_reports_every_way_in_which_stored_state_can_differ
    rebuild_mends_snapshots_and_keeps_going_past_a_damaged_document
    migrate_makes_the_database_and_then_has_nothing_to_do
}

async fn migrate_makes_the_database_and_then_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::of_this_test(folder.path());
    let run = |command| {
        Done::from(command_in(folder.path(), &[command]).env("DATABASE_URL", storage.url()).output().unwrap())
    };
    let migrate = || run("migrate").fine();
    assert!(migrate().contains("applied 1, "));
    assert!(migrate().contains("is up to date"));
    let verify = run("verify");
    assert_eq!(verify.fine(), "verified 0 streams, 0 events, 0 snapshots: 0 differences\n");
}

#[test]
fn looking_at_a_database_that_is_not_there_does_not_make_one() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["events", "verify", "rebuild"] {
        let complaint = Done::from(command_in(folder.path(), &[command]).output().unwrap()).failed(1);
        assert!(complaint.contains("there is no database at sqlite://"), "{complaint}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

async fn replay_prints_the_document_as_it_is_and_as_it_was() {
    let scene = Scene::new().await;
    let replay = |arguments: &[&str]| scene.run(&[&["replay", "a"], arguments].concat()).fine();
    assert_eq!(replay(&[]), "one 😀");
    assert_eq!(replay(&["--to-version", "3"]), "one");
    assert_eq!(replay(&["--to-version", "0"]), "");
    assert_eq!(replay(&["--at", "2026-01-01T00:00:02Z"]), "on");
    assert_eq!(replay(&["--at", "2026-01-01T01:00:02.999+01:00"]), "on");
    assert_eq!(replay(&["--at", "1999-01-01T00:00:00Z"]), "");
    assert_eq!(replay(&["--at", "2099-01-01T00:00:00Z"]), "one 😀");
}

async fn replay_prints_rich_text_and_everything_that_is_known() {
    let scene = Scene::new().await;
    let replay = |format| scene.run(&["replay", "b", "--format", format]).fine();
    let delta = json!([{ "insert": "hello", "attributes": { "bold": true } }]);
    assert_eq!(serde_json::from_str::<Value>(&replay("delta")).unwrap(), delta);
    assert_eq!(
        serde_json::from_str::<Value>(&replay("json")).unwrap(),
        json!({
            "id": "b", "version": 1, "seq": 1, "content": "hello", "delta": delta,
            "metadata": { "word_count": 1, "last_modified": "2026-01-01T00:00:01.000Z" },
            "comments": [],
        })
    );
}

async fn what_cannot_be_replayed_is_said() {
    let scene = Scene::new().await;
    assert!(scene.run(&["replay", "a", "--to-version", "6"]).failed(1).contains("is at version 5 so far"));
    assert!(scene.run(&["replay", "c"]).failed(1).contains("document c has no events"));
    assert!(scene.run(&["replay", "a b"]).failed(2).contains("1 to 128 characters"));
    assert!(scene.run(&["replay", "a", "--at", "noon"]).failed(2).contains("not a time like"));
    scene.run(&["replay", "a", "--to-version", "1", "--at", "2026-01-01T00:00:00Z"]).failed(2);
}

async fn events_are_one_json_object_per_line() {
    let scene = Scene::new().await;
    let lines = |arguments: &[&str]| {
        let out = scene.run(&[&["events"], arguments].concat()).fine();
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let a = lines(&["a"]);
    assert_eq!(a.iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(
        a[1],
        json!({
            "document": "a", "seq": 2, "version": 2, "type": "edited", "message_id": "m2",
            "time": "2026-01-01T00:00:02.000000Z", "user": "ada", "client": "ada-1", "base": 1, "after": null,
            "transformed": false, "applied": [{ "retain": 1 }, { "insert": "n" }], "received": { "version": 1 },
        })
    );
    assert_eq!(lines(&[]).iter().map(|event| event["document"].as_str().unwrap()).collect::<String>(), "aaaaab");
    assert!(scene.run(&["events", "c"]).failed(1).contains("document c has no events"));
}

/// A command that goes on, ended with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn follow_prints_what_another_process_records() {
    let scene = Scene::new().await;
    let mut child = Following(scene.command(&["events", "--follow"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = || {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        format!("{}{}", event["document"].as_str().unwrap(), event["seq"])
    };
    let there_already: Vec<_> = (0..6).map(|_| next()).collect();
    assert_eq!(there_already, ["a1", "a2", "a3", "a4", "a5", "b1"]);
    scene.append("b", Delta::new().delete(1)).await;
    assert_eq!(next(), "b2");
    scene.append("new", Delta::new().insert("x", Attributes::NONE)).await;
    assert_eq!(next(), "new1");
}

async fn a_reader_that_has_seen_enough_is_no_failure() {
    let scene = Scene::new().await;
    let mut child = scene.command(&["events", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    scene.append("b", Delta::new().delete(1)).await;
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

async fn verify_finds_nothing_in_a_sound_log_with_sound_snapshots() {
    let scene = Scene::new().await;
    assert_eq!(scene.run(&["rebuild"]).fine(), "2 documents rebuilt\n");
    scene.append("a", Delta::new().retain(4).delete(2)).await;
    assert_eq!(scene.run(&["verify"]).fine(), "verified 2 streams, 7 events, 2 snapshots: 0 differences\n");
}

async fn verify_names_each_damaged_event_and_goes_on() {
    let scene = Scene::new().await;
    scene.tamper("UPDATE events SET body = 'rubbish' WHERE seq IN (2, 4)").await;
    scene.tamper("UPDATE events SET cause = '[]' WHERE stream = 2").await;
    let verify = scene.run(&["verify"]);
    let starts = ["a: event 2 is damaged: ", "a: event 4 is damaged: ", "b: event 1 is damaged: "];
    assert_eq!(verify.out.lines().count(), starts.len() + 1, "{verify:?}");
    for (line, start) in verify.out.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(verify.out.ends_with("verified 2 streams, 3 events, 0 snapshots: 3 differences\n"), "{verify:?}");
    verify.failed(1);
}

async fn verify_reports_every_way_in_which_stored_state_can_differ() {
    for (sql, difference) in [
        ("DELETE FROM events WHERE seq = 3", "a: event 3 is damaged: it is missing"),
        ("DELETE FROM events WHERE seq = 5", "a: event 5 is missing"),
        ("UPDATE events SET version = 9 WHERE seq = 3", "a: event 3 is of version 9, the one before it of 2"),
        ("UPDATE events SET recorded_at = 1 WHERE seq = 3", "a: event 3 was recorded before the one before it"),
        (
            "UPDATE events SET body = (SELECT body FROM events WHERE seq = 5) WHERE seq = 2",
            "a: event 2 does not fit the document before it: ",
        ),
        ("UPDATE streams SET version = 4 WHERE name = 'document:a'", "a: the head is of version 4 at "),
        ("UPDATE streams SET seq = 4 WHERE name = 'document:a'", "a: there are events behind the head, which is at 4"),
        ("UPDATE snapshots SET version = 4 WHERE seq = 5", "a: snapshot 5 is of version 4, its events make 5"),
        ("UPDATE snapshots SET last_modified = 4 WHERE seq = 5", "a: snapshot 5 has another time than its last edit"),
        ("UPDATE snapshots SET content = 'rubbish' WHERE seq = 5", "a: snapshot 5 is damaged: "),
        (
            "UPDATE snapshots SET content = (SELECT content FROM snapshots WHERE seq = 1) WHERE seq = 5",
            "a: snapshot 5 has other content than its events make",
        ),
        ("UPDATE snapshots SET seq = 6 WHERE seq = 5", "a: snapshot 6 is ahead of the log, which is at 5"),
    ] {
        let scene = Scene::new().await;
        scene.run(&["rebuild"]).fine();
        scene.tamper(sql).await;
        let verify = scene.run(&["verify"]);
        assert!(verify.out.lines().any(|line| line.starts_with(difference)), "{sql}\n{verify:?}");
        verify.failed(1);
    }
}

async fn rebuild_mends_snapshots_and_keeps_going_past_a_damaged_document() {
    let scene = Scene::new().await;
    scene.run(&["rebuild"]).fine();
    scene.tamper("UPDATE snapshots SET content = 'rubbish', seq = seq - 1").await;
    scene.tamper("UPDATE events SET body = 'rubbish' WHERE stream = 1 AND seq = 2").await;
    let rebuild = scene.run(&["rebuild"]);
    assert_eq!(rebuild.out, "1 documents rebuilt\n");
    assert!(rebuild.failed(1).contains("event 2 of document:a is damaged"));
    assert_eq!(scene.run(&["rebuild", "--document", "b"]).fine(), "1 documents rebuilt\n");
    assert!(scene.run(&["rebuild", "--document", "c"]).failed(1).contains("has no events"));
    let stored = scene.log.saved_snapshots(&StreamName::parse("document:b").unwrap()).await.unwrap();
    assert_eq!(stored.iter().map(|saved| (saved.seq, saved.snapshot.is_ok())).collect::<Vec<_>>(), [(Seq(1), true)]);
}

#[test]
fn settings_that_are_not_usable_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, value: &str| {
        Done::from(command_in(folder.path(), &["serve"]).env(name, value).output().unwrap()).failed(2)
    };
    assert!(run("SCRIPTORIUM__SERVER__LISTN", "x").contains("did you mean server.listen?"));
    assert!(run("SCRIPTORIUM__SERVER__LISTEN", "0.0.0.0:0").contains("auth.allow_open = true"));
    assert!(run("DATABASE_URL", "mysql://x").contains("database.url (in the environment variable DATABASE_URL)"));
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/default.toml"), "[limits]\nconnections = \"many\"").unwrap();
    assert!(run("X", "").contains("limits.connections (in config/default.toml): must be a whole number"));
}
