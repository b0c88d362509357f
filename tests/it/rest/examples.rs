//! The examples in the descriptions: each is as its schema says, and each is what really happens.

use std::{fs, path::PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{
        described::{self, Exchange},
        rest::answer,
        say::opened,
        server::Server,
        socket::{Opening, Socket},
        within,
    },
    wire_fixtures::{covers, fits, fixtures},
};

use super::descriptions::operations;

const JSON: &str = "application/json";

async fn openapi(server: &Server) -> &'static Value {
    described::openapi(&format!("http://{}", server.address())).await
}

/// What is shown of the routes: questions and answers, in the order in which they happen.
fn exchanges() -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/server/describe/exchanges.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn every_message_has_an_example_which_is_played() {
    let server = Server::start().await;
    let sockets = described::asyncapi(&format!("http://{}", server.address())).await;
    let fixtures = fixtures();
    let steps: Vec<_> = fixtures.values().flat_map(|fixture| fixture["steps"].as_array().unwrap()).collect();
    for (name, message) in sockets["components"]["messages"].as_object().unwrap() {
        let example = &message["examples"][0]["payload"];
        let (kind, event) = message["name"].as_str().unwrap().split_once('/').unwrap();
        assert_eq!((&example["type"], &example["event"]), (&json!(kind), &json!(event)), "{name}");
        let is_told = name.starts_with("receive_");
        assert_eq!(described::wrong_message(sockets, is_told, example), None);
        let way = if is_told { "receives" } else { "sends" };
        assert!(steps.iter().any(|step| step.get(way) == Some(example)), "nobody {way} {example}");
    }
}

#[tokio::test]
async fn every_operation_has_an_example_which_is_one() {
    let server = Server::start().await;
    let http = openapi(&server).await;
    let has_example = |content: &Value| {
        content.as_object().is_none_or(|forms| forms.values().any(|form| form.get("example").is_some()))
    };
    for (path, method, operation) in operations(http) {
        assert!(has_example(&operation["requestBody"]["content"]), "{method} {path} shows nothing to send");
        let replies = operation["responses"].as_object().unwrap().iter();
        let mut good = replies.filter(|(status, reply)| status.starts_with('2') && reply.get("content").is_some());
        let is_shown = good.clone().next().is_none() || good.any(|(_, reply)| has_example(&reply["content"]));
        assert!(is_shown, "{method} {path} shows no answer");
    }
    for it in exchanges() {
        let path = it["path"].as_str().unwrap();
        let is_json = it["answers"].is_object();
        let body =
            if is_json { it["answers"].to_string() } else { it["answers"].as_str().unwrap_or_default().to_owned() };
        let sent = it.get("sends").map(Value::to_string);
        let exchange = Exchange {
            method: it["method"].as_str().unwrap(),
            path: path.split('?').next().unwrap(),
            sent: sent.as_deref().filter(|_| it.get("as").is_none()).map(str::as_bytes),
            status: u16::try_from(it["status"].as_u64().unwrap()).unwrap(),
            form: it.get("form").map_or(JSON, |form| form.as_str().unwrap()),
            body: body.as_bytes(),
        };
        assert_eq!(described::differs(http, &exchange), None);
    }
}

/// Somebody says something about the document, and shows where they are.
async fn come_and_say_something(server: &Server) -> Socket {
    let john = Opening::of("doc_abc123").with("user_id", "user_123").with("name", "John Doe");
    let mut socket = opened(server, &john).await;
    let comment = json!({
        "id": "comment_xyz789", "thread_id": "thread_abc123", "content": "This section needs more detail",
        "position": {"start": 6, "end": 11},
    });
    let data = json!({"comment": comment, "version": 2});
    socket.send(&json!({"type": "comment", "event": "comment_added", "message_id": "c1", "data": data})).await;
    socket.expect("comment", "comment_ack").await;
    let cursor = json!({"cursor": {"position": 5, "selection": {"start": 5, "end": 9}}, "version": 2});
    socket.send(&json!({"type": "presence", "event": "cursor_update", "data": cursor})).await;
    let is_there = async || {
        let there = server.look("/v1/documents/doc_abc123/presence").await.with(200);
        there["users"][0]["selection"].is_object()
    };
    within("the cursor", async { while !is_there().await {} }).await;
    socket
}

#[tokio::test]
async fn what_is_shown_of_the_routes_happens_so() {
    let server = Server::start().await;
    let mut john = None;
    for it in exchanges() {
        let (method, path) = (it["method"].as_str().unwrap(), it["path"].as_str().unwrap());
        if method == "GET" && john.is_none() {
            john = Some(come_and_say_something(&server).await);
        }
        let sent = it["sends"].as_str().map_or_else(|| it["sends"].to_string(), str::to_owned);
        let mut request = server.ask(Method::from_bytes(method.as_bytes()).unwrap(), path);
        if it.get("sends").is_some() {
            request =
                request.header("content-type", it.get("as").map_or(JSON, |form| form.as_str().unwrap())).body(sent);
        }
        let got = answer(request).await;
        assert_eq!(json!(got.status), it["status"], "{method} {path}: {}", got.text);
        let Some(expected) = it.get("answers") else { continue };
        assert_eq!(got.header("content-type"), it.get("form").map_or(JSON, |form| form.as_str().unwrap()));
        let is_so = match expected.as_str() {
            // Of what is long a part is shown.
            Some(text) if path == "/metrics" => text.lines().all(|line| got.text.lines().any(|other| other == line)),
            Some(text) => got.text == text,
            None if matches!(path, "/openapi.json" | "/asyncapi.json") => covers(expected, &got.json),
            None => fits(expected, &got.json),
        };
        assert!(is_so, "{method} {path}: expected\n{expected:#}\ngot\n{}", got.text);
    }
}
