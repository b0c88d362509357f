//! Clients that send too much: slowed down, then refused, then sent away.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::{
    say::{WITH_TOKENS, commit, edit, guest, insert, opened, sync, token},
    server::Server,
    socket::{Incoming, Opening, Socket, connect},
    within,
};

fn ping(n: usize) -> String {
    json!({"type": "system", "event": "ping", "data": {"timestamp": n}, "message_id": format!("p{n}")}).to_string()
}

/// What came until the end: how often each event (errors by their code), and how it was closed.
async fn until_closed(socket: &mut Socket) -> (std::collections::BTreeMap<String, usize>, u16, String) {
    let mut seen = std::collections::BTreeMap::new();
    loop {
        match socket.wait_for("the end").await {
            Incoming::Envelope(envelope) => {
                let name = envelope["data"]["error_code"].as_str().or(envelope["event"].as_str()).unwrap();
                *seen.entry(name.to_owned()).or_default() += 1;
            }
            Incoming::Close(code, reason) => return (seen, code, reason),
            Incoming::Pong(_) => {}
            Incoming::End => panic!("no close frame: {seen:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_floods_is_refused_and_then_sent_away_and_nobody_else_notices() {
    let server =
        Server::start_with(&[("LIMITS__MESSAGES", "1/m burst 100"), ("LIMITS__REFUSALS", "1/m burst 50")]).await;
    let mut flooding = guest(&server, "doc", "flooding").await;
    let mut calm = guest(&server, "doc", "calm").await;
    // Whoever is sent away notices it here or there.
    let _ = flooding.send_all((0..10_000).map(ping)).await;
    let (seen, code, reason) = until_closed(&mut flooding).await;
    assert_eq!((code, &*reason), (4004, "throttled"));
    assert_eq!(seen["pong"], 100, "{seen:?}");
    assert_eq!(seen["RATE_LIMITED"], 51, "fifty, and one that says why it ends");
    assert_eq!(commit(&mut calm, &edit("m", 0, insert(0, "x"))).await, 1);
    assert!(server.metric(r#"scriptorium_rate_limited_total{of="connection"}"#).await > 50.5);
    assert!(server.metric(r#"scriptorium_connections_closed_total{code="4004",reason="throttled"}"#).await > 0.5);
}

#[tokio::test]
async fn whatever_is_no_edit_counts_and_edits_never_do() {
    let server = Server::start_with(&[("LIMITS__MESSAGES", "1/m burst 6"), ("LIMITS__REFUSALS", "off")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    ann.send_text("no JSON").await;
    ann.expect_error("INVALID_JSON").await;
    ann.send(&json!([{"type": "system", "event": "what", "data": {}}, 5, 6])).await;
    ann.expect_error("UNKNOWN_EVENT").await;
    ann.expect_error("INVALID_MESSAGE").await;
    ann.expect_error("INVALID_MESSAGE").await;
    ann.send(&sync(json!({}))).await;
    ann.expect("system", "document_sync").await;
    ann.send_text(ping(0)).await;
    ann.expect("system", "pong").await;
    for message in [ping(1), sync(json!({})).to_string(), "no JSON".to_owned(), "[5]".to_owned()] {
        ann.send_text(message).await;
        let error = ann.expect_error("RATE_LIMITED").await;
        assert!(
            error["details"]["retry_after_ms"].as_u64().is_some_and(|wait| (1..=60_000).contains(&wait)),
            "{error}"
        );
        assert_eq!(error["recoverable"], true);
    }
    let edits = (0..2_000).map(|n| edit(&format!("m{n}"), 0, insert(n, "x")).to_string());
    ann.send_all(edits).await.unwrap();
    for n in 1..=2_000 {
        assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], n, "an edit is never refused");
    }
}

#[tokio::test]
async fn pongs_that_answer_no_ping_count_as_messages() {
    let server = Server::start_with(&[("LIMITS__MESSAGES", "1/m burst 5"), ("LIMITS__REFUSALS", "1/m burst 5")]).await;
    let mut flooding = guest(&server, "doc", "flooding").await;
    // Whoever is sent away notices it here or there.
    for _ in 0..1_000 {
        if flooding.send_message(Message::Pong(Bytes::new())).await.is_err() {
            break;
        }
    }
    let (seen, code, reason) = until_closed(&mut flooding).await;
    assert_eq!((code, &*reason, seen["RATE_LIMITED"]), (4004, "throttled", 6), "{seen:?}");
}

#[tokio::test]
async fn pongs_that_answer_our_pings_are_free() {
    let settings = [
        ("HEARTBEAT__INTERVAL", "10ms"),
        ("HEARTBEAT__TIMEOUT", "60s"),
        ("LIMITS__MESSAGES", "1/m burst 1"),
        ("LIMITS__REFUSALS", "1/m burst 1"),
    ];
    let server = Server::start_with(&settings).await;
    let (mut quiet, _) = connect(server.address(), &Opening::guest("doc", "quiet")).await.unwrap();
    let mut pings = 0;
    within("twenty pings, each answered", async {
        while pings < 20 {
            match quiet.next().await {
                // tungstenite answers it by itself with the next read.
                Some(Ok(Message::Ping(_))) => pings += 1,
                Some(Ok(Message::Text(text))) => assert!(!text.contains("RATE_LIMITED"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn edits_that_may_not_be_made_are_messages_like_others() {
    let settings =
        [WITH_TOKENS[0], WITH_TOKENS[1], ("LIMITS__MESSAGES", "1/m burst 5"), ("LIMITS__REFUSALS", "1/m burst 5")];
    let server = Server::start_with(&settings).await;
    let opening = Opening::of("doc").with("token", token("reader", json!(["read"]), 600.0)).with("client_id", "c");
    let mut reader = opened(&server, &opening).await;
    let _ = reader.send_all((0..1_000).map(|n| edit(&format!("m{n}"), 0, insert(0, "x")).to_string())).await;
    let (seen, code, _) = until_closed(&mut reader).await;
    assert_eq!((code, seen["INSUFFICIENT_PERMISSIONS"], seen["RATE_LIMITED"]), (4004, 5, 6), "{seen:?}");
}

#[tokio::test]
async fn all_connections_of_a_user_and_all_from_an_address_share_a_limit() {
    let settings = [
        ("LIMITS__USER_MESSAGES", "1/m burst 10"),
        ("LIMITS__ADDRESS_MESSAGES", "1/m burst 15"),
        ("LIMITS__REFUSALS", "off"),
    ];
    let server = Server::start_with(&settings).await;
    let of = |user: &str, client: &str| Opening::of("doc").with("user_id", user).with("client_id", client);
    let mut first = opened(&server, &of("ann", "c1")).await;
    let mut second = opened(&server, &of("ann", "c2")).await;
    let mut other = opened(&server, &of("ben", "c3")).await;
    let pongs = async |socket: &mut Socket, count: usize| {
        socket.send_all((0..count).map(ping)).await.unwrap();
        let mut pongs = 0;
        for _ in 0..count {
            let envelope: Value = socket.envelope().await;
            pongs += usize::from(envelope["event"] == "pong");
        }
        pongs
    };
    assert_eq!((pongs(&mut first, 6).await, pongs(&mut second, 6).await), (6, 4), "ten for the user");
    assert_eq!(pongs(&mut other, 6).await, 5, "fifteen for the address");
    assert!(server.metric(r#"scriptorium_rate_limited_total{of="user"}"#).await > 1.5);
    assert!(server.metric(r#"scriptorium_rate_limited_total{of="address"}"#).await > 0.5);
}

#[tokio::test]
async fn a_user_has_so_many_connections_open_and_no_more() {
    let server = Server::start_with(&[("LIMITS__CONNECTIONS_PER_USER", "2")]).await;
    let of = |user: &str, client: &str| Opening::of("doc").with("user_id", user).with("client_id", client);
    let first = opened(&server, &of("ann", "c1")).await;
    let _second = opened(&server, &of("ann", "c2")).await;
    let mut third = Socket::open(server.address(), &of("ann", "c3")).await;
    assert_eq!(third.expect_error("RATE_LIMITED").await["details"]["limit"], 2);
    assert_eq!(third.expect_close(4004).await, "throttled");
    opened(&server, &of("ben", "c4")).await;
    drop(first);
    // The service notices the end a moment later.
    within("room for another", async { while server.metric("scriptorium_connections_active").await > 1.5 {} }).await;
    opened(&server, &of("ann", "c5")).await;
}

#[tokio::test]
async fn whoever_opens_too_many_connections_has_to_wait() {
    let settings = [
        ("LIMITS__ADDRESS_CONNECTIONS", "1/m burst 6"),
        ("LIMITS__USER_CONNECTIONS", "1/m burst 2"),
        ("SERVER__TRUSTED_PROXIES", r#"["127.0.0.0/8"]"#),
    ];
    let server = Server::start_with(&settings).await;
    let from = |address: &str, name: &str| Opening::guest("doc", name).header("x-forwarded-for", address);
    opened(&server, &from("192.0.2.1", "ann")).await;
    opened(&server, &from("192.0.2.1", "ann")).await;
    let mut third = Socket::open(server.address(), &from("192.0.2.1", "ann")).await;
    assert!(third.expect_error("RATE_LIMITED").await["details"]["retry_after_ms"].is_u64());
    assert_eq!(third.expect_close(4004).await, "throttled");
    for n in 0..3 {
        opened(&server, &from("192.0.2.1", &format!("c{n}"))).await;
    }
    assert_eq!(Socket::refused(server.address(), &from("192.0.2.1", "late")).await, 429);
    assert_eq!(
        Socket::refused(server.address(), &from("192.0.2.2, 192.0.2.1", "late")).await,
        429,
        "the proxy's word counts"
    );
    opened(&server, &from("192.0.2.1, 192.0.2.2", "elsewhere")).await;
    assert!(server.metric(r#"scriptorium_handshakes_refused_total{reason="throttled"}"#).await > 1.5);
    within("the address to be logged", async {
        while !server.log().iter().any(|line| line.contains(r#""address":"192.0.2.2""#)) {}
    })
    .await;
}
