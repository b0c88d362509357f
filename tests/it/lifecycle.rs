//! The whole life of a connection: how it is kept alive, how it ends, what is said about it, and what is left of it.

use std::collections::BTreeSet;

use futures_util::{SinkExt, StreamExt};
use scriptorium::{
    app::App,
    auth::Authenticator,
    clock::Clock,
    domain::{DocumentId, Seq, Timestamp},
    event_log::{EventLog, StreamName},
    settings::Settings,
    telemetry::Metrics,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::support::{
    log::Database,
    number_from_env,
    say::{WITH_TOKENS, commit, delete, edit, guest, insert, now, opened, signed, sync, token},
    server::Server,
    socket::{Incoming, Opening, Socket, connect},
    within,
};

/// The fields of the line about the end of this client's connection.
async fn last_line(server: &Server, client: &str) -> Value {
    let wanted = format!("\"client\":\"{client}\"");
    within("the line about the end", async {
        loop {
            let lines = server.log();
            let is_it = |line: &&String| line.contains("\"connection closed\"") && line.contains(&wanted);
            if let Some(line) = lines.iter().find(is_it) {
                return serde_json::from_str(line).unwrap();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn every_close_code_is_reached_and_said_before() {
    let settings = [
        WITH_TOKENS[0],
        WITH_TOKENS[1],
        ("LIMITS__MESSAGE_BYTES", "2000"),
        ("LIMITS__MESSAGES", "1/m burst 3"),
        ("LIMITS__REFUSALS", "1/m burst 1"),
    ];
    let mut server = Server::start_with(&settings).await;
    let good = token("ann", json!(["admin"]), 600.0);
    let of = |document: &str, client: &str| Opening::of(document).with("token", &good).with("client_id", client);
    let mut reached = BTreeSet::new();
    // The code, past the `disconnect` that says the same.
    let mut ends = async |socket: &mut Socket, client: &str| {
        let mut told = None;
        let code = loop {
            match socket.next().await {
                Incoming::Envelope(envelope) if envelope["event"] == "disconnect" => {
                    told = Some(envelope["data"].clone());
                }
                Incoming::Envelope(_) | Incoming::Pong(_) => {}
                Incoming::Close(code, reason) => {
                    assert!(
                        code == 1000 || told == Some(json!({"reason": reason, "code": code})),
                        "{client}: {told:?}"
                    );
                    break code;
                }
                Incoming::End => panic!("{client}: no close frame"),
            }
        };
        reached.insert(code);
    };

    let mut polite = opened(&server, &of("doc", "polite")).await;
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    polite.send_message(Message::Close(Some(goodbye))).await.unwrap();
    ends(&mut polite, "polite").await;

    let mut old = opened(&server, &of("doc", "twice")).await;
    let _new = opened(&server, &of("doc", "twice")).await;
    ends(&mut old, "twice").await;

    let mut long = opened(&server, &of("doc", "long")).await;
    long.send_text("x".repeat(5_000)).await;
    ends(&mut long, "long").await;

    let mut late = opened(&server, &Opening::of("doc").with("token", token("ben", json!(["read"]), 2.0))).await;
    ends(&mut late, "late").await;

    let mut flooding = opened(&server, &of("doc", "flooding")).await;
    let _ = flooding.send_all((0..10).map(|_| "x".to_owned())).await;
    ends(&mut flooding, "flooding").await;

    let mut writer = opened(&server, &of("broken", "writer")).await;
    commit(&mut writer, &edit("m", 0, insert(0, "x"))).await;
    writer.close().await;
    assert!(server.terminate().await.success());
    Database::open(&server.database()).await.damage("broken", 1, "edited", "odd").await;
    server.restart().await;
    let mut unlucky = Socket::open(server.address(), &of("broken", "unlucky")).await;
    ends(&mut unlucky, "unlucky").await;

    let mut last = opened(&server, &of("doc", "last")).await;
    server.signal_to_stop();
    ends(&mut last, "last").await;
    assert!(server.ended().await.success());
    assert_eq!(reached, BTreeSet::from([1000, 1008, 1009, 1011, 1012, 4003, 4004]));
}

#[tokio::test]
async fn both_sides_can_ask_whether_the_other_is_there() {
    let server = Server::start_with(&[("HEARTBEAT__INTERVAL", "100ms"), ("HEARTBEAT__TIMEOUT", "300ms")]).await;
    // Whoever answers pings and says nothing else stays.
    let mut quiet = guest(&server, "doc", "quiet").await;
    let (mut asking, _) = connect(server.address(), &Opening::guest("doc", "asking")).await.unwrap();
    asking.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    let (mut pings, mut is_answered) = (0, false);
    within("ten pings of the server's", async {
        while pings < 10 {
            match asking.next().await.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                Message::Pong(said) => is_answered = said == Bytes::from_static(b"there?"),
                Message::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert!(is_answered);
    assert_eq!(quiet.expect_silence().await.0, 0, "after more than three times its timeout");
    quiet.send(&json!({"type": "system", "event": "ping", "data": {"timestamp": 1_704_625_800_000_u64}})).await;
    let pong = quiet.expect("system", "pong").await;
    assert_eq!(pong["timestamp"], 1_704_625_800_000_u64);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let server_time = pong["server_time"].as_u64().unwrap() as f64 / 1e3;
    assert!((server_time - now()).abs() < 60.0, "{pong}");
}

#[tokio::test]
async fn the_log_tells_who_came_from_where_why_they_went_and_how_much_was_said_and_never_a_token() {
    let mut server = Server::start_with(&[WITH_TOKENS[0], WITH_TOKENS[1], ("LOG__LEVEL", "trace")]).await;
    let claims = |n: u32| signed(&json!({"sub": "ann", "exp": now() + 600.0 + f64::from(n), "permissions": ["admin"]}));
    let tokens: Vec<_> = (0..5).map(claims).collect();
    let client = |name: &str| Opening::of("doc").with("client_id", name);
    let mut first = opened(&server, &client("c1").with("token", &tokens[0])).await;
    let mut second = opened(&server, &client("c2").header("authorization", format!("Bearer {}", tokens[1]))).await;
    let protocols = format!("bearer, {}", tokens[2]);
    let mut third = opened(&server, &client("c3").header("sec-websocket-protocol", protocols)).await;
    third.send(&json!({"type": "system", "event": "authenticate", "data": {"token": tokens[3]}})).await;
    third.expect("system", "authenticated").await;
    let wish = json!({"user_id": "somebody", "until": "2099-01-01T00:00:00Z"});
    assert_eq!(server.post("/v1/revocations", Some(&tokens[4]), &wish).await.0, 201);

    let mut sent = 0;
    for n in 0..7 {
        let edit = edit(&format!("m{n}"), n, insert(0, "x"));
        sent += edit.to_string().len();
        commit(&mut first, &edit).await;
    }
    for socket in [&mut second, &mut third] {
        for _ in 0..7 {
            socket.expect("operation", "operation_broadcast").await;
        }
    }
    first.close().await;
    drop(third);
    let superseding = opened(&server, &client("c2").with("token", &tokens[0])).await;
    second.expect_close(1008).await;

    let line = last_line(&server, "c1").await;
    assert_eq!((&line["level"], &line["document"], &line["user"]), (&json!("INFO"), &json!("doc"), &json!("ann")));
    assert_eq!((&line["reason"], &line["address"]), (&json!("client_closed"), &json!("127.0.0.1")));
    assert_eq!((&line["received_messages"], &line["received_bytes"]), (&json!(7), &json!(sent)));
    assert_eq!(line["sent_messages"], 2 + 7, "the opening and the acks: {line}");
    assert!(line["sent_bytes"].as_u64().is_some_and(|bytes| (800..4_000).contains(&bytes)), "{line}");
    assert!(line["seconds"].as_f64().is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{line}");
    assert!(line["connection"].is_u64() && line["code"].is_u64(), "{line}");
    assert_eq!(last_line(&server, "c3").await["reason"], "client_lost");
    let line = last_line(&server, "c2").await;
    assert_eq!((&line["reason"], &line["code"]), (&json!("superseded"), &json!(1008)));
    // A connection is answered before it is in the log.
    within("a line about each connection", async {
        while server.log().iter().filter(|line| line.contains("\"connection opened\"")).count() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(superseding);

    let log = server.log();
    assert!(server.terminate().await.success());
    for token in &tokens {
        let signature = token.rsplit('.').next().unwrap();
        assert_eq!(log.iter().find(|line| line.contains(signature)), None, "a token never appears in the log");
    }
}

#[tokio::test]
async fn who_only_reads_gets_everything_and_changes_nothing() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let of = |user: &str, permissions: Value| {
        Opening::of("doc").with("token", token(user, permissions, 600.0)).with("client_id", user)
    };
    let mut writer = opened(&server, &of("writer", json!(["read", "write"]))).await;
    let mut reader = opened(&server, &of("reader", json!(["document:read"]))).await;
    commit(&mut writer, &edit("w0", 0, insert(0, "hello"))).await;
    assert_eq!(reader.expect("operation", "operation_broadcast").await["version"], 1);
    let operations = [
        insert(0, "x"),
        delete(0, 1),
        json!({"type": "format", "position": 0, "length": 1, "attributes": {"bold": true}}),
        json!({"type": "insert", "position": 0, "embed": {"image": "u"}}),
        json!({"type": "composite", "operations": [insert(0, "x")]}),
        json!({"type": "delta", "ops": [{"insert": "x"}]}),
        json!({"type": "composite", "operations": []}),
    ];
    let all: Value = operations.iter().enumerate().map(|(n, it)| edit(&format!("r{n}"), 1, it.clone())).collect();
    reader.send(&all).await;
    for n in 0..operations.len() {
        let error = reader.expect_error("INSUFFICIENT_PERMISSIONS").await;
        let details = json!({
            "required_permission": "document:write", "user_permissions": ["document:read"], "message_id": format!("r{n}"),
        });
        assert_eq!((&error["details"], &error["recoverable"]), (&details, &json!(false)));
    }
    // It may ask, and what the others do still comes.
    reader.send(&sync(json!({}))).await;
    assert_eq!(reader.expect("system", "document_sync").await["document"]["content"], "hello");
    commit(&mut writer, &edit("w1", 1, insert(5, "!"))).await;
    assert_eq!(reader.expect("operation", "operation_broadcast").await["version"], 2);
    assert_eq!(Database::open(&server.database()).await.message_ids("doc").await, ["w0", "w1"]);
}

/// `CONNECTIONS=10000 cargo nextest run come_and_go` is the whole of it.
#[tokio::test]
async fn of_connections_that_come_and_go_nothing_is_left() {
    let count = number_from_env("CONNECTIONS", 1_000);
    let server =
        Server::start_with(&[("DOCUMENTS__IDLE_UNLOAD", "100ms"), ("LOG__LEVEL", "warn,scriptorium::app=info")]).await;
    let round = async |from: u64| {
        for n in (from..from + count).step_by(20) {
            let all = (n..n + 20).map(|n| {
                let opening = Opening::guest(&format!("doc-{}", n % 7), &format!("c{n}"));
                let server = &server;
                async move {
                    let socket = opened(server, &opening).await;
                    // Some say goodbye, some just go.
                    if n % 2 == 0 { socket.close().await } else { drop(socket) }
                }
            });
            futures_util::future::join_all(all).await;
        }
        within("all to be gone", async {
            let zero = async |series| server.metric(series).await < 0.5;
            while !(zero("scriptorium_connections_active").await && zero("scriptorium_documents_open").await) {}
        })
        .await;
        server.resident_kib()
    };
    // What an allocator keeps for itself grows with the first rounds, by no law. A leak takes its share in every round.
    let mut sizes = vec![round(0).await];
    let enough = |sizes: &[u64]| sizes.windows(2).any(|two| two[1] < two[0] + 2 * count);
    while !enough(&sizes) && sizes.len() < 6 {
        sizes.push(round(count * sizes.len() as u64).await);
    }
    println!("KiB after each {count} connections: {sizes:?}");
    assert!(enough(&sizes), "every {count} connections took 2 KiB each, and more, for good: {sizes:?}");
    let opened = count * sizes.len() as u64;
    assert!(
        server.metric("scriptorium_connections_opened_total").await > f64::from(u32::try_from(opened).unwrap()) - 0.5
    );
}

#[tokio::test]
async fn what_another_process_appended_comes_in_order_before_the_own_ack() {
    let server = Server::start().await;
    let mut other = Server::prepare(&[]);
    other.set_database(&format!("sqlite://{}", server.database().display()));
    other.restart().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut eve = guest(&server, "doc", "eve").await;
    let mut ben = guest(&other, "doc", "ben").await;
    for round in 0..10_u64 {
        let version = 2 * round;
        let by_ben = edit(&format!("b{round}"), version, insert(0, "b"));
        if round > 0 {
            // Ben's process has not heard of Ann's edit yet; his own append shows it.
            ben.send(&edit(&format!("b{round}"), version - 1, insert(0, "b"))).await;
            let heard = ben.expect("operation", "operation_broadcast").await;
            assert_eq!((&heard["version"], &heard["operation"]["author"]), (&json!(version), &json!("user-ann")));
            assert_eq!(ben.expect("operation", "operation_ack").await["server_version"], version + 1);
        } else {
            assert_eq!(commit(&mut ben, &by_ben).await, 1);
        }
        ann.send(&edit(&format!("a{round}"), version, insert(0, "a"))).await;
        let heard = ann.expect("operation", "operation_broadcast").await;
        assert_eq!((&heard["version"], &heard["operation"]["author"]), (&json!(version + 1), &json!("user-ben")));
        assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], version + 2);
        for author in ["user-ben", "user-ann"] {
            assert_eq!(eve.expect("operation", "operation_broadcast").await["operation"]["author"], author);
        }
    }
    assert_eq!(ann.expect_silence().await, eve.expect_silence().await);
    server.verify().await;
}

#[tokio::test]
async fn time_never_runs_backwards_in_a_document_though_the_clock_does() {
    let (log, stream) = (EventLog::memory(), StreamName::document(&DocumentId::parse("doc").unwrap()));
    let mut told = Vec::new();
    for (n, now) in [2_000_000_000, 1_000_000_000, 2_000_000_001].into_iter().enumerate() {
        let mut settings = Settings::default();
        settings.server.listen = ([127, 0, 0, 1], 0).into();
        let authenticator = Authenticator::from_settings(&settings.auth).unwrap();
        let clock = Clock::manual(Timestamp(now * 1_000_000));
        let running = App::start_on(log.clone(), authenticator, settings, (clock, Metrics::new())).await.unwrap();
        let opening = Opening::guest("doc", "ann").with("since", n);
        let mut ann = Socket::open(running.address(), &opening).await;
        ann.expect("system", "connection_ack").await;
        ann.send(&edit(&format!("m{n}"), n as u64, insert(0, "x"))).await;
        told.push(ann.expect("operation", "operation_ack").await["timestamp"].as_str().unwrap().to_owned());
        ann.close().await;
        assert!(running.shutdown().await);
    }
    assert_eq!(told, ["2033-05-18T03:33:20.000000Z", "2033-05-18T03:33:20.000000Z", "2033-05-18T03:33:21.000000Z"]);
    let recorded: Vec<_> = log.read(&stream, Seq(0), 10).await.unwrap().iter().map(|it| it.recorded_at).collect();
    assert!(recorded.is_sorted() && recorded.len() == 3, "{recorded:?}");
}

/// Many systems allow a process 1,024 open files until it asks for more.
#[tokio::test]
async fn nobody_is_turned_away_for_a_limit_of_open_files_that_can_be_raised() {
    let mut server = Server::prepare(&[]);
    server.limit_open_files("-S", 150);
    server.restart().await;
    let mut all = Vec::new();
    for n in 0..200 {
        all.push(guest(&server, "doc", &format!("g{n}")).await);
    }
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn who_is_one_too_many_for_the_limit_of_open_files_is_told_so_and_harms_nobody() {
    const ROOM: usize = 300 - 128;
    let mut server = Server::prepare(&[]);
    server.limit_open_files("", 300);
    server.restart().await;
    let told = server.log().iter().any(|line| line.contains("fewer open files") && line.contains("LimitNOFILE"));
    assert!(told, "{:?}", server.log());
    let mut all = Vec::new();
    for n in 0..ROOM {
        all.push(guest(&server, "doc", &format!("g{n}")).await);
    }
    assert_eq!(Socket::refused(server.address(), &Opening::guest("doc", "late")).await, 503);
    assert_eq!(server.get("/readyz").await.0, 200);
    commit(&mut all[0], &edit("m", 0, insert(0, "x"))).await;
}
