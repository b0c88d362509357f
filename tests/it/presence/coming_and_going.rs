//! One join and one leave per user, however many connections.

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::support::{
    log::Database,
    say::{commit, edit, guest, insert, opened},
    server::Server,
    socket::{Opening, Socket},
    within,
};

use super::{cursor, present};

fn ids(present: &[Value]) -> Vec<&str> {
    present.iter().map(|it| it["user_id"].as_str().unwrap()).collect()
}

fn of_ben(client: &str) -> Opening {
    Opening::of("doc").with("user_id", "ben").with("client_id", client).with("name", "Ben").with("color", "#3b82f6")
}

#[tokio::test]
async fn a_user_joins_with_the_first_connection_and_leaves_with_the_last() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let one = opened(&server, &of_ben("one")).await;
    let joined = ann.expect_presence("user_joined").await;
    assert_eq!(joined["user"], json!({"id": "ben", "name": "Ben", "color": "#3b82f6"}));
    assert_eq!(joined["cursor_position"], 0);
    let mut two = opened(&server, &of_ben("two")).await;
    one.close().await;
    // Had there been a word about it, it would come before this.
    assert_eq!(ids(&present(&mut ann).await), ["ben", "user-ann"]);
    two.send(&cursor(0)).await;
    assert_eq!(ann.expect_presence("cursor_update").await["user_id"], "ben", "and nothing about one of two");
    two.close().await;
    assert_eq!(ann.expect_presence("user_left").await["user_id"], "ben");
    assert_eq!(ids(&present(&mut ann).await), ["user-ann"]);
    assert!((server.metric("scriptorium_users_present").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn one_who_takes_over_neither_leaves_nor_joins() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut old = opened(&server, &of_ben("one")).await;
    ann.expect_presence("user_joined").await;
    let mut new = opened(&server, &of_ben("one")).await;
    assert_eq!(old.expect_close(1008).await, "superseded");
    new.send(&cursor(0)).await;
    assert_eq!(ann.expect_presence("cursor_update").await["user_id"], "ben", "and nothing before it");
    assert_eq!(ids(&present(&mut new).await), ["ben", "user-ann"]);
}

#[tokio::test]
async fn a_connection_that_is_lost_is_a_leave_too() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let ben = opened(&server, &of_ben("one")).await;
    ann.expect_presence("user_joined").await;
    drop(ben);
    assert_eq!(ann.expect_presence("user_left").await["user_id"], "ben");
}

#[tokio::test]
async fn one_who_resumes_is_told_who_is_here_and_where() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "text"))).await;
    let mut ben = opened(&server, &of_ben("one")).await;
    ann.close().await;
    commit(&mut ben, &edit("m2", 1, insert(4, "!"))).await;
    ben.send(&cursor(3)).await;
    present(&mut ben).await;
    let resumed = Opening::guest("doc", "ann").with("since", 1);
    let mut ann = Socket::open(server.address(), &resumed).await;
    assert_eq!(ann.expect("system", "connection_ack").await["resumed"], true);
    assert_eq!(ann.expect("operation", "operation_broadcast").await["version"], 2);
    let joined = ann.expect_presence("user_joined").await;
    assert_eq!((&joined["user"]["id"], &joined["cursor_position"]), (&json!("ben"), &json!(0)));
    let told = ann.expect_presence("cursor_update").await;
    assert_eq!(
        (&told["user_id"], &told["cursor"]["position"], &told["version"]),
        (&json!("ben"), &json!(3), &json!(2))
    );
}

#[tokio::test]
async fn the_others_are_those_in_the_same_document() {
    let server = Server::start().await;
    let mut elsewhere = guest(&server, "other", "ann").await;
    let mut ben = opened(&server, &of_ben("one")).await;
    ben.send(&cursor(0)).await;
    assert_eq!(ids(&present(&mut ben).await), ["ben"]);
    ben.close().await;
    elsewhere.send(&json!({"type": "system", "event": "ping", "data": {}})).await;
    assert_eq!(elsewhere.any_envelope().await["event"], "pong");
}

#[tokio::test]
async fn of_one_who_has_left_nothing_is_kept_and_nothing_is_told() {
    let server = Server::start_with(&[("PRESENCE__MERGE_INTERVAL", "500ms")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m", 0, insert(0, "text"))).await;
    let mut eve = guest(&server, "doc", "eve").await;
    ann.expect_presence("user_joined").await;
    let mut ben = opened(&server, &of_ben("one")).await;
    ann.expect_presence("user_joined").await;
    ben.send(&cursor(3)).await;
    assert_eq!(ann.expect_presence("cursor_update").await["user_id"], "ben");
    // This waits to be told when he goes.
    ben.send(&json!({"type": "presence", "event": "typing_indicator", "data": {"is_typing": true}})).await;
    ben.close().await;
    assert_eq!(ann.expect_presence("user_left").await["user_id"], "ben");
    eve.send(&cursor(1)).await;
    assert_eq!(ann.expect_presence("cursor_update").await["user_id"], "user-eve");
    ann.send(&json!({"type": "system", "event": "document_sync", "data": {}})).await;
    assert_eq!(ann.any_envelope().await["event"], "document_sync", "nobody types any more");
    let again = opened(&server, &of_ben("one")).await;
    assert_eq!(ann.expect_presence("user_joined").await["cursor_position"], 0);
    assert_eq!(super::cursor_of(&mut ann, "ben").await, None, "where he was is forgotten");
    drop(again);
}

#[tokio::test]
async fn where_somebody_was_is_not_recorded_behind_their_leaving() {
    let server = Server::start_with(&[("PRESENCE__MERGE_INTERVAL", "0ms")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m", 0, insert(0, "text"))).await;
    let mut ben = opened(&server, &of_ben("one")).await;
    ann.expect_presence("user_joined").await;
    // Nothing can be written: what is told waits, and is merged.
    let mut held = SqliteConnection::connect(&server.database_url()).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    for position in 1..=3 {
        ben.send(&cursor(position)).await;
        assert_eq!(ann.expect_presence("cursor_update").await["cursor"]["position"], position);
    }
    ben.close().await;
    assert_eq!(ann.expect_presence("user_left").await["user_id"], "ben");
    held.close().await.unwrap();
    within("the log to have it", async {
        loop {
            let logged = Database::of(&server).await.presence("doc").await;
            let of_ben = |kind: &str, body: &String| body.starts_with(kind) && body.contains("\"ben\"");
            if let Some(left) = logged.iter().position(|body| of_ben("[\"left.", body)) {
                assert!(!logged[left..].iter().any(|body| of_ben("[\"moved.", body)), "{logged:?}");
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_place_that_is_refused_is_told_to_nobody_nor_the_one_before_it_again() {
    let server = Server::start_with(&[("PRESENCE__MERGE_INTERVAL", "0ms")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = opened(&server, &of_ben("one")).await;
    ann.expect_presence("user_joined").await;
    ben.send(&cursor(0)).await;
    ann.expect_presence("cursor_update").await;
    ben.send(&cursor(99)).await;
    ben.expect_error("INVALID_OPERATION").await;
    ben.send(&json!({"type": "presence", "event": "typing_indicator", "data": {"is_typing": true}})).await;
    ann.expect_presence("typing_indicator").await;
}
