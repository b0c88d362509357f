//! How a connection begins.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    say::{commit, content, edit, guest, insert, opened},
    server::Server,
    socket::{Incoming, Opening, Socket},
    wire::is_time,
};
use tokio_tungstenite::tungstenite::{Bytes, Message};

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_newcomer_is_greeted_and_gets_the_whole_document() {
    let server = Server::start().await;
    let opening = Opening::guest("doc_abc123", "client_abc123").with("name", "Ann").with("color", "#3b82f6");
    let mut socket = Socket::open(server.address(), &opening).await;
    let ack = socket.expect("system", "connection_ack").await;
    assert_eq!(
        keys(&ack),
        BTreeSet::from([
            "client_id",
            "user_id",
            "permissions",
            "document_version",
            "server_time",
            "position_encoding",
            "resumed"
        ])
    );
    assert_eq!((&ack["client_id"], &ack["user_id"]), (&json!("client_abc123"), &json!("user-client_abc123")));
    assert_eq!(
        (&ack["document_version"], &ack["position_encoding"], &ack["resumed"]),
        (&json!(0), &json!("utf-16"), &json!(false))
    );
    for permission in ["read", "write", "comment"] {
        assert!(ack["permissions"].as_array().unwrap().contains(&json!(permission)), "guests may do everything: {ack}");
    }
    assert!(is_time(&ack["server_time"]), "{ack}");

    let sync = socket.expect("system", "document_sync").await;
    let document = json!({
        "id": "doc_abc123", "version": 0, "content": "", "delta": [],
        "metadata": {"word_count": 0, "last_modified": null},
    });
    assert_eq!(sync["document"], document);
    assert_eq!(sync["comments"], json!([]));
    let present = sync["active_users"].as_array().unwrap();
    assert_eq!(present.len(), 1, "everybody present, the newcomer included: {sync}");
    assert_eq!((&present[0]["user_id"], &present[0]["cursor_position"]), (&json!("user-client_abc123"), &Value::Null));
    assert_eq!((&present[0]["name"], &present[0]["color"]), (&json!("Ann"), &json!("#3b82f6")));
}

#[tokio::test]
async fn a_sync_shows_text_formats_and_embeds() {
    let server = Server::start().await;
    let mut writer = guest(&server, "rich", "writer").await;
    let bold =
        json!({"type": "insert", "position": 0, "content": "two words", "attributes": {"bold": true, "italic": null}});
    commit(&mut writer, &edit("1", 0, bold)).await;
    commit(&mut writer, &edit("2", 1, json!({"type": "insert", "position": 3, "embed": {"image": "a.png"}}))).await;
    let mut reader = Socket::open(server.address(), &Opening::guest("rich", "reader")).await;
    let ack = reader.expect("system", "connection_ack").await;
    assert_eq!(ack["document_version"], 2);
    let document = &reader.expect("system", "document_sync").await["document"];
    assert_eq!(document["content"], "two\u{fffc} words");
    let bold = json!({"bold": true});
    let delta = json!([{"insert": "two", "attributes": bold}, {"insert": {"image": "a.png"}}, {"insert": " words", "attributes": bold}]);
    assert_eq!(document["delta"], delta);
    assert_eq!(document["metadata"]["word_count"], 2);
    assert!(is_time(&document["metadata"]["last_modified"]), "{document}");
}

#[tokio::test]
async fn who_does_not_say_who_it_is_gets_names() {
    let server = Server::start().await;
    let mut names = BTreeSet::new();
    for _ in 0..2 {
        let mut socket = Socket::open(server.address(), &Opening::of("doc")).await;
        let ack = socket.expect("system", "connection_ack").await;
        assert!(ack["user_id"].as_str().unwrap().starts_with("guest-"), "{ack}");
        names.insert((ack["user_id"].to_string(), ack["client_id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names.len(), 2, "and each other ones");
}

#[tokio::test]
async fn a_document_may_have_any_id_that_is_one() {
    let server = Server::start().await;
    let longest = "x".repeat(128);
    for id in ["team-a/notes.2025_v1:~x", &longest] {
        let mut socket = Socket::open(server.address(), &Opening::guest(id, "c")).await;
        socket.expect("system", "connection_ack").await;
        assert_eq!(socket.expect("system", "document_sync").await["document"]["id"], id);
        assert_eq!(commit(&mut socket, &edit("m", 0, insert(0, "text"))).await, 1);
        assert_eq!(content(&server, id).await, (1, "text".to_owned()));
    }
}

#[tokio::test]
async fn what_is_malformed_is_refused_before_the_upgrade() {
    let server = Server::start().await;
    let refused = |opening: Opening| {
        let address = server.address();
        async move { assert_eq!(Socket::refused(address, &opening).await, 400, "{opening:?}") }
    };
    for id in ["sp ace", "ümlaut", "a%00b", "semi;colon", "%zz", &"x".repeat(129)] {
        refused(Opening::of(id)).await;
    }
    for (name, value) in [
        ("client_id", ""),
        ("client_id", "sp ace"),
        ("client_id", "server"),
        ("client_id", &"x".repeat(129)),
        ("position_encoding", "utf-8"),
        ("position_encoding", "UTF-16"),
        ("operations", "xml"),
        ("batch", "perhaps"),
        ("since", "-1"),
        ("since", "latest"),
        ("since", "18446744073709551616"),
        ("unknown", "1"),
    ] {
        refused(Opening::of("doc").with(name, value)).await;
    }
    let ok = Opening::of("doc")
        .with("position_encoding", "utf-16")
        .with("operations", "simple")
        .with("batch", false)
        .with("name", "Ann");
    opened(&server, &ok).await;
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_not_upgraded() {
    let server = Server::start().await;
    let (status, _) = server.get("/v1/ws/documents/doc").await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(server.get("/v1/nothing/here").await.0, 404);
    guest(&server, "doc", "still-works").await;
}

#[tokio::test]
async fn without_auto_create_a_document_must_be_there() {
    let mut server = Server::start().await;
    let mut socket = guest(&server, "there", "c").await;
    commit(&mut socket, &edit("m", 0, insert(0, "text"))).await;
    guest(&server, "only-looked-at", "c").await;
    server.terminate().await;
    server.set("DOCUMENTS__AUTO_CREATE", "false");
    server.restart().await;
    guest(&server, "there", "c").await;
    for missing in ["never-heard-of", "only-looked-at"] {
        let mut socket = Socket::open(server.address(), &Opening::guest(missing, "c")).await;
        socket.expect_error("DOCUMENT_NOT_FOUND").await;
        socket.expect_close(1008).await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_in_both_languages() {
    let server = Server::start().await;
    let mut socket = guest(&server, "doc", "c").await;
    socket.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 1_704_625_800_000_u64}})).await;
    let pong = socket.expect("system", "pong").await;
    assert_eq!(pong["timestamp"], 1_704_625_800_000_u64);
    assert!(pong["server_time"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000), "milliseconds: {pong}");
    socket.send_message(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(socket.next().await, Incoming::Pong(Bytes::from_static(b"there?")));
}
