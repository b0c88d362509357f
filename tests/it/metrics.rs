//! What a running service tells its operator.

use serde_json::json;

use crate::support::{
    say::{commit, edit, guest, insert},
    server::Server,
    socket::{Opening, Socket},
    within,
};

#[tokio::test]
async fn a_running_service_is_healthy_and_ready() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.0, 200);
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_not_ready() {
    let mut server = Server::start().await;
    assert!(server.terminate().await.success());
    server.limit_files(Some(300));
    server.restart().await;
    let mut socket = guest(&server, "doc", "ann").await;
    let mut sent = 0;
    within("the disk to be full", async {
        loop {
            socket.send(&edit(&format!("m{sent}"), sent, insert(0, &"x".repeat(8_000)))).await;
            if socket.envelope().await["event"] == "error" {
                break;
            }
            sent += 1;
        }
    })
    .await;
    // There may be room for a few small writes yet.
    let body = within("the service to be found not ready", async {
        loop {
            if let (503, body) = server.get("/readyz").await {
                return body;
            }
        }
    })
    .await;
    assert!(!body.is_empty(), "the reason is told");
    assert_eq!(server.get("/healthz").await.0, 200, "alive all the same");
}

#[tokio::test]
async fn counters_say_what_happened() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = guest(&server, "doc", "ben").await;
    for version in 0..5 {
        commit(&mut ann, &edit(&format!("m{version}"), version, insert(0, "x"))).await;
        ben.expect("operation", "operation_broadcast").await;
    }
    commit(&mut ann, &edit("m0", 0, insert(0, "x"))).await;
    ann.send_text("nonsense").await;
    ann.expect_error("INVALID_JSON").await;
    ann.send(&edit("bad", 5, insert(99, "x"))).await;
    ann.expect_error("INVALID_OPERATION").await;
    ben.close().await;
    let mut ben = Socket::open(server.address(), &Opening::guest("doc", "ben").with("since", 3)).await;
    assert_eq!(ben.expect("system", "connection_ack").await["resumed"], json!(true));
    Socket::refused(server.address(), &Opening::of("doc").header("origin", "https://evil.example.org")).await;

    // A connection's end is counted after its peer has seen it.
    within("both ends to be counted", async {
        while server.metric(r#"scriptorium_connections_active{dialect="document"}"#).await > 2.0 {}
    })
    .await;
    for (series, value) in [
        ("scriptorium_connections_opened_total", 3.0),
        (r#"scriptorium_connections_closed_total{reason="client_closed"}"#, 1.0),
        ("scriptorium_connection_duration_seconds_count", 1.0),
        (r#"scriptorium_handshakes_refused_total{reason="forbidden_origin"}"#, 1.0),
        (r#"scriptorium_resumes_total{outcome="resumed"}"#, 1.0),
        ("scriptorium_duplicates_total", 1.0),
        (r#"scriptorium_errors_sent_total{code="INVALID_JSON"}"#, 1.0),
        (r#"scriptorium_errors_sent_total{code="INVALID_OPERATION"}"#, 1.0),
        (r#"scriptorium_messages_received_total{kind="document_edit"}"#, 7.0),
        ("scriptorium_document_batch_edits_sum", 7.0),
        ("scriptorium_ack_latency_seconds_count", 5.0),
        ("scriptorium_documents_open", 1.0),
    ] {
        let shown = server.metric(series).await;
        assert!((shown - value).abs() < 0.01, "{series} is {shown}, not {value}");
    }
    let (_, text) = server.get("/metrics").await;
    for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        assert!(!line.ends_with("summary"), "{name}: histograms have buckets");
    }
    for word in ["doc", "ann", "ben"] {
        assert!(!text.contains(&format!("\"{word}\"")), "no label names a document or a user");
    }
}

#[tokio::test]
async fn every_kind_of_closing_has_its_reason() {
    let server = Server::start_with(&[("LIMITS__MESSAGE_BYTES", "2000")]).await;
    let mut old = guest(&server, "doc", "ann").await;
    let mut new = guest(&server, "doc", "ann").await;
    old.expect_close(1008).await;
    new.send_all([insert(0, &"x".repeat(5_000)).to_string()]).await.unwrap();
    new.expect_close(1009).await;
    drop(guest(&server, "doc", "vanishes").await);
    within("three ends", async { while server.metric("scriptorium_connections_closed_total").await < 3.0 {} }).await;
    for (code, reason) in [("1008", "superseded"), ("1009", "message_too_large")] {
        let series = format!("scriptorium_connections_closed_total{{code=\"{code}\",reason=\"{reason}\"}}");
        assert!((server.metric(&series).await - 1.0).abs() < 0.01, "{series}");
    }
    assert!(server.metric("scriptorium_connections_closed_total{reason=\"client_lost\"}").await > 0.5);
}
