//! Who may come in and what they may do: origins and tokens.

use serde_json::{Value, json};

use crate::support::{
    say::{WITH_TOKENS, commit, content, edit, guest, insert, now, opened, signed, token},
    server::Server,
    socket::{Opening, Socket},
};

#[tokio::test]
async fn a_page_of_a_strange_origin_is_turned_away_before_the_upgrade() {
    let server = Server::start_with(&[("SERVER__ALLOWED_ORIGINS", r#"["https://editor.example.org"]"#)]).await;
    let from = |origin: &str| Opening::guest("doc", "c").header("origin", origin);
    for origin in
        ["https://evil.example.org", "https://editor.example.org.evil.org", "http://editor.example.org", "null"]
    {
        assert_eq!(Socket::refused(server.address(), &from(origin)).await, 403, "{origin}");
    }
    opened(&server, &from("https://editor.example.org")).await;
    opened(&server, &from(&format!("http://{}", server.address()))).await;
    guest(&server, "doc", "no-origin").await;
}

/// The connection is upgraded, told why not, and closed.
async fn expect_unauthorized(server: &Server, opening: &Opening, code: &str, reason: &str) {
    let mut socket = Socket::open(server.address(), opening).await;
    let error = socket.expect_error(code).await;
    assert_eq!((&error["recoverable"], &error["details"]["reason"]), (&json!(false), &json!(reason)), "{error}");
    socket.expect_close(4003).await;
}

#[tokio::test]
async fn a_token_may_come_in_three_places() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let claims = json!({"sub": "user_123", "exp": now() + 600.0, "permissions": ["document:read", "write"], "name": "Jane", "color": "#123456"});
    let token = signed(&claims);
    let as_protocol = Opening::of("doc").header("sec-websocket-protocol", format!("bearer, {token}"));
    let openings = [
        Opening::of("doc").with("token", &token),
        Opening::of("doc").header("authorization", format!("Bearer {token}")),
        as_protocol,
    ];
    for (n, opening) in openings.iter().enumerate() {
        let mut socket = Socket::open(
            server.address(),
            &opening.clone().with("client_id", format!("c{n}")).with("user_id", "ignored"),
        )
        .await;
        let answered = socket.response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
        assert_eq!(answered, (n == 2).then_some("bearer"));
        let ack = socket.expect("system", "connection_ack").await;
        assert_eq!((&ack["user_id"], &ack["permissions"]), (&json!("user_123"), &json!(["read", "write"])));
        let sync = socket.expect("system", "document_sync").await;
        assert!(sync["active_users"].as_array().unwrap().iter().any(|user| user["name"] == "Jane"), "{sync}");
        let version = commit(&mut socket, &edit(&format!("m{n}"), n as u64, insert(0, "x"))).await;
        assert_eq!(version, n as u64 + 1);
    }
    assert!(server.log().iter().all(|line| !line.contains(&token)), "a token never appears in the log");
}

#[tokio::test]
async fn a_bad_token_is_told_why() {
    let settings = [WITH_TOKENS[0], WITH_TOKENS[1], ("AUTH__ISSUER", "us"), ("AUTH__AUDIENCE", "docs")];
    let server = Server::start_with(&settings).await;
    let good = json!({"sub": "u", "exp": now() + 600.0, "iss": "us", "aud": ["docs", "more"], "permissions": ["read"]});
    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signed(&claims)
    };
    let mut forged = signed(&good);
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    let unsigned = format!("{}.{}.", "eyJhbGciOiJub25lIn0", signed(&good).split('.').nth(1).unwrap());
    let cases = [
        (but("exp", json!(now() - 1.0)), "UNAUTHORIZED", "expired"),
        (but("nbf", json!(now() + 600.0)), "UNAUTHORIZED", "not_yet_valid"),
        (but("iss", json!("them")), "UNAUTHORIZED", "wrong_issuer"),
        (but("aud", json!("others")), "UNAUTHORIZED", "wrong_audience"),
        (without("sub"), "UNAUTHORIZED", "no_subject"),
        (without("exp"), "UNAUTHORIZED", "no_expiry"),
        (forged, "UNAUTHORIZED", "bad_signature"),
        ("not.a.token".to_owned(), "UNAUTHORIZED", "malformed"),
    ];
    for (token, code, reason) in cases {
        let opening = Opening::of("doc").with("token", &token);
        println!("{reason}");
        expect_unauthorized(&server, &opening, code, reason).await;
        assert!(server.log().iter().all(|line| !line.contains(&token)), "a token never appears in the log");
    }
    expect_unauthorized(&server, &Opening::of("doc"), "UNAUTHORIZED", "missing").await;
    let mut socket = Socket::open(server.address(), &Opening::of("doc").with("token", unsigned)).await;
    socket.expect_error("UNAUTHORIZED").await;
    socket.expect_close(4003).await;
    opened(&server, &Opening::of("doc").with("token", signed(&good))).await;
}

#[tokio::test]
async fn nobody_reads_or_writes_without_permission() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let opening = |permissions: Value| Opening::of("team-a/doc").with("token", token("u", permissions, 600.0));
    for permissions in
        [json!([]), json!(["write"]), json!({"team-b/*": ["admin"]}), json!({"*": ["read"], "team-a/*": []})]
    {
        let mut socket = Socket::open(server.address(), &opening(permissions.clone())).await;
        let error = socket.expect_error("INSUFFICIENT_PERMISSIONS").await;
        assert_eq!(
            (&error["details"]["required_permission"], &error["recoverable"]),
            (&json!("document:read"), &json!(false)),
            "{permissions}"
        );
        socket.expect_close(4003).await;
    }
    let mut reader =
        opened(&server, &opening(json!({"team-a/*": ["read"], "*": ["admin"]})).with("client_id", "reader")).await;
    reader.send(&edit("m", 0, insert(0, "x"))).await;
    let error = reader.expect_error("INSUFFICIENT_PERMISSIONS").await;
    let details =
        json!({"required_permission": "document:write", "user_permissions": ["document:read"], "message_id": "m"});
    assert_eq!(error["details"], details);
    assert_eq!(reader.expect_silence().await, (0, String::new()), "the connection lives, the document is untouched");
    let mut admin = opened(&server, &opening(json!(["admin"])).with("client_id", "admin")).await;
    assert_eq!(commit(&mut admin, &edit("m", 0, insert(0, "x"))).await, 1);
}

#[tokio::test]
async fn a_token_that_expires_during_a_connection_ends_it() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let opening = Opening::of("doc").with("token", token("u", json!(["read", "write"]), 2.0)).with("client_id", "c");
    let mut socket = opened(&server, &opening).await;
    socket.expect("system", "token_expiring").await;
    let mut lasting = opened(&server, &Opening::of("doc").with("token", token("w", json!(["read"]), 600.0))).await;
    commit(&mut socket, &edit("m", 0, insert(0, "x"))).await;
    let error = socket.expect_error("TOKEN_EXPIRED").await;
    assert_eq!(error["recoverable"], false);
    socket.expect_close(4003).await;
    lasting.expect("operation", "operation_broadcast").await;
    lasting.expect_silence().await;
}

#[tokio::test]
async fn the_token_that_the_program_makes_opens_a_document() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let output = server.run(&["token", "--sub", "ann"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let mut socket = opened(&server, &Opening::of("doc").with("token", token).with("client_id", "c")).await;
    commit(&mut socket, &edit("m", 0, insert(0, "x"))).await;
}

#[tokio::test]
async fn who_is_open_to_everybody_must_be_so_on_purpose() {
    let mut server = Server::prepare(&[("SERVER__LISTEN", "0.0.0.0:0")]);
    let (status, lines) = server.refuses_to_start().await;
    assert_eq!(status.code(), Some(2), "{lines}");
    assert!(lines.contains("allow_open"), "the refusal says what to do: {lines}");
    server.set("AUTH__ALLOW_OPEN", "true");
    server.set("SERVER__LISTEN", "127.0.0.1:0");
    server.restart().await;
    assert_eq!(content(&server, "doc").await.0, 0);
}
