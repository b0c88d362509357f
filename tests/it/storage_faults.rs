//! A disk that fills up under the service, and what it cannot start with.

use std::{
    collections::{BTreeMap, VecDeque},
    net::TcpListener,
    process::Command,
};

use serde_json::json;

use crate::support::{
    log::Database,
    say::{commit, edit, guest, insert},
    server::Server,
    socket::Socket,
};

/// How many edits a writer has in flight: several of them are refused together.
const IN_FLIGHT: usize = 20;
/// So many refusals one after the other: the disk is full, and not only too full for a large edit.
const FULL: usize = 30;

/// Somebody who writes into a document of their own and keeps count of the answers.
struct Writer {
    document: &'static str,
    socket: Socket,
    /// Sees everything that happens to the document.
    watcher: Socket,
    made: usize,
    waiting: VecDeque<String>,
    acknowledged: BTreeMap<u64, String>,
    refused: Vec<String>,
    refused_in_a_row: usize,
}

impl Writer {
    async fn open(server: &Server, document: &'static str) -> Self {
        Self {
            document,
            socket: guest(server, document, "ann").await,
            watcher: guest(server, document, "ben").await,
            made: 0,
            waiting: VecDeque::new(),
            acknowledged: BTreeMap::new(),
            refused: Vec::new(),
            refused_in_a_row: 0,
        }
    }

    fn version(&self) -> u64 {
        self.acknowledged.keys().next_back().copied().unwrap_or(0)
    }

    async fn send(&mut self, message_id: String, size: usize) {
        self.socket.send(&edit(&message_id, self.version(), insert(0, &"x".repeat(size)))).await;
        self.waiting.push_back(message_id);
    }

    async fn fill(&mut self) {
        while self.waiting.len() < IN_FLIGHT {
            self.made += 1;
            // The more is refused, the smaller the next ones are.
            let size = 4_000 >> self.refused_in_a_row.min(11);
            self.send(format!("{}-{}", self.document, self.made), size).await;
        }
    }

    /// Takes one answer, which is for the edit that has waited longest.
    async fn hear(&mut self) {
        let envelope = self.socket.envelope().await;
        let message_id = self.waiting.pop_front().expect("an answer to something");
        let data = &envelope["data"];
        if envelope["event"] == "operation_ack" {
            assert_eq!(envelope["message_id"], message_id.as_str(), "{envelope}");
            assert_eq!(data.get("duplicate"), None, "it was not in the log: {envelope}");
            assert_eq!(data["server_version"], self.version() + 1, "{envelope}");
            self.acknowledged.insert(self.version() + 1, message_id);
            self.refused_in_a_row = 0;
        } else {
            assert_eq!(
                (&envelope["event"], &data["error_code"]),
                (&json!("error"), &json!("STORAGE_UNAVAILABLE")),
                "{envelope}"
            );
            assert_eq!(
                (&data["details"]["message_id"], &data["recoverable"]),
                (&json!(message_id), &json!(true)),
                "{data}"
            );
            self.refused.push(message_id);
            self.refused_in_a_row += 1;
        }
    }

    /// The watcher has seen what was acknowledged, in this order, and nothing else.
    async fn expect_watched(&mut self, already: u64) {
        for (version, message_id) in self.acknowledged.range(already + 1..) {
            let envelope = self.watcher.envelope().await;
            assert_eq!(envelope["event"], "operation_broadcast", "{envelope}");
            assert_eq!((&envelope["data"]["version"], &envelope["message_id"]), (&json!(version), &json!(message_id)));
        }
        assert_eq!(self.watcher.expect_silence().await.0, self.version(), "{}: nothing else happened", self.document);
    }
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_again_without_a_restart() {
    let mut server = Server::start().await;
    assert!(server.terminate().await.success());
    server.limit_files(Some(1_000));
    server.restart().await;
    let mut writers = [Writer::open(&server, "one").await, Writer::open(&server, "two").await];

    while writers.iter().any(|writer| writer.refused_in_a_row < FULL) {
        for writer in &mut writers {
            writer.fill().await;
            writer.hear().await;
        }
    }
    for writer in &mut writers {
        while !writer.waiting.is_empty() {
            writer.hear().await;
        }
        assert!(writer.version() > 10, "{} edits were acknowledged before the disk was full", writer.version());
        writer.expect_watched(0).await;
        writer.socket.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 7}})).await;
        assert_eq!(writer.socket.expect("system", "pong").await["timestamp"], 7, "the connection lives");
    }
    let reason = expect_not_ready(&server).await;
    assert!(reason.contains("not writable") && reason.contains("disk"), "{reason}");
    assert_eq!(server.get("/healthz").await.0, 200, "alive all the same");
    assert_eq!(
        guest(&server, "one", "newcomer").await.expect_silence().await.0,
        writers[0].version(),
        "reading goes on"
    );

    lift_the_limit(&server);
    assert_eq!(server.get("/readyz").await.0, 200);
    for writer in &mut writers {
        let already = writer.version();
        let again: Vec<_> = writer.refused.drain(..).collect();
        for message_id in again {
            writer.send(message_id, 5_000).await;
        }
        while !writer.waiting.is_empty() {
            writer.hear().await;
        }
        assert!(writer.refused.is_empty(), "there is room now");
        assert_eq!(writer.acknowledged.len(), writer.made, "a refused message id may be used again");
        writer.expect_watched(already).await;
    }

    assert_eq!(server.terminate().await.code(), Some(0));
    server.limit_files(None);
    server.verify().await;
    let mut log = Database::open(&server.database()).await;
    for Writer { document, acknowledged, .. } in &writers {
        let expected: Vec<_> = acknowledged.values().cloned().collect();
        assert_eq!(log.message_ids(document).await, expected, "what was acknowledged, once, and nothing else");
    }
}

/// An edit that could not be written is not counted among its client's edits in flight.
#[tokio::test]
async fn what_could_not_be_written_does_not_move_what_comes_next() {
    let mut server = Server::start().await;
    assert!(server.terminate().await.success());
    server.limit_files(Some(300));
    server.restart().await;
    let (mut ann, mut ben) = (guest(&server, "doc", "ann").await, guest(&server, "doc", "ben").await);
    let mut version = 0;
    let refusal = loop {
        ann.send(&edit(&format!("m{version}"), version, insert(0, &"x".repeat(8_000)))).await;
        let envelope = ann.envelope().await;
        if envelope["event"] == "error" {
            break envelope;
        }
        version += 1;
    };
    assert_eq!(refusal["data"]["error_code"], "STORAGE_UNAVAILABLE");
    lift_the_limit(&server);
    assert_eq!(commit(&mut ben, &edit("meanwhile", version, insert(0, "XX"))).await, version + 1);
    assert_eq!(commit(&mut ann, &edit("late", version, insert(3, "y"))).await, version + 2);
    let seen = ben.expect("operation", "operation_broadcast").await;
    assert_eq!((&seen["operation"]["position"], &seen["original_position"]), (&json!(5), &json!(3)), "{seen}");
}

/// An append that fails leaves nothing that a repeated message could be answered with.
#[tokio::test]
async fn what_is_sent_many_times_at_once_and_could_not_be_written_is_never_acknowledged() {
    const TIMES: usize = 20;
    let mut server = Server::start().await;
    assert!(server.terminate().await.success());
    server.limit_files(Some(300));
    server.restart().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut acknowledged = Vec::new();
    let refused = loop {
        let message_id = format!("m{}", acknowledged.len());
        let message = edit(&message_id, acknowledged.len() as u64, insert(0, &"x".repeat(8_000)));
        ann.send(&std::iter::repeat_n(message, TIMES).collect()).await;
        let mut acks = 0;
        for _ in 0..TIMES {
            let envelope = ann.envelope().await;
            if envelope["event"] == "operation_ack" {
                assert!(acks > 0 || envelope["data"].get("duplicate").is_none(), "it was never recorded: {envelope}");
                acks += 1;
            } else {
                assert_eq!(envelope["data"]["error_code"], "STORAGE_UNAVAILABLE", "{envelope}");
            }
        }
        if acks > 0 {
            acknowledged.push(message_id.clone());
        }
        if acks < TIMES {
            break message_id;
        }
    };
    lift_the_limit(&server);
    if !acknowledged.contains(&refused) {
        let message = edit(&refused, acknowledged.len() as u64, insert(0, &"x".repeat(8_000)));
        commit(&mut ann, &message).await;
        acknowledged.push(refused);
    }
    assert!(server.terminate().await.success());
    assert_eq!(Database::open(&server.database()).await.message_ids("doc").await, acknowledged);
}

/// A check that writes little may find room that no edit finds, and uses it up.
async fn expect_not_ready(server: &Server) -> String {
    for _ in 0..100 {
        let (status, reason) = server.get("/readyz").await;
        if status == 503 {
            return reason;
        }
    }
    panic!("a service that cannot write is not ready");
}

/// Makes the disk of a running service large again.
fn lift_the_limit(server: &Server) {
    let id = server.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:"]).status().unwrap().success());
}

/// The service does not start, ends with this code, and says all of this.
async fn expect_refusal(server: &mut Server, code: i32, words: &[&str]) {
    let (status, said) = server.refuses_to_start().await;
    assert_eq!(status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "the refusal names {word:?}: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_named_and_left_as_it_is() {
    let mut server = Server::start().await;
    commit(&mut guest(&server, "doc", "ann").await, &edit("m", 0, insert(0, "kept"))).await;
    assert!(server.terminate().await.success());
    let home = server.home().display().to_string();

    server.set_database(&format!("sqlite://{home}"));
    expect_refusal(&mut server, 1, &[&home, "cannot be opened"]).await;

    let letter = server.home().join("letter.txt");
    std::fs::write(&letter, "Dear Ann, ".repeat(1_000)).unwrap();
    server.set_database(&format!("sqlite://{}", letter.display()));
    expect_refusal(&mut server, 1, &["letter.txt", "not a database"]).await;
    assert_eq!(std::fs::read_to_string(&letter).unwrap(), "Dear Ann, ".repeat(1_000));

    server.set_database(&format!("sqlite://{}/deeper/log.db", letter.display()));
    expect_refusal(&mut server, 1, &["letter.txt", "cannot create the directory"]).await;

    let torn = server.home().join("torn.db");
    let whole = std::fs::read(server.database()).unwrap();
    std::fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    server.set_database(&format!("sqlite://{}", torn.display()));
    expect_refusal(&mut server, 1, &["torn.db", "damaged"]).await;

    server.set_database(&format!("sqlite://{home}/log.db"));
    Database::open(&server.database()).await.pretend_newer().await;
    expect_refusal(&mut server, 1, &["log.db", "newer"]).await;
    assert_eq!(Database::open(&server.database()).await.message_ids("doc").await, ["m"]);
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_named() {
    let mut server = Server::prepare(&[]);
    server.limit_files(Some(4));
    expect_refusal(&mut server, 1, &["log.db", "disk"]).await;
    server.limit_files(None);
    server.restart().await;
    commit(&mut guest(&server, "doc", "ann").await, &edit("m", 0, insert(0, "x"))).await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut server = Server::prepare(&[("SERVER__LISTEN", &address)]);
    expect_refusal(&mut server, 1, &["cannot listen on", &address, "in use"]).await;
}

#[tokio::test]
async fn a_bad_setting_is_named_with_its_place_and_what_is_allowed() {
    for (name, value, words) in [
        ("LIMITS__MESSAGE_BYTES", "many", &["limits.message_bytes", "SCRIPTORIUM__LIMITS__MESSAGE_BYTES"][..]),
        ("LIMITS__NO_SUCH", "1", &["limits.no_such", "SCRIPTORIUM__LIMITS__NO_SUCH"]),
        ("SERVER__LISTEN", "everywhere", &["server.listen", "SCRIPTORIUM__SERVER__LISTEN"]),
        ("HEARTBEAT__TIMEOUT", "1ms", &["heartbeat.timeout"]),
    ] {
        let mut server = Server::prepare(&[(name, value)]);
        expect_refusal(&mut server, 2, words).await;
        assert!(!server.database().exists(), "nothing was made");
    }
    let mut server = Server::prepare(&[]);
    server.set_database("mysql://localhost/log");
    expect_refusal(&mut server, 2, &["database.url", "DATABASE_URL", "sqlite://", "postgres://"]).await;
    assert_eq!(std::fs::read_dir(server.home()).unwrap().count(), 0, "nothing was made");
}
