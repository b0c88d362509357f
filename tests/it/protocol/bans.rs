//! Revocations: somebody is shut out, on every node and after every restart, until a moment.

use scriptorium::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    say::{WITH_TOKENS, commit, edit, guest, insert, now, opened, signed, token},
    server::Server,
    socket::{Opening, Socket},
    within,
};

const PATH: &str = "/v1/revocations";
const FAR: &str = "2099-01-01T00:00:00Z";

fn with_token(client: &str, token: &str) -> Opening {
    Opening::of("doc").with("token", token).with("client_id", client)
}

/// A moment so many seconds from now.
fn in_seconds(seconds: f64) -> String {
    let micros = std::time::Duration::from_secs_f64(now() + seconds).as_micros();
    Timestamp(i64::try_from(micros).unwrap()).to_string()
}

async fn expect_banned(socket: &mut Socket) {
    loop {
        let envelope = socket.envelope().await;
        if envelope["event"] == "error" {
            assert_eq!(
                (&envelope["data"]["error_code"], &envelope["data"]["details"]["reason"]),
                (&json!("UNAUTHORIZED"), &json!("banned"))
            );
            break;
        }
    }
    assert_eq!(socket.expect("system", "disconnect").await, json!({"reason": "banned", "code": 4004}));
    assert_eq!(socket.expect_close(4004).await, "banned");
}

async fn refused(server: &Server, opening: &Opening) {
    expect_banned(&mut Socket::open(server.address(), opening).await).await;
}

#[tokio::test]
async fn a_user_is_shut_out_from_all_connections_until_it_is_lifted() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let admin = token("root", json!({"*": ["admin"]}), 600.0);
    let anns = token("ann", json!(["admin"]), 600.0);
    let mut here = opened(&server, &with_token("c1", &anns)).await;
    let mut there = opened(&server, &with_token("c2", &token("ann", json!(["read"]), 600.0))).await;
    let mut ben = opened(&server, &with_token("c3", &token("ben", json!(["read", "write"]), 600.0))).await;
    let (status, answer) =
        server.post(PATH, Some(&admin), &json!({"user_id": "ann", "until": FAR, "reason": "spam"})).await;
    assert_eq!((status, &answer["user_id"], &answer["revoked_by"]), (201, &json!("ann"), &json!("root")), "{answer}");
    expect_banned(&mut here).await;
    expect_banned(&mut there).await;
    refused(&server, &with_token("c4", &anns)).await;
    assert_eq!(
        server.post(PATH, Some(&anns), &json!({"user_id": "ann", "until": "1970-01-01T00:00:00Z"})).await.0,
        403
    );
    assert_eq!(commit(&mut ben, &edit("m", 0, insert(0, "x"))).await, 1, "nobody else is meant");
    // A new token does not help, and a connection does not get past it with one.
    ben.send(&json!({"type": "system", "event": "authenticate", "data": {"token": anns}})).await;
    assert_eq!(ben.expect_error("UNAUTHORIZED").await["details"]["reason"], "other_user");

    let (status, _) =
        server.post(PATH, Some(&admin), &json!({"user_id": "ann", "until": "1970-01-01T00:00:00Z"})).await;
    assert_eq!(status, 201);
    opened(&server, &with_token("c4", &anns)).await;
    assert!((server.metric("scriptorium_revocations_active").await).abs() < 0.5);
    assert!(server.metric(r#"scriptorium_connections_closed_total{code="4004",reason="banned"}"#).await > 2.5);
}

#[tokio::test]
async fn one_token_is_revoked_and_the_user_goes_on_with_another() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let admin = token("root", json!(["admin"]), 600.0);
    let with_jti =
        |jti: &str| signed(&json!({"sub": "ann", "jti": jti, "exp": now() + 600.0, "permissions": ["read", "write"]}));
    let mut first = opened(&server, &with_token("c1", &with_jti("t-1"))).await;
    let mut second = opened(&server, &with_token("c2", &with_jti("t-2"))).await;
    // It came with the one and goes on with the other.
    first.send(&json!({"type": "system", "event": "authenticate", "data": {"token": with_jti("t-3")}})).await;
    first.expect("system", "authenticated").await;
    for jti in ["t-1", "t-2"] {
        assert_eq!(server.post(PATH, Some(&admin), &json!({"jti": jti, "until": FAR})).await.0, 201);
    }
    expect_banned(&mut second).await;
    assert_eq!(commit(&mut first, &edit("m", 0, insert(0, "x"))).await, 1);
    refused(&server, &with_token("c3", &with_jti("t-1"))).await;
    first.send(&json!({"type": "system", "event": "authenticate", "data": {"token": with_jti("t-2")}})).await;
    expect_banned(&mut first).await;
    opened(&server, &with_token("c3", &with_jti("t-4"))).await;
}

#[tokio::test]
async fn a_ban_survives_a_restart_reaches_other_nodes_and_ends_by_itself() {
    // Who waits for its end comes again as often as they can.
    let unlimited = [("LIMITS__ADDRESS_CONNECTIONS", "off"), ("LIMITS__USER_CONNECTIONS", "off")];
    let mut server = Server::start_with(&unlimited).await;
    let mut other = Server::prepare(&[("AUTH__REVOCATIONS_POLL", "50ms")]);
    other.set_database(&format!("sqlite://{}", server.database().display()));
    other.restart().await;
    let mut ann = guest(&other, "doc", "ann").await;
    let until = in_seconds(4.0);
    assert_eq!(server.post(PATH, None, &json!({"user_id": "user-ann", "until": until})).await.0, 201);
    expect_banned(&mut ann).await;
    refused(&server, &Opening::guest("doc", "ann")).await;
    server.kill().await;
    server.restart().await;
    refused(&server, &Opening::guest("doc", "ann")).await;
    assert!(server.metric("scriptorium_revocations_active").await > 0.5);
    within("the end of the ban", async {
        loop {
            let mut socket = Socket::open(server.address(), &Opening::guest("doc", "ann")).await;
            if socket.envelope().await["event"] == "connection_ack" {
                break;
            }
        }
    })
    .await;
    assert!(in_seconds(0.0) >= until, "not before");
    within("it to be forgotten", async { while server.metric("scriptorium_revocations_active").await > 0.5 {} }).await;
    server.verify().await;
    assert!(server.run(&["events"]).await.status.success(), "the commands know what is no document");
    assert!(server.run(&["rebuild"]).await.status.success());
}

#[tokio::test]
async fn who_may_not_and_what_makes_no_sense_is_refused_with_a_problem() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let wish = json!({"user_id": "ann", "until": FAR});
    let admin = token("root", json!(["admin"]), 600.0);
    let partly = token("root", json!({"team-a/*": ["admin"]}), 600.0);
    for (token, status) in [
        (None, 401),
        (Some("nonsense".to_owned()), 401),
        (Some(token("u", json!(["read", "write", "comment"]), 600.0)), 403),
        (Some(partly), 403),
    ] {
        let (got, problem) = server.post(PATH, token.as_deref(), &wish).await;
        assert_eq!((got, &problem["status"]), (status, &json!(status)), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
    }
    for (wish, status, why) in [
        (json!("text"), 422, "the body"),
        (json!({"until": FAR}), 422, "user_id"),
        (json!({"user_id": "a", "jti": "b", "until": FAR}), 422, "exactly one"),
        (json!({"user_id": "a"}), 422, "until"),
        (json!({"user_id": "a", "until": "tomorrow"}), 422, "until"),
        (json!({"user_id": "a", "until": 5}), 422, "the body"),
        (json!({"user_id": "", "until": FAR}), 422, "user_id"),
        (json!({"user_id": "a", "until": FAR, "reason": "x".repeat(501)}), 422, "reason"),
        (json!({"user_id": "a", "until": FAR, "reason": "x".repeat(20_000)}), 413, "large"),
    ] {
        let (got, problem): (u16, Value) = server.post(PATH, Some(&admin), &wish).await;
        assert_eq!(got, status, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    }
    opened(&server, &with_token("c", &token("ann", json!(["read"]), 600.0))).await;
    assert!(server.log().iter().all(|line| !line.contains(&admin)), "a token never appears in the log");
}
