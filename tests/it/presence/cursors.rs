//! Cursors are where they belong, whatever happens to the text around them.

use serde_json::json;

use crate::support::{
    say::{commit, delete, edit, guest, insert, opened},
    server::Server,
    socket::Opening,
};

use super::{cursor, cursor_at, cursor_of, present};

#[tokio::test]
async fn a_cursor_is_told_to_the_others_with_the_version_it_refers_to() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "some text"))).await;
    let mut ben = guest(&server, "doc", "ben").await;
    ann.expect_presence("user_joined").await;
    // As the examples have it: what it says of who and when is not believed.
    ben.send(&json!({
        "type": "presence", "event": "cursor_update", "client_id": "ben", "message_id": "p1",
        "data": {
            "user_id": "somebody else", "timestamp": "1999-01-07T10:30:00Z",
            "cursor": {"position": 9, "selection": {"start": 9, "end": 5}},
        },
    }))
    .await;
    let told = ann.any_envelope().await;
    assert_eq!((&told["client_id"], &told["message_id"]), (&json!("ben"), &json!("p1")));
    let data = &told["data"];
    assert_eq!(data["user_id"], "user-ben");
    assert_eq!(data["cursor"], json!({"position": 9, "selection": {"start": 9, "end": 5}}));
    assert_eq!(data["version"], 1);
    assert!(data["timestamp"].as_str().unwrap() > "2020");
    ben.send(&cursor(0)).await;
    let told = ann.expect_presence("cursor_update").await;
    assert_eq!(told["cursor"], json!({"position": 0, "selection": null}), "a selection ends");
    let here = present(&mut ben).await;
    assert_eq!(here[1], json!({"user_id": "user-ben", "cursor_position": 0}), "and nobody is told of themselves");
}

#[tokio::test]
async fn a_cursor_moves_with_the_text_and_goes_along_only_with_what_its_own_user_inserts() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = guest(&server, "doc", "ben").await;
    let mut tablet = opened(&server, &Opening::of("doc").with("user_id", "user-ben").with("client_id", "tablet")).await;
    commit(&mut ann, &edit("m1", 0, insert(0, "0123456789"))).await;
    ben.send(&cursor_at(5, 1)).await;
    assert_eq!(cursor_of(&mut ben, "user-ben").await, Some(5));
    let steps = [
        ("ann", insert(0, "ab"), 7),
        ("ann", insert(7, "somebody else's"), 7),
        ("ben", insert(7, "own"), 10),
        ("tablet", insert(10, "of another client"), 27),
        ("ann", delete(0, 2), 25),
        ("ann", delete(20, 10), 20),
        ("ann", json!({"type": "delta", "ops": [{"retain": 18}, {"insert": "xyz"}, {"delete": 4}]}), 21),
        ("ann", json!({"type": "composite", "operations": [insert(0, "a"), insert(0, "b"), delete(0, 1)]}), 22),
    ];
    for ((who, operation, expected), version) in steps.into_iter().zip(1_u64..) {
        let socket = match who {
            "ann" => &mut ann,
            "ben" => &mut ben,
            _ => &mut tablet,
        };
        let id = format!("m{}", version + 1);
        present(socket).await;
        socket.send(&edit(&id, version, operation.clone())).await;
        assert_eq!(cursor_of(socket, "user-ben").await, Some(expected), "{who}: {operation}");
    }
}

#[tokio::test]
async fn a_cursor_refers_to_what_its_user_sees_edits_in_flight_included() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = guest(&server, "doc", "ben").await;
    commit(&mut ann, &edit("a1", 0, insert(0, "0123456789"))).await;
    // Unseen by Ben, who is at version 1 still.
    commit(&mut ann, &edit("a2", 1, insert(0, "xx"))).await;
    commit(&mut ann, &edit("a3", 2, insert(12, "yy"))).await;
    // He sees "ben0123456789": behind "ben", and between 4 and 5.
    ben.send_all([edit("b1", 1, insert(0, "ben")).to_string(), cursor_at(3, 1).to_string()]).await.unwrap();
    // "xxben0123456789yy"
    assert_eq!(cursor_of(&mut ben, "user-ben").await, Some(5));
    ben.send_all([
        edit("b2", 1, insert(3, "BEN")).to_string(),
        cursor_at(11, 1).to_string(),
        // Sent behind the cursor: what he does there moves it.
        edit("b3", 1, insert(0, "!")).to_string(),
    ])
    .await
    .unwrap();
    // He sees "benBEN01234|56789", then "!benBEN01234|56789": "xx!benBEN01234|56789yy".
    assert_eq!(cursor_of(&mut ben, "user-ben").await, Some(14));
}

#[tokio::test]
async fn everybody_counts_in_their_own_unit() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "😀😀ab"))).await;
    let points = Opening::guest("doc", "points").with("position_encoding", "utf-32");
    let mut points = opened(&server, &points).await;
    ann.expect_presence("user_joined").await;
    points
        .send(&json!({
            "type": "presence", "event": "cursor_update",
            "data": {"cursor": {"position": 2, "selection": {"start": 1, "end": 4}}},
        }))
        .await;
    let told = ann.expect_presence("cursor_update").await;
    assert_eq!(told["cursor"], json!({"position": 4, "selection": {"start": 2, "end": 6}}));
    ann.send(&cursor(2)).await;
    assert_eq!(points.expect_presence("cursor_update").await["cursor"]["position"], 1);
    ann.send(&json!({"type": "presence", "event": "typing_indicator", "data": {"is_typing": true, "position": 6}}))
        .await;
    let told = points.expect_presence("typing_indicator").await;
    assert_eq!(
        (&told["user_id"], &told["is_typing"], &told["position"]),
        (&json!("user-ann"), &json!(true), &json!(4))
    );
    let here = present(&mut points).await;
    assert_eq!(here[0], json!({"user_id": "user-ann", "cursor_position": 1}));
    let selecting = json!({"user_id": "user-points", "cursor_position": 2, "selection": {"start": 1, "end": 4}});
    assert_eq!(here[1], selecting);
}

#[tokio::test]
async fn one_who_only_reads_shows_where() {
    use crate::support::say::{WITH_TOKENS, token};
    let server = Server::start_with(&WITH_TOKENS).await;
    let open = |user: &str, may: serde_json::Value| {
        Opening::of("doc").with("client_id", user).with("token", token(user, may, 600.0))
    };
    let mut writer = opened(&server, &open("writer", json!(["read", "write"]))).await;
    let mut reader = opened(&server, &open("reader", json!(["read"]))).await;
    writer.expect_presence("user_joined").await;
    reader.send(&cursor(0)).await;
    assert_eq!(writer.expect_presence("cursor_update").await["user_id"], "reader");
}
