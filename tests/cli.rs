//! The command line, as a person or a script meets it: the real binary on a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use scriptorium::{
    domain::{
        Cause, ClientId, ConnectionName, Cursor, DocumentId, Edited, Event, Joined, Left, MessageId, Moved, NodeId,
        PositionEncoding, PresenceEvent, Profile, Seq, Timestamp, Typed, UserId, Version,
    },
    event_log::{Append, EventLog, Expected, NewEvent, NewPresence, Options, StreamName},
    telemetry::Metrics,
    text::{Attributes, Delta},
};
use serde_json::{Value, json, value::to_raw_value};
use sqlx::{Connection, PgConnection, SqliteConnection};
use support::{
    command::{Done, command},
    storage::{Storage, on_every_database},
};
use tempfile::TempDir;

/// Shared with the tests that talk to the service.
mod support {
    pub(crate) mod command;
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

    /// Adds to who was in a document and where, all of it at one time.
    async fn append_presence(&self, document: &str, seconds: i64, events: Vec<PresenceEvent>) {
        let document = DocumentId::parse(document).unwrap();
        let before = self.log.head(&StreamName::presence(&document)).await.unwrap().unwrap_or_default().seq.0;
        let named =
            |(n, event)| NewPresence { id: MessageId::parse(&format!("p{n}")).unwrap(), version: Version(1), event };
        let events: Vec<_> = (before + 1..).zip(events).map(named).collect();
        self.log.append_presence(&document, Timestamp(START + seconds * SECOND), &events).await.unwrap();
    }

    /// Ann and Ben were in `b`; Ben still is.
    async fn with_presence(self) -> Self {
        self.append_presence("b", 1, vec![joined(1, "ann"), moved("ann", 3, None), typed("ann")]).await;
        self.append_presence("b", 2, vec![joined(2, "ben"), moved("ben", 1, Some((1, 4))), left(1, "ann")]).await;
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), &self.storage.url(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// Does what no part of the service would ever do.
    async fn tamper(&self, sql: &'static str) {
        assert_ne!(tamper(&self.storage.url(), sql).await, 0, "{sql}");
    }
}

fn connection(number: u64) -> ConnectionName {
    ConnectionName { node: NodeId::parse("node-a").unwrap(), incarnation: 7, number }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn joined(number: u64, name: &str) -> PresenceEvent {
    let profile = Profile { name: Some(name.to_uppercase()), avatar_url: None, color: Some("#3b82f6".into()) };
    let client = ClientId::parse("c-1").unwrap();
    PresenceEvent::Joined(Joined {
        connection: connection(number),
        user: user(name),
        client,
        profile: Arc::new(profile),
    })
}

fn left(number: u64, name: &str) -> PresenceEvent {
    PresenceEvent::Left(Left { connection: connection(number), user: user(name) })
}

fn moved(name: &str, position: usize, selection: Option<(usize, usize)>) -> PresenceEvent {
    let (client, cursor) = (ClientId::parse("c-1").unwrap(), Cursor { position, selection });
    PresenceEvent::Moved(vec![Moved { user: user(name), client, message_id: None, cursor }])
}

fn typed(name: &str) -> PresenceEvent {
    let (client, message_id) = (ClientId::parse("c-1").unwrap(), Some(MessageId::parse("t").unwrap()));
    PresenceEvent::Typed(vec![Typed { user: user(name), client, message_id, is_typing: true, position: Some(2) }])
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
    command(folder, &url_in(folder), arguments)
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
    events_of_presence_say_who_came_went_and_was_where
    verify_checks_who_is_here_also_where_the_beginning_is_trimmed
    verify_reports_every_way_in_which_stored_presence_can_differ
    rebuild_folds_presence_anew_and_forgets_nobody_whose_coming_was_trimmed
}

async fn events_of_presence_say_who_came_went_and_was_where() {
    let scene = Scene::new().await.with_presence().await;
    let out = scene.run(&["events", "presence:b"]).fine();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |number| json!({"node": "node-a", "incarnation": 7, "number": number});
    let said = |seq: u64, second: u64, mut more: Value| {
        more["stream"] = json!("presence:b");
        more["seq"] = json!(seq);
        more["version"] = json!(1);
        more["message_id"] = json!(format!("p{seq}"));
        more["time"] = json!(format!("2026-01-01T00:00:0{second}.000000Z"));
        more
    };
    let cursor = |user: &str, position: u64, selection: Value| {
        json!({"type": "moved", "cursors": [
            {"user": user, "client": "c-1", "message_id": null, "position": position, "selection": selection}]})
    };
    let came = |number: u64, user: &str, name: &str| {
        json!({"type": "joined", "connection": of(number), "user": user, "client": "c-1", "name": name,
            "avatar_url": null, "color": "#3b82f6"})
    };
    let typing = json!({"type": "typed", "users": [
        {"user": "ann", "client": "c-1", "message_id": "t", "is_typing": true, "position": 2}]});
    assert_eq!(
        lines,
        [
            said(1, 1, came(1, "ann", "ANN")),
            said(2, 1, cursor("ann", 3, Value::Null)),
            said(3, 1, typing),
            said(4, 2, came(2, "ben", "BEN")),
            said(5, 2, cursor("ben", 1, json!({"start": 1, "end": 4}))),
            said(6, 2, json!({"type": "left", "connection": of(1), "user": "ann"})),
        ]
    );
    // Of what was trimmed there is nothing to print.
    let document = DocumentId::parse("b").unwrap();
    assert_eq!(scene.log.trim_presence(&document, Timestamp(START + 2 * SECOND)).await.unwrap(), 3);
    assert_eq!(scene.run(&["events", "presence:b"]).fine().lines().count(), 3);
    assert_eq!(scene.run(&["events", "document:b"]).fine(), scene.run(&["events", "b"]).fine());
    assert!(scene.run(&["events", "presence:a"]).failed(1).contains("presence:a has no events"));

    let mut child =
        Following(scene.command(&["events", "presence:a", "--follow"]).stdout(Stdio::piped()).spawn().unwrap());
    scene.append_presence("a", 1, vec![joined(1, "ann")]).await;
    let first = BufReader::new(child.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["type"], "joined");
}

async fn verify_checks_who_is_here_also_where_the_beginning_is_trimmed() {
    let scene = Scene::new().await.with_presence().await;
    assert_eq!(scene.run(&["verify"]).fine(), "verified 3 streams, 12 events, 0 snapshots: 0 differences\n");
    let document = DocumentId::parse("b").unwrap();
    let save =
        async || scene.log.save_presence(&document, &scene.log.presence(&document).await.unwrap()).await.unwrap();
    save().await;
    scene.append_presence("b", 3, vec![moved("ben", 2, None)]).await;
    assert_eq!(scene.log.trim_presence(&document, Timestamp(START + 3 * SECOND)).await.unwrap(), 6);
    scene.append_presence("b", 4, vec![left(2, "ben")]).await;
    save().await;
    assert_eq!(scene.run(&["verify"]).fine(), "verified 3 streams, 8 events, 2 snapshots: 0 differences\n");
}

async fn verify_reports_every_way_in_which_stored_presence_can_differ() {
    const OF_B: &str = "stream = (SELECT id FROM streams WHERE name = 'presence:b')";
    for (tampering, difference) in [
        ("DELETE FROM events WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM events WHERE seq = 6", "event 6 is missing"),
        ("DELETE FROM events WHERE seq <= 2", "events 1 to 2 are gone, and no snapshot stands for them"),
        ("UPDATE events SET body = 'rubbish' WHERE seq = 2", "event 2 is damaged: "),
        ("UPDATE events SET recorded_at = 1 WHERE seq = 4", "event 4 was recorded before the one before it"),
        ("UPDATE events SET version = 9 WHERE seq = 3", "an event refers to version 9, but the document is at 1"),
        ("UPDATE snapshots SET content = 'rubbish' WHERE seq > 0", "snapshot 6 is damaged: "),
        (
            "UPDATE snapshots SET content = '[\"presence.1\"]' WHERE seq > 0",
            "snapshot 6 shows others than its events make",
        ),
        ("UPDATE snapshots SET version = 4 WHERE seq > 0", "snapshot 6 is of version 4, its last event of 1"),
        ("UPDATE snapshots SET seq = 7 WHERE seq > 0", "snapshot 7 is ahead of the log, which is at 6"),
        ("UPDATE streams SET version = 4 WHERE seq > 0", "the head is of version 4 at "),
        ("UPDATE streams SET seq = 5 WHERE seq > 0", "there are events behind the head, which is at 5"),
    ] {
        let scene = Scene::new().await.with_presence().await;
        let document = DocumentId::parse("b").unwrap();
        // Where the beginning is deleted nothing is to stand for it.
        if !difference.contains("no snapshot") {
            scene.log.save_presence(&document, &scene.log.presence(&document).await.unwrap()).await.unwrap();
        }
        let of_b = if tampering.contains("streams") { "name = 'presence:b'" } else { OF_B };
        scene.tamper(format!("{tampering} AND {of_b}").leak()).await;
        let verify = scene.run(&["verify"]);
        let expected = format!("presence:b: {difference}");
        assert!(verify.out.lines().any(|line| line.starts_with(&expected)), "{tampering}\n{verify:?}");
        verify.failed(1);
    }
}

async fn rebuild_folds_presence_anew_and_forgets_nobody_whose_coming_was_trimmed() {
    let scene = Scene::new().await.with_presence().await;
    let document = DocumentId::parse("b").unwrap();
    let here = async || scene.log.presence(&document).await.unwrap();
    let before = here().await;
    scene.log.save_presence(&document, &before).await.unwrap();
    let spoil = "UPDATE snapshots SET content = '[\"presence.1\"]' WHERE stream = (SELECT id FROM streams WHERE name = 'presence:b')";
    scene.tamper(spoil).await;
    assert_ne!(here().await, before);
    scene.run(&["rebuild", "--document", "b"]).fine();
    assert_eq!(here().await, before);

    scene.append_presence("b", 3, vec![moved("ben", 2, None), typed("ben")]).await;
    assert_eq!(scene.log.trim_presence(&document, Timestamp(START + 3 * SECOND)).await.unwrap(), 6);
    let before = here().await;
    scene.run(&["rebuild"]).fine();
    assert_eq!(here().await, before, "that Ben came is in no event any more");
    let ahead = "INSERT INTO snapshots (stream, seq, version, last_modified, content)
        SELECT stream, 99, version, last_modified, '[\"presence.1\"]' FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = 'presence:b')";
    scene.tamper(ahead).await;
    scene.run(&["rebuild"]).fine();
    assert_eq!(here().await, before);
    assert_eq!(scene.log.saved_presences(&document).await.unwrap().len(), 1);
    scene.run(&["verify"]).fine();
}

async fn migrate_makes_the_database_and_then_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::of_this_test(folder.path());
    let run = |name| Done::from(command(folder.path(), &storage.url(), &[name]).output().unwrap());
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
