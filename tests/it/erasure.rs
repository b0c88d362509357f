//! A document is erased: for everybody, everywhere, and for good.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    cluster::ground::Ground,
    support::{
        edits::Chance,
        log::Database,
        number_from_env,
        rest::{Events, answer},
        say::{WITH_TOKENS, commit, edit, guest, insert, token},
        server::Server,
        socket::{Incoming, Opening, Socket},
        storage::on_every_database,
        within,
    },
};

on_every_database! {
    an_erased_document_is_gone_for_everybody_and_stays_it
    nothing_of_it_is_left_in_the_files_of_the_database
    who_follows_the_events_of_all_passes_over_it_and_who_follows_its_own_is_at_the_end
    only_an_admin_erases
    an_erasure_that_is_killed_is_finished
    what_was_erased_is_erased_in_a_copy_too
}

const DOC: &str = "/v1/documents/doc";
/// What must not be found again.
const TEXT: &str = "Zanzibar-text";
const SAID: &str = "Quagmire-said";
const MESSAGE: &str = "Xylophone-message";

async fn erase(server: &Server, document: &str) -> crate::support::rest::Answer {
    answer(server.ask(Method::DELETE, &format!("/v1/documents/{document}"))).await
}

/// Two write and comment on it, and stay.
async fn written(server: &Server, document: &str) -> [Socket; 2] {
    let mut ann = guest(server, document, "ann").await;
    let mut ben = guest(server, document, "ben").await;
    for n in 0..20 {
        let writer = if n % 2 == 0 { &mut ann } else { &mut ben };
        commit(writer, &edit(&format!("{MESSAGE}-{n}"), n, insert(0, &format!("{TEXT} {n} ")))).await;
    }
    let comment = json!({"content": SAID, "position": {"start": 0, "end": 8}});
    let data = json!({"comment": comment, "version": 20});
    ann.send(&json!({"type": "comment", "event": "comment_added", "data": data, "message_id": MESSAGE})).await;
    while ann.envelope().await["event"] != "comment_added" {}
    [ann, ben]
}

/// The connection is told, and closed; nothing is acknowledged any more. The last version that was.
async fn sent_away(mut socket: Socket) -> u64 {
    let (mut last, mut is_told) = (0, false);
    loop {
        match socket.next().await {
            Incoming::Envelope(it) if it["event"] == "operation_ack" => {
                assert!(!is_told, "{it}");
                last = it["data"]["server_version"].as_u64().unwrap();
            }
            Incoming::Envelope(it) if it["event"] == "error" => {
                assert_eq!(
                    (&it["data"]["error_code"], &it["data"]["recoverable"]),
                    (&json!("DOCUMENT_NOT_FOUND"), &json!(false))
                );
                is_told = true;
            }
            Incoming::Envelope(it) if it["event"] == "disconnect" => {
                assert!(is_told, "the reason comes first");
                assert_eq!((&it["data"]["code"], &it["data"]["reason"]), (&json!(1008), &json!("document_not_found")));
            }
            Incoming::Envelope(_) | Incoming::Pong(_) => (),
            Incoming::Close(code, reason) => {
                assert_eq!((code, &*reason, is_told), (1008, "document_not_found", true));
                return last;
            }
            Incoming::End => panic!("the connection ended without a word"),
        }
    }
}

/// Nobody gets at it on any way.
async fn is_gone(server: &Server, document: &str) {
    let doc = format!("/v1/documents/{document}");
    let reads =
        ["", "?version=3", "?at=2030-01-01T00:00:00Z", "/comments", "/presence", "/events", "/history", "/diff"];
    for path in reads {
        let why = server.look(&format!("{doc}{path}")).await.problem(410);
        assert!(why.contains("erased at 20"), "{path}: {why}");
    }
    let operation = json!({"message_id": "new", "version": 20, "operation": insert(0, "x")});
    server.tell(&format!("{doc}/operations"), &operation).await.problem(410);
    server.tell(&format!("{doc}/restore"), &json!({"message_id": "new", "version": 3})).await.problem(410);
    server.tell("/v1/documents", &json!({"id": document, "content": "x"})).await.problem(410);
    erase(server, document).await.problem(410);
    for opening in [Opening::guest(document, "ann"), Opening::guest(document, "ann").with("since", 3)] {
        let mut socket = Socket::open(server.address(), &opening).await;
        socket.expect_error("DOCUMENT_NOT_FOUND").await;
        assert_eq!(socket.expect_close(1008).await, "document_not_found");
    }
    let listed = server.look("/v1/documents").await.with(200);
    assert!(listed["documents"].as_array().unwrap().iter().all(|it| it["id"] != document), "{listed}");
}

async fn an_erased_document_is_gone_for_everybody_and_stays_it() {
    let mut server = Server::start().await;
    let people = written(&server, "doc").await;
    let [mut other, _] = written(&server, "other").await;
    erase(&server, "never").await.problem(404);
    let done = erase(&server, "doc").await;
    assert_eq!((done.status, &done.json), (204, &Value::Null));
    for person in people {
        sent_away(person).await;
    }
    is_gone(&server, "doc").await;
    commit(&mut other, &edit("more", 20, insert(0, "still here "))).await;
    server.kill().await;
    server.restart().await;
    is_gone(&server, "doc").await;
    server.verify().await;
    let printed = server.run(&["events", "doc"]).await;
    let line: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert!(printed.status.success());
    assert_eq!((&line["type"], &line["document"], &line["version"]), (&json!("erased"), &json!("doc"), &json!(20)));
    let known: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(known, ["document", "message_id", "seq", "time", "type", "version"], "that and when, not what");
    let replayed = server.run(&["replay", "doc"]).await;
    assert_eq!(replayed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&replayed.stderr).contains("erased at"));
    let rebuilt = server.run(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert!(server.replay("other", None).await.starts_with("still here "));
}

async fn nothing_of_it_is_left_in_the_files_of_the_database() {
    let server = Server::start_with(&[("CLUSTER__POLL", "50ms")]).await;
    let people = written(&server, "doc").await;
    let [mut other, _] = written(&server, "other-kept").await;
    commit(&mut other, &edit("kept", 20, insert(0, "Umbrella-kept"))).await;
    server.tell("/v1/documents", &json!({"id": "filler", "content": "x".repeat(100_000)})).await.with(201);
    let mut files = Database::of(&server).await;
    for word in [TEXT, SAID, MESSAGE, "user-ann", "Umbrella-kept"] {
        assert!(files.holds(word).await, "{word}");
    }
    // Nobody is there who could be asked.
    let unasked = server.run(&["erase", "--document", "doc"]).await;
    assert_eq!(unasked.status.code(), Some(2), "{}", String::from_utf8_lossy(&unasked.stderr));
    for document in ["doc", "other-kept"] {
        if document == "other-kept" {
            assert!(files.holds("Umbrella-kept").await, "the other one stays");
        }
        let done = server.run(&["erase", "--document", document, "--yes"]).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.contains(document) && said.contains("erased since 20"), "{said}");
    }
    // The service hears of it by itself.
    for person in people {
        sent_away(person).await;
    }
    is_gone(&server, "doc").await;
    for word in [TEXT, SAID, MESSAGE, "user-ann", "Umbrella-kept"] {
        assert!(!files.holds(word).await, "{word}");
    }
    server.verify().await;
}

#[tokio::test]
async fn a_transaction_that_may_still_see_it_is_waited_for_or_named() {
    let ground = Ground::on_postgres(1, &[("CLUSTER__POLL", "50ms")]).await;
    let server = &ground.nodes[0];
    let _people = written(server, "doc").await;
    let mut reader = PgConnection::connect(&ground.url()).await.unwrap();
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid() FROM events").fetch_one(&mut reader).await.unwrap();
    let refused = server.run(&["erase", "--document", "doc", "--yes", "--wait", "0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("session {pid} of ")) && said.contains("idle in transaction"), "{said}");
    let mut files = ground.database().await;
    assert!(files.holds(TEXT).await, "its bytes are there, as was said");
    let mut onlooker = PgConnection::connect(&ground.url()).await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'WITH older%' AND pid <> pg_backend_pid()";
    let (done, ()) = tokio::join!(server.run(&["erase", "--document", "doc", "--yes"]), async {
        within("the command to wait", async {
            while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut onlooker).await.unwrap() == 0 {}
        })
        .await;
        reader.execute("COMMIT").await.unwrap();
    });
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for word in [TEXT, SAID, MESSAGE, "user-ann"] {
        assert!(!files.holds(word).await, "{word}");
    }
    ground.end().await;
}

async fn who_follows_the_events_of_all_passes_over_it_and_who_follows_its_own_is_at_the_end() {
    let server = Server::start().await;
    let _people = written(&server, "doc").await;
    let _others = written(&server, "other").await;
    let all = server.look("/v1/events?limit=1000").await.with(200);
    let place = |it: &Value| it["position"].as_u64().unwrap();
    let of_doc = |it: &&Value| it["document"] == "doc";
    let middle = all["events"].as_array().unwrap().iter().filter(of_doc).nth(5).map(place).unwrap();
    let own = server.listen(&format!("{DOC}/events?follow=true"), "application/x-ndjson").await;
    let mut own_sse = server.listen(&format!("{DOC}/events?after=20"), "text/event-stream").await;
    own_sse.event().await;
    let mut feed = server.listen(&format!("/v1/events?after={middle}&follow=true"), "application/x-ndjson").await;
    erase(&server, "doc").await.with(204);
    own.all().await;
    assert_eq!(own_sse.event().await, json!({"reason": "document_erased"}));
    assert_eq!(own_sse.next().await, None);
    let resumed = async |feed: &mut Events| {
        loop {
            let event = feed.event().await;
            if event["type"] == "erased" {
                assert_eq!(
                    (&event["document"], &event["seq"], &event["version"]),
                    (&json!("doc"), &json!(22), &json!(20))
                );
                return place(&event);
            }
        }
    };
    let tombstone = resumed(&mut feed).await;
    let mut again = server.listen(&format!("/v1/events?after={middle}&follow=true"), "application/x-ndjson").await;
    assert_eq!(resumed(&mut again).await, tombstone);
    let mut carol = guest(&server, "other", "carol").await;
    commit(&mut carol, &edit("after", 20, insert(0, "x"))).await;
    for feed in [&mut feed, &mut again] {
        while feed.event().await["message_id"] != "after" {}
    }
    let all = server.look("/v1/events?limit=1000").await.with(200);
    let left: Vec<_> = all["events"].as_array().unwrap().iter().filter(of_doc).map(place).collect();
    assert_eq!(left, [tombstone]);
}

async fn only_an_admin_erases() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let as_one = |permissions: Value| token("ann", permissions, 600.0);
    let writer = as_one(json!(["read", "write", "comment"]));
    let made = server.ask(Method::POST, "/v1/documents").bearer_auth(&writer);
    answer(made.body(json!({"id": "doc", "content": TEXT}).to_string())).await.with(201);
    let erase_as = async |token: &str| answer(server.ask(Method::DELETE, DOC).bearer_auth(token)).await;
    assert!(erase_as(&writer).await.problem(403).contains("admin"));
    erase(&server, "doc").await.problem(401);
    erase_as(&as_one(json!({"other": ["admin"]}))).await.problem(403);
    assert_eq!(server.look_as(&writer, DOC).await.with(200)["content"], TEXT);
    assert_eq!(erase_as(&as_one(json!({"doc": ["admin"]}))).await.status, 204);
    server.look_as(&writer, DOC).await.problem(410);
    let told: Vec<_> = server.log().into_iter().filter(|line| line.contains("erased a document")).collect();
    assert!(told.len() == 1 && told[0].contains("ann") && told[0].contains("doc"), "{told:?}");
    let opening = Opening::of("doc").with("token", writer);
    let mut late = Socket::open(server.address(), &opening).await;
    late.expect_error("DOCUMENT_NOT_FOUND").await;
    late.expect_close(1008).await;
}

/// Killed at random moments: it has happened or it has not, and once it has begun it ends without being asked again.
async fn an_erasure_that_is_killed_is_finished() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let mut server = Server::start().await;
    let (mut erased, mut whole) = (0, 0);
    for round in 0..8 {
        let document = format!("doc-{round}");
        let mut ann = guest(&server, &document, "ann").await;
        // More than is removed in one go.
        let edits: Vec<_> = (0..1_500).map(|n| edit(&format!("m{n}"), 0, insert(0, TEXT)).to_string()).collect();
        ann.send_all(edits).await.unwrap();
        while ann.envelope().await["data"]["server_version"] != 1_500 {}
        let request = server.ask(Method::DELETE, &format!("/v1/documents/{document}")).send();
        let asked = tokio::spawn(request);
        // The signs of life of another one are the clock.
        for _ in 0..chance.below(12) {
            server.get("/healthz").await;
        }
        server.kill().await;
        let was_answered = within("the answer, or the end", asked).await.unwrap().is_ok_and(|it| it.status() == 204);
        server.restart().await;
        let answer = server.look(&format!("/v1/documents/{document}")).await;
        if answer.status == 410 {
            erased += 1;
            let mut files = Database::of(&server).await;
            within("the rest to go", async { while files.left_of(&document).await > 1 {} }).await;
            is_gone(&server, &document).await;
        } else {
            assert!(!was_answered);
            assert_eq!(answer.with(200)["content"], TEXT.repeat(1_500));
            whole += 1;
            assert_eq!(erase(&server, &document).await.status, 204);
        }
        server.verify().await;
    }
    println!("{erased} were erased when the service was killed, {whole} were not");
}

/// An export tells it, and a log that has the document lets go of it.
async fn what_was_erased_is_erased_in_a_copy_too() {
    let server = Server::start().await;
    written(&server, "doc").await;
    written(&server, "other").await;
    let copy = Server::start().await;
    let path = |name: &str| server.home().join(name).display().to_string();
    let carry = async |name: &str| {
        let file = path(name);
        let out = server.run(&["export", "--output", &file]).await;
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let taken = copy.run(&["import", &file]).await;
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    };
    carry("before.ndjson").await;
    assert_eq!(copy.look(DOC).await.with(200)["version"], 20);
    erase(&server, "doc").await.with(204);
    carry("after.ndjson").await;
    is_gone(&copy, "doc").await;
    // What was exported before it was erased does not bring it back.
    let taken = copy.run(&["import", &path("before.ndjson")]).await;
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    is_gone(&copy, "doc").await;
    copy.verify().await;
    assert_eq!(copy.look("/v1/documents/other").await.with(200)["version"], 20);
}

/// With edits in flight on both nodes, which look by themselves so seldom that nothing is found by it.
#[tokio::test]
async fn everybody_on_every_node_is_sent_away_and_nothing_is_acknowledged_behind_the_end() {
    let ground = Ground::on_postgres(2, &[("CLUSTER__POLL", "1h")]).await;
    let [one, other] = &ground.nodes[..] else { panic!("two nodes") };
    let mut ann = guest(one, "doc", "ann").await;
    let mut ben = guest(other, "doc", "ben").await;
    commit(&mut ann, &edit("first", 0, insert(0, "x"))).await;
    for (socket, name) in [(&mut ann, "a"), (&mut ben, "b")] {
        let edits = (0..400).map(|n| edit(&format!("{name}{n}"), 0, insert(0, TEXT)).to_string());
        socket.send_all(edits).await.unwrap();
    }
    assert_eq!(erase(one, "doc").await.status, 204);
    let last = [sent_away(ann).await, sent_away(ben).await].into_iter().max().unwrap();
    let feed = other.look("/v1/events?limit=1000").await.with(200);
    let tombstone = feed["events"].as_array().unwrap().iter().find(|it| it["type"] == "erased").unwrap().clone();
    assert!(last <= tombstone["version"].as_u64().unwrap(), "{last} is behind {tombstone}");
    for node in [one, other] {
        is_gone(node, "doc").await;
    }
    one.verify().await;
    ground.end().await;
}
