//! What the service says of itself: that it is well-formed, that the pages say the same, and that differences show.

use std::{collections::BTreeSet, fs, path::PathBuf};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    support::{
        described::{self, Exchange},
        rest::answer,
        server::Server,
        within,
    },
    wire_fixtures::fixtures,
};

fn file(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

async fn both(server: &Server) -> (&'static Value, &'static Value) {
    let base = format!("http://{}", server.address());
    (described::openapi(&base).await, described::asyncapi(&base).await)
}

#[tokio::test]
async fn the_descriptions_have_a_name_and_pages_may_read_them() {
    let server = Server::start_with(&[("SERVER__ALLOWED_ORIGINS", r#"["https://a.example"]"#)]).await;
    for path in ["/openapi.json", "/asyncapi.json"] {
        let whole = server.look(path).await;
        assert_eq!((whole.status, whole.header("content-type")), (200, "application/json"));
        let tag = whole.header("etag").to_owned();
        let again = answer(server.ask(Method::GET, path).header("if-none-match", &tag)).await;
        assert_eq!((again.status, again.header("etag"), &again.json), (304, &*tag, &Value::Null));
        let other = answer(server.ask(Method::GET, path).header("if-none-match", "\"other\"")).await;
        assert_eq!((other.status, &other.json), (200, &whole.json));
        for (origin, allowed) in [("https://a.example", "https://a.example"), ("https://b.example", "")] {
            let seen = answer(server.ask(Method::GET, path).header("origin", origin)).await;
            assert_eq!((seen.status, seen.header("access-control-allow-origin")), (200, allowed));
        }
    }
}

#[tokio::test]
async fn the_description_of_the_routes_is_openapi() {
    let server = Server::start().await;
    let (http, _) = both(&server).await;
    let meta: Value = serde_json::from_str(&file("tests/fixtures/openapi/schema-3.1.json")).unwrap();
    let meta = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&meta).unwrap();
    let wrong: Vec<_> = meta.iter_errors(http).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut broken = http.clone();
    broken["paths"]["/healthz"]["get"]["responses"] = json!([]);
    assert!(!meta.is_valid(&broken), "a document that is none is noticed");
    let names: Vec<_> = operations(http).map(|(_, _, it)| it["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}

pub(super) fn operations(http: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = http["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, routes)| {
        let methods = routes.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters");
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Each `$ref` of a document.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(target) if key == "$ref" => vec![target],
                _ => references(value),
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(references).collect(),
        _ => vec![],
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_nothing_is_described_for_nobody() {
    let server = Server::start().await;
    let (http, sockets) = both(&server).await;
    for document in [http, sockets] {
        let all: BTreeSet<_> = references(document).into_iter().collect();
        for target in &all {
            assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(all.contains(&*format!("#/components/schemas/{name}")), "{name} is not used");
        }
    }
}

#[tokio::test]
async fn the_page_has_every_route_and_the_description_too() {
    let server = Server::start().await;
    let (http, _) = both(&server).await;
    let described: BTreeSet<_> =
        operations(http).map(|(path, method, _)| format!("{} {path}", method.to_ascii_uppercase())).collect();
    let page = file("docs/http.md");
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(route, _)| route.to_owned()));
    let told: BTreeSet<_> = rows.filter(|route| route.contains(" /")).collect();
    assert_eq!(told, described);
}

#[tokio::test]
async fn everything_that_is_said_on_a_socket_is_described_and_played() {
    let server = Server::start().await;
    let (_, sockets) = both(&server).await;
    let mistakes = ["INVALID_MESSAGE", "INVALID_ID", "UNKNOWN_EVENT", "INVALID_OPERATION"];
    let mut played = BTreeSet::new();
    for (name, fixture) in fixtures() {
        let steps = fixture["steps"].as_array().unwrap();
        for (at, step) in steps.iter().enumerate() {
            let name_of = |side: &str, it: &Value| {
                format!(
                    "{side}_{}_{}",
                    it["type"].as_str().unwrap_or_default(),
                    it["event"].as_str().unwrap_or_default()
                )
            };
            if let Some(told) = step.get("receives") {
                played.insert(name_of("receive", told));
            }
            let Some(sent) = step.get("sends") else { continue };
            let later = steps[at + 1..].iter().filter(|later| later["client"] == step["client"]);
            let refused = later
                .take_while(|later| later.get("sends").is_none())
                .find_map(|later| later["receives"]["data"]["error_code"].as_str());
            let frames = sent.as_array().cloned().unwrap_or_else(|| vec![sent.clone()]);
            for message in frames.iter().filter(|message| message.is_object()) {
                let wrong = described::wrong_message(sockets, false, message);
                match refused {
                    Some("UNKNOWN_EVENT") => assert!(wrong.is_some(), "{name}: {message}"),
                    Some(code) if mistakes.contains(&code) => (),
                    _ => {
                        assert!(wrong.is_none(), "{name}: {wrong:?}");
                        played.insert(name_of("send", message));
                    }
                }
            }
        }
    }
    let page = file("docs/protocol.md");
    let messages = sockets["components"]["messages"].as_object().unwrap();
    for (name, message) in messages {
        let (kind, event) = message["name"].as_str().unwrap().split_once('/').unwrap();
        assert!(played.contains(name), "nobody plays {name}");
        let is_told = page.contains(&format!("`{event}`")) || page.contains(&format!("\"event\": \"{event}\""));
        assert!(is_told && page.contains(&format!("`{kind}`")), "docs/protocol.md has no {kind}/{event}");
    }
    let operations = sockets["operations"].as_object().unwrap();
    let said: BTreeSet<_> = operations
        .values()
        .map(|operation| operation["messages"][0]["$ref"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert!(said.into_iter().eq(messages.keys()));
}

#[tokio::test]
async fn an_answer_that_is_not_described_is_noticed() {
    let server = Server::start().await;
    let (http, sockets) = both(&server).await;
    server.tell("/v1/documents", &json!({"id": "doc", "content": "x"})).await.with(201);
    let document = server.look("/v1/documents/doc").await.with(200);
    let body = document.to_string();
    let good = Exchange {
        method: "GET",
        path: "/v1/documents/doc",
        sent: None,
        status: 200,
        form: "application/json",
        body: body.as_bytes(),
    };
    assert_eq!(described::differs(http, &good), None);
    let mut bodies = Vec::new();
    for (field, value) in
        [("more", json!(1)), ("version", json!("1")), ("id", json!("a b")), ("metadata", json!({"word_count": 1}))]
    {
        let mut changed = document.clone();
        changed[field] = value;
        bodies.push(changed.to_string());
    }
    for body in &bodies {
        assert!(described::differs(http, &Exchange { body: body.as_bytes(), ..good }).is_some(), "{body}");
    }
    for other in [
        Exchange { path: "/v1/papers/doc", ..good },
        Exchange { method: "POST", ..good },
        Exchange { status: 418, ..good },
        Exchange { form: "text/html", ..good },
        Exchange { form: "application/problem+json", status: 404, ..good },
    ] {
        assert!(described::differs(http, &other).is_some());
    }
    let message = json!({"type": "system", "event": "disconnect", "data": {"reason": "banned", "code": 4004}});
    assert_eq!(described::wrong_message(sockets, true, &message), None);
    for changed in [
        json!({"type": "system", "event": "farewell", "data": {}}),
        json!({"type": "system", "event": "disconnect", "data": {"reason": "banned"}}),
        json!({"type": "system", "event": "disconnect", "data": {"reason": "banned", "code": 4004, "more": 1}}),
    ] {
        assert!(described::wrong_message(sockets, true, &changed).is_some(), "{changed}");
    }
    assert!(described::wrong_message(sockets, false, &message).is_some(), "clients do not say that");
}

/// A comment is at a place of the text, and at another one of the feed.
#[tokio::test]
async fn an_event_of_the_feed_keeps_the_place_that_a_comment_is_about() {
    use crate::support::say::{commit, edit, guest, insert};
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "some words"))).await;
    let comment = json!({"id": "c", "content": "Why?", "position": {"start": 5, "end": 10}});
    let data = json!({"comment": comment, "version": 1});
    ann.send(&json!({"type": "comment", "event": "comment_added", "message_id": "m2", "data": data})).await;
    ann.expect("comment", "comment_ack").await;
    let of_document = server.look("/v1/documents/doc/events?after=1").await.with(200);
    let of_all = server.look("/v1/events").await.with(200);
    let in_feed = of_all["events"].as_array().unwrap().iter().find(|it| it["type"] == "comment_added").unwrap();
    assert_eq!(of_document["events"][0]["anchor"], json!({"start": 5, "end": 10}));
    assert_eq!(in_feed["anchor"], of_document["events"][0]["anchor"]);
    assert!(in_feed["position"].is_u64());
}

/// A WebSocket is opened by GET alone, and a request that is none is told so.
#[tokio::test]
async fn the_address_of_a_socket_is_described() {
    let server = Server::start().await;
    for (method, status) in [(Method::GET, 426), (Method::POST, 405)] {
        let request = Client::new().request(method, format!("http://{}/v1/ws/documents/doc", server.address()));
        let got = within("an answer", request.send()).await.unwrap().status().as_u16();
        assert!(got == status || got == 400, "{got}");
    }
}
