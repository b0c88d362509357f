//! A reader that stops reading is cut off; the others do not notice, and it comes back for the rest.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::support::{
    client::Client,
    core::Manner,
    say::{commit, edit, guest, insert},
    server::Server,
    socket::{Opening, connect},
    within,
};

#[tokio::test]
async fn a_reader_that_stops_is_cut_off_and_resumes() {
    let server = Server::start_with(&[("LIMITS__OUTBOX_BYTES", "65536"), ("LIMITS__MESSAGE_BYTES", "65536")]).await;
    let mut opening = Opening::guest("doc", "slow");
    opening.receive_buffer = Some(4_096);
    let (mut slow, _) = connect(server.address(), &opening).await.unwrap();
    // The upgrade is answered before the document is opened, and what is counted below begins with its first edit.
    within("it to be here", async { while server.metric("scriptorium_users_present").await < 1.0 {} }).await;
    let mut attentive = Client::open(&server, "doc", "attentive", Manner::PLAIN).await;
    let mut writer = guest(&server, "doc", "writer").await;
    let mut version = commit(&mut writer, &edit("start", 0, insert(0, "x"))).await;
    let text = "x".repeat(10_000);
    // 15 MB: far more than the network and the outbox hold.
    while version < 1_500 {
        let replace =
            json!({"type": "delta", "ops": [{"insert": text}, {"delete": if version == 1 { 1 } else { text.len() }}]});
        version = commit(&mut writer, &edit(&format!("m{version}"), version, replace)).await;
        attentive.deliver_until("every version", |core| core.version == version).await;
    }
    within("the slow reader to be cut off", async {
        while server.metric("scriptorium_slow_consumers_total").await < 1.0 {}
    })
    .await;

    // What it finds when it reads again: versions without a gap, then the reason, then the end.
    let (mut seen, mut reason, mut closed) = (0, None, None);
    within("the end of the slow connection", async {
        loop {
            match slow.next().await {
                Some(Ok(Message::Text(text))) => {
                    let envelope: Value = serde_json::from_str(&text).unwrap();
                    match envelope["event"].as_str().unwrap() {
                        "operation_broadcast" => {
                            seen += 1;
                            assert_eq!(envelope["data"]["version"], seen);
                        }
                        "error" => reason = Some(envelope["data"]["error_code"].clone()),
                        _ => {}
                    }
                }
                Some(Ok(Message::Close(frame))) => closed = frame,
                Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))) | None => break,
                Some(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    // It may be too late for words: the network is full. If there were some, they are the right ones.
    assert!(reason.is_none_or(|code| code == "SLOW_CONSUMER"));
    assert!(closed.is_none_or(|frame| u16::from(frame.code) == 1008));
    assert!(seen < version, "it had been cut off");

    let resumed = Opening::guest("doc", "slow").with("since", seen);
    let mut socket = crate::support::socket::Socket::open(server.address(), &resumed).await;
    assert_eq!(socket.expect("system", "connection_ack").await["resumed"], json!(true));
    for next in seen + 1..=version {
        assert_eq!(socket.expect("operation", "operation_broadcast").await["version"], next);
    }
}

#[tokio::test]
async fn a_reader_that_sends_but_takes_nothing_is_cut_off() {
    let settings = [
        ("HEARTBEAT__INTERVAL", "200ms"),
        ("HEARTBEAT__TIMEOUT", "2s"),
        ("LIMITS__MESSAGE_BYTES", "16MiB"),
        ("LIMITS__OUTBOX_BYTES", "16MiB"),
        ("LIMITS__MESSAGES", "off"),
    ];
    let server = Server::start_with(&settings).await;
    let mut writer = guest(&server, "doc", "writer").await;
    // More than the network holds.
    commit(&mut writer, &edit("m", 0, insert(0, &"x".repeat(6_000_000)))).await;
    let mut opening = Opening::guest("doc", "stuck");
    opening.receive_buffer = Some(4_096);
    let (mut stuck, _) = connect(server.address(), &opening).await.unwrap();
    within("the stuck reader to be cut off", async {
        while server.metric("scriptorium_slow_consumers_total").await < 1.0 {
            // Refused once the connection has ended.
            let _ = stuck.send(Message::Ping(Bytes::new())).await;
        }
    })
    .await;
}

/// A reader that is gone, or not reading, while it is sent what it missed from the log.
#[tokio::test]
async fn a_reader_that_is_lost_while_it_catches_up_is_let_go() {
    let settings =
        [("DOCUMENTS__RECENT_EDITS", "10"), ("LIMITS__OUTBOX_BYTES", "65536"), ("LIMITS__MESSAGE_BYTES", "65536")];
    let mut server = Server::start_with(&settings).await;
    let mut writer = guest(&server, "doc", "writer").await;
    let text = "x".repeat(10_000);
    let mut version = commit(&mut writer, &edit("start", 0, insert(0, &text))).await;
    while version < 1_500 {
        let replace = json!({"type": "delta", "ops": [{"insert": text}, {"delete": text.len()}]});
        version = commit(&mut writer, &edit(&format!("m{version}"), version, replace)).await;
    }
    let mut opening = Opening::guest("doc", "slow").with("since", 0);
    opening.receive_buffer = Some(4_096);
    let resume = async |times: f64| {
        let (reader, _) = connect(server.address(), &opening).await.unwrap();
        within("it to resume", async {
            while server.metric("scriptorium_resumes_total{outcome=\"resumed\"}").await < times {}
        })
        .await;
        reader
    };
    drop(resume(1.0).await);
    within("the lost one to be let go", async { while server.metric("scriptorium_connections_active").await > 1.0 {} })
        .await;
    let _stuck = resume(2.0).await;
    assert_eq!(server.terminate().await.code(), Some(0), "nobody holds up a stop");
}
