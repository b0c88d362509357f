//! The same message again: answered as the first time, done once.

use serde_json::{Value, json};

use crate::support::{
    log::Database,
    say::{WITH_TOKENS, commit, content, edit, guest, insert, opened, token},
    server::Server,
    socket::{Opening, Socket},
    storage::on_every_database,
};

on_every_database! {
    a_repeated_message_gets_its_stored_ack_and_changes_nothing a_message_sent_twice_at_once_happens_once
    a_message_id_belongs_to_one_message who_lost_the_permission_to_write_does_not_get_acks_of_what_was_written
}

/// The ack of an edit, whole.
async fn acknowledged(socket: &mut Socket, edit: &Value) -> Value {
    socket.send(edit).await;
    socket.expect("operation", "operation_ack").await
}

/// The first ack, as it comes again.
fn again(mut ack: Value) -> Value {
    ack["duplicate"] = json!(true);
    ack
}

async fn a_repeated_message_gets_its_stored_ack_and_changes_nothing() {
    let mut server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = guest(&server, "doc", "ben").await;
    let message = edit("m", 0, insert(0, "once"));
    let first = acknowledged(&mut ann, &message).await;
    assert!(first.get("duplicate").is_none(), "{first}");
    ben.expect("operation", "operation_broadcast").await;
    commit(&mut ann, &edit("n", 1, insert(4, "!"))).await;
    ben.expect("operation", "operation_broadcast").await;

    assert_eq!(acknowledged(&mut ann, &message).await, again(first.clone()));
    // The same data written in other ways.
    let respelled = r#"{ "message_id":"m","event":"document_edit","client_id":"ann",
        "data":{"version":0.0e0,"operation":{"content":"on\u0063e","position":0,"type":"insert"}},"type":"operation"}"#;
    ann.send_text(respelled.replace("0.0e0", "0")).await;
    assert_eq!(ann.expect("operation", "operation_ack").await, again(first.clone()));
    assert_eq!(ben.expect_silence().await, (2, "once!".to_owned()));

    drop(ann);
    let mut ann = guest(&server, "doc", "ann").await;
    assert_eq!(acknowledged(&mut ann, &message).await, again(first.clone()), "after a reconnect");
    for graceful in [true, false] {
        if graceful {
            assert!(server.terminate().await.success());
        } else {
            server.kill().await;
        }
        server.restart().await;
        let mut ann = guest(&server, "doc", "ann").await;
        assert_eq!(acknowledged(&mut ann, &message).await, again(first.clone()), "after a restart");
    }
    assert_eq!(Database::of(&server).await.message_ids("doc").await, ["m", "n"]);
}

async fn a_message_sent_twice_at_once_happens_once() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let message = edit("m", 0, insert(0, "once"));
    ann.send(&json!([message, message, message])).await;
    let first = ann.expect("operation", "operation_ack").await;
    for _ in 0..2 {
        assert_eq!(ann.expect("operation", "operation_ack").await, again(first.clone()));
    }
    assert_eq!(content(&server, "doc").await, (1, "once".to_owned()));
}

async fn a_message_id_belongs_to_one_message() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let message = edit("m", 0, insert(0, "once"));
    commit(&mut ann, &message).await;
    let mut others =
        vec![edit("m", 0, insert(0, "twice")), edit("m", 0, insert(1, "once")), edit("m", 1, insert(0, "once"))];
    let mut with_more = message.clone();
    with_more["data"]["more"] = json!(true);
    others.push(with_more);
    for other in &others {
        ann.send(other).await;
        let error = ann.expect_error("MESSAGE_ID_CONFLICT").await;
        assert_eq!((&error["details"]["message_id"], &error["recoverable"]), (&json!("m"), &json!(true)));
    }
    // Another client, and the same client of another user.
    for opening in
        [Opening::guest("doc", "ben"), Opening::of("doc").with("user_id", "user-ben").with("client_id", "ann")]
    {
        let mut other = opened(&server, &opening).await;
        other.send(&message).await;
        other.expect_error("MESSAGE_ID_CONFLICT").await;
    }
    // In another document it is another message.
    let mut elsewhere = guest(&server, "elsewhere", "ben").await;
    assert_eq!(commit(&mut elsewhere, &edit("m", 0, insert(0, "other"))).await, 1);
    assert_eq!(ann.expect_silence().await, (1, "once".to_owned()));
}

async fn who_lost_the_permission_to_write_does_not_get_acks_of_what_was_written() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let opening =
        |permissions| Opening::of("doc").with("client_id", "ann").with("token", token("ann", permissions, 600.0));
    let mut ann = opened(&server, &opening(json!(["read", "write"]))).await;
    let message = edit("m", 0, insert(0, "once"));
    commit(&mut ann, &message).await;
    let mut ann = opened(&server, &opening(json!(["read"]))).await;
    ann.send(&message).await;
    ann.expect_error("INSUFFICIENT_PERMISSIONS").await;
}
