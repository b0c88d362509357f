//! Clients whose edits refer to versions of long ago: their contexts come out of the log, once, and beside the document.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use scriptorium::{
    app::App,
    auth::Authenticator,
    clock::Clock,
    event_log::{Asked, EventLog, Fate},
    settings::Settings,
    telemetry::Metrics,
};
use serde_json::{Value, json};

use crate::support::{
    say::{content, edit, edit_after, guest, insert, sync},
    server::Server,
    socket::{Opening, Socket},
    storage::on_every_database,
};

on_every_database! { what_somebody_far_behind_sends_is_done_in_order what_a_server_sends_far_behind_is_done_as_well }

/// Versions that the documents have before somebody comes who knows none of them.
const LONG: u64 = 1_200;

/// Writes a long history of `x` at the end: whatever refers to version 0 is before all of it.
async fn history(writer: &mut Socket) {
    let edits = (0..LONG).map(|n| edit(&format!("h{n}"), 0, insert(usize::try_from(n).unwrap(), "x")).to_string());
    writer.send_all(edits).await.unwrap();
    for _ in 0..LONG {
        assert_eq!(writer.envelope().await["event"], "operation_ack");
    }
}

async fn what_somebody_far_behind_sends_is_done_in_order() {
    let server = Server::start_with(&[("DOCUMENTS__RECENT_EDITS", "8")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    history(&mut ann).await;
    let mut late = guest(&server, "doc", "late").await;
    let comment = json!({"content": "?", "position": {"start": 0, "end": 2}, "id": "c", "thread_id": "t"});
    let comment = json!({"type": "comment", "event": "comment_added", "message_id": "c", "data": {"comment": comment, "version": 0}});
    let sent = [
        edit("one", 0, insert(0, "a")),
        edit_after("two", 0, insert(1, "b"), "one"),
        edit("wrong", 0, insert(99, "!")),
        comment,
        edit_after("three", 0, insert(2, "c"), "two"),
        sync(json!({})),
    ];
    late.send_all(sent.iter().map(Value::to_string)).await.unwrap();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|it: &String| !it.starts_with("document_sync")) {
        let it = late.envelope().await;
        let named = it["message_id"].as_str().or(it["data"]["details"]["message_id"].as_str()).unwrap_or_default();
        heard.push(format!("{} {named}", it["event"].as_str().unwrap()));
        if it["event"] == "document_sync" {
            // What was committed first stays left.
            assert_eq!(it["data"]["comments"][0]["position"], json!({"start": LONG, "end": LONG + 2}));
        }
    }
    let expected = [
        "operation_ack one",
        "operation_ack two",
        "error wrong",
        "comment_ack c",
        "comment_added c",
        "operation_ack three",
        "document_sync ",
    ];
    assert_eq!(heard, expected);
    ann.send(&edit("more", LONG, insert(0, "!"))).await;
    while ann.envelope().await["message_id"] != "more" {}
    // It goes away with something under way, and comes again: all of it is there once.
    late.send(&edit_after("four", 0, insert(3, "d"), "three")).await;
    late.close().await;
    let mut late = guest(&server, "doc", "late").await;
    late.send(&edit_after("four", 0, insert(3, "d"), "three")).await;
    while late.envelope().await["message_id"] != "four" {}
    let (version, text) = content(&server, "doc").await;
    assert_eq!((version, text), (LONG + 5, format!("!{}abcd", "x".repeat(1_200))));
    server.verify().await;
}

async fn what_a_server_sends_far_behind_is_done_as_well() {
    let server = Server::start_with(&[("DOCUMENTS__RECENT_EDITS", "8")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    history(&mut ann).await;
    let order = |id: &str, position| json!({"message_id": id, "version": 1, "operation": insert(position, "-")});
    let done = server.tell("/v1/documents/doc/operations", &order("far", 1)).await.with(201);
    assert_eq!((&done["version"], &done["transformed"]), (&json!(LONG + 1), &json!(true)), "{done}");
    let again = server.tell("/v1/documents/doc/operations", &order("far", 1)).await.with(200);
    assert_eq!(again["duplicate"], true);
    server.tell("/v1/documents/doc/operations", &order("wrong", 2)).await.problem(422);
    assert_eq!(content(&server, "doc").await.0, LONG + 1);
}

/// A context says what a client sees, whatever it makes of that: mistakes do not cost the log a read each.
#[tokio::test]
async fn history_is_read_once_for_many_refused_edits() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let log = EventLog::memory_that_fails(move |stream, asked| {
        let is_read = asked == Asked::Read && stream.document_id().is_some();
        counted.fetch_add(usize::from(is_read), Ordering::Relaxed);
        Fate::Answered
    });
    let mut settings = Settings::default();
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    settings.documents.recent_edits = 8;
    settings.cluster.poll = Duration::from_hours(1);
    let authenticator = Authenticator::from_settings(&settings.auth).unwrap();
    let running = App::start_on(log, authenticator, settings, (Clock::system(), Metrics::new())).await.unwrap();
    let open = async |name: &str| {
        let mut socket = Socket::open(running.address(), &Opening::guest("doc", name)).await;
        socket.expect("system", "connection_ack").await;
        socket.expect("system", "document_sync").await;
        socket
    };
    let mut ann = open("ann").await;
    history(&mut ann).await;
    let mut late = open("late").await;
    let mut refuse = async |count: usize| {
        let before = reads.load(Ordering::Relaxed);
        let wrong = (0..count).map(|n| edit(&format!("w{count}-{n}"), 0, insert(9, "!")).to_string());
        late.send_all(wrong).await.unwrap();
        for _ in 0..count {
            late.expect_error("INVALID_OPERATION").await;
        }
        reads.load(Ordering::Relaxed) - before
    };
    refuse(1).await;
    // Each is looked for, in case that it was recorded; nothing else is read.
    assert_eq!(refuse(40).await, 40);
    assert!(running.shutdown().await);
}
