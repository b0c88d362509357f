//! Comments: recorded, acknowledged, heard by everybody, and where their text is.

use serde_json::{Value, json};

use crate::support::{
    say::{WITH_TOKENS, commit, delete, edit, guest, insert, opened, sync, token},
    server::Server,
    socket::{Opening, Socket},
};

/// A comment that begins a thread.
fn comment(message_id: &str, version: Option<u64>, position: (usize, usize), more: Value) -> Value {
    let mut comment = json!({"content": "Why?", "position": {"start": position.0, "end": position.1}});
    comment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut data = json!({"comment": comment});
    if let Some(version) = version {
        data["version"] = json!(version);
    }
    say("comment_added", message_id, data)
}

fn say(event: &str, message_id: &str, data: Value) -> Value {
    json!({"type": "comment", "event": event, "data": data, "message_id": message_id})
}

/// Sends a comment event, takes its ack and the event itself, and gives the event's data.
async fn done(socket: &mut Socket, message: &Value) -> Value {
    socket.send(message).await;
    let ack = socket.expect("comment", "comment_ack").await;
    assert_eq!((&ack["message_id"], &ack["acknowledged"]), (&message["message_id"], &json!(true)));
    assert!(ack.get("server_version").is_none() && ack.get("duplicate").is_none(), "{ack}");
    socket.expect("comment", message["event"].as_str().unwrap()).await
}

/// The comments of a fresh sync.
async fn comments(server: &Server, opening: Opening) -> Value {
    let mut socket = Socket::open(server.address(), &opening).await;
    socket.expect("system", "connection_ack").await;
    let sync = socket.expect("system", "document_sync").await;
    socket.close().await;
    sync["comments"].clone()
}

fn at(start: usize, end: usize) -> Value {
    json!({"start": start, "end": end})
}

#[tokio::test]
async fn everybody_hears_of_a_comment_in_their_own_unit() {
    let server = Server::start().await;
    let mut ann = opened(&server, &Opening::guest("doc", "ann").with("name", "Ann")).await;
    let points = || Opening::guest("doc", "points").with("position_encoding", "utf-32");
    let mut reader = opened(&server, &points()).await;
    commit(&mut ann, &edit("m", 0, insert(0, "😀 some text"))).await;
    reader.expect("operation", "operation_broadcast").await;
    let heard = done(&mut ann, &comment("c", Some(1), (3, 7), json!({"author_id": "somebody else"}))).await;
    assert_eq!((&heard["comment"]["quote"], &heard["comment"]["position"]), (&json!("some"), &at(3, 7)));
    assert_eq!((&heard["comment"]["author_id"], &heard["comment"]["author_name"]), (&json!("user-ann"), &json!("Ann")));
    let read = reader.expect("comment", "comment_added").await;
    assert_eq!((&read["comment"]["position"], &read["comment"]["id"]), (&at(2, 6), &heard["comment"]["id"]));
    // From a client that counts code points.
    let mine = done(&mut reader, &comment("d", Some(1), (0, 1), json!({}))).await;
    assert_eq!((&mine["comment"]["position"], &mine["comment"]["quote"]), (&at(0, 1), &json!("😀")));
    assert_eq!(ann.expect("comment", "comment_added").await["comment"]["position"], at(0, 2));

    commit(&mut ann, &edit("n", 1, insert(0, "🎈"))).await;
    let synced = comments(&server, points()).await;
    assert_eq!((&synced[0]["position"], &synced[1]["position"]), (&at(3, 7), &at(1, 2)));
    let synced = comments(&server, Opening::guest("doc", "other")).await;
    assert_eq!((&synced[0]["position"], &synced[1]["position"]), (&at(5, 9), &at(2, 4)));
}

#[tokio::test]
async fn a_position_is_meant_where_its_client_saw_it() {
    let server = Server::start().await;
    let (mut ann, mut ben) = (guest(&server, "doc", "ann").await, guest(&server, "doc", "ben").await);
    commit(&mut ann, &edit("m", 0, insert(0, "some text"))).await;
    ben.expect("operation", "operation_broadcast").await;
    commit(&mut ben, &edit("b1", 1, insert(0, "ben: "))).await;
    // Ann has not heard of that, and has an edit of her own in flight.
    ann.send(&edit("a1", 1, insert(4, "thing in the"))).await;
    ann.send(&comment("a2", Some(1), (0, 16), json!({"quote": "something in the"}))).await;
    for event in ["operation_broadcast", "operation_ack"] {
        ann.expect("operation", event).await;
    }
    ann.expect("comment", "comment_ack").await;
    let heard = ann.expect("comment", "comment_added").await;
    assert_eq!((&heard["comment"]["position"], &heard["version"]), (&at(5, 21), &json!(3)));
    assert_eq!(heard["comment"]["quote"], "something in the");
    // Without a version it is the last one that was sent to the connection: 3.
    let heard = done(&mut ann, &comment("a3", None, (0, 3), json!({}))).await;
    assert_eq!(heard["comment"]["quote"], "ben");
    // All of it deleted before it arrived: it is recorded, and quotes what its author saw.
    ben.expect("operation", "operation_broadcast").await;
    ben.expect("comment", "comment_added").await;
    ben.expect("comment", "comment_added").await;
    commit(&mut ben, &edit("b2", 3, delete(0, 5))).await;
    ann.expect("operation", "operation_broadcast").await;
    let heard = done(&mut ann, &comment("a4", Some(3), (0, 3), json!({"quote": "ben"}))).await;
    assert_eq!((&heard["comment"]["position"], &heard["comment"]["orphaned"]), (&at(0, 0), &json!(true)));
    assert_eq!(heard["comment"]["quote"], "ben");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_named() {
    let server = Server::start_with(&[("LIMITS__COMMENTS", "2"), ("LIMITS__COMMENT_BYTES", "1KiB")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m", 0, insert(0, "a😀 text"))).await;
    let named = |id: &str, data: Value| say("comment_resolved", id, data);
    let long = "x".repeat(10_001);
    for (message, code, path) in [
        (comment("1", Some(1), (3, 3), json!({})), "INVALID_OPERATION", "data.comment.position"),
        (comment("2", Some(1), (0, 99), json!({})), "INVALID_OPERATION", ""),
        (comment("3", Some(1), (0, 2), json!({})), "INVALID_OPERATION", ""),
        (comment("4", Some(9), (0, 1), json!({})), "VERSION_AHEAD", ""),
        (comment("5", Some(1), (0, 1), json!({"content": ""})), "INVALID_MESSAGE", "data.comment.content"),
        (comment("6", Some(1), (0, 1), json!({"content": long})), "INVALID_MESSAGE", "data.comment.content"),
        (comment("7", Some(1), (0, 1), json!({"id": "no id"})), "INVALID_ID", "data.comment.id"),
        (say("comment_added", "8", json!({"comment": {"content": "x"}})), "INVALID_MESSAGE", "data.comment.position"),
        (say("comment_added", "9", json!({"comment": {"content": "x", "thread_id": "none"}})), "COMMENT_NOT_FOUND", ""),
        (named("10", json!({})), "INVALID_MESSAGE", "data.comment_id"),
        (named("11", json!({"thread_id": "none"})), "COMMENT_NOT_FOUND", ""),
        (say("comment_updated", "12", json!({"comment_id": "c"})), "INVALID_MESSAGE", "data.updates"),
        (say("comment_moved", "13", json!({})), "UNKNOWN_EVENT", ""),
        (
            say("comment_deleted", "14", json!({"comment_id": "c", "document_id": "other"})),
            "INVALID_MESSAGE",
            "data.document_id",
        ),
        (comment("15", Some(1), (0, 1), json!({"content": "é".repeat(1_000)})), "DOCUMENT_TOO_LARGE", ""),
    ] {
        ann.send(&message).await;
        let error = ann.expect_error(code).await;
        assert_eq!(error["details"]["message_id"], message["message_id"], "{error}");
        if !path.is_empty() {
            assert_eq!(error["details"]["path"], path, "{error}");
        }
    }
    done(&mut ann, &comment("c", Some(1), (0, 3), json!({"id": "c", "thread_id": "t"}))).await;
    ann.send(&comment("d", Some(1), (0, 1), json!({"id": "c"}))).await;
    assert_eq!(ann.expect_error("INVALID_MESSAGE").await["details"]["path"], "data.comment.id");
    done(&mut ann, &comment("d", Some(1), (0, 1), json!({"id": "d", "thread_id": "u"}))).await;
    ann.send(&named("e", json!({"comment_id": "c", "thread_id": "u"}))).await;
    assert_eq!(ann.expect_error("INVALID_MESSAGE").await["details"]["path"], "data.thread_id");
    ann.send(&comment("f", Some(1), (0, 1), json!({}))).await;
    let error = ann.expect_error("DOCUMENT_TOO_LARGE").await;
    assert_eq!((&error["details"]["setting"], &error["details"]["limit"]), (&json!("limits.comments"), &json!(2)));
    assert_eq!(comments(&server, Opening::guest("doc", "x")).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_comment_is_its_authors() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let with = |user: &str, permissions: Value| {
        Opening::of("doc").with("client_id", user).with("token", token(user, permissions, 600.0))
    };
    let mut writer = opened(&server, &with("writer", json!(["read", "write"]))).await;
    commit(&mut writer, &edit("m", 0, insert(0, "some text"))).await;
    writer.send(&comment("w", Some(1), (0, 4), json!({}))).await;
    let error = writer.expect_error("INSUFFICIENT_PERMISSIONS").await;
    assert_eq!(error["details"]["required_permission"], "document:comment");

    let mut ann = opened(&server, &with("ann", json!(["read", "comment"]))).await;
    let mut ben = opened(&server, &with("ben", json!(["read", "comment"]))).await;
    let mut admin = opened(&server, &with("admin", json!(["admin"]))).await;
    done(&mut ann, &comment("a", Some(1), (0, 4), json!({"id": "c", "thread_id": "t"}))).await;
    for other in [&mut ben, &mut admin] {
        other.expect("comment", "comment_added").await;
    }
    let update = |id: &str, content: &str| {
        say("comment_updated", id, json!({"comment_id": "c", "updates": {"content": content}}))
    };
    for message in [update("b1", "mine now"), say("comment_deleted", "b2", json!({"comment_id": "c"}))] {
        ben.send(&message).await;
        let error = ben.expect_error("INSUFFICIENT_PERMISSIONS").await;
        assert_eq!(error["details"]["required_permission"], "document:admin");
        assert_eq!(error["details"]["user_permissions"], json!(["document:read", "document:comment"]));
        assert_eq!(error["details"]["comment_id"], "c");
    }
    let resolved = done(&mut ben, &say("comment_resolved", "b3", json!({"comment_id": "c"}))).await;
    assert_eq!((&resolved["resolved_by"], &resolved["thread_id"]), (&json!("ben"), &json!("t")));
    let updated = {
        admin.expect("comment", "comment_resolved").await;
        done(&mut admin, &update("x1", "as an admin")).await
    };
    assert_eq!((&updated["updated_by"], &updated["updates"]), (&json!("admin"), &json!({"content": "as an admin"})));
    let synced = comments(&server, with("reader", json!(["read"]))).await;
    let (author, content, resolver) = (&synced[0]["author_id"], &synced[0]["content"], &synced[0]["resolved_by"]);
    assert_eq!((author, content, resolver), (&json!("ann"), &json!("as an admin"), &json!("ben")));
}

#[tokio::test]
async fn a_comment_that_is_sent_again_happens_once() {
    let mut server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m", 0, insert(0, "some text"))).await;
    let message = comment("c", Some(1), (0, 4), json!({}));
    ann.send(&message).await;
    let mut first = ann.expect("comment", "comment_ack").await;
    let heard = ann.expect("comment", "comment_added").await;
    assert_eq!((&first["comment_id"], &first["thread_id"]), (&heard["comment"]["id"], &heard["comment"]["thread_id"]));
    first["duplicate"] = json!(true);
    ann.send(&message).await;
    assert_eq!(ann.expect("comment", "comment_ack").await, first, "with the same made-up ids");
    // The same id for something else.
    for other in [
        comment("c", Some(1), (0, 5), json!({})),
        say("comment_deleted", "c", json!({"comment_id": first["comment_id"]})),
        edit("c", 1, insert(0, "x")),
        comment("m", Some(1), (0, 4), json!({})),
    ] {
        ann.send(&other).await;
        ann.expect_error("MESSAGE_ID_CONFLICT").await;
    }
    let deleted = say("comment_deleted", "d", json!({"comment_id": first["comment_id"]}));
    done(&mut ann, &deleted).await;
    for graceful in [true, false] {
        if graceful {
            assert!(server.terminate().await.success());
        } else {
            server.kill().await;
        }
        server.restart().await;
        let mut ann = guest(&server, "doc", "ann").await;
        ann.send(&message).await;
        assert_eq!(ann.expect("comment", "comment_ack").await, first, "also when it has been deleted since");
        ann.send(&deleted).await;
        assert_eq!(ann.expect("comment", "comment_ack").await["duplicate"], true);
        assert_eq!(comments(&server, Opening::guest("doc", "x")).await, json!([]));
    }
    server.verify().await;
}

/// Version 1, two comments, version 2, a third, and what happened to the first.
async fn discussed(server: &Server) {
    let mut ann = guest(server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "some text"))).await;
    done(&mut ann, &comment("c1", Some(1), (0, 4), json!({"id": "c1", "thread_id": "t1"}))).await;
    done(&mut ann, &comment("c2", Some(1), (5, 9), json!({"id": "c2", "thread_id": "t2"}))).await;
    commit(&mut ann, &edit("m2", 1, insert(0, "> "))).await;
    done(&mut ann, &comment("c3", Some(2), (0, 1), json!({"id": "c3", "thread_id": "t3"}))).await;
    done(&mut ann, &say("comment_resolved", "r1", json!({"comment_id": "c1"}))).await;
}

#[tokio::test]
async fn who_resumes_hears_of_comments_at_and_after_that_version() {
    for recent in ["2000", "1"] {
        let mut server = Server::start_with(&[("DOCUMENTS__RECENT_EDITS", recent)]).await;
        discussed(&server).await;
        for restart in [false, true] {
            if restart {
                server.kill().await;
                server.restart().await;
            }
            for (since, expected) in [
                (0, &["m1", "c1", "c2", "m2", "c3", "r1"][..]),
                (1, &["c1", "c2", "m2", "c3", "r1"]),
                (2, &["c3", "r1"]),
            ] {
                let opening = Opening::guest("doc", "ben").with("since", since);
                let mut ben = Socket::open(server.address(), &opening).await;
                assert_eq!(ben.expect("system", "connection_ack").await["resumed"], true);
                for message in expected {
                    let envelope = ben.envelope().await;
                    assert_eq!(envelope["message_id"], *message, "since {since}: {envelope}");
                    if *message == "c2" {
                        assert_eq!(envelope["data"]["comment"]["position"], at(5, 9), "as recorded");
                        assert_eq!(envelope["data"]["version"], 1);
                    }
                }
                // A request with `since` that has missed no edit is answered with the document.
                ben.send(&sync(json!({"since": 2}))).await;
                let synced = ben.expect("system", "document_sync").await;
                assert_eq!(synced["comments"].as_array().unwrap().len(), 3);
                ben.expect_silence().await;
            }
            // To their sender they come as ack and event.
            let mut ann = Socket::open(server.address(), &Opening::guest("doc", "ann").with("since", 2)).await;
            ann.expect("system", "connection_ack").await;
            for event in ["comment_ack", "comment_added", "comment_ack", "comment_resolved"] {
                ann.expect("comment", event).await;
            }
            ann.expect_silence().await;
        }
        server.verify().await;
    }
}

#[tokio::test]
async fn a_gap_of_many_comments_is_long_too() {
    let server = Server::start_with(&[("DOCUMENTS__MAX_RESUME_EVENTS", "3"), ("DOCUMENTS__RECENT_EDITS", "1")]).await;
    discussed(&server).await;
    for (since, resumed) in [(1, false), (2, true)] {
        let opening = Opening::guest("doc", "ben").with("since", since);
        let mut ben = Socket::open(server.address(), &opening).await;
        assert_eq!(ben.expect("system", "connection_ack").await["resumed"], resumed);
        if !resumed {
            assert_eq!(ben.expect("system", "document_sync").await["comments"].as_array().unwrap().len(), 3);
        }
    }
}

#[tokio::test]
async fn text_that_comes_back_after_a_restart_brings_its_comment_along() {
    for snapshots in ["1000", "2"] {
        let mut server = Server::start_with(&[("SNAPSHOTS__EVERY_EVENTS", snapshots)]).await;
        let mut ann = guest(&server, "doc", "ann").await;
        commit(&mut ann, &edit("m1", 0, insert(0, "some fine text"))).await;
        done(&mut ann, &comment("c1", Some(1), (5, 9), json!({"id": "c1", "thread_id": "t1"}))).await;
        commit(&mut ann, &edit("m2", 1, delete(2, 10))).await;
        server.kill().await;
        server.restart().await;
        let synced = comments(&server, Opening::guest("doc", "x")).await;
        let found = (&synced[0]["position"], &synced[0]["orphaned"], &synced[0]["quote"]);
        assert_eq!(found, (&at(2, 2), &json!(true), &json!("fine")));
        let mut ann = guest(&server, "doc", "ann").await;
        let mut ben = guest(&server, "doc", "ben").await;
        ann.send(&edit("m3", 2, insert(2, "me fine te"))).await;
        let anchors = json!([{"thread_id": "t1", "position": {"start": 5, "end": 9}}]);
        assert_eq!(ann.expect("operation", "operation_ack").await["anchors"], anchors);
        assert_eq!(ben.expect("operation", "operation_broadcast").await["anchors"], anchors);
        let synced = comments(&server, Opening::guest("doc", "x")).await;
        assert_eq!((&synced[0]["position"], &synced[0]["orphaned"]), (&at(5, 9), &json!(false)));
        let replayed = server.run(&["replay", "doc", "--format", "json"]).await;
        let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
        assert_eq!(replayed["comments"][0]["position"], at(5, 9));
        let events = server.run(&["events", "doc"]).await;
        let events = String::from_utf8(events.stdout).unwrap();
        let types: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let types: Vec<_> = types.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["edited", "comment_added", "edited", "edited"]);
        server.verify().await;
        assert!(server.run(&["rebuild"]).await.status.success());
        server.verify().await;
    }
}

#[tokio::test]
async fn comments_are_counted_by_their_kind() {
    let server = Server::start().await;
    discussed(&server).await;
    for (series, count) in [
        (r#"scriptorium_messages_received_total{kind="comment_added"}"#, 3.0),
        (r#"scriptorium_messages_received_total{kind="comment_resolved"}"#, 1.0),
        (r#"scriptorium_messages_sent_total{kind="comment_ack"}"#, 4.0),
        (r#"scriptorium_messages_sent_total{kind="comment"}"#, 4.0),
    ] {
        assert!((server.metric(series).await - count).abs() < 0.1, "{series}");
    }
}
