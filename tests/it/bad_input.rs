//! Everything that a client, a disk or an operator can get wrong: the contract's answer, a connection that
//! lives, a log that is untouched.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{
    edits::Chance,
    log::Database,
    number_from_env,
    say::{commit, content, edit, guest, insert, sync},
    server::Server,
    socket::{Incoming, Socket},
};

/// A service with one document of a letter, an emoji and a letter, and somebody who has it open.
async fn server_and_client() -> (Server, Socket) {
    let server = Server::start().await;
    let mut socket = guest(&server, "doc", "ann").await;
    commit(&mut socket, &edit("start", 0, insert(0, "a\u{1F600}b"))).await;
    (server, socket)
}

/// Nothing has happened since [`server_and_client`].
async fn expect_untouched(server: &Server, socket: &mut Socket) {
    assert_eq!(socket.expect_silence().await, (1, "a\u{1F600}b".to_owned()));
    assert_eq!(Database::open(&server.database()).await.events().await, 1);
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let (server, mut socket) = server_and_client().await;
    let lone = r#"{"type":"operation","event":"document_edit","message_id":"m","data":{"version":1,"operation":{"type":"insert","position":0,"content":"\ud83d"}}}"#;
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        r#"{"type":}"#,
        r#"{"type":"system","event":"ping","data":{}} x"#,
        "[1,",
        "\u{0}",
        lone,
        &lone.replace("\\ud83d", "\\ude00x"),
    ] {
        socket.send_text(text).await;
        socket.expect_error("INVALID_JSON").await;
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn a_message_of_the_wrong_shape_is_refused_with_the_path() {
    let (server, mut socket) = server_and_client().await;
    let good = edit("m", 1, insert(0, "x"));
    let but = |pointer: &str, value: Value| {
        let mut message = good.clone();
        *message.pointer_mut(pointer).unwrap() = value;
        message
    };
    let without = |pointer: &str| {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut message = good.clone();
        message.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        message
    };
    let cases = [
        (json!(42), ""),
        (json!("text"), ""),
        (Value::Null, ""),
        (json!([[]]), ""),
        (without("/type"), "type"),
        (without("/event"), "event"),
        (without("/data"), "data"),
        (but("/type", json!(1)), "type"),
        (but("/event", json!(["document_edit"])), "event"),
        (but("/data", json!([])), "data"),
        (but("/data", Value::Null), "data"),
        (but("/message_id", json!(7)), "message_id"),
        (without("/data/version"), "data.version"),
        (but("/data/version", json!("1")), "data.version"),
        (but("/data/version", json!(-1)), "data.version"),
        (but("/data/version", json!(1.5)), "data.version"),
        (without("/data/operation"), "data.operation"),
        (but("/data/operation", json!("insert")), "data.operation"),
        (but("/data/operation/content", json!(5)), "data.operation.content"),
        (but("/data/operation/position", json!("0")), "data.operation.position"),
        (but("/data/operation/position", json!(0.5)), "data.operation.position"),
    ];
    for (message, path) in cases {
        socket.send(&message).await;
        let error = socket.expect_error("INVALID_MESSAGE").await;
        assert_eq!(error["details"]["path"], path, "{message}: {error}");
        assert!(error["details"]["expected"].is_string(), "{message}: {error}");
        assert_eq!(error["recoverable"], true);
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn an_event_that_clients_do_not_send_is_unknown() {
    let (server, mut socket) = server_and_client().await;
    for (kind, event) in [
        ("operation", "document_explode"),
        ("operation", "operation_ack"),
        ("operation", "operation_broadcast"),
        ("system", "connection_ack"),
        ("system", "error"),
        ("system", "pong"),
        ("presence", "user_joined"),
        ("", ""),
        (&"x".repeat(1_000), "y"),
    ] {
        socket.send(&json!({"type": kind, "event": event, "data": {}, "message_id": "m"})).await;
        let error = socket.expect_error("UNKNOWN_EVENT").await;
        assert_eq!(error["details"]["message_id"], "m");
        assert!(error.to_string().len() < 1_000, "an answer is not larger than the mistake");
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn ids_that_are_none_or_not_ours_are_refused() {
    let (server, mut socket) = server_and_client().await;
    for id in ["", &"x".repeat(129), "new\nline"] {
        socket.send(&edit(id, 1, insert(0, "x"))).await;
        socket.expect_error("INVALID_ID").await;
    }
    let mut with_after = edit("m", 1, insert(0, "x"));
    with_after["data"]["after"] = json!("");
    socket.send(&with_after).await;
    assert_eq!(socket.expect_error("INVALID_ID").await["details"]["message_id"], "m");
    let mut of_another = edit("m", 1, insert(0, "x"));
    of_another["client_id"] = json!("ben");
    socket.send(&of_another).await;
    socket.expect_error("CLIENT_ID_MISMATCH").await;
    let mut elsewhere = edit("m", 1, insert(0, "x"));
    elsewhere["data"]["document_id"] = json!("elsewhere");
    socket.send(&elsewhere).await;
    assert_eq!(socket.expect_error("INVALID_MESSAGE").await["details"]["path"], "data.document_id");
    socket.send(&sync(json!({"document_id": "elsewhere"}))).await;
    socket.expect_error("INVALID_MESSAGE").await;
    // The longest ids there can be.
    let longest = "\u{1F600}".repeat(128);
    commit(&mut socket, &edit(&longest, 1, insert(0, "x"))).await;
    drop(server);
}

#[tokio::test]
async fn an_operation_that_cannot_be_is_refused() {
    let (server, mut socket) = server_and_client().await;
    let cases = [
        json!({"type": "move", "position": 0}),
        json!({"type": "insert", "position": 5, "content": "outside"}),
        json!({"type": "insert", "position": 2, "content": "inside a pair"}),
        json!({"type": "insert", "position": -1, "content": "x"}),
        json!({"type": "insert", "position": 9_007_199_254_740_992_u64, "content": "x"}),
        json!({"type": "insert", "content": "nowhere"}),
        json!({"type": "insert", "position": 0}),
        json!({"type": "insert", "position": 0, "content": ""}),
        json!({"type": "insert", "position": 0, "embed": {}}),
        json!({"type": "insert", "position": 0, "content": "x", "embed": {"image": "x"}}),
        json!({"type": "delete", "position": 0, "length": 0}),
        json!({"type": "delete", "position": 0, "length": -1}),
        json!({"type": "delete", "position": 0, "length": 5}),
        json!({"type": "delete", "position": 1, "length": 1}),
        json!({"type": "delete", "position": 2, "length": 1}),
        json!({"type": "delete", "position": i64::MAX, "length": i64::MAX}),
        json!({"type": "format", "position": 0, "length": 2, "attributes": {"bold": true}}),
        json!({"type": "format", "position": 4, "length": 1, "attributes": {"bold": true}}),
        json!({"type": "format", "position": 0, "length": 1}),
        json!({"type": "composite"}),
        json!({"type": "composite", "operations": [{"type": "composite", "operations": []}]}),
        json!({"type": "composite", "operations": [insert(0, "x"), insert(6, "outside")]}),
        json!({"type": "composite", "operations": [insert(5, "outside"), {"type": "delete", "position": 5, "length": 7}]}),
        json!({"type": "format", "position": 3, "length": 2, "attributes": {}}),
        json!({"type": "delta", "ops": [{"retain": 5}]}),
        json!({"type": "delta"}),
        json!({"type": "delta", "ops": [{"retain": 1, "delete": 1}]}),
        json!({"type": "delta", "ops": [{"retain": -1}]}),
        json!({"type": "delta", "ops": [{"insert": "a\r\n"}]}),
        json!({"type": "format", "position": 0, "length": 1, "attributes": {"__proto__": true}}),
        json!({"type": "delta", "ops": [{}]}),
        json!({"type": "delta", "ops": [{"retain": 5}, {"insert": "x"}]}),
        json!({"type": "delta", "ops": [{"retain": 2}, {"insert": "x"}]}),
        json!({"type": "delta", "ops": [{"delete": 5}]}),
        json!({"type": "delta", "ops": [{"retain": i64::MAX}, {"retain": i64::MAX}, {"delete": i64::MAX}]}),
    ];
    for operation in cases {
        socket.send(&edit("m", 1, operation.clone())).await;
        let error = socket.expect_error("INVALID_OPERATION").await;
        assert_eq!(
            (&error["details"]["message_id"], &error["recoverable"]),
            (&json!("m"), &json!(true)),
            "{operation}"
        );
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn a_version_ahead_of_the_document_is_refused() {
    let (server, mut socket) = server_and_client().await;
    for version in [2, 1_000, i64::MAX as u64] {
        socket.send(&edit("m", version, insert(0, "x"))).await;
        assert_eq!(socket.expect_error("VERSION_AHEAD").await["details"]["message_id"], "m");
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let (server, mut socket) = server_and_client().await;
    let attributes: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("a{n}"), json!(n))).collect();
    socket.send(&edit("m", 1, json!({"type": "format", "position": 0, "length": 1, "attributes": attributes}))).await;
    socket.expect_error("INVALID_OPERATION").await;
    let long = json!({"type": "insert", "position": 0, "content": "x", "attributes": {"long": "x".repeat(100_000)}});
    socket.send(&edit("m", 1, long)).await;
    socket.expect_error("INVALID_OPERATION").await;
    let parts: Vec<_> = (0..10_001).map(|_| insert(0, "x")).collect();
    socket.send(&edit("m", 1, json!({"type": "composite", "operations": parts}))).await;
    socket.expect_error("INVALID_OPERATION").await;
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn deep_nesting_is_refused() {
    let (server, mut socket) = server_and_client().await;
    let deep = |open: &str, close: &str, depth| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let nested = deep("[", "]", 100_000);
    let template =
        edit("m", 1, json!({"type": "insert", "position": 0, "content": "x", "attributes": {"deep": "HERE"}}))
            .to_string();
    for text in [
        nested.clone(),
        "[".repeat(300_000),
        deep(r#"{"data":"#, "}", 50_000),
        template.replace(r#""HERE""#, &nested),
        template.replace(r#""HERE""#, &deep("[", "]", 500)),
        deep(r#"{"type":"composite","operations":["#, "]}", 10_000),
    ] {
        socket.send_text(text).await;
        let error = socket.expect("system", "error").await;
        assert!(["INVALID_JSON", "INVALID_MESSAGE"].contains(&error["error_code"].as_str().unwrap()), "{error}");
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn a_binary_frame_is_refused() {
    let (server, mut socket) = server_and_client().await;
    for bytes in [vec![], vec![0, 255, 254], edit("m", 1, insert(0, "x")).to_string().into_bytes()] {
        socket.send_message(Message::binary(bytes)).await.unwrap();
        let error = socket.expect("system", "error").await;
        assert!(["INVALID_JSON", "INVALID_MESSAGE"].contains(&error["error_code"].as_str().unwrap()), "{error}");
    }
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn too_large_a_frame_closes_the_connection_and_nothing_else() {
    let server = Server::start_with(&[("LIMITS__MESSAGE_BYTES", "20000")]).await;
    let mut other = guest(&server, "doc", "other").await;
    let mut socket = guest(&server, "doc", "ann").await;
    commit(&mut socket, &edit("fits", 0, insert(0, &"x".repeat(19_000)))).await;
    socket.send_all([edit("m", 1, insert(0, &"x".repeat(30_000))).to_string()]).await.unwrap();
    assert_eq!(socket.expect_error("MESSAGE_TOO_LARGE").await["recoverable"], false);
    socket.expect_close(1009).await;
    other.expect("operation", "operation_broadcast").await;
    assert_eq!(other.expect_silence().await.0, 1);
}

#[tokio::test]
async fn a_document_has_a_largest_length() {
    let server = Server::start_with(&[("LIMITS__DOCUMENT_LENGTH", "10")]).await;
    let mut socket = guest(&server, "doc", "ann").await;
    commit(&mut socket, &edit("1", 0, insert(0, "12345678"))).await;
    socket.send(&edit("2", 1, insert(0, "abc"))).await;
    assert_eq!(socket.expect_error("DOCUMENT_TOO_LARGE").await["details"]["message_id"], "2");
    commit(&mut socket, &edit("2", 1, insert(0, "ab"))).await;
    commit(&mut socket, &edit("3", 2, json!({"type": "composite", "operations": [{"type": "delete", "position": 0, "length": 5}, insert(0, "12345")]}))).await;
    assert_eq!(socket.expect_silence().await, (3, "1234545678".to_owned()));
}

/// Envelopes with one thing wrong somewhere: whatever they turn out to mean, the service answers and lives.
#[tokio::test]
async fn broken_envelopes_never_break_the_service() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let (server, mut socket) = server_and_client().await;
    let operations = [
        insert(1, "text"),
        json!({"type": "delta", "ops": [{"retain": 1, "attributes": {"bold": null}}, {"insert": {"image": "x"}}, {"delete": 2}]}),
        json!({"type": "composite", "operations": [insert(0, "\u{e9}"), {"type": "delete", "position": 0, "length": 1}]}),
    ];
    let mut acknowledged = 1;
    for n in 0..2_000 {
        let mut bytes = edit(&format!("m{n}"), 1, chance.one_of(&operations).clone()).to_string().into_bytes();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, *chance.one_of(b"{}[]\",:0-9e.\\u")),
                _ => bytes[at] = *chance.one_of(b"{}[]\",:0-9e.\\ntf"),
            }
        }
        socket.send_text(String::from_utf8_lossy(&bytes)).await;
        if n % 50 == 49 {
            let request = sync(json!({}));
            socket.send(&request).await;
            loop {
                let envelope = socket.envelope().await;
                match envelope["event"].as_str().unwrap() {
                    "operation_ack" if envelope["data"].get("duplicate").is_none() => acknowledged += 1,
                    "operation_ack" | "error" | "pong" => {}
                    "document_sync" => break assert_eq!(envelope["data"]["document"]["version"], acknowledged),
                    other => panic!("{other}"),
                }
            }
        }
    }
    assert_eq!(Database::open(&server.database()).await.events().await, acknowledged);
    server.verify().await;
}

#[tokio::test]
async fn memory_stays_flat_whatever_is_thrown_at_it() {
    let (server, mut socket) = server_and_client().await;
    let large = [
        "x".repeat(900_000),
        "[".repeat(900_000),
        edit("m", 1, json!({"type": "insert", "position": 99, "content": "x".repeat(900_000)})).to_string(),
        json!({"type": "system", "event": "no", "data": {"x": vec![0; 300_000]}}).to_string(),
    ];
    let mut after_the_first = 0;
    for round in 0..30 {
        for text in &large {
            socket.send_text(text.clone()).await;
            socket.expect("system", "error").await;
        }
        if round == 2 {
            after_the_first = server.resident_kib();
        }
    }
    let grown = server.resident_kib().saturating_sub(after_the_first);
    assert!(grown < 16 * 1024, "grew by {grown} KiB");
    expect_untouched(&server, &mut socket).await;
}

#[tokio::test]
async fn a_full_disk_refuses_edits_and_loses_none() {
    let mut server = Server::start().await;
    guest(&server, "doc", "before").await;
    assert!(server.terminate().await.success());
    server.limit_files(Some(1_000));
    server.restart().await;
    let mut socket = guest(&server, "doc", "ann").await;
    let mut acknowledged = 0;
    let refusal = loop {
        socket.send(&edit(&format!("m{acknowledged}"), acknowledged, insert(0, &"x".repeat(4_000)))).await;
        let envelope = socket.envelope().await;
        if envelope["event"] == "error" {
            break envelope["data"].clone();
        }
        acknowledged += 1;
        assert!(acknowledged < 1_000, "the disk never got full");
    };
    assert_eq!(
        (&refusal["error_code"], &refusal["recoverable"]),
        (&json!("STORAGE_UNAVAILABLE"), &json!(true)),
        "{refusal}"
    );
    assert_eq!(refusal["details"]["message_id"], format!("m{acknowledged}"));
    assert_eq!(socket.expect_silence().await.0, acknowledged, "what is there can still be read");
    assert_eq!(server.get("/healthz").await.0, 200);
    server.kill().await;
    server.limit_files(None);
    server.restart().await;
    let mut socket = guest(&server, "doc", "ann").await;
    assert_eq!(socket.expect_silence().await.0, acknowledged);
    let again = edit(&format!("m{acknowledged}"), acknowledged, insert(0, "y"));
    assert_eq!(commit(&mut socket, &again).await, acknowledged + 1, "a refused message id may be used again");
    server.verify().await;
}

/// The service says what is wrong with its database and does not start.
async fn expect_refusal(server: &mut Server, word: &str) {
    let (status, lines) = server.refuses_to_start().await;
    assert!(matches!(status.code(), Some(1 | 2)), "{status}: {lines}");
    assert!(lines.to_lowercase().contains(word), "the refusal names {word:?}: {lines}");
    assert!(!lines.contains("panicked"), "{lines}");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_refuses_the_start() {
    let mut server = Server::start().await;
    let mut socket = guest(&server, "doc", "ann").await;
    commit(&mut socket, &edit("m", 0, insert(0, "kept"))).await;
    assert!(server.terminate().await.success());
    let database = server.database().display().to_string();

    server.set_database(&format!("sqlite://{}", server.home().display()));
    expect_refusal(&mut server, "database").await;
    let garbage = server.home().join("garbage.db");
    std::fs::write(&garbage, "this is not a database ".repeat(500)).unwrap();
    server.set_database(&format!("sqlite://{}", garbage.display()));
    expect_refusal(&mut server, "not a database").await;

    server.set_database(&format!("sqlite://{database}"));
    server.restart().await;
    assert_eq!(content(&server, "doc").await, (1, "kept".to_owned()));
    assert!(server.terminate().await.success());
    Database::open(&server.database()).await.pretend_newer().await;
    expect_refusal(&mut server, "newer").await;
    assert_eq!(Database::open(&server.database()).await.message_ids("doc").await, ["m"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_written_can_still_be_read() {
    let mut server = Server::start().await;
    let mut socket = guest(&server, "doc", "ann").await;
    commit(&mut socket, &edit("m", 0, insert(0, "kept"))).await;
    assert!(server.terminate().await.success());
    // Byte 18 of the file says who may write it. No permission of a file stops the superuser; this does.
    let mut file = std::fs::read(server.database()).unwrap();
    file[18] = 3;
    std::fs::write(server.database(), &file).unwrap();
    server.restart().await;
    let mut socket = guest(&server, "doc", "ann").await;
    socket.send(&edit("n", 1, insert(0, "x"))).await;
    let error = socket.expect_error("STORAGE_UNAVAILABLE").await;
    assert_eq!((&error["details"]["message_id"], &error["recoverable"]), (&json!("n"), &json!(true)));
    assert_eq!(
        socket.expect_silence().await,
        (1, "kept".to_owned()),
        "the connection lives, and what is there can be read"
    );
    let (status, reason) = server.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(reason.contains("read-only"), "{reason}");
    assert!(server.terminate().await.success());
    assert!(std::fs::read(server.database()).unwrap() == file, "the log is untouched");
}

#[tokio::test]
async fn a_peer_that_breaks_the_websocket_protocol_harms_nobody() {
    let (server, mut socket) = server_and_client().await;
    let mut broken = guest(&server, "doc", "broken").await;
    let invalid_utf8 = Frame::message(vec![0xff, 0xfe, 0xfd], OpCode::Data(Data::Text), true);
    broken.send_message(Message::Frame(invalid_utf8)).await.unwrap();
    while !matches!(broken.next().await, Incoming::End) {}
    expect_untouched(&server, &mut socket).await;
}
