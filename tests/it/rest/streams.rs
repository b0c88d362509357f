//! Recorded events in pages, in lines, and as they come.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cluster::ground::Ground,
    support::{
        edits::Chance,
        number_from_env,
        rest::{Events, answer},
        say::{WITH_TOKENS, commit, edit, guest, insert, opened, token},
        server::Server,
        socket::Opening,
        storage::on_every_database,
    },
};

on_every_database! {
    events_come_in_pages_in_lines_and_as_they_happen
    a_reader_that_is_cut_off_again_and_again_gets_every_event_once
    a_stream_ends_with_the_token_with_a_ban_and_with_the_service
    the_feed_has_everything_in_order
    who_stands_behind_the_end_of_the_log_is_told
    who_follows_is_rung_for
}

const LINES: &str = "application/x-ndjson";
const SSE: &str = "text/event-stream";

fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

async fn events_come_in_pages_in_lines_and_as_they_happen() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    for n in 0..5 {
        commit(&mut ann, &edit(&format!("m{n}"), n, insert(0, "a"))).await;
    }
    let path = "/v1/documents/doc/events";
    let page = server.look(&format!("{path}?after=1&limit=2")).await.with(200);
    assert_eq!((seqs(page["events"].as_array().unwrap()), &page["next"]), (vec![2, 3], &json!(3)));
    let event = &page["events"][0];
    assert_eq!(
        (&event["type"], &event["user"], &event["message_id"], &event["version"], &event["document"]),
        (&json!("edited"), &json!("user-ann"), &json!("m1"), &json!(2), &json!("doc"))
    );
    assert_eq!(event["applied"], json!([{"insert": "a"}]));
    let end = server.look(&format!("{path}?after=5")).await.with(200);
    assert_eq!(end, json!({"events": [], "next": 5}));

    assert_eq!(seqs(&server.listen(path, LINES).await.all().await), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&server.listen(&format!("{path}?after=3&limit=1"), LINES).await.all().await), [4]);
    assert_eq!(seqs(&server.listen(&format!("{path}?follow=false"), SSE).await.all().await), [1, 2, 3, 4, 5]);
    let mut lines = server.listen(&format!("{path}?after=4&follow=true"), LINES).await;
    let mut sse = Events::of(server.ask(Method::GET, path).header("accept", SSE).header("last-event-id", "4")).await;
    for n in 5..8 {
        assert_eq!(lines.event().await["seq"], n);
        let (id, event) = sse.next().await.unwrap();
        assert_eq!((id, &event["seq"]), (Some(n.to_string()), &json!(n)));
        commit(&mut ann, &edit(&format!("m{n}"), n, insert(0, "a"))).await;
    }
    let bad = answer(server.ask(Method::GET, path).header("last-event-id", "x")).await.problem(400);
    assert!(bad.contains("Last-Event-ID"));
}

/// After a restore from a backup: whoever stands behind the end would wait in silence, and miss what comes up to there.
async fn who_stands_behind_the_end_of_the_log_is_told() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m", 0, insert(0, "a"))).await;
    let last = server.look("/v1/events?limit=1000").await.with(200)["next"].as_u64().unwrap();
    // Of the feed more may come at any time: who came and went.
    for (path, end, ahead) in [("/v1/documents/doc/events", 1, 2), ("/v1/events", last, last + 1_000)] {
        for accept in ["application/json", LINES] {
            for follow in ["", "&follow=true"].iter().take(if accept == LINES { 2 } else { 1 }) {
                let asked = server.ask(Method::GET, &format!("{path}?after={ahead}{follow}")).header("accept", accept);
                let refused = answer(asked).await;
                assert_eq!(refused.json["code"], "AHEAD_OF_LOG", "{path} {accept}");
                assert!(refused.problem(409).contains("the log ends at"));
            }
        }
        let asked = server.ask(Method::GET, path).header("accept", SSE).header("last-event-id", ahead.to_string());
        let mut told = Events::of(asked).await;
        let said = told.event().await;
        assert_eq!(said["reason"], "ahead_of_log", "{path}");
        assert!(said["end"].as_u64().unwrap() >= end);
        assert_eq!(told.next().await, None, "and that is all");
        server.look(&format!("{path}?after={end}")).await.with(200);
    }
}

async fn a_reader_that_is_cut_off_again_and_again_gets_every_event_once() {
    const WRITERS: usize = 3;
    const EACH: u64 = 60;
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let server = Server::start().await;
    let writers = (0..WRITERS).map(|writer| {
        let server = &server;
        async move {
            let name = format!("w{writer}");
            let mut socket = guest(server, &format!("doc-{}", writer % 2), &name).await;
            for n in 0..EACH {
                commit(&mut socket, &edit(&format!("{name}-{n}"), 0, insert(0, "x"))).await;
            }
        }
    });
    let read = async {
        let (mut all, mut after) = (Vec::new(), 0);
        let is_edit = |event: &Value| event["type"] == "edited";
        while all.iter().filter(|event| is_edit(event)).count() < WRITERS * usize::try_from(EACH).unwrap() {
            let accept = *chance.one_of(&[LINES, SSE]);
            let mut events = server.listen(&format!("/v1/events?after={after}&follow=true"), accept).await;
            for _ in 0..=chance.below(40) {
                let event = events.event().await;
                after = event["position"].as_u64().unwrap();
                let is_last = is_edit(&event);
                all.push(event);
                if is_last
                    && all.iter().filter(|event| is_edit(event)).count() == WRITERS * usize::try_from(EACH).unwrap()
                {
                    break;
                }
            }
        }
        all
    };
    let (all, _) = tokio::join!(read, futures_util::future::join_all(writers));
    let positions: Vec<_> = all.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "each once, in order");
    for document in ["doc-0", "doc-1"] {
        let of_one: Vec<_> = all.iter().filter(|event| event["document"] == document).cloned().collect();
        let whole = server.listen(&format!("/v1/documents/{document}/events"), LINES).await.all().await;
        assert_eq!(seqs(&of_one), seqs(&whole));
    }
}

async fn a_stream_ends_with_the_token_with_a_ban_and_with_the_service() {
    let mut server = Server::start_with(&WITH_TOKENS).await;
    let writer = token("ann", json!(["read", "write"]), 600.0);
    let mut ann = opened(&server, &Opening::of("doc").with("token", &writer)).await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let path = "/v1/documents/doc/events";
    let follow =
        async |token: &str| Events::of(server.ask(Method::GET, path).header("accept", SSE).bearer_auth(token)).await;
    let disconnect = |reason: &str| json!({"reason": reason});
    let short = follow(&token("ben", json!(["read"]), 5.0)).await.all();
    let all = short.await;
    assert_eq!((all[0]["seq"].clone(), all.last().cloned()), (json!(1), Some(disconnect("token_expired"))));

    let banned = follow(&token("eve", json!(["read"]), 600.0)).await;
    let admin = token("root", json!(["admin"]), 600.0);
    let ban = json!({"user_id": "eve", "until": "2099-01-01T00:00:00Z"});
    assert_eq!(server.post("/v1/revocations", Some(&admin), &ban).await.0, 201);
    assert_eq!(banned.all().await.last(), Some(&disconnect("banned")));

    let last = follow(&writer).await;
    server.signal_to_stop();
    assert_eq!(last.all().await.last(), Some(&disconnect("server_restarting")));
    assert!(server.ended().await.success());
}

async fn the_feed_has_everything_in_order() {
    let server = Server::start().await;
    let mut ann = guest(&server, "a", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let mut ben = guest(&server, "b", "ben").await;
    commit(&mut ben, &edit("m1", 0, insert(0, "b"))).await;
    ann.close().await;
    ben.close().await;
    let mut events = server.listen("/v1/events", SSE).await;
    let mut seen = Vec::new();
    // Two edits, and two who came and went.
    while seen.len() < 6 {
        let (id, event) = events.next().await.unwrap();
        assert_eq!(id, Some(event["position"].to_string()));
        seen.push(event);
    }
    let of = |name: &str, value: &str| seen.iter().filter(|event| event[name] == value).count();
    assert_eq!((of("document", "a"), of("document", "b"), of("stream", "presence:a")), (1, 1, 2));
    let page = server.look("/v1/events?limit=1").await.with(200);
    assert_eq!(page["events"][0], seen[0]);
    assert_eq!(page["next"], seen[0]["position"]);
}

/// Nobody looks by themselves here.
const NEVER: (&str, &str) = ("CLUSTER__POLL", "1h");

async fn who_follows_is_rung_for() {
    let server = Server::start_with(&[NEVER]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m0", 0, insert(0, "a"))).await;
    let path = "/v1/documents/doc/events";
    let mut document = server.listen(&format!("{path}?after=1&follow=true"), LINES).await;
    let mut feed = server.listen("/v1/events?follow=true", SSE).await;
    let mut told = async |message_id: &str| while feed.event().await["message_id"] != message_id {};
    told("m0").await;
    for n in 1..4 {
        let elsewhere = format!("elsewhere-{n}");
        commit(&mut guest(&server, &elsewhere, "ben").await, &edit(&elsewhere, 0, insert(0, "b"))).await;
        told(&elsewhere).await;
        commit(&mut ann, &edit(&format!("m{n}"), n, insert(0, "a"))).await;
        told(&format!("m{n}")).await;
        assert_eq!(document.event().await["seq"], n + 1);
    }
    let mut events = server.listen(path, SSE).await;
    for n in 1..5 {
        assert_eq!(events.event().await["seq"], n);
    }
    // One who has just read reads once more by themselves; when the feed has been read twice that is past.
    for message_id in ["past", "long past"] {
        commit(&mut guest(&server, "elsewhere", "ben").await, &edit(message_id, 0, insert(0, "b"))).await;
        told(message_id).await;
    }
    assert_eq!(answer(server.ask(Method::DELETE, "/v1/documents/doc")).await.status, 204);
    assert_eq!(events.all().await.last(), Some(&json!({"reason": "document_erased"})));
}

#[tokio::test]
async fn who_follows_on_one_node_is_rung_for_what_is_written_on_another() {
    let ground = Ground::on_postgres(2, &[NEVER]).await;
    let [here, there] = &ground.nodes[..] else { panic!("two nodes") };
    let mut ann = guest(there, "doc", "ann").await;
    commit(&mut ann, &edit("m0", 0, insert(0, "a"))).await;
    let mut document = here.listen("/v1/documents/doc/events?follow=true", LINES).await;
    let mut feed = here.listen("/v1/events?follow=true", SSE).await;
    assert_eq!(document.event().await["seq"], 1);
    for n in 1..20 {
        commit(&mut ann, &edit(&format!("m{n}"), n, insert(0, "a"))).await;
        assert_eq!(document.event().await["seq"], n + 1);
        while feed.event().await["message_id"] != format!("m{n}") {}
    }
    ground.end().await;
}
