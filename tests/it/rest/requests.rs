//! The forms in which requests are accepted.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    rest::{Answer, answer},
    server::Server,
    socket::{Opening, Socket},
};

const DOC: &str = "/v1/documents/doc";

async fn server_with_a_document() -> Server {
    let server = Server::start().await;
    server.tell("/v1/documents", &json!({"id": "doc", "content": "x"})).await.with(201);
    server
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_and_the_nearest_known_one_is_named() {
    let server = server_with_a_document().await;
    for (path, meant) in [
        (format!("{DOC}?verson=1"), "did you mean `version`?"),
        (format!("{DOC}?version=1&Version=1"), "did you mean `version`?"),
        (format!("{DOC}/events?folow=true"), "did you mean `follow`?"),
        (format!("{DOC}/blame?limit=1"), "the parameters here are version, at, token, user_id"),
        ("/v1/events?afterr=1".to_owned(), "did you mean `after`?"),
        ("/v1/documents?userId=ann".to_owned(), "did you mean `user_id`?"),
    ] {
        let answer = server.look(&path).await;
        assert_eq!(answer.json["code"], "UNKNOWN_PARAMETER", "{path}");
        let detail = answer.problem(400);
        assert!(detail.contains(meant), "{path}: {detail}");
    }
    for (name, value) in [("positionEncoding", "utf-32"), ("sinse", "0"), ("speed", "2")] {
        let opening = Opening::guest("doc", "ann").with(name, value);
        assert_eq!(Socket::refused(server.address(), &opening).await, 400, "{name}");
    }
}

#[tokio::test]
async fn a_query_that_a_client_may_send_everywhere_is_known_everywhere() {
    let server = server_with_a_document().await;
    for path in [DOC, "/v1/documents", "/v1/events"] {
        server.look(&format!("{path}?token=t&user_id=ann")).await.with(200);
    }
}

/// Each body that is accepted is accepted with a byte order mark too, and neither compressed nor in another charset.
#[tokio::test]
async fn every_body_is_plain_utf_8_with_or_without_a_byte_order_mark() {
    let server = server_with_a_document().await;
    let edit = json!({"message_id": "m1", "version": 1, "operation": {"type": "delete", "position": 0, "length": 1}});
    let bodies = [
        ("/v1/documents", json!({"id": "other", "content": "y"})),
        ("/v1/documents/doc/operations", edit),
        ("/v1/documents/doc/restore", json!({"message_id": "m2", "version": 1})),
        ("/v1/documents/doc/import?message_id=m3", json!({"content": "z"})),
        ("/v1/revocations", json!({"jti": "t", "until": "2999-01-01T00:00:00Z"})),
        ("/v1/erasures", json!({"user_id": "nobody"})),
    ];
    for (path, body) in bodies {
        let post = async |name: &str, value: &str, body: Vec<u8>| -> Answer {
            answer(server.ask(Method::POST, path).header(name, value).body(body)).await
        };
        let plain = body.to_string().into_bytes();
        let gzip = post("content-encoding", "gzip", b"\x1f\x8b".to_vec()).await;
        assert_eq!(gzip.json["code"], "UNSUPPORTED_MEDIA_TYPE", "{path}");
        assert!(gzip.problem(415).contains("`Content-Encoding: gzip`"), "{path}");
        let latin = post("content-type", "application/json; charset=iso-8859-1", plain.clone()).await;
        assert!(latin.problem(415).contains("UTF-8"), "{path}");
        let marked = [b"\xef\xbb\xbf".to_vec(), plain].concat();
        let taken = post("content-type", "application/json; charset=utf-8", marked).await;
        assert!((200..300).contains(&taken.status), "{path}: {taken:?}");
    }
    assert_eq!(server.look(DOC).await.with(200)["content"], "z");
}

#[tokio::test]
async fn an_empty_last_event_id_is_none() {
    let server = server_with_a_document().await;
    let events = server.ask(Method::GET, &format!("{DOC}/events")).header("last-event-id", "");
    assert_eq!(answer(events).await.with(200)["events"].as_array().map(Vec::len), Some(1));
    let odd = server.ask(Method::GET, &format!("{DOC}/events")).header("last-event-id", "x");
    assert!(answer(odd).await.problem(400).contains("`Last-Event-ID`"));
}

#[tokio::test]
async fn the_request_of_a_nameless_guest_may_be_sent_again() {
    let server = Server::start().await;
    let create = json!({"content": "once", "message_id": "k1"});
    let first = server.tell("/v1/documents", &create).await.with(201);
    let again = server.tell("/v1/documents", &create).await.with(200);
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    let path = format!("/v1/documents/{}/operations", first["id"].as_str().unwrap());
    let edit =
        json!({"message_id": "k2", "version": 1, "operation": {"type": "insert", "position": 0, "content": "y"}});
    server.tell(&path, &edit).await.with(201);
    assert_eq!(server.tell(&path, &edit).await.with(200)["duplicate"], true);
    assert_eq!(server.tell(&format!("{path}?user_id="), &edit).await.with(200)["duplicate"], true);
    let conflict = server.tell(&format!("{path}?user_id=bot"), &edit).await;
    assert_eq!(conflict.json["code"], "MESSAGE_ID_CONFLICT", "another user is another sender");
    conflict.problem(409);
}

#[tokio::test]
async fn a_moment_may_have_a_bare_plus() {
    let server = server_with_a_document().await;
    let event: Value = server.look(&format!("{DOC}/events")).await.with(200)["events"][0].take();
    let time = event["time"].as_str().unwrap().replace('Z', "+00:00");
    assert_eq!(server.look(&format!("{DOC}?at={time}")).await.with(200)["version"], 1);
}
