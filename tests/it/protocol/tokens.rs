//! The token of an open connection: its end, and another in its place.

use std::{collections::BTreeSet, time::Duration};

use scriptorium::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    log::Database,
    say::{WITH_TOKENS, commit, edit, guest, insert, now, opened, signed, token},
    server::Server,
    socket::{Incoming, Opening, Socket},
    wire::is_time,
    within,
};

fn authenticate(message_id: &str, token: &str) -> Value {
    json!({"type": "system", "event": "authenticate", "data": {"token": token}, "message_id": message_id})
}

fn with_token(client: &str, token: &str) -> Opening {
    Opening::of("doc").with("token", token).with("client_id", client)
}

/// A service that logs all it can, and tells nothing that must not be told.
async fn talkative() -> Server {
    Server::start_with(&[WITH_TOKENS[0], WITH_TOKENS[1], ("LOG__LEVEL", "trace")]).await
}

fn assert_not_logged(server: &Server, tokens: &[&str]) {
    let log = server.log();
    assert!(log.len() > 20, "the service logs everything here");
    for token in tokens {
        let found = log.iter().find(|line| line.contains(token) || line.contains(token.rsplit('.').next().unwrap()));
        assert_eq!(found, None, "a token never appears in the log");
    }
}

#[tokio::test]
async fn another_token_replaces_what_a_connection_may_do_at_once() {
    let server = talkative().await;
    let reading = token("ann", json!(["read"]), 600.0);
    let writing = token("ann", json!({"*": [], "doc": ["read", "write"]}), 1_200.0);
    let mut ann = opened(&server, &with_token("ann", &reading)).await;
    // One frame: what stands before the token is judged by the old one, what stands behind it by the new one.
    ann.send(&json!([
        edit("m1", 0, insert(0, "x")),
        authenticate("t1", &writing),
        edit("m1", 0, insert(0, "x")),
        authenticate("t2", &reading),
        edit("m2", 1, insert(0, "x")),
    ]))
    .await;
    assert_eq!(ann.expect_error("INSUFFICIENT_PERMISSIONS").await["details"]["message_id"], "m1");
    let told = ann.envelope().await;
    assert_eq!((&told["event"], &told["message_id"]), (&json!("authenticated"), &json!("t1")));
    assert_eq!(told["data"]["permissions"], json!(["read", "write"]));
    assert_eq!(told["data"]["user_id"], "ann");
    assert!(is_time(&told["data"]["expires_at"]), "{told}");
    // The answers of the document may come between those of the connection.
    let mut rest = [ann.envelope().await, ann.envelope().await, ann.envelope().await];
    rest.sort_by_key(|envelope| envelope["message_id"].to_string());
    assert_eq!(rest[0]["event"], "operation_ack");
    assert_eq!(
        (&rest[1]["data"]["error_code"], &rest[1]["message_id"]),
        (&json!("INSUFFICIENT_PERMISSIONS"), &json!("m2"))
    );
    assert_eq!(rest[2]["data"]["permissions"], json!(["read"]));
    assert_eq!(ann.expect_silence().await, (1, "x".to_owned()));
    assert_not_logged(&server, &[&reading, &writing]);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_leaves_the_old_one() {
    let server = talkative().await;
    let old = token("ann", json!(["read", "write"]), 600.0);
    let mut ann = opened(&server, &with_token("ann", &old)).await;
    let expired = signed(&json!({"sub": "ann", "exp": now() - 5.0, "permissions": ["read"]}));
    let others = token("ben", json!(["admin"]), 600.0);
    for (token, reason) in [(&expired, "expired"), (&others, "other_user"), (&"no token".to_owned(), "malformed")] {
        ann.send(&authenticate("t", token)).await;
        let error = ann.expect_error("UNAUTHORIZED").await;
        assert_eq!(error["details"], json!({"reason": reason, "message_id": "t"}));
    }
    for data in [json!({}), json!({"token": 5}), json!({"token": [&old]})] {
        ann.send(&json!({"type": "system", "event": "authenticate", "data": data})).await;
        let error = ann.expect_error("INVALID_MESSAGE").await;
        assert_eq!(error["details"]["path"], "data.token");
        assert!(!error.to_string().contains(&old), "an error repeats no token");
    }
    assert_eq!(commit(&mut ann, &edit("m", 0, insert(0, "x"))).await, 1);
    assert_not_logged(&server, &[&old, &expired, &others]);

    let open = Server::start().await;
    let mut guest = guest(&open, "doc", "ann").await;
    guest.send(&authenticate("t", &old)).await;
    assert_eq!(guest.expect_error("UNAUTHORIZED").await["details"]["reason"], "not_asked");
    assert_eq!(commit(&mut guest, &edit("m", 0, insert(0, "x"))).await, 1);
}

#[tokio::test]
async fn a_token_that_takes_reading_away_ends_the_connection_after_what_was_accepted() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let mut ann = opened(&server, &with_token("ann", &token("ann", json!(["read", "write"]), 600.0))).await;
    let mut frames: Vec<_> = (0..50).map(|n| edit(&format!("m{n}"), 0, insert(n, "x")).to_string()).collect();
    frames.push(authenticate("t", &token("ann", json!({"other": ["read"]}), 600.0)).to_string());
    frames.push(edit("late", 0, insert(0, "x")).to_string());
    ann.send_all(frames).await.unwrap();
    for n in 0..50 {
        assert_eq!(ann.expect("operation", "operation_ack").await["message_id"], format!("m{n}"));
    }
    let error = ann.expect_error("INSUFFICIENT_PERMISSIONS").await;
    assert_eq!(error["details"]["required_permission"], "document:read");
    assert_eq!(ann.expect_close(4003).await, "unauthorized");
}

#[tokio::test]
async fn a_client_is_told_a_minute_before_its_token_ends_and_lives_on_with_another() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let end = now() + 62.0;
    let short = signed(&json!({"sub": "ann", "exp": end, "permissions": ["read", "write"]}));
    let mut ann = opened(&server, &with_token("ann", &short)).await;
    ann.send(&authenticate("t1", &signed(&json!({"sub": "ann", "exp": end, "permissions": ["read"]})))).await;
    ann.expect("system", "authenticated").await;
    let told = ann.expect("system", "token_expiring").await;
    assert!((59.0..61.0).contains(&(end - now())), "a minute before the end");
    let expires_at = Timestamp::parse_rfc3339(told["expires_at"].as_str().unwrap()).unwrap();
    assert_eq!(Duration::from_micros(expires_at.0.unsigned_abs()).as_secs(), Duration::from_secs_f64(end).as_secs());
    assert_eq!(told.as_object().unwrap().len(), 1);

    // Told at once where less than a minute is left, and with a longer one nothing ends.
    let mut ben = opened(&server, &with_token("ben", &token("ben", json!(["read", "write"]), 1.5))).await;
    ben.expect("system", "token_expiring").await;
    ben.send(&authenticate("t2", &token("ben", json!(["read", "write"]), 3.0))).await;
    ben.expect("system", "authenticated").await;
    ben.expect("system", "token_expiring").await;
    let mut brief = opened(&server, &with_token("eve", &token("eve", json!(["read"]), 2.0))).await;
    brief.expect_close(4003).await;
    assert_eq!(commit(&mut ben, &edit("m", 0, insert(0, "x"))).await, 1, "past the end of its first token");
    assert_eq!(ben.expect_error("TOKEN_EXPIRED").await["recoverable"], false);
    assert_eq!(ben.expect_close(4003).await, "token_expired");
}

/// Sends edits as fast as they are taken until its token ends in the middle of them.
async fn type_until_expired(server: &Server, name: &str, seconds: f64) -> BTreeSet<String> {
    let end = now() + seconds;
    let token = signed(&json!({"sub": name, "exp": end, "permissions": ["read", "write"]}));
    let mut socket: Socket = opened(server, &with_token(name, &token)).await;
    let (mut sent, mut acked, mut is_over) = (0, BTreeSet::new(), false);
    within("the end", async {
        loop {
            if sent < acked.len() + 64 && !is_over {
                let batch = (sent..sent + 32).map(|n| edit(&format!("{name}:{n}"), 0, insert(n, "x")).to_string());
                // Whoever is cut off notices here or there.
                let _ = socket.send_all(batch).await;
                sent += 32;
            }
            match socket.next().await {
                Incoming::Envelope(envelope) => match envelope["event"].as_str().unwrap() {
                    "operation_ack" => {
                        assert!(!is_over, "an ack never comes behind the error");
                        acked.insert(envelope["message_id"].as_str().unwrap().to_owned());
                    }
                    "error" => {
                        assert_eq!(envelope["data"]["error_code"], "TOKEN_EXPIRED", "{envelope}");
                        assert!(now() >= end, "not before its time");
                        is_over = true;
                    }
                    "token_expiring" | "operation_broadcast" | "user_joined" | "user_left" => {}
                    "disconnect" => assert_eq!(envelope["data"], json!({"reason": "token_expired", "code": 4003})),
                    other => panic!("{other}"),
                },
                Incoming::Close(code, reason) => {
                    assert_eq!((code, &*reason), (4003, "token_expired"));
                    break;
                }
                other @ (Incoming::Pong(_) | Incoming::End) => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert!(is_over && sent > acked.len(), "{name}: {} of {sent} were in time", acked.len());
    acked
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_edits_answers_what_came_before_and_takes_nothing_after() {
    let mut server = Server::start_with(&WITH_TOKENS).await;
    let (ann, ben) = tokio::join!(type_until_expired(&server, "ann", 1.0), type_until_expired(&server, "ben", 1.3));
    assert_eq!(server.terminate().await.code(), Some(0));
    let recorded: BTreeSet<_> = Database::open(&server.database()).await.message_ids("doc").await.into_iter().collect();
    assert_eq!(recorded, ann.union(&ben).cloned().collect(), "what is in the log was acknowledged, and nothing else");
}
