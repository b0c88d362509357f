//! Edits: acknowledged to who made them, told to the others, in one order.

use serde_json::{Value, json};

use crate::support::{
    log::Database,
    say::{commit, content, delete, edit, edit_after, guest, insert, opened},
    server::Server,
    socket::{Opening, Socket},
    storage::on_every_database,
    wire::is_time,
};

on_every_database! {
    an_edit_is_acknowledged_and_told_to_the_others the_committed_edit_has_priority
    an_edit_emptied_by_a_delete_is_still_a_version an_edit_torn_in_two_comes_as_a_composite
    edits_in_flight_refer_to_the_own_ones_before_them every_kind_of_operation_is_one_version
    a_composite_happens_whole_or_not_at_all positions_count_what_the_connection_asked_for
    a_chain_is_never_applied_with_a_link_missing an_array_of_envelopes_is_handled_as_if_sent_one_by_one
    frames_hold_arrays_only_for_who_asked_for_them an_edit_without_a_name_gets_one
}

/// Two clients of one document whose content is `text`, at version 1.
async fn pair(server: &Server, text: &str) -> (Socket, Socket) {
    let mut ann = guest(server, "doc", "ann").await;
    commit(&mut ann, &edit("start", 0, insert(0, text))).await;
    (ann, guest(server, "doc", "ben").await)
}

async fn an_edit_is_acknowledged_and_told_to_the_others() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "Hello").await;
    let sent = json!({
        "type": "operation", "event": "document_edit", "client_id": "ann", "message_id": "msg_1234567890",
        "data": {
            "operation": {"type": "insert", "position": 5, "content": " world", "author": "somebody else", "attributes": {"bold": true}},
            "version": 1, "document_id": "doc", "timestamp": "1999-01-01T00:00:00Z", "unknown": ["fields", "are", "ignored"],
        },
        "unknown": true,
    });
    ann.send(&sent).await;
    let ack = ann.envelope().await;
    assert_eq!((&ack["type"], &ack["event"]), (&json!("operation"), &json!("operation_ack")));
    assert_eq!((&ack["client_id"], &ack["message_id"]), (&json!("ann"), &json!("msg_1234567890")));
    let mut data = ack["data"].clone();
    assert!(is_time(&data["timestamp"].take()));
    assert_eq!(
        data,
        json!({"message_id": "msg_1234567890", "server_version": 2, "timestamp": null, "acknowledged": true})
    );

    let broadcast = ben.envelope().await;
    assert_eq!((&broadcast["type"], &broadcast["event"]), (&json!("operation"), &json!("operation_broadcast")));
    assert_eq!((&broadcast["client_id"], &broadcast["message_id"]), (&json!("ann"), &json!("msg_1234567890")));
    let mut data = broadcast["data"].clone();
    let timestamp = data["timestamp"].take();
    assert!(
        is_time(&timestamp) && !timestamp.as_str().unwrap().starts_with("1999"),
        "the server's clock counts: {timestamp}"
    );
    let operation = json!({"type": "insert", "position": 5, "content": " world", "attributes": {"bold": true}, "author": "user-ann"});
    assert_eq!(
        data,
        json!({"operation": operation, "version": 2, "transformed": false, "document_id": "doc", "timestamp": null})
    );
}

async fn the_committed_edit_has_priority() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "ab").await;
    commit(&mut ann, &edit("a", 1, insert(1, "A"))).await;
    commit(&mut ben, &edit("b", 1, insert(1, "B"))).await;
    assert_eq!(content(&server, "doc").await.1, "aABb", "of two inserts at one position the committed one is left");
    let heard = ann.expect("operation", "operation_broadcast").await;
    assert_eq!(heard["operation"], json!({"type": "insert", "position": 2, "content": "B", "author": "user-ben"}));
    assert_eq!((&heard["transformed"], &heard["original_position"]), (&json!(true), &json!(1)));

    let colour = |colour: &str| json!({"type": "format", "position": 0, "length": 1, "attributes": {"color": colour}});
    commit(&mut ann, &edit("red", 3, colour("red"))).await;
    commit(&mut ben, &edit("blue", 3, colour("blue"))).await;
    let heard = ann.expect("operation", "operation_broadcast").await;
    assert_eq!(
        heard["operation"],
        json!({"type": "composite", "operations": [], "author": "user-ben"}),
        "of two values the committed one stays"
    );
    assert_eq!((&heard["version"], &heard["transformed"]), (&json!(5), &json!(true)));
}

async fn an_edit_emptied_by_a_delete_is_still_a_version() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "abcdef").await;
    commit(&mut ann, &edit("a", 1, delete(1, 4))).await;
    assert_eq!(commit(&mut ben, &edit("b", 1, delete(2, 2))).await, 3);
    let heard = ann.expect("operation", "operation_broadcast").await;
    assert_eq!(heard["operation"], json!({"type": "composite", "operations": [], "author": "user-ben"}));
    assert_eq!((&heard["original_position"], &heard["version"]), (&json!(2), &json!(3)));
    assert_eq!(content(&server, "doc").await, (3, "af".to_owned()));
}

async fn an_edit_torn_in_two_comes_as_a_composite() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "abcdef").await;
    commit(&mut ann, &edit("a", 1, insert(3, "XY"))).await;
    commit(&mut ben, &edit("b", 1, delete(2, 2))).await;
    let heard = ann.expect("operation", "operation_broadcast").await;
    assert_eq!(heard["operation"]["type"], "composite");
    assert_eq!(
        heard["operation"]["operations"],
        json!([delete(2, 1), delete(4, 1)]),
        "each one's positions after the ones before it"
    );
    assert_eq!(content(&server, "doc").await.1, "abXYef");
}

async fn edits_in_flight_refer_to_the_own_ones_before_them() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "12").await;
    commit(&mut ben, &edit("b", 1, insert(0, "B"))).await;
    // Ann has not received ben's edit; all of hers were made at version 1.
    for (n, letter) in ["a", "b", "c"].iter().enumerate() {
        ann.send(&edit(&format!("m{n}"), 1, insert(1 + n, letter))).await;
    }
    assert_eq!(ann.expect("operation", "operation_broadcast").await["version"], 2);
    for version in 3..=5 {
        assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], version);
    }
    assert_eq!(content(&server, "doc").await.1, "B1abc2");
}

async fn every_kind_of_operation_is_one_version() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let steps = [
        (insert(0, "Hello world"), json!([{"insert": "Hello world"}])),
        (
            json!({"type": "format", "position": 0, "length": 5, "attributes": {"bold": true}}),
            json!([{"insert": "Hello", "attributes": {"bold": true}}, {"insert": " world"}]),
        ),
        (
            json!({"type": "format", "position": 2, "length": 9, "attributes": {"bold": null}}),
            json!([{"insert": "He", "attributes": {"bold": true}}, {"insert": "llo world"}]),
        ),
        (delete(2, 9), json!([{"insert": "He", "attributes": {"bold": true}}])),
        (
            json!({"type": "insert", "position": 1, "embed": {"image": "x"}, "attributes": {"alt": "y"}}),
            json!([{"insert": "H", "attributes": {"bold": true}}, {"insert": {"image": "x"}, "attributes": {"alt": "y"}}, {"insert": "e", "attributes": {"bold": true}}]),
        ),
        (
            json!({"type": "composite", "operations": [delete(0, 3), insert(0, "abc"), insert(3, "d"), delete(0, 1)]}),
            json!([{"insert": "bcd"}]),
        ),
        (
            json!({"type": "delta", "ops": [{"retain": 1}, {"delete": 1}, {"insert": "X"}, {"retain": 1, "attributes": {"i": 1}}, {"insert": {"e": {}}}]}),
            json!([{"insert": "bX"}, {"insert": "d", "attributes": {"i": 1}}, {"insert": {"e": {}}}]),
        ),
        (
            json!({"type": "composite", "operations": []}),
            json!([{"insert": "bX"}, {"insert": "d", "attributes": {"i": 1}}, {"insert": {"e": {}}}]),
        ),
    ];
    for (version, (operation, expected)) in (0..).zip(steps) {
        assert_eq!(
            commit(&mut ann, &edit(&format!("m{version}"), version, operation.clone())).await,
            version + 1,
            "{operation}"
        );
        let mut reader = Socket::open(server.address(), &Opening::guest("doc", "reader")).await;
        reader.expect("system", "connection_ack").await;
        let document = &reader.expect("system", "document_sync").await["document"];
        assert_eq!((&document["version"], &document["delta"]), (&json!(version + 1), &expected), "after {operation}");
    }
}

async fn a_composite_happens_whole_or_not_at_all() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "abc").await;
    ann.send(&edit("m", 1, json!({"type": "composite", "operations": [insert(0, "x"), delete(4, 1)]}))).await;
    ann.expect_error("INVALID_OPERATION").await;
    ben.expect_silence().await;
    assert_eq!(content(&server, "doc").await, (1, "abc".to_owned()));
}

async fn positions_count_what_the_connection_asked_for() {
    let server = Server::start().await;
    let (mut ann, _) = pair(&server, "a\u{1F600}b").await;
    let mut ben =
        opened(&server, &Opening::guest("doc", "cho").with("position_encoding", "utf-32").with("operations", "delta"))
            .await;
    commit(&mut ann, &edit("a", 1, insert(3, "x"))).await;
    let heard = ben.expect("operation", "operation_broadcast").await;
    assert_eq!(heard["operation"]["ops"], json!([{"retain": 2}, {"insert": "x"}]));
    commit(&mut ben, &edit("b", 2, json!({"type": "delta", "ops": [{"retain": 1}, {"delete": 2}]}))).await;
    let heard = ann.expect("operation", "operation_broadcast").await;
    assert_eq!(heard["operation"], json!({"type": "delete", "position": 1, "length": 3, "author": "user-cho"}));
    assert_eq!(content(&server, "doc").await, (3, "ab".to_owned()));
    // The place where a transformed edit was meant to be is in its sender's text: of no use in another unit.
    let (mut same, mut other) = (
        guest(&server, "doc", "same").await,
        opened(&server, &Opening::guest("doc", "points").with("position_encoding", "utf-32")).await,
    );
    commit(&mut ann, &edit("late", 2, insert(4, "!"))).await;
    for (receiver, expected) in [(&mut same, json!(4)), (&mut other, Value::Null)] {
        let heard = receiver.expect("operation", "operation_broadcast").await;
        assert_eq!((&heard["transformed"], &heard["original_position"]), (&json!(true), &expected));
    }
}

async fn a_chain_is_never_applied_with_a_link_missing() {
    let server = Server::start().await;
    let (mut ann, mut ben) = pair(&server, "abc").await;
    ann.send(&edit("lost", 1, delete(90, 1))).await;
    ann.send(&edit_after("next", 1, insert(0, "x"), "lost")).await;
    ann.send(&edit_after("last", 1, insert(0, "y"), "next")).await;
    ann.send(&edit_after("strange", 1, insert(0, "z"), "never-sent")).await;
    assert_eq!(ann.expect_error("INVALID_OPERATION").await["details"]["message_id"], "lost");
    for refused in ["next", "last", "strange"] {
        assert_eq!(ann.expect_error("PREDECESSOR_REFUSED").await["details"]["message_id"], refused);
    }
    ben.expect_silence().await;
    // A refused message id may be used again.
    assert_eq!(commit(&mut ann, &edit("lost", 1, insert(3, "d"))).await, 2);
    assert_eq!(commit(&mut ann, &edit_after("next", 2, insert(4, "e"), "lost")).await, 3);
    // Only an own edit is a predecessor.
    ben.send(&edit_after("ben", 1, insert(0, "b"), "next")).await;
    assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], 2);
    assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], 3);
    ben.expect_error("PREDECESSOR_REFUSED").await;
}

async fn an_array_of_envelopes_is_handled_as_if_sent_one_by_one() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = guest(&server, "doc", "ben").await;
    let frame = json!([
        edit("1", 0, insert(0, "a")),
        {"type": "no", "event": "such", "data": {}},
        edit("2", 0, insert(1, "b")),
        edit("3", 0, insert(9, "c")),
        {"type": "system", "event": "ping", "data": {"timestamp": 7}},
        edit_after("4", 0, insert(2, "d"), "2"),
    ]);
    ann.send(&frame).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        let answer = ann.envelope().await;
        let id = answer["data"]
            .get("message_id")
            .or(answer["data"]["details"].get("message_id"))
            .cloned()
            .unwrap_or(Value::Null);
        answers.push((answer["event"].as_str().unwrap().to_owned(), id));
    }
    for (event, id) in [("operation_ack", "1"), ("operation_ack", "2"), ("error", "3"), ("operation_ack", "4")] {
        assert!(answers.contains(&(event.to_owned(), json!(id))), "{event} of {id}: {answers:?}");
    }
    let acks: Vec<_> = answers.iter().filter(|(event, _)| event == "operation_ack").map(|(_, id)| id.clone()).collect();
    assert_eq!(acks, ["1", "2", "4"]);
    for version in 1..=3 {
        assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], version);
    }
    assert_eq!(content(&server, "doc").await.1, "abd");
}

async fn frames_hold_arrays_only_for_who_asked_for_them() {
    let server = Server::start().await;
    let mut writer = guest(&server, "doc", "writer").await;
    let mut single = guest(&server, "doc", "single").await;
    let mut batch = opened(&server, &Opening::guest("doc", "batch").with("batch", true)).await;
    let edits: Vec<_> = (0..300).map(|n| edit(&format!("m{n}"), 0, insert(n, "x")).to_string()).collect();
    writer.send_text(format!("[{}]", edits.join(","))).await;
    for version in 1..=300 {
        assert_eq!(writer.expect("operation", "operation_ack").await["server_version"], version);
        for socket in [&mut single, &mut batch] {
            assert_eq!(socket.expect("operation", "operation_broadcast").await["version"], version);
        }
    }
    assert_eq!((writer.largest_frame, single.largest_frame), (1, 1));
    assert!(batch.largest_frame > 1, "300 versions in one batch come in fewer frames");
}

async fn an_edit_without_a_name_gets_one() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut unnamed = edit("", 0, insert(0, "x"));
    unnamed.as_object_mut().unwrap().remove("message_id");
    for version in 1..=2 {
        ann.send(&unnamed).await;
        let ack = ann.expect("operation", "operation_ack").await;
        assert_eq!(ack["server_version"], version, "each time anew: {ack}");
        assert!(ack["message_id"].as_str().is_some_and(|id| !id.is_empty()), "{ack}");
    }
    let ids = Database::of(&server).await.message_ids("doc").await;
    assert_eq!(ids.len(), 2);
}
