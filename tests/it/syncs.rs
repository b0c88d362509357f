//! Whole documents on their way to many clients: encoded once, within a bound, and paid for by those who ask.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Bytes, Message},
};

use crate::support::{
    say::{commit, edit, guest, insert, sync},
    server::Server,
    socket::{Opening, Socket, connect},
    within,
};

/// A document of which a copy is more than the network holds.
const LENGTH: usize = 3_000_000;
/// It stands in a sync twice, as text and as a delta.
const COPY: f64 = 6_000_000.0;
const LARGE: [(&str, &str); 2] = [("LIMITS__MESSAGE_BYTES", "16MiB"), ("LIMITS__OUTBOX_BYTES", "16MiB")];
const ENCODED: &str = "scriptorium_syncs_encoded_total";

async fn server_with(settings: &[(&str, &str)]) -> (Server, Socket) {
    let server = Server::start_with(&[&LARGE, settings].concat()).await;
    let mut writer = guest(&server, "doc", "writer").await;
    commit(&mut writer, &edit("m", 0, insert(0, &"x".repeat(LENGTH)))).await;
    (server, writer)
}

type Reader = WebSocketStream<TcpStream>;

/// A reader that has not read anything yet of the document that is being sent to it.
async fn stuck(server: &Server, name: &str) -> Reader {
    let taken = async || server.metric("scriptorium_outbox_flush_frames_count").await;
    let before = taken().await;
    let opening = Opening { receive_buffer: Some(4_096), ..Opening::guest("doc", name) };
    let (reader, _) = connect(server.address(), &opening).await.unwrap();
    within("the document to be sent", async { while taken().await < before + 2.0 {} }).await;
    within("its bytes", async { while server.metric("scriptorium_sync_bytes").await < COPY {} }).await;
    reader
}

/// The next document that comes.
async fn document(reader: &mut Reader) -> Value {
    within("a document", async {
        loop {
            match reader.next().await {
                Some(Ok(Message::Text(text))) if text.contains(r#""event":"document_sync""#) => {
                    return serde_json::from_str(&text).unwrap();
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

fn length(sync: &Value) -> usize {
    sync["data"]["document"]["content"].as_str().unwrap().len()
}

#[tokio::test]
async fn all_readers_of_a_version_share_one_copy() {
    let (server, _writer) = server_with(&[]).await;
    let mut first = stuck(&server, "first").await;
    let mut others = Vec::new();
    for n in 0..20 {
        others.push(stuck(&server, &format!("r{n}")).await);
    }
    let held = server.metric("scriptorium_sync_bytes").await;
    assert!((COPY..COPY + 10_000.0).contains(&held), "{held}");
    for reader in &mut others {
        assert_eq!(length(&document(reader).await), LENGTH);
    }
    assert_eq!(length(&document(&mut first).await), LENGTH);
    assert!((server.metric(ENCODED).await - 1.0).abs() < 0.1);
    within("the copy to be let go", async { while server.metric("scriptorium_sync_bytes").await > 0.0 {} }).await;
}

#[tokio::test]
async fn copies_stay_within_the_bound_and_stuck_readers_make_room() {
    let settings = [("LIMITS__SYNC_BYTES", "8MiB"), ("HEARTBEAT__INTERVAL", "500ms"), ("HEARTBEAT__TIMEOUT", "10s")];
    let (server, mut writer) = server_with(&settings).await;
    let _stuck = stuck(&server, "stuck").await;
    commit(&mut writer, &edit("m2", 1, insert(0, "y"))).await;
    // There is no room for a second version until the first reader is cut off. The second is heard of all the time.
    let opening = Opening { receive_buffer: Some(4_096), ..Opening::guest("doc", "patient") };
    let (mut patient, _) = connect(server.address(), &opening).await.unwrap();
    let mut most = 0.0_f64;
    within("the stuck reader to be cut off", async {
        while server.metric("scriptorium_connections_active").await > 2.5 {
            most = most.max(server.metric("scriptorium_sync_bytes").await);
            patient.send(Message::Ping(Bytes::new())).await.unwrap();
        }
    })
    .await;
    assert!(most < COPY + 10_000.0, "{most}");
    assert_eq!(document(&mut patient).await["data"]["document"]["version"], 2);
    assert!(server.metric(ENCODED).await > 1.5);
}

#[tokio::test]
async fn questions_for_the_document_that_wait_have_one_answer() {
    let (server, _writer) = server_with(&[]).await;
    let mut reader = stuck(&server, "reader").await;
    for n in 0..200 {
        let ask = json!({"type": "system", "event": "document_sync", "data": {}, "message_id": format!("a{n}")});
        reader.send(Message::text(ask.to_string())).await.unwrap();
    }
    let asked = r#"scriptorium_messages_received_total{kind="document_sync"}"#;
    within("all questions", async { while server.metric(asked).await < 200.0 {} }).await;
    assert_eq!(document(&mut reader).await["message_id"], Value::Null);
    let mut answers = 1;
    while document(&mut reader).await["message_id"] != "a199" {
        answers += 1;
    }
    assert!(answers < 10, "{answers} answers");
}

#[tokio::test]
async fn asking_for_a_long_document_costs_by_its_length_and_nothing_else_does() {
    let (server, _writer) = server_with(&[("LIMITS__MESSAGES", "1/m burst 60")]).await;
    let mut reader = guest(&server, "doc", "reader").await;
    reader.send(&sync(json!({}))).await;
    reader.expect("system", "document_sync").await;
    reader.send(&sync(json!({}))).await;
    let error = reader.expect_error("RATE_LIMITED").await;
    let wait = error["details"]["retry_after_ms"].as_u64().unwrap();
    assert!(wait > 60_000, "for longer than for one message: {error}");
    reader.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 1}})).await;
    reader.expect("system", "pong").await;
}
