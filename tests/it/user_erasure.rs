//! A person is erased: they are nobody any more, everywhere and for good, and what they wrote stays.

use std::time::Duration;

use reqwest::Method;
use scriptorium::{
    domain::{Timestamp, UserId},
    event_log::{EventLog, Options},
    telemetry::Metrics,
};
use serde_json::{Value, json};

use crate::{
    cluster::ground::Ground,
    support::{
        edits::Chance,
        log::Database,
        number_from_env,
        rest::answer,
        say::{WITH_TOKENS, commit, content, edit, guest, insert, opened, token},
        server::Server,
        socket::{Incoming, Opening, Socket},
        storage::on_every_database,
        within,
    },
};

on_every_database! {
    an_erased_person_is_nobody_and_what_they_wrote_stays
    nothing_of_them_is_left_in_the_files_of_the_database
    only_an_admin_of_everything_erases_people
    erasing_a_person_that_is_killed_is_finished_by_the_next_one
    while_another_process_erases_somebody_nothing_is_saved_that_may_know_them
    who_is_shut_out_stays_so_when_they_are_erased
    a_copy_that_still_knows_them_is_not_taken_in
}

/// Nodes look at each other's doings so often; erasing waits for it.
const OFTEN: [(&str, &str); 1] = [("AUTH__REVOCATIONS_POLL", "50ms")];
const ID: &str = "user-quill";
const CLIENT: &str = "Quagmire-phone";
/// What they are called, and what they say in comments; not to be found again.
const NAME: &str = "Quagmire Quill";
const SAID: &str = "Xylophone-said";
const WORDS: [&str; 4] = [ID, CLIENT, NAME, SAID];
/// Everything that tells of a document.
const LOOKS: [&str; 11] = [
    "/v1/documents/doc",
    "/v1/documents/doc?version=7",
    "/v1/documents/doc/events?limit=1000",
    "/v1/documents/doc/history",
    "/v1/documents/doc/blame",
    "/v1/documents/doc/blame?version=9",
    "/v1/documents/doc/contributions",
    "/v1/documents/doc/comments",
    "/v1/documents/doc/presence",
    "/v1/documents/doc/export?format=json",
    "/v1/events?limit=1000",
];

fn quill() -> Opening {
    Opening::of("doc").with("user_id", ID).with("client_id", CLIENT).with("name", NAME)
}

/// Both write; Quill comments, and Ben answers. Both stay.
async fn written(server: &Server, at: &Server) -> [Socket; 2] {
    let mut quill = opened(server, &quill()).await;
    let mut ben = guest(at, "doc", "ben").await;
    for n in 0..20 {
        let (writer, reader) = if n % 2 == 0 { (&mut quill, &mut ben) } else { (&mut ben, &mut quill) };
        commit(writer, &edit(&format!("m{n}"), n, insert(0, &format!("text {n} ")))).await;
        reader.expect("operation", "operation_broadcast").await;
    }
    let comment = json!({"id": "c", "thread_id": "t", "content": SAID, "position": {"start": 0, "end": 8}});
    say(&mut quill, "comment_added", json!({"comment": comment, "version": 20})).await;
    while ben.envelope().await["event"] != "comment_added" {}
    say(&mut ben, "comment_added", json!({"comment": {"id": "r", "thread_id": "t", "content": "an answer"}})).await;
    say(&mut quill, "comment_resolved", json!({"comment_id": "c"})).await;
    let cursor = json!({"type": "presence", "event": "cursor_update", "data": {"cursor": {"position": 3}}});
    quill.send(&cursor).await;
    while ben.any_envelope().await["event"] != "cursor_update" {}
    [quill, ben]
}

async fn say(socket: &mut Socket, event: &str, data: Value) {
    let message_id = format!("{event}-{}", data["comment"]["id"]);
    socket.send(&json!({"type": "comment", "event": event, "data": data, "message_id": message_id})).await;
    loop {
        let envelope = socket.envelope().await;
        assert_ne!(envelope["event"], "error", "{envelope}");
        if envelope["event"] == "comment_ack" {
            return;
        }
    }
}

/// Edits past everything that was missed.
async fn edit_on(socket: &mut Socket, version: u64) {
    socket.send(&edit(&format!("more-{version}"), version, insert(0, "more "))).await;
    loop {
        let envelope = socket.envelope().await;
        assert_ne!(envelope["event"], "error", "{envelope}");
        if envelope["event"] == "operation_ack" {
            assert_eq!(envelope["data"]["server_version"], version + 1);
            return;
        }
    }
}

/// How the connection ends.
async fn end(mut socket: Socket) -> (u16, String) {
    loop {
        match socket.next().await {
            Incoming::Close(code, reason) => return (code, reason),
            Incoming::End => panic!("the connection ended without a word"),
            Incoming::Envelope(_) | Incoming::Pong(_) => (),
        }
    }
}

async fn erase(server: &Server) -> Value {
    server.tell("/v1/erasures", &json!({"user_id": ID})).await.with(200)
}

/// Whatever is asked, nothing of them is told.
async fn is_nobody(server: &Server) {
    for path in LOOKS {
        let told = server.look(path).await.with(200).to_string();
        for word in WORDS {
            assert!(!told.contains(word), "{path} tells {word}: {told}");
        }
    }
}

async fn an_erased_person_is_nobody_and_what_they_wrote_stays() {
    let mut server = Server::start_with(&OFTEN).await;
    let [quill_there, ben] = written(&server, &server).await;
    for path in LOOKS {
        let told = server.look(path).await.with(200).to_string();
        assert!(told.contains("quill") || path.ends_with("?version=7"), "{path} tells nothing of people");
    }
    let before = content(&server, "doc").await;
    let done = erase(&server).await;
    let name = done["erased_as"].as_str().unwrap();
    assert!(name.starts_with("erased-") && name.len() > 30, "{done}");
    // Edits and comments, and what was recorded of their coming, moving and going.
    assert!(done["events"].as_u64().unwrap() >= 10 + 2 + 3, "{done}");
    assert_eq!(done["documents"], 1);
    assert_eq!(end(quill_there).await, (4004, "banned".to_owned()));
    assert_eq!(end(ben).await, (1012, "server_restarting".to_owned()));
    is_nobody(&server).await;
    assert_eq!(content(&server, "doc").await, before);
    let blame = server.look("/v1/documents/doc/blame").await.with(200);
    let authors: Vec<_> = blame["runs"].as_array().unwrap().iter().map(|run| run["author"].as_str().unwrap()).collect();
    assert_eq!(authors.len(), 20);
    assert!(
        authors.iter().step_by(2).all(|it| *it == "user-ben")
            && authors.iter().skip(1).step_by(2).all(|it| *it == name)
    );
    let threads = server.look("/v1/documents/doc/comments").await.with(200);
    let comments = &threads["comments"];
    assert!(comments.to_string().contains("an answer") && comments.to_string().contains(name), "{comments}");

    // Life goes on, for all; who comes back is somebody new.
    let mut ben = opened(&server, &Opening::guest("doc", "ben").with("since", 20)).await;
    edit_on(&mut ben, 20).await;
    let mut back = opened(&server, &quill()).await;
    edit_on(&mut back, 21).await;
    assert!(server.look("/v1/documents/doc/blame").await.with(200).to_string().contains(ID));
    let second = erase(&server).await;
    assert_ne!(second["erased_as"], name);
    server.kill().await;
    server.restart().await;
    is_nobody(&server).await;
    server.verify().await;
    let rebuilt = server.run(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    is_nobody(&server).await;
    server.tell("/v1/erasures", &json!({"user": ID})).await.problem(422);
    server.tell("/v1/erasures", &json!({"user_id": ""})).await.problem(422);
    assert_eq!(server.tell("/v1/erasures", &json!({"user_id": "never seen"})).await.with(200)["events"], 0);
}

async fn nothing_of_them_is_left_in_the_files_of_the_database() {
    let server = Server::start_with(&OFTEN).await;
    let [quill_there, _ben] = written(&server, &server).await;
    let mut files = Database::of(&server).await;
    for word in WORDS {
        assert!(files.holds(word).await, "{word}");
    }
    let unasked = server.run(&["erase", "--user", ID]).await;
    assert_eq!(unasked.status.code(), Some(2), "{}", String::from_utf8_lossy(&unasked.stderr));
    let both = server.run(&["erase", "--user", ID, "--document", "doc", "--yes"]).await;
    assert_eq!(both.status.code(), Some(2));
    let done = server.run(&["erase", "--user", ID, "--yes"]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("is erased and called erased-") && said.contains("of 1 document\n"), "{said}");
    // The service hears of it by itself.
    assert_eq!(end(quill_there).await, (4004, "banned".to_owned()));
    for word in WORDS {
        assert!(!files.holds(word).await, "{word}");
    }
    is_nobody(&server).await;
    server.verify().await;
}

async fn only_an_admin_of_everything_erases_people() {
    let server = Server::start_with(&[&WITH_TOKENS[..], &OFTEN[..]].concat()).await;
    let erase_as = async |permissions: Value| {
        let token = token("boss", permissions, 600.0);
        let body = json!({"user_id": ID}).to_string();
        answer(server.ask(Method::POST, "/v1/erasures").bearer_auth(token).body(body)).await
    };
    server.tell("/v1/erasures", &json!({"user_id": ID})).await.problem(401);
    for less in [json!(["read", "write", "comment"]), json!({"doc": ["admin"]})] {
        assert!(erase_as(less).await.problem(403).contains("admin"));
    }
    erase_as(json!(["admin"])).await.with(200);
    let told: Vec<_> = server.log().into_iter().filter(|line| line.contains("erased a person")).collect();
    assert!(told.len() == 1 && told[0].contains("boss") && !told[0].contains(ID), "{told:?}");
}

/// Killed at random moments: once it has begun it ends without being asked again, and until then they are kept out.
async fn erasing_a_person_that_is_killed_is_finished_by_the_next_one() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let mut server = Server::start_with(&OFTEN).await;
    written(&server, &server).await;
    for _ in 0..3 {
        let order = json!({"user_id": ID}).to_string();
        let asked = tokio::spawn(server.ask(Method::POST, "/v1/erasures").body(order).send());
        let mut database = Database::of(&server).await;
        within("it to begin", async { while database.unfinished_erasures().await == 0 {} }).await;
        // The signs of life of the service are the clock.
        for _ in 0..chance.below(200) {
            server.get("/healthz").await;
        }
        server.kill().await;
        within("the answer, or the end", asked).await.unwrap().ok();
        let is_unfinished = database.unfinished_erasures().await > 0;
        server.restart().await;
        if is_unfinished {
            let mut early = Socket::open(server.address(), &quill()).await;
            assert_eq!(early.expect_error("UNAUTHORIZED").await["details"]["reason"], "banned");
            assert_eq!(early.expect_close(4004).await, "banned");
            server.kill().await;
            database.age_erasures().await;
            server.restart().await;
            within("it to be finished", async { while database.unfinished_erasures().await > 0 {} }).await;
        }
        is_nobody(&server).await;
        server.verify().await;
        let (version, _) = content(&server, "doc").await;
        let mut back = opened(&server, &quill()).await;
        edit_on(&mut back, version).await;
    }
}

/// The log is opened by this process as well, which is another one.
async fn while_another_process_erases_somebody_nothing_is_saved_that_may_know_them() {
    let settings = [&OFTEN[..], &[("SNAPSHOTS__EVERY_EVENTS", "1")]].concat();
    let server = Server::start_with(&settings).await;
    let mut database = Database::of(&server).await;
    let [quill_there, mut ben] = written(&server, &server).await;
    let (url, metrics) = (server.database_url(), Metrics::new());
    let log = EventLog::open(Options { url, readers: 1, lanes: 1, nats: None, metrics }).await.unwrap();
    let (user, nobody) = (UserId::parse(ID).unwrap(), UserId::parse("erased-1").unwrap());
    let now = Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
    let erasure = log.begin_user_erasure(&user, nobody, now).await.unwrap();
    assert_eq!(end(quill_there).await, (4004, "banned".to_owned()));
    let mut early = Socket::open(server.address(), &quill()).await;
    assert_eq!(early.expect_close(4004).await, "banned");
    let before = database.last_snapshot("doc").await;
    assert!(before > 0);
    for version in 20..40 {
        edit_on(&mut ben, version).await;
    }
    // A snapshot that was under way when it began may still come; none of what was written since.
    assert!(database.last_snapshot("doc").await <= 23);
    for what in [&["rebuild"][..], &["rebuild", "--projection", "blame"], &["rebuild", "--document", "doc"]] {
        let refused = server.run(what).await;
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && why.contains("a person is being erased"), "{what:?}: {why}");
    }
    assert!(database.last_snapshot("doc").await <= 23);
    log.complete_user_erasure(&erasure, (now, Duration::from_millis(200)), |_| ()).await.unwrap();
    assert_eq!(end(ben).await, (1012, "server_restarting".to_owned()));
    is_nobody(&server).await;
    let mut ben = opened(&server, &Opening::guest("doc", "ben").with("since", 40)).await;
    edit_on(&mut ben, 40).await;
    within("a snapshot", async { while database.last_snapshot("doc").await <= 23 {} }).await;
    log.close().await;
    assert!(server.run(&["rebuild"]).await.status.success());
    server.verify().await;
    is_nobody(&server).await;
}

/// A ban is against somebody who may come back, so it has to go on naming them until it has run out.
async fn who_is_shut_out_stays_so_when_they_are_erased() {
    let mut server = Server::start_with(&OFTEN).await;
    let ban = json!({"user_id": ID, "until": "2099-01-01T00:00:00Z"});
    assert_eq!(server.post("/v1/revocations", None, &ban).await.0, 201);
    erase(&server).await;
    for _ in 0..2 {
        let mut back = Socket::open(server.address(), &quill()).await;
        assert_eq!(back.expect_error("UNAUTHORIZED").await["details"]["reason"], "banned");
        assert_eq!(back.expect_close(4004).await, "banned");
        server.kill().await;
        server.restart().await;
    }
    guest(&server, "doc", "ben").await;
}

async fn a_copy_that_still_knows_them_is_not_taken_in() {
    let server = Server::start_with(&OFTEN).await;
    written(&server, &server).await;
    let copy = server.home().join("copy.ndjson").display().to_string();
    let exported = server.run(&["export", "--output", &copy]).await;
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    erase(&server).await;
    let imported = server.run(&["import", &copy]).await;
    let why = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(imported.status.code() == Some(1) && why.contains("does not fit, and nothing was imported"), "{why}");
    is_nobody(&server).await;
    server.verify().await;
}

/// Also by a node that sleeps while it happens, and never sees who it was.
#[tokio::test]
async fn every_node_forgets_a_person_who_is_erased() {
    for sleeps in [false, true] {
        let ground = Ground::on_postgres(2, &[("AUTH__REVOCATIONS_POLL", "50ms"), ("CLUSTER__POLL", "1h")]).await;
        let [one, other] = &ground.nodes[..] else { panic!("two nodes") };
        let [quill_there, mut ben] = written(one, other).await;
        if sleeps {
            drop(quill_there);
            while ben.any_envelope().await["event"] != "user_left" {}
            other.signal("STOP");
            erase(one).await;
            other.signal("CONT");
        } else {
            erase(one).await;
            assert_eq!(end(quill_there).await, (4004, "banned".to_owned()));
        }
        assert_eq!(end(ben).await, (1012, "server_restarting".to_owned()));
        let mut ben = opened(other, &Opening::guest("doc", "ben").with("since", 20)).await;
        edit_on(&mut ben, 20).await;
        for node in [one, other] {
            is_nobody(node).await;
        }
        one.verify().await;
        ground.end().await;
    }
}
