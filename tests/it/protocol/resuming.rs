//! Coming back: what was missed, and no more.

use serde_json::json;

use crate::support::{
    say::{commit, edit, guest, insert, opened, sync},
    server::Server,
    socket::{Incoming, Opening, Socket},
    storage::on_every_database,
};

on_every_database! {
    who_resumes_gets_own_edits_as_acks_and_others_as_broadcasts who_cannot_resume_gets_the_whole_document
    a_sync_comes_after_everything_sent_before_it a_sync_since_a_version_brings_what_came_after_it
    the_newer_connection_of_a_client_takes_over nothing_is_missed_between_a_sync_and_the_first_broadcast
}

/// A document of ten versions: the odd ones are ann's, the even ones ben's.
async fn written(server: &Server) {
    let mut people = [guest(server, "doc", "ann").await, guest(server, "doc", "ben").await];
    for version in 0..10 {
        let at = usize::try_from(version).unwrap() % 2;
        assert_eq!(commit(&mut people[at], &edit(&format!("m{version}"), version, insert(0, "x"))).await, version + 1);
    }
}

/// Opens with `since`; what `connection_ack` says.
async fn resume(server: &Server, name: &str, since: u64) -> (Socket, serde_json::Value) {
    let mut socket = Socket::open(server.address(), &Opening::guest("doc", name).with("since", since)).await;
    let ack = socket.expect("system", "connection_ack").await;
    (socket, ack)
}

async fn who_resumes_gets_own_edits_as_acks_and_others_as_broadcasts() {
    let mut server = Server::start().await;
    written(&server).await;
    for restart in [false, true] {
        if restart {
            server.kill().await;
            server.restart().await;
        }
        let (mut ann, ack) = resume(&server, "ann", 4).await;
        assert_eq!((&ack["resumed"], &ack["document_version"]), (&json!(true), &json!(10)));
        for version in 5..=10 {
            let envelope = ann.envelope().await;
            let (event, number) =
                if version % 2 == 1 { ("operation_ack", "server_version") } else { ("operation_broadcast", "version") };
            assert_eq!((&envelope["event"], &envelope["data"][number]), (&json!(event), &json!(version)), "{envelope}");
            assert_eq!(envelope["message_id"], format!("m{}", version - 1));
            assert_eq!(envelope["client_id"], if version % 2 == 1 { "ann" } else { "ben" });
        }
        ann.expect_silence().await;
        let (mut ann, ack) = resume(&server, "ann", 10).await;
        assert_eq!(ack["resumed"], true);
        ann.expect_silence().await;
    }
}

async fn who_cannot_resume_gets_the_whole_document() {
    let server = Server::start_with(&[("DOCUMENTS__MAX_RESUME_EVENTS", "5")]).await;
    written(&server).await;
    for (since, resumed) in [(4, false), (5, true), (11, false), (0, false), (9_007_199_254_740_993, false)] {
        let (mut ann, ack) = resume(&server, "ann", since).await;
        assert_eq!(ack["resumed"], resumed, "since {since} at version 10");
        if !resumed {
            assert_eq!(ann.expect("system", "document_sync").await["document"]["version"], 10);
            ann.expect_silence().await;
        }
    }
}

async fn a_sync_comes_after_everything_sent_before_it() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    ann.send(&edit("1", 0, insert(0, "a"))).await;
    ann.send(&sync(json!({}))).await;
    ann.send(&edit("2", 0, insert(1, "b"))).await;
    ann.send(&sync(json!({"document_id": "doc"}))).await;
    assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], 1);
    assert_eq!(ann.expect("system", "document_sync").await["document"]["content"], "a");
    assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], 2);
    assert_eq!(ann.expect("system", "document_sync").await["document"]["content"], "ab");
}

async fn a_sync_since_a_version_brings_what_came_after_it() {
    let server = Server::start_with(&[("DOCUMENTS__MAX_RESUME_EVENTS", "5")]).await;
    written(&server).await;
    let mut ann = guest(&server, "doc", "ann").await;
    ann.send(&sync(json!({"since": 7}))).await;
    assert_eq!(ann.expect("operation", "operation_broadcast").await["version"], 8);
    assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], 9);
    assert_eq!(ann.expect("operation", "operation_broadcast").await["version"], 10);
    ann.send(&sync(json!({"since": 1}))).await;
    assert_eq!(ann.expect("system", "document_sync").await["document"]["version"], 10, "too long a gap");
}

async fn the_newer_connection_of_a_client_takes_over() {
    let server = Server::start().await;
    let mut old = guest(&server, "doc", "ann").await;
    let same_client_of_another_user =
        opened(&server, &Opening::of("doc").with("user_id", "ben").with("client_id", "ann")).await;
    let elsewhere = guest(&server, "elsewhere", "ann").await;
    let mut new = guest(&server, "doc", "ann").await;
    let goodbye = old.expect("system", "disconnect").await;
    assert_eq!(goodbye, json!({"reason": "superseded", "code": 1008}));
    assert_eq!(old.expect_close(1008).await, "superseded");
    assert_eq!(old.next().await, Incoming::End);
    assert_eq!(commit(&mut new, &edit("m", 0, insert(0, "x"))).await, 1);
    for mut other in [same_client_of_another_user, elsewhere] {
        other.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 1}})).await;
        while other.envelope().await["event"] != "pong" {}
    }
}

async fn nothing_is_missed_between_a_sync_and_the_first_broadcast() {
    let server = Server::start().await;
    let mut writer = guest(&server, "doc", "writer").await;
    for round in 0..30 {
        let first = round * 10;
        let edits: Vec<_> = (0..10).map(|n| edit(&format!("m{}", first + n), 0, insert(0, "x")).to_string()).collect();
        writer.send_text(format!("[{}]", edits.join(","))).await;
        let mut newcomer = Socket::open(server.address(), &Opening::guest("doc", &format!("n{round}"))).await;
        newcomer.expect("system", "connection_ack").await;
        let mut version = newcomer.expect("system", "document_sync").await["document"]["version"].as_u64().unwrap();
        while version < first + 10 {
            version += 1;
            assert_eq!(newcomer.expect("operation", "operation_broadcast").await["version"], version);
        }
    }
    for version in 1..=300 {
        assert_eq!(writer.expect("operation", "operation_ack").await["server_version"], version);
    }
    commit(&mut writer, &edit("last", 300, insert(0, "x"))).await;
}
