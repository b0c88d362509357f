//! A Postgres that restarts, stands still, or lets nobody in, under a running service. Nothing is acknowledged
//! meanwhile that is not there afterwards, nothing is lost or doubled, and all goes on by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    cluster::ground::Ground,
    support::{
        log::Database,
        postgres::OwnServer,
        say::{commit, delete, edit, edit_after, guest, insert},
        server::Server,
        socket::Socket,
        within,
    },
};

/// How many edits a writer has in flight.
const IN_FLIGHT: usize = 10;
/// The length of a long text.
const LONG: usize = 300_000;
/// How long a file of the database may become: longer than a segment of its own log.
const DISK: u64 = 17_500_000;

/// Somebody who writes into a document of their own, and sends again what was refused, as it was.
pub(crate) struct Writer {
    document: String,
    socket: Socket,
    made: usize,
    waiting: BTreeSet<String>,
    refused: Vec<String>,
    /// Every message that was acknowledged, by its version.
    pub(crate) acknowledged: BTreeMap<u64, String>,
    pub(crate) refusals: usize,
}

impl Writer {
    pub(crate) async fn open(server: &Server, document: &str) -> Self {
        Self {
            document: document.to_owned(),
            socket: guest(server, document, "ann").await,
            made: 0,
            waiting: BTreeSet::new(),
            refused: Vec::new(),
            acknowledged: BTreeMap::new(),
            refusals: 0,
        }
    }

    async fn send(&mut self, message_id: String) {
        let version = self.acknowledged.keys().next_back().copied().unwrap_or(0);
        self.socket.send(&edit(&message_id, version, insert(0, &text_of(&message_id)))).await;
        self.waiting.insert(message_id);
    }

    pub(crate) async fn fill(&mut self) {
        while self.waiting.len() < IN_FLIGHT {
            self.made += 1;
            self.send(format!("{}-{}", self.document, self.made)).await;
        }
    }

    /// Takes one answer.
    async fn hear(&mut self) {
        let envelope = self.socket.envelope().await;
        let data = &envelope["data"];
        if envelope["event"] == "operation_ack" {
            let message_id = envelope["message_id"].as_str().unwrap().to_owned();
            let version = data["server_version"].as_u64().unwrap();
            self.waiting.remove(&message_id);
            // What was refused because nobody knew may turn out to have happened.
            self.refused.retain(|refused| *refused != message_id);
            if let Some(earlier) = self.acknowledged.insert(version, message_id.clone()) {
                assert_eq!(earlier, message_id, "a version is one message");
                assert_eq!(data["duplicate"], true, "only a repeated message is acknowledged again: {envelope}");
            }
            return;
        }
        assert_eq!(data["error_code"], "STORAGE_UNAVAILABLE", "{envelope}");
        assert_eq!(data["recoverable"], true, "{envelope}");
        let message_id = data["details"]["message_id"].as_str().unwrap().to_owned();
        assert!(self.waiting.remove(&message_id), "an answer to something: {envelope}");
        self.refused.push(message_id);
        self.refusals += 1;
    }

    /// Takes an answer, and sends again what was refused once nothing is in flight.
    pub(crate) async fn step(&mut self) {
        self.hear().await;
        if self.waiting.is_empty() {
            for message_id in std::mem::take(&mut self.refused) {
                self.send(message_id).await;
            }
        }
    }

    pub(crate) async fn settle(&mut self) {
        while !self.waiting.is_empty() {
            self.step().await;
        }
    }

    fn all_acknowledged(&self) -> bool {
        self.acknowledged.values().collect::<BTreeSet<_>>().len() == self.made
    }
}

/// What a message inserts: always the same.
fn text_of(message_id: &str) -> String {
    let Some(seed) = message_id.strip_prefix("long-") else { return "x".to_owned() };
    let mut random = SmallRng::seed_from_u64(seed.parse().unwrap());
    // Nothing that would become small in a database.
    (0..LONG).map(|_| char::from(random.random_range(b'0'..=b'z'))).collect()
}

/// A service on a server of its own, and people who write.
async fn scene(writers: usize) -> (OwnServer, Server, Vec<Writer>) {
    let database = tokio::task::spawn_blocking(OwnServer::start).await.unwrap();
    let mut server = Server::prepare(&[]);
    server.set_database(database.url());
    server.restart().await;
    let mut people = Vec::new();
    for n in 0..writers {
        people.push(Writer::open(&server, &format!("doc{n}")).await);
    }
    (database, server, people)
}

/// Everybody writes until this has happened.
pub(crate) async fn write_while(people: &mut [Writer], happens: impl Future<Output = ()> + Send + 'static) {
    let happens = tokio::spawn(happens);
    while !happens.is_finished() {
        write(people).await;
    }
    happens.await.unwrap();
}

/// Everybody writes, and hears one answer.
pub(crate) async fn write(people: &mut [Writer]) {
    for person in people {
        person.fill().await;
        person.step().await;
    }
}

/// The service goes on by itself: everybody gets an ack.
pub(crate) async fn expect_acks(people: &mut [Writer]) {
    for person in people {
        let before = person.acknowledged.len();
        while person.acknowledged.len() == before {
            person.fill().await;
            person.step().await;
        }
    }
}

/// Everything that was ever sent is in the log, once, and every ack told the truth.
pub(crate) async fn expect_all_there(database: &OwnServer, server: &Server, people: &mut [Writer]) {
    let mut log = Database::at(database.url()).await;
    for person in people {
        person.settle().await;
        assert!(person.all_acknowledged());
        let acknowledged: Vec<_> = person.acknowledged.values().cloned().collect();
        assert_eq!(log.message_ids(&person.document).await, acknowledged, "{}", person.document);
    }
    let output = server.run(&["verify"]).await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn postgres_restarts_thirty_times_under_load_and_nothing_is_lost_or_doubled() {
    let (database, server, mut people) = scene(4).await;
    for round in 0..30 {
        let mode = if round % 2 == 0 { "fast" } else { "immediate" };
        write_while(&mut people, database.restarting(mode)).await;
        expect_acks(&mut people).await;
    }
    expect_all_there(&database, &server, &mut people).await;
    assert_eq!(server.get("/readyz").await.0, 200);
}

/// All processes of the server stand still: what was asked of it is given up in time, and happens once at most.
#[tokio::test]
async fn a_postgres_that_stands_still_is_not_waited_for_for_ever() {
    let (database, server, mut people) = scene(2).await;
    for person in &mut people {
        commit(&mut person.socket, &edit("first", 0, insert(0, "x"))).await;
        person.acknowledged.insert(1, "first".to_owned());
        person.made += 1;
    }
    database.signal("STOP");
    for person in &mut people {
        person.send("held".to_owned()).await;
        person.made += 1;
    }
    let (status, reason) = server.get("/readyz").await;
    assert_eq!((status, reason.contains("answer")), (503, true), "{reason}");
    for person in &mut people {
        person.hear().await;
        assert_eq!(person.refused, ["held"], "an answer came, and it was no ack");
    }
    database.signal("CONT");
    for person in &mut people {
        person.send("held".to_owned()).await;
        person.refused.clear();
    }
    expect_all_there(&database, &server, &mut people).await;
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_postgres_without_a_connection_left_is_waited_for() {
    let database = tokio::task::spawn_blocking(OwnServer::start).await.unwrap();
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    admin.execute("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app").await.unwrap();
    let mut server = Server::prepare(&[]);
    server.set_database(&database.url().replacen("//postgres@", "//app@", 1));
    server.restart().await;
    let mut people = [Writer::open(&server, "doc").await];
    write(&mut people).await;
    assert_eq!(server.get("/readyz").await.0, 200);

    admin.execute("ALTER ROLE app CONNECTION LIMIT 0").await.unwrap();
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'").await.unwrap();
    let person = &mut people[0];
    person.settle().await;
    person.send("refused".to_owned()).await;
    person.made += 1;
    while person.refused.is_empty() {
        person.hear().await;
    }
    // The first look may find the connection that was cut, and not yet that there is no other.
    let mut reasons = Vec::new();
    while !reasons.iter().any(|reason: &String| reason.contains("no connection left")) {
        let (status, reason) = server.get("/readyz").await;
        assert_eq!(status, 503, "{reason}");
        reasons.push(reason);
        assert!(reasons.len() < 10, "{reasons:?}");
    }
    let ping = json!({"type": "system", "event": "ping", "data": {"timestamp": 7}});
    person.socket.send(&ping).await;
    assert_eq!(person.socket.expect("system", "pong").await["timestamp"], 7, "the connection lives");

    admin.execute("ALTER ROLE app CONNECTION LIMIT -1").await.unwrap();
    assert_eq!(server.get("/readyz").await.0, 200);
    for message_id in std::mem::take(&mut people[0].refused) {
        people[0].send(message_id).await;
    }
    expect_all_there(&database, &server, &mut people).await;
}

#[tokio::test]
async fn a_postgres_whose_disk_is_full_goes_on_when_there_is_room() {
    let (database, server, mut people) = scene(4).await;
    write(&mut people).await;
    for person in &mut people {
        person.settle().await;
    }
    database.limit_files(Some(DISK));
    let mut made = 0;
    'until_full: loop {
        for person in &mut people {
            made += 1;
            person.made += 1;
            person.send(format!("long-{made}")).await;
            while !person.waiting.is_empty() {
                person.hear().await;
            }
            if !person.refused.is_empty() {
                break 'until_full;
            }
        }
        assert!(made < 200, "the disk never got full");
    }
    assert!(made > 10, "{made} long edits were enough");
    // Room for the little that a check writes is not enough to be ready.
    let (status, reason) = server.get("/readyz").await;
    assert_eq!((status, reason.contains("could not extend file")), (503, true), "{reason}");
    assert_eq!(server.get("/healthz").await.0, 200);
    for person in &mut people {
        let mut reader = guest(&server, &person.document, "newcomer").await;
        assert_eq!(
            reader.expect_silence().await.0,
            *person.acknowledged.keys().next_back().unwrap(),
            "reading goes on"
        );
    }
    database.limit_files(None);
    assert_eq!(server.get("/readyz").await.0, 200);
    for person in &mut people {
        for message_id in std::mem::take(&mut person.refused) {
            person.send(message_id).await;
        }
    }
    expect_all_there(&database, &server, &mut people).await;
    assert_eq!(server.get("/readyz").await.0, 200);
}

/// A statement that is under way happens even when nobody waits for it any more, after everybody has been told that it did
/// not. No bell rings for it.
#[tokio::test]
async fn an_append_that_was_given_up_and_happens_later_is_told_and_built_on() {
    let ground = Ground::on_postgres(1, &[("CLUSTER__POLL", "1h")]).await;
    let (mut ann, mut ben) = (guest(&ground.nodes[0], "doc", "ann").await, guest(&ground.nodes[0], "doc", "ben").await);
    commit(&mut ann, &edit("m1", 0, insert(0, "ab"))).await;
    ben.expect("operation", "operation_broadcast").await;

    let Database::Postgres(mut shell) = ground.database().await else { panic!("this is on Postgres") };
    let Database::Postgres(mut watcher) = ground.database().await else { panic!("this is on Postgres") };
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut shell).await.unwrap();
    shell.execute("BEGIN; SELECT FROM streams WHERE name = 'document:doc' FOR UPDATE").await.unwrap();
    ann.send(&edit("m2", 1, insert(1, "\u{1f600}\u{1f600}"))).await;
    within("an append to wait", async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
        while sqlx::query_scalar::<_, i64>(waiting).bind(holder).fetch_one(&mut watcher).await.unwrap() == 0 {}
    })
    .await;
    ground.cut(0);
    assert_eq!(ann.expect_error("STORAGE_UNAVAILABLE").await["details"]["message_id"], "m2");
    // Once it can be read again, it is not in the log.
    let mut error = json!({"error_code": "STORAGE_UNAVAILABLE"});
    while error["error_code"] == "STORAGE_UNAVAILABLE" {
        ann.send(&edit_after("m2b", 1, delete(0, 1), "m2")).await;
        error = ann.expect("system", "error").await;
    }
    assert_eq!(error["error_code"], "PREDECESSOR_REFUSED", "{error}");
    shell.execute("COMMIT").await.unwrap();
    let mut log = ground.database().await;
    within("the append", async { while log.message_ids("doc").await.len() < 2 {} }).await;

    // Without the one before it there is nothing to delete.
    ann.send(&edit_after("m3", 1, delete(3, 2), "m2")).await;
    for (message, version) in [("m2", 2), ("m3", 3)] {
        let ack = ann.expect("operation", "operation_ack").await;
        assert_eq!((&ack["message_id"], &ack["server_version"]), (&json!(message), &json!(version)), "{ack}");
        assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], version);
    }
    assert_eq!(ben.expect_silence().await, (3, "a\u{1f600}b".to_owned()));
    ground.end().await;
}
