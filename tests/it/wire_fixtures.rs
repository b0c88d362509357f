//! The examples of docs/protocol.md, played against the service.
//!
//! A fixture is a conversation: a list of steps, each with a `client` and what it `opens` (the query), what
//! it `sends`, `receives`, that it `leaves`, or how it is `closed`; or what somebody `posts` and how that is `answered`. Moments of the server's clock stand for any moment; a `token`
//! beside what it sends says what is put in the place of the shown one.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{
    say::{self, token},
    server::Server,
    socket::{Opening, Socket},
    wire::is_time,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Each fixture by its name.
fn fixtures() -> BTreeMap<String, Value> {
    let files = fs::read_dir(root().join("tests/fixtures/wire")).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let fixture = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fixture)
        })
        .collect()
}

#[tokio::test]
async fn every_example_happens_as_it_is_written() {
    for (name, fixture) in fixtures() {
        println!("{name}");
        play(&name, &fixture).await;
    }
}

async fn play(name: &str, fixture: &Value) {
    let with_tokens = fixture["steps"].as_array().unwrap().iter().any(|step| step["opens"].get("token").is_some());
    let settings = fixture["settings"].as_object().into_iter().flatten();
    let mut settings: Vec<_> = settings.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    settings.extend(if with_tokens { &say::WITH_TOKENS[..] } else { &[] });
    let server = Server::start_with(&settings).await;
    let mut answer = Value::Null;
    let mut clients: BTreeMap<&str, Socket> = BTreeMap::new();
    for (at, step) in fixture["steps"].as_array().unwrap().iter().enumerate() {
        let (step_name, client) = (format!("{name}:{}", at + 1), step["client"].as_str().unwrap());
        if let Some(request) = step.get("posts") {
            let (status, body) = server.post(request["path"].as_str().unwrap(), None, &request["body"]).await;
            answer = json!({"status": status, "body": body});
            continue;
        }
        if let Some(expected) = step.get("answered") {
            assert!(fits(expected, &answer), "{step_name}: expected\n{expected:#}\ngot\n{answer:#}");
            continue;
        }
        if let Some(query) = step.get("opens") {
            clients.insert(client, Socket::open(server.address(), &opening(query)).await);
            continue;
        }
        let socket = clients.get_mut(client).unwrap();
        if let Some(message) = step.get("sends") {
            let mut message = message.clone();
            if let Some(wanted) = step.get("token") {
                message["data"]["token"] = json!(made(wanted));
            }
            // A text stands for itself, and is no JSON.
            socket.send_text(message.as_str().map_or_else(|| message.to_string(), str::to_owned)).await;
        } else if let Some(expected) = step.get("receives") {
            // Who comes and goes is part of every conversation, and an example only where it is the subject.
            let got =
                if expected["type"] == "presence" { socket.any_envelope().await } else { socket.envelope().await };
            assert!(fits(expected, &got), "{step_name}: expected\n{expected:#}\ngot\n{got:#}");
        } else if step.get("leaves").is_some() {
            clients.remove(client).unwrap().close().await;
        } else {
            let closed = &step["closed"];
            let reason = socket.expect_close(u16::try_from(closed["code"].as_u64().unwrap()).unwrap()).await;
            assert_eq!(closed["reason"], reason, "{step_name}");
        }
    }
}

/// A token with these `permissions`, good for so many `seconds`; a list of permissions stands for a long one.
fn made(wanted: &Value) -> String {
    match wanted.get("seconds") {
        Some(seconds) => token("user_123", wanted["permissions"].clone(), seconds.as_f64().unwrap()),
        None => token("user_123", wanted.clone(), 600.0),
    }
}

/// A query; what stands under `token` is made into one.
fn opening(query: &Value) -> Opening {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    query.as_object().unwrap().iter().fold(Opening::of("doc_abc123"), |opening, (name, value)| match name.as_str() {
        "token" => opening.with("token", made(value)),
        name => opening.with(name, text(value)),
    })
}

/// Whether a value is as the example says.
fn fits(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(name, value)| match got.get(name) {
                    // The clock in milliseconds, and a time to wait.
                    Some(got) if matches!(&**name, "server_time" | "retry_after_ms") && value.is_number() => {
                        got.is_u64()
                    }
                    Some(got) => fits(value, got),
                    None => false,
                })
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| fits(expected, got))
        }
        _ if is_time(expected) => is_time(got),
        _ => expected == got,
    }
}

#[test]
fn an_example_that_differs_is_noticed() {
    let example = json!({"a": [1, {"timestamp": "2025-01-07T10:30:00Z"}], "server_time": 5});
    assert!(fits(&example, &json!({"a": [1, {"timestamp": "2026-01-07T10:30:00.123Z"}], "server_time": 6})));
    for other in [
        json!({"a": [1, {"timestamp": 5}], "server_time": 5}),
        json!({"a": [1], "server_time": 5}),
        json!({"a": [1, {"timestamp": "2025-01-07T10:30:00Z"}], "server_time": 5, "more": 1}),
        json!({"a": [1, {"timestamp": "2025-01-07T10:30:00Z"}]}),
    ] {
        assert!(!fits(&example, &other), "{other}");
    }
}

/// A block of docs/protocol.md that begins with ```` ```json NAME:STEP ```` shows that step of that fixture.
#[test]
fn the_protocol_page_quotes_only_what_is_tested() {
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let (fixtures, mut quoted) = (fixtures(), 0);
    for block in page.split("```json").skip(1) {
        let (mark, rest) = block.split_once('\n').unwrap();
        let example: Value =
            serde_json::from_str(rest.split("```").next().unwrap()).unwrap_or_else(|error| panic!("{mark}: {error}"));
        let (name, step) =
            mark.trim().split_once(':').unwrap_or_else(|| panic!("an example without its fixture: {example}"));
        let steps = &fixtures.get(name).unwrap_or_else(|| panic!("no fixture {name}"))["steps"];
        let step = &steps[step.parse::<usize>().unwrap() - 1];
        let tested =
            ["opens", "sends", "receives", "closed", "posts", "answered"].iter().find_map(|kind| step.get(kind));
        assert_eq!(tested, Some(&example), "{mark}");
        quoted += 1;
    }
    assert!(quoted >= fixtures.len(), "every fixture is worth quoting");
}

/// The rows of the reference table that every connection meets, and the codes of errors, as far as a conversation
/// can bring them about.
#[test]
fn every_row_of_the_reference_table_has_an_example() {
    let steps: Vec<Value> =
        fixtures().into_values().flat_map(|fixture| fixture["steps"].as_array().unwrap().clone()).collect();
    let has = |way: &str, kind: &str, event: &str| {
        steps.iter().any(|step| step[way]["type"] == kind && step[way]["event"] == event)
    };
    for (way, kind, event) in [
        ("sends", "operation", "document_edit"),
        ("receives", "operation", "operation_ack"),
        ("receives", "operation", "operation_broadcast"),
        ("receives", "system", "connection_ack"),
        ("receives", "system", "document_sync"),
        ("sends", "system", "document_sync"),
        ("receives", "system", "error"),
        ("sends", "system", "ping"),
        ("receives", "system", "pong"),
        ("receives", "system", "disconnect"),
        ("receives", "system", "token_expiring"),
        ("sends", "system", "authenticate"),
    ] {
        assert!(has(way, kind, event), "no example {way} {kind}/{event}");
    }
    for code in [
        "INVALID_JSON",
        "INVALID_MESSAGE",
        "INVALID_ID",
        "UNKNOWN_EVENT",
        "MESSAGE_ID_CONFLICT",
        "CLIENT_ID_MISMATCH",
        "UNAUTHORIZED",
        "TOKEN_EXPIRED",
        "INSUFFICIENT_PERMISSIONS",
        "INVALID_OPERATION",
        "VERSION_AHEAD",
        "PREDECESSOR_REFUSED",
        "RATE_LIMITED",
    ] {
        assert!(steps.iter().any(|step| step["receives"]["data"]["error_code"] == code), "no example of {code}");
    }
    // Every field of the reference is there, under its name.
    let fields = |event: &str| {
        let step = steps.iter().find(|step| step["receives"]["event"] == event).unwrap();
        step["receives"]["data"].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    for (event, expected) in [
        ("operation_ack", &["message_id", "server_version", "timestamp", "acknowledged"][..]),
        ("operation_broadcast", &["operation", "version", "transformed"]),
        ("connection_ack", &["client_id", "user_id", "permissions", "document_version", "server_time"]),
        ("document_sync", &["document", "active_users"]),
        ("error", &["error_code", "message", "details", "recoverable", "timestamp"]),
        ("pong", &["timestamp", "server_time"]),
    ] {
        let there = fields(event);
        assert!(expected.iter().all(|name| there.contains(*name)), "{event} has {there:?}");
    }
}
