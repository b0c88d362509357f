//! A document is watched while it is written once more (contract §7), over real sockets.

use scriptorium::text::Delta;
use serde_json::{Value, json};

use crate::support::{
    edits::Chance,
    number_from_env,
    say::{WITH_TOKENS, commit, delete, edit, guest, insert, opened, token},
    server::Server,
    socket::{Incoming, Opening, Socket},
    storage::on_every_database,
    wire, within,
};

on_every_database! {
    all_that_is_sent_makes_the_document_as_it_was_at_the_end
    a_jump_shows_the_document_as_it_was_and_goes_on_from_there
    watchers_do_not_disturb_each_other_and_a_pause_holds
    who_may_not_read_or_asks_for_nonsense_is_told
    it_ends_with_the_token_with_a_ban_and_with_the_service
}

/// Writes some edits and comments, and answers the version.
async fn written(server: &Server, document: &str, chance: &mut Chance, edits: u64) -> u64 {
    let mut socket = guest(server, document, "ann").await;
    let mut length = 0;
    for n in 0..edits {
        let operation = match chance.below(5) {
            0 if length > 4 => {
                length -= 3;
                delete(chance.below(length + 1), 3)
            }
            1 if length > 2 => {
                let at = chance.below(length - 1);
                json!({"type": "format", "position": at, "length": 2, "attributes": {"bold": true}})
            }
            _ => {
                length += 4;
                insert(chance.below(length - 3), "é中ab")
            }
        };
        assert_eq!(commit(&mut socket, &edit(&format!("m{n}"), n, operation)).await, n + 1);
        if n % 7 == 3 && length > 4 {
            let comment = json!({"content": format!("note {n}"), "position": {"start": 1, "end": 3}});
            let id = format!("c{n}");
            socket
                .send(&json!({"type": "comment", "event": "comment_added", "data": {"comment": comment}, "message_id": id}))
                .await;
            while socket.envelope().await["event"] != "comment_added" {}
        }
    }
    socket.close().await;
    edits
}

/// What a watcher has, as a client keeps it.
#[derive(Default)]
struct Watched {
    version: u64,
    text: Delta,
    comments: Vec<String>,
    /// How many events there were.
    events: u64,
    state: Value,
}

impl Watched {
    /// Takes a message; whether it was the last one.
    fn take(&mut self, envelope: &Value) -> bool {
        let data = &envelope["data"];
        match envelope["event"].as_str().unwrap() {
            "document_sync" => {
                let comment = |comment: &Value| comment["content"].as_str().unwrap().to_owned();
                self.version = data["document"]["version"].as_u64().unwrap();
                self.text = wire::from_ops(&data["document"]["delta"]);
                self.comments = data["comments"].as_array().unwrap().iter().map(comment).collect();
                assert_eq!(data["active_users"], json!([]));
            }
            "operation_broadcast" => {
                assert_eq!(data["version"], self.version + 1, "in order, and each");
                self.version += 1;
                self.events += 1;
                self.text = self.text.compose(&wire::from_operation(&data["operation"]));
            }
            "comment_added" => {
                self.events += 1;
                assert_eq!(data["version"], self.version);
                self.comments.push(data["comment"]["content"].as_str().unwrap().to_owned());
            }
            "state" => self.state = data.clone(),
            "connection_ack" | "token_expiring" => (),
            "disconnect" => {
                assert_eq!(*data, json!({"reason": "end", "code": 1000}));
                return true;
            }
            _ => panic!("{envelope}"),
        }
        false
    }

    /// Takes what comes until there is a state.
    async fn until_state(&mut self, socket: &mut Socket) {
        loop {
            let envelope = socket.any_envelope().await;
            self.take(&envelope);
            if envelope["event"] == "state" {
                return;
            }
        }
    }

    async fn watch_all(&mut self, socket: &mut Socket) {
        loop {
            let envelope = socket.any_envelope().await;
            if self.take(&envelope) {
                break;
            }
        }
        assert_eq!(socket.next().await, Incoming::Close(1000, "end".to_owned()));
    }

    async fn assert_is(&self, server: &Server, document: &str, version: u64) {
        let then = server.look(&format!("/v1/documents/{document}?version={version}")).await.with(200);
        assert_eq!((json!(self.version), wire::to_ops(&self.text)), (then["version"].clone(), then["delta"].clone()));
        let comments: Vec<_> = then["comments"].as_array().unwrap().iter().map(|it| it["content"].clone()).collect();
        assert_eq!(json!(self.comments), json!(comments));
    }
}

fn asks(event: &str, data: Value) -> Value {
    json!({"type": "replay", "event": event, "data": data})
}

async fn all_that_is_sent_makes_the_document_as_it_was_at_the_end() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let server = Server::start_with(&[("SNAPSHOTS__EVERY_EVENTS", "20"), ("SNAPSHOTS__HISTORY_EVERY", "30")]).await;
    let head = written(&server, "doc", &mut chance, 150).await;
    for round in 0..12 {
        let mut ends = [0, 1].map(|_| chance.below(usize::try_from(head).unwrap() + 1) as u64);
        ends.sort_unstable();
        let (from, to) = if round == 0 { (0, head) } else { (ends[0], ends[1]) };
        let form = if chance.one_in(2) { "delta" } else { "simple" };
        let opening =
            Opening::replay("doc").with("from", from).with("to", to).with("speed", 0).with("operations", form);
        let mut socket = Socket::open(server.address(), &opening.with("batch", chance.one_in(2))).await;
        let mut watched = Watched::default();
        watched.watch_all(&mut socket).await;
        watched.assert_is(&server, "doc", to).await;
    }
    // In code points every number is another one, and the text the same.
    let opening = Opening::replay("doc").with("speed", 0).with("position_encoding", "utf-32");
    let mut socket = Socket::open(server.address(), &opening).await;
    let mut watched = Watched::default();
    watched.watch_all(&mut socket).await;
    watched.assert_is(&server, "doc", head).await;
}

async fn a_jump_shows_the_document_as_it_was_and_goes_on_from_there() {
    let mut chance = Chance::of(7);
    let server = Server::start().await;
    let head = written(&server, "doc", &mut chance, 40).await;
    let events = server.listen("/v1/documents/doc/events", "application/x-ndjson").await.all().await;
    let mut socket = Socket::open(server.address(), &Opening::replay("doc").with("paused", true)).await;
    let mut watched = Watched::default();
    watched.until_state(&mut socket).await;
    assert_eq!(watched.state["to"], head);
    for version in [30, 3, 0, head, 17] {
        socket.send(&asks("seek", json!({"version": version}))).await;
        watched.until_state(&mut socket).await;
        assert_eq!((&watched.state["version"], &watched.state["paused"]), (&json!(version), &json!(true)));
        watched.assert_is(&server, "doc", version).await;
    }
    let event = &events[25];
    socket.send(&asks("seek", json!({"time": event["time"]}))).await;
    watched.until_state(&mut socket).await;
    assert_eq!((&watched.state["version"], &watched.state["time"]), (&event["version"], &event["time"]));

    socket.send(&asks("seek", json!({"version": 10}))).await;
    socket.send(&asks("speed", json!({"speed": 0}))).await;
    socket.send(&asks("resume", json!({}))).await;
    watched.watch_all(&mut socket).await;
    watched.assert_is(&server, "doc", head).await;
}

async fn watchers_do_not_disturb_each_other_and_a_pause_holds() {
    let server = Server::start().await;
    let head = written(&server, "doc", &mut Chance::of(3), 20).await;
    // Both are the same client, and neither takes over from the other or from a writer.
    let opening = Opening { replay: true, ..Opening::guest("doc", "ann") };
    let mut paused = Socket::open(server.address(), &opening.clone().with("from", 5).with("paused", true)).await;
    let mut watched = Watched::default();
    watched.until_state(&mut paused).await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut other = Socket::open(server.address(), &opening.with("speed", 0)).await;
    let mut all = Watched::default();
    all.watch_all(&mut other).await;
    all.assert_is(&server, "doc", head).await;
    // What is written meanwhile is not part of it.
    commit(&mut ann, &edit("new", head, insert(0, "x"))).await;
    let (version, _) = ann.expect_silence().await;
    assert_eq!(version, head + 1, "and nobody sees that somebody watches");

    paused.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 1}})).await;
    assert_eq!(paused.any_envelope().await["event"], "pong", "and nothing else came");
    paused.send(&json!({"type": "operation", "event": "document_edit", "data": {}, "message_id": "m"})).await;
    let refused = paused.expect_error("UNKNOWN_EVENT").await;
    assert!(refused["details"]["expected"].as_str().unwrap().contains("replay/seek"));
    for (event, data, path) in [
        ("seek", json!({}), "data"),
        ("seek", json!({"version": 1, "time": "2026-01-01T00:00:00Z"}), "data"),
        ("seek", json!({"time": "noon"}), "data.time"),
        ("speed", json!({"speed": -1}), "data.speed"),
        ("speed", json!({}), "data.speed"),
        ("pause", json!({"document_id": "other"}), "data.document_id"),
    ] {
        paused.send(&asks(event, data)).await;
        assert_eq!(paused.expect_error("INVALID_MESSAGE").await["details"]["path"], path);
    }
    paused.send(&asks("speed", json!({"speed": 0}))).await;
    watched.until_state(&mut paused).await;
    assert_eq!((watched.version, &watched.state["paused"]), (5, &json!(true)));
    paused.send(&asks("resume", json!({}))).await;
    watched.watch_all(&mut paused).await;
    assert_eq!(watched.version, head);
    let opened = server.metric(r#"scriptorium_connections_opened_total{dialect="replay"}"#).await;
    assert!((opened - 2.0).abs() < 0.1, "{opened}");
}

async fn who_may_not_read_or_asks_for_nonsense_is_told() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let (writer, reader) = (token("ann", json!(["read", "write"]), 600.0), token("ben", json!(["read"]), 600.0));
    let mut ann = opened(&server, &Opening::of("doc").with("token", &writer)).await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let of = |token: &str| Opening::replay("doc").with("token", token);
    for (name, value) in
        [("from", "x"), ("to", "-1"), ("speed", "-2"), ("max_pause", "7"), ("paused", "1"), ("batch", "x")]
    {
        assert_eq!(Socket::refused(server.address(), &of(&reader).with(name, value)).await, 400, "{name}={value}");
    }
    let elsewhere = of(&reader).header("origin", "https://elsewhere.example");
    assert_eq!(Socket::refused(server.address(), &elsewhere).await, 403);

    let told = async |opening: &Opening, code: &str, close: u16, reason: &str| {
        let mut socket = Socket::open(server.address(), opening).await;
        socket.expect_error(code).await;
        assert_eq!(socket.expect_close(close).await, reason);
    };
    told(&Opening::replay("doc"), "UNAUTHORIZED", 4003, "unauthorized").await;
    let nobody = token("eve", json!({"other": ["read"]}), 600.0);
    told(&of(&nobody), "INSUFFICIENT_PERMISSIONS", 4003, "unauthorized").await;
    told(&of(&reader).with("from", 2), "VERSION_AHEAD", 1008, "version_ahead").await;
    told(&of(&reader).with("to", 2), "VERSION_AHEAD", 1008, "version_ahead").await;
    let unwritten = Opening::replay("unwritten").with("token", &reader);
    told(&unwritten, "DOCUMENT_NOT_FOUND", 1008, "document_not_found").await;

    let mut socket = Socket::open(server.address(), &of(&reader).with("speed", 0)).await;
    Watched::default().watch_all(&mut socket).await;
}

async fn it_ends_with_the_token_with_a_ban_and_with_the_service() {
    let mut server = Server::start_with(&WITH_TOKENS).await;
    let writer = token("ann", json!(["read", "write"]), 600.0);
    let mut ann = opened(&server, &Opening::of("doc").with("token", &writer)).await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let watch = async |user: &str, seconds: f64| {
        let opening = Opening::replay("doc").with("token", token(user, json!(["read"]), seconds)).with("paused", true);
        let mut socket = Socket::open(server.address(), &opening).await;
        Watched::default().until_state(&mut socket).await;
        socket
    };
    let mut short = watch("ben", 3.0).await;
    let mut renewed = watch("ben", 3.0).await;
    let longer = token("ben", json!(["read"]), 600.0);
    let authenticate = json!({"type": "system", "event": "authenticate", "data": {"token": longer}});
    renewed.send(&authenticate).await;
    while renewed.any_envelope().await["event"] != "authenticated" {}
    assert_eq!(short.expect_close(4003).await, "token_expired");

    let mut banned = watch("eve", 600.0).await;
    let admin = token("root", json!(["admin"]), 600.0);
    let ban = json!({"user_id": "eve", "until": "2099-01-01T00:00:00Z"});
    assert_eq!(server.post("/v1/revocations", Some(&admin), &ban).await.0, 201);
    assert_eq!(banned.expect_close(4004).await, "banned");

    renewed.send(&json!({"type": "system", "event": "ping", "data": {}})).await;
    while renewed.any_envelope().await["event"] != "pong" {}
    server.signal_to_stop();
    assert_eq!(renewed.expect_close(1012).await, "server_restarting");
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_silent_watcher_is_let_go_and_one_who_reads_late_gets_everything() {
    let outbox = [("LIMITS__OUTBOX_BYTES", "65536"), ("LIMITS__MESSAGE_BYTES", "65536")];
    let beat = [[("HEARTBEAT__INTERVAL", "1s"), ("HEARTBEAT__TIMEOUT", "20s")], outbox].concat();
    let server = Server::start_with(&beat).await;
    let mut ann = guest(&server, "doc", "ann").await;
    let text = "x".repeat(50_000);
    for n in 0..200_u64 {
        // 10 MB in all: far more than the network and the outbox hold.
        let replace = json!({"type": "delta", "ops": [{"insert": text}, {"delete": text.len()}]});
        let operation = if n == 0 { insert(0, &text) } else { replace };
        commit(&mut ann, &edit(&format!("m{n}"), n, operation)).await;
    }
    let mut opening = Opening::replay("doc").with("speed", 0);
    opening.receive_buffer = Some(4_096);
    let mut late = Socket::open(server.address(), &opening).await;
    late.stop_reading().await;
    let sent = r#"scriptorium_messages_sent_total{kind="broadcast"}"#;
    // It goes on until there is no room, and then it waits.
    within("it to begin", async { while server.metric(sent).await < 3.0 {} }).await;
    late.read_on();
    let mut watched = Watched::default();
    watched.watch_all(&mut late).await;
    assert_eq!((watched.version, watched.events), (200, 200));
    assert!(server.metric("scriptorium_slow_consumers_total").await < 0.1);

    let beat = [("HEARTBEAT__INTERVAL", "100ms"), ("HEARTBEAT__TIMEOUT", "400ms")];
    let server = Server::start_with(&beat).await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let mut silent = Socket::open(server.address(), &Opening::replay("doc").with("paused", true)).await;
    silent.stop_reading().await;
    let timeouts = "scriptorium_heartbeat_timeouts_total";
    within("it to be let go", async { while server.metric(timeouts).await < 1.0 {} }).await;
    silent.read_on();
    assert_eq!(silent.expect_close(1008).await, "heartbeat_timeout");
}
