//! A database with a story, and the program on it.

use std::{
    path::Path,
    process::{Child, Command},
    sync::Arc,
};

use scriptorium::{
    domain::{
        Cause, ClientId, ConnectionName, Cursor, DocumentId, Edited, Event, Joined, Left, MessageId, Moved, NodeId,
        PositionEncoding, PresenceEvent, Profile, Timestamp, Typed, UserId, Version,
    },
    event_log::{Append, EventLog, Expected, NewEvent, NewPresence, Options, StreamName},
    telemetry::Metrics,
    text::{Attributes, Delta},
};
use serde_json::{json, value::to_raw_value};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::support::{
    command::{Done, command},
    storage::Storage,
};

/// 2026-01-01T00:00:00Z
pub(crate) const START: i64 = 1_767_225_600_000_000;
pub(crate) const SECOND: i64 = 1_000_000;

/// A folder of its own, and the database in it.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) log: EventLog,
    storage: Storage,
}

impl Scene {
    /// Two documents: `a` spells its letters one by one, a second each; `b` is `hello`, bold.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::of_this_test(folder.path());
        let url = storage.url();
        let log =
            EventLog::open(Options { url, readers: 1, lanes: 1, nats: None, metrics: Metrics::new() }).await.unwrap();
        let scene = Self { folder, log, storage };
        for (n, letter) in ["o", "n", "e", " ", "😀"].into_iter().enumerate() {
            let position = n;
            scene.append("a", Delta::new().retain(position).insert(letter, Attributes::NONE)).await;
        }
        let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
        scene.append("b", Delta::new().insert("hello", bold)).await;
        scene
    }

    pub(crate) async fn append(&self, document: &str, applied: Delta) {
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
    pub(crate) async fn append_presence(&self, document: &str, seconds: i64, events: Vec<PresenceEvent>) {
        let document = DocumentId::parse(document).unwrap();
        let before = self.log.head(&StreamName::presence(&document)).await.unwrap().unwrap_or_default().seq.0;
        let named =
            |(n, event)| NewPresence { id: MessageId::parse(&format!("p{n}")).unwrap(), version: Version(1), event };
        let events: Vec<_> = (before + 1..).zip(events).map(named).collect();
        self.log.append_presence(&document, Timestamp(START + seconds * SECOND), &events).await.unwrap();
    }

    /// Ann and Ben were in `b`; Ben still is.
    pub(crate) async fn with_presence(self) -> Self {
        self.append_presence("b", 1, vec![joined(1, "ann"), moved("ann", 3, None), typed("ann")]).await;
        self.append_presence("b", 2, vec![joined(2, "ben"), moved("ben", 1, Some((1, 4))), left(1, "ann")]).await;
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), &self.storage.url(), arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// Does what no part of the service would ever do.
    pub(crate) async fn tamper(&self, sql: &'static str) {
        assert_ne!(tamper(&self.storage.url(), sql).await, 0, "{sql}");
    }
}

pub(crate) fn connection(number: u64) -> ConnectionName {
    ConnectionName { node: NodeId::parse("node-a").unwrap(), incarnation: 7, number }
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn joined(number: u64, name: &str) -> PresenceEvent {
    let profile = Profile { name: Some(name.to_uppercase()), avatar_url: None, color: Some("#3b82f6".into()) };
    let client = ClientId::parse("c-1").unwrap();
    PresenceEvent::Joined(Joined {
        connection: connection(number),
        user: user(name),
        client,
        profile: Arc::new(profile),
    })
}

pub(crate) fn left(number: u64, name: &str) -> PresenceEvent {
    PresenceEvent::Left(Left { connection: connection(number), user: user(name) })
}

pub(crate) fn moved(name: &str, position: usize, selection: Option<(usize, usize)>) -> PresenceEvent {
    let (client, cursor) = (ClientId::parse("c-1").unwrap(), Cursor { position, selection });
    PresenceEvent::Moved(vec![Moved { user: user(name), client, message_id: None, cursor }])
}

pub(crate) fn typed(name: &str) -> PresenceEvent {
    let (client, message_id) = (ClientId::parse("c-1").unwrap(), Some(MessageId::parse("t").unwrap()));
    PresenceEvent::Typed(vec![Typed { user: user(name), client, message_id, is_typing: true, position: Some(2) }])
}

/// Runs a statement past every line of our own code; how many rows it changed.
pub(crate) async fn tamper(url: &str, sql: &'static str) -> u64 {
    if url.starts_with("sqlite:") {
        let mut database = SqliteConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut database).await.unwrap().rows_affected()
    } else {
        let mut database = PgConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut database).await.unwrap().rows_affected()
    }
}

pub(crate) fn url_in(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("log.db").display())
}

pub(crate) fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    command(folder, &url_in(folder), arguments)
}

/// A command that goes on, ended with the test.
pub(crate) struct Following(pub(crate) Child);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
