//! What cannot be a cursor is refused by name, and the connection lives.

use serde_json::{Value, json};

use crate::support::{
    say::{commit, edit, guest, insert},
    server::Server,
};

use super::{cursor_at, present};

fn said(event: &str, data: Value) -> Value {
    json!({"type": "presence", "event": event, "data": data, "message_id": "p1"})
}

#[tokio::test]
async fn what_is_no_cursor_is_refused_and_told_to_nobody() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a😀"))).await;
    let mut ben = guest(&server, "doc", "ben").await;
    ann.expect_presence("user_joined").await;
    let at = |cursor: Value| said("cursor_update", json!({ "cursor": cursor }));
    for (message, code, path) in [
        (said("cursor_update", json!({})), "INVALID_MESSAGE", "data.cursor"),
        (at(json!({})), "INVALID_MESSAGE", "data.cursor.position"),
        (at(json!({"position": "1"})), "INVALID_MESSAGE", "data.cursor.position"),
        (at(json!({"position": 0.5})), "INVALID_MESSAGE", "data.cursor.position"),
        (at(json!({"position": -1})), "INVALID_OPERATION", "data.cursor.position"),
        (at(json!({"position": 0, "selection": {"start": 0}})), "INVALID_MESSAGE", "data.cursor.selection.end"),
        (
            at(json!({"position": 0, "selection": {"start": 0, "end": -1}})),
            "INVALID_OPERATION",
            "data.cursor.selection.end",
        ),
        (at(json!({"position": 4})), "INVALID_OPERATION", ""),
        (at(json!({"position": 2})), "INVALID_OPERATION", ""),
        (at(json!({"position": 0, "selection": {"start": 0, "end": 9}})), "INVALID_OPERATION", ""),
        (at(json!({"position": u64::MAX})), "INVALID_MESSAGE", "data.cursor.position"),
        (said("cursor_update", json!({"cursor": {"position": 0}, "version": 2})), "VERSION_AHEAD", ""),
        (
            said("cursor_update", json!({"cursor": {"position": 0}, "document_id": "x"})),
            "INVALID_MESSAGE",
            "data.document_id",
        ),
        (said("typing_indicator", json!({})), "INVALID_MESSAGE", "data.is_typing"),
        (said("typing_indicator", json!({"is_typing": true, "position": 9})), "INVALID_OPERATION", ""),
        (said("typing_indicator", json!({"is_typing": "yes"})), "INVALID_MESSAGE", "data.is_typing"),
        (said("user_joined", json!({"user": {"id": "ben"}})), "UNKNOWN_EVENT", ""),
        (said("user_left", json!({"user_id": "user-ann"})), "UNKNOWN_EVENT", ""),
    ] {
        ben.send(&message).await;
        let error = ben.expect_error(code).await;
        assert_eq!(error["details"]["message_id"], "p1", "{message}: {error}");
        if !path.is_empty() {
            assert_eq!(error["details"]["path"], path, "{message}: {error}");
        }
    }
    ben.send(&cursor_at(3, 1)).await;
    assert_eq!(ann.expect_presence("cursor_update").await["cursor"]["position"], 3, "and nothing before it");
    assert_eq!(present(&mut ann).await.len(), 2);
}
