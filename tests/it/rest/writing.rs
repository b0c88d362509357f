//! What servers do to documents, and who sees it.

use reqwest::Method;
use scriptorium::text::Delta;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    core::{Core, Manner},
    edits::Chance,
    number_from_env,
    rest::answer,
    say::{WITH_TOKENS, commit, delete, edit, guest, insert, token},
    server::Server,
    storage::on_every_database,
    wire,
};

on_every_database! {
    everybody_sees_what_a_server_writes_and_it_stays
    the_same_again_is_the_same_answer_and_something_else_a_conflict
    positions_refer_to_the_version_that_is_named
    a_document_is_created_once
    a_version_comes_back_as_one_new_version_with_its_comments
    any_version_comes_back
    versions_come_back_while_others_write
    what_cannot_be_written_is_refused_with_the_reason
}

const OPERATIONS: &str = "/v1/documents/doc/operations";
const RESTORE: &str = "/v1/documents/doc/restore?user_id=bot";

fn wish(message_id: &str, version: u64, operation: Value) -> Value {
    json!({"message_id": message_id, "version": version, "operation": operation})
}

async fn everybody_sees_what_a_server_writes_and_it_stays() {
    let mut server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "world"))).await;
    let done = server.tell(&format!("{OPERATIONS}?user_id=bot"), &wish("s1", 1, insert(0, "Hello "))).await.with(201);
    assert_eq!(
        (&done["id"], &done["version"], &done["seq"], &done["message_id"], &done["transformed"]),
        (&json!("doc"), &json!(2), &json!(2), &json!("s1"), &json!(false))
    );
    assert_eq!((&done["delta"], done.get("duplicate")), (&json!([{"insert": "Hello "}]), None));
    let seen = ann.envelope().await;
    assert_eq!((&seen["event"], &seen["message_id"]), (&json!("operation_broadcast"), &json!("s1")));
    assert_eq!((&seen["data"]["version"], &seen["client_id"]), (&json!(2), &json!("server")));
    assert_eq!((&seen["data"]["operation"]["author"], &seen["data"]["timestamp"]), (&json!("bot"), &done["timestamp"]));
    // The moment that was told is the moment to ask for.
    let then = format!("/v1/documents/doc?at={}", done["timestamp"].as_str().unwrap());
    assert_eq!(server.look(&then).await.with(200)["content"], "Hello world");
    server.kill().await;
    server.restart().await;
    assert_eq!(server.look("/v1/documents/doc").await.with(200)["content"], "Hello world");
    // Nobody has it open now.
    server.tell(OPERATIONS, &wish("s2", 2, insert(11, "!"))).await.with(201);
    assert_eq!(server.look("/v1/documents/doc").await.with(200)["content"], "Hello world!");
    server.verify().await;
}

async fn the_same_again_is_the_same_answer_and_something_else_a_conflict() {
    let mut server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let (path, ordered) = (format!("{OPERATIONS}?user_id=bot"), wish("s1", 1, insert(1, "b")));
    let first = server.tell(&path, &ordered).await.with(201);
    for is_restarted in [false, true] {
        if is_restarted {
            server.kill().await;
            server.restart().await;
        }
        let mut again = server.tell(&path, &ordered).await.with(200);
        assert_eq!(again["duplicate"].take(), true);
        again.as_object_mut().unwrap().remove("duplicate");
        assert_eq!(again, first);
        let by_header = server.ask(Method::POST, &path).header("idempotency-key", "\"s1\"");
        let mut without = ordered.clone();
        without.as_object_mut().unwrap().remove("message_id");
        assert_eq!(answer(by_header.body(without.to_string())).await.with(200)["version"], first["version"]);
        for other in [wish("s1", 1, insert(1, "c")), wish("s1", 0, insert(0, "b")), wish("m1", 1, insert(1, "b"))] {
            assert!(server.tell(&path, &other).await.problem(409).contains("message_id"), "{other}");
        }
        assert!(server.tell(OPERATIONS, &ordered).await.problem(409).contains("message_id"), "somebody else's");
    }
    assert_eq!(server.look("/v1/documents/doc").await.with(200)["content"], "ab");
}

/// Two of one user's that were made on the same version: neither had seen the other.
async fn positions_refer_to_the_version_that_is_named() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "abc"))).await;
    let path = format!("{OPERATIONS}?user_id=user-ann");
    server.tell(&path, &wish("s1", 1, insert(0, "xx"))).await.with(201);
    let second = server.tell(&path, &wish("s2", 1, insert(3, "!"))).await.with(201);
    assert_eq!((&second["transformed"], &second["delta"]), (&json!(true), &json!([{"retain": 5}, {"insert": "!"}])));
    assert_eq!(server.look("/v1/documents/doc").await.with(200)["content"], "xxabc!");
    server.verify().await;
}

async fn a_document_is_created_once() {
    let server = Server::start_with(&[("DOCUMENTS__AUTO_CREATE", "false")]).await;
    assert!(server.tell(OPERATIONS, &wish("s1", 0, insert(0, "x"))).await.problem(404).contains("no document"));
    let made = server.tell("/v1/documents", &json!({"id": "a/b-c", "content": "Hi \u{1F600}"})).await;
    assert_eq!(made.header("location"), "/v1/documents/a%2Fb-c");
    assert_eq!(made.with(201)["version"], 1);
    assert_eq!(server.look("/v1/documents/a%2Fb-c").await.with(200)["content"], "Hi \u{1F600}");
    assert!(server.tell("/v1/documents", &json!({"id": "a/b-c"})).await.problem(409).contains("already"));

    let delta = json!([{"insert": "bold", "attributes": {"bold": true}}, {"insert": {"image": "u"}}, {"insert": "\n"}]);
    let made = server.tell("/v1/documents", &json!({"delta": delta})).await.with(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(server.look(&format!("/v1/documents/{id}")).await.with(200)["delta"], delta);

    let empty = server.tell("/v1/documents", &json!({"id": "empty"})).await.with(201);
    assert_eq!(empty["version"], 1);
    assert_eq!(server.look("/v1/documents/empty").await.with(200)["content"], "");

    let by_key = async |key: &str| {
        let request = server.ask(Method::POST, "/v1/documents?user_id=bot").header("idempotency-key", key);
        answer(request.body(json!({"content": "once"}).to_string())).await
    };
    let (first, again, other) =
        (by_key("k1").await.with(201), by_key("k1").await.with(200), by_key("k2").await.with(201));
    assert_eq!((&first["id"], &again["duplicate"]), (&again["id"], &json!(true)));
    assert_ne!(first["id"], other["id"]);
}

async fn a_version_comes_back_as_one_new_version_with_its_comments() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "one two three"))).await;
    let comment = json!({"id": "c", "thread_id": "t", "content": "Why?", "position": {"start": 4, "end": 7}});
    let data = json!({"comment": comment, "version": 1});
    ann.send(&json!({"type": "comment", "event": "comment_added", "message_id": "c1", "data": data})).await;
    ann.expect("comment", "comment_ack").await;
    ann.expect("comment", "comment_added").await;
    for (n, operation) in [delete(0, 13), insert(0, "another text"), delete(3, 2)].into_iter().enumerate() {
        commit(&mut ann, &edit(&format!("d{n}"), 1 + n as u64, operation)).await;
    }
    let gone = server.look("/v1/documents/doc").await.with(200);
    assert_eq!((&gone["version"], &gone["comments"][0]["orphaned"]), (&json!(4), &json!(true)));
    let wish = json!({"version": 1, "message_id": "r1"});
    let done = server.tell(RESTORE, &wish).await.with(201);
    assert_eq!(done["version"], 5);
    let seen = ann.envelope().await;
    assert_eq!((&seen["event"], &seen["data"]["version"]), (&json!("operation_broadcast"), &json!(5)));
    assert_eq!(seen["data"]["anchors"], json!([{"thread_id": "t", "position": {"start": 4, "end": 7}}]));
    let back = server.look("/v1/documents/doc").await.with(200);
    assert_eq!(
        (&back["content"], &back["comments"][0]["position"], &back["comments"][0]["orphaned"]),
        (&json!("one two three"), &json!({"start": 4, "end": 7}), &json!(false))
    );
    assert_eq!(server.tell(RESTORE, &wish).await.with(200)["duplicate"], true);
    let other = json!({"version": 2, "message_id": "r1"});
    assert!(server.tell(RESTORE, &other).await.problem(409).contains("message_id"));
    assert!(server.tell(RESTORE, &json!({"version": 9, "message_id": "r2"})).await.problem(409).contains("ahead"));
    server.verify().await;
}

/// Random histories with remarks.
async fn any_version_comes_back() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let server = Server::start_with(&[("SNAPSHOTS__EVERY_EVENTS", "9"), ("SNAPSHOTS__HISTORY_EVERY", "20")]).await;
    let mut ann = Client::open(&server, "doc", "ann", Manner::PLAIN).await;
    for round in 0..12 {
        for _ in 0..20 {
            ann.edit_at_random(&mut chance).await;
            if chance.one_in(4) {
                ann.remark_at_random(&mut chance).await;
            }
        }
        ann.deliver_until("its acks", Core::is_settled).await;
        let before = server.look("/v1/documents/doc").await.with(200);
        let version = chance.below(usize::try_from(before["version"].as_u64().unwrap()).unwrap() + 1);
        let then = server.look(&format!("/v1/documents/doc?version={version}")).await.with(200);
        let wish = json!({"version": version, "message_id": format!("r{round}")});
        let done = server.tell("/v1/documents/doc/restore", &wish).await.with(201);
        assert_eq!(done["version"].as_u64(), before["version"].as_u64().map(|version| version + 1));
        let back = server.look("/v1/documents/doc").await.with(200);
        assert_eq!((&back["content"], &back["delta"]), (&then["content"], &then["delta"]), "version {version}");
        let place = |it: &Value, id: &Value| {
            let threads = it["comments"].as_array().unwrap();
            threads.iter().find(|comment| comment["id"] == *id).map(|comment| comment["position"].clone())
        };
        for comment in then["comments"].as_array().unwrap() {
            if let Some(now) = place(&back, &comment["id"]) {
                assert_eq!(now, comment["position"], "version {version}: {comment}");
            }
        }
        let goal = done["version"].as_u64().unwrap();
        ann.deliver_until("what came back", |core| core.version == goal).await;
        let shown: Delta = wire::from_ops(&back["delta"]);
        ann.core.assert_shows(&shown, goal);
    }
    server.verify().await;
}

/// What is written between the question and the answer is taken back too, and everybody ends at one document.
async fn versions_come_back_while_others_write() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let server = Server::start().await;
    let mut ann = Client::open(&server, "doc", "ann", Manner::PLAIN).await;
    ann.edit_at_random(&mut chance).await;
    ann.deliver_until("its ack", Core::is_settled).await;
    let restores = async {
        for round in 0..15 {
            let wish = json!({"version": round % 2, "message_id": format!("r{round}")});
            server.tell("/v1/documents/doc/restore", &wish).await.with(201);
        }
    };
    let writes = async {
        for _ in 0..100 {
            ann.edit_at_random(&mut chance).await;
            ann.deliver().await;
        }
    };
    tokio::join!(restores, writes);
    let last = server.look("/v1/documents/doc").await.with(200);
    let goal = last["version"].as_u64().unwrap();
    ann.deliver_until("the end", |core| core.version >= goal && core.is_settled()).await;
    let last = server.look("/v1/documents/doc").await.with(200);
    ann.core.assert_shows(&wire::from_ops(&last["delta"]), last["version"].as_u64().unwrap());
    for round in 0..15 {
        let events = server.look("/v1/documents/doc/events?limit=1000").await.with(200);
        let id = format!("r{round}");
        let event = events["events"].as_array().unwrap().iter().find(|it| it["message_id"] == id.as_str()).unwrap();
        let at = |version: &Value| format!("/v1/documents/doc?version={version}");
        let (restored, then) = (server.look(&at(&event["version"])).await, server.look(&at(&json!(round % 2))).await);
        assert_eq!(restored.with(200)["delta"], then.with(200)["delta"], "restore {round}");
    }
    server.verify().await;
}

async fn what_cannot_be_written_is_refused_with_the_reason() {
    let settings =
        [WITH_TOKENS[0], WITH_TOKENS[1], ("LIMITS__MESSAGE_BYTES", "2000"), ("LIMITS__DOCUMENT_LENGTH", "50")];
    let server = Server::start_with(&settings).await;
    let writer = token("ann", json!({"*": ["read"], "doc": ["read", "write"]}), 600.0);
    let tell =
        async |path: &str, body: String| answer(server.ask(Method::POST, path).bearer_auth(&writer).body(body)).await;
    tell("/v1/documents", json!({"id": "doc", "content": "a\u{1F600}b"}).to_string()).await.with(201);
    let with = |operation: Value| wish("s", 1, operation).to_string();
    for (path, body, status, why) in [
        (OPERATIONS, "{".to_owned(), 400, "not JSON"),
        (OPERATIONS, "[]".to_owned(), 422, "the body"),
        (OPERATIONS, json!({"message_id": "s", "version": 1}).to_string(), 422, "`operation`"),
        (OPERATIONS, json!({"message_id": "s", "operation": insert(0, "x")}).to_string(), 422, "`version`"),
        (OPERATIONS, json!({"version": 1, "operation": insert(0, "x")}).to_string(), 422, "`message_id`"),
        (OPERATIONS, wish("", 1, insert(0, "x")).to_string(), 422, "message_id"),
        (OPERATIONS, with(json!({"type": "explode"})), 422, "explode"),
        (OPERATIONS, with(json!({"type": "insert", "position": -1, "content": "x"})), 422, "`operation.position`"),
        (OPERATIONS, with(json!({"type": "insert", "position": 0})), 422, "content"),
        (OPERATIONS, with(insert(5, "x")), 422, "reaches to 5"),
        (OPERATIONS, with(insert(2, "x")), 422, "surrogate"),
        (OPERATIONS, wish("s", 2, insert(0, "x")).to_string(), 409, "ahead"),
        (OPERATIONS, with(insert(0, &"x".repeat(60))), 413, "50 are allowed"),
        (OPERATIONS, with(insert(0, &"x".repeat(3_000))), 413, "2000 bytes"),
        ("/v1/documents/other/operations", with(insert(0, "x")), 403, "`document:write`"),
        ("/v1/documents/other/restore", json!({"version": 0, "message_id": "s"}).to_string(), 403, "`document:write`"),
        ("/v1/documents", json!({"id": "other"}).to_string(), 403, "`document:write`"),
        ("/v1/documents", json!({"id": "bad id"}).to_string(), 422, "document_id"),
        ("/v1/documents", json!({"id": "doc", "content": "a", "delta": []}).to_string(), 422, "exclude"),
        ("/v1/documents", json!({"id": "doc", "delta": [{"retain": 1}, {"insert": "x"}]}).to_string(), 422, "inserts"),
        ("/v1/documents/doc/restore", json!({"message_id": "s"}).to_string(), 422, "`version`"),
        ("/v1/documents/doc/restore", json!({"version": 1}).to_string(), 422, "`message_id`"),
    ] {
        let problem = tell(path, body.clone()).await.problem(status);
        assert!(problem.contains(why), "{path} {body}: {problem}");
    }
    let both = server.ask(Method::POST, OPERATIONS).bearer_auth(&writer).header("idempotency-key", "t");
    assert!(answer(both.body(with(insert(0, "x")))).await.problem(422).contains("Idempotency-Key"));
    let unchanged = server.look_as(&writer, "/v1/documents/doc").await.with(200);
    assert_eq!((&unchanged["version"], &unchanged["content"]), (&json!(1), &json!("a\u{1F600}b")));
}
