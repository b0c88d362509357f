//! How connections end.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::support::{
    log::Database,
    say::{content, edit, guest, insert},
    server::Server,
    socket::{Incoming, Opening, Socket, connect},
    storage::on_every_database,
    within,
};

on_every_database! {
    a_service_that_is_asked_to_stop_answers_what_it_accepted a_service_that_stops_lets_nobody_in
    a_client_that_says_goodbye_is_answered everything_sent_before_a_goodbye_counts
    a_peer_that_has_gone_silent_is_dropped
}

async fn a_service_that_is_asked_to_stop_answers_what_it_accepted() {
    let mut server = Server::start().await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut socket = guest(&server, "doc", &format!("c{n}")).await;
        let edits = (0..100).map(|m| edit(&format!("c{n}:{m}"), 0, insert(m, "x")).to_string());
        socket.send_all(edits).await.unwrap();
        clients.push(socket);
    }
    server.signal_to_stop();
    let mut acknowledged = BTreeSet::new();
    for socket in &mut clients {
        let mut told = false;
        loop {
            match socket.next().await {
                Incoming::Envelope(envelope) if envelope["event"] == "operation_ack" => {
                    acknowledged.insert(envelope["message_id"].as_str().unwrap().to_owned());
                }
                Incoming::Envelope(envelope) if envelope["event"] == "disconnect" => {
                    assert_eq!(envelope["data"]["code"], 1012, "{envelope}");
                    told = true;
                }
                Incoming::Envelope(envelope) => {
                    let is_of_others = envelope["event"] == "operation_broadcast" || envelope["type"] == "presence";
                    assert!(is_of_others, "{envelope}");
                }
                Incoming::Close(code, _) => {
                    assert_eq!(code, 1012);
                    break;
                }
                other @ (Incoming::Pong(_) | Incoming::End) => panic!("{other:?}"),
            }
        }
        assert!(told, "a disconnect comes before the close");
    }
    assert_eq!(server.ended().await.code(), Some(0));
    let recorded: BTreeSet<_> = Database::of(&server).await.message_ids("doc").await.into_iter().collect();
    assert_eq!(acknowledged, recorded, "what is in the log was answered, and the other way round");
}

async fn a_service_that_stops_lets_nobody_in() {
    let mut server = Server::start().await;
    let address = server.address();
    let mut socket = guest(&server, "doc", "c").await;
    server.signal_to_stop();
    socket.expect_close(1012).await;
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(Socket::try_open(address, &Opening::of("doc")).await.is_err());
}

async fn a_client_that_says_goodbye_is_answered() {
    let server = Server::start().await;
    let mut socket = guest(&server, "doc", "c").await;
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    socket.send_message(Message::Close(Some(goodbye))).await.unwrap();
    assert_eq!(socket.expect_close(1000).await, "done");
    assert_eq!(socket.next().await, Incoming::End);
}

async fn everything_sent_before_a_goodbye_counts() {
    let server = Server::start().await;
    let mut socket = guest(&server, "doc", "c").await;
    let edits = (0..50).map(|n| edit(&format!("m{n}"), 0, insert(n, "x")).to_string());
    socket.send_all(edits).await.unwrap();
    socket.close().await;
    within("all of it", async { while content(&server, "doc").await.0 < 50 {} }).await;
}

async fn a_peer_that_has_gone_silent_is_dropped() {
    let settings = [("HEARTBEAT__INTERVAL", "100ms"), ("HEARTBEAT__TIMEOUT", "400ms")];
    let server = Server::start_with(&settings).await;
    // Whoever does not read does not answer pings.
    let (mut silent, _) = connect(server.address(), &Opening::guest("doc", "silent")).await.unwrap();
    let mut awake = guest(&server, "doc", "awake").await;
    let counted = within("the timeout to be counted", async {
        while server.metric("scriptorium_heartbeat_timeouts_total").await < 1.0 {
            tokio::task::yield_now().await;
        }
    });
    counted.await;
    let mut last_words = Vec::new();
    within("the end of the silent connection", async {
        while let Some(Ok(message)) = silent.next().await {
            last_words.push(message);
        }
    })
    .await;
    assert!(last_words.iter().any(|message| matches!(message, Message::Ping(_))), "it was asked: {last_words:?}");
    awake.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 1}})).await;
    awake.expect("system", "pong").await;
}
