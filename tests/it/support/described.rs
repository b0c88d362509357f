//! What the service says of itself, held against what it answers.

use std::{collections::HashMap, sync::Mutex};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::within;

/// The descriptions that the service gives of itself; all processes of a test are of one version.
static HTTP: OnceCell<Value> = OnceCell::const_new();
static SOCKETS: OnceCell<Value> = OnceCell::const_new();
/// Schemas that were read, by where they stand.
static READ: Mutex<Option<HashMap<String, &'static Validator>>> = Mutex::new(None);

async fn fetched(cell: &'static OnceCell<Value>, base: &str, path: &str) -> &'static Value {
    let fetch = async {
        let response = within("a description", reqwest::get(format!("{base}{path}"))).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        within("a description", response.json()).await.unwrap()
    };
    cell.get_or_init(|| fetch).await
}

/// `/openapi.json` of the service at `base`: `http://127.0.0.1:8080`.
pub(crate) async fn openapi(base: &str) -> &'static Value {
    fetched(&HTTP, base, "/openapi.json").await
}

/// `/asyncapi.json`.
pub(crate) async fn asyncapi(base: &str) -> &'static Value {
    fetched(&SOCKETS, base, "/asyncapi.json").await
}

/// An answer over HTTP, and what was asked.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) sent: Option<&'a [u8]>,
    pub(crate) status: u16,
    pub(crate) form: &'a str,
    pub(crate) body: &'a [u8],
}

/// What differs between an exchange and the description: the address, the method, the status, the form or the body.
pub(crate) fn differs(document: &Value, exchange: &Exchange<'_>) -> Option<String> {
    let Exchange { method, path, status, form, body, sent } = exchange;
    let said = format!("{method} {path} was answered with {status} as {form:?}");
    let Some((template, routes)) = route(document, path) else {
        return (!matches!(status, 403 | 404)).then(|| format!("{said}, but there is no such address"));
    };
    let asked = if *method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let Some(operation) = routes.get(&asked) else {
        let fits = matches!((*method, status), ("OPTIONS", 204 | 403) | (_, 405 | 403));
        return (!fits).then(|| format!("{said}, but {template} has no such method"));
    };
    let Some(answer) = operation["responses"].get(status.to_string()) else {
        return Some(format!("{said}, but the status is not among {:?}", operation["responses"]));
    };
    if let Some(sent) = sent.filter(|_| (200..300).contains(status)) {
        let at = format!("/paths/{}/{asked}/requestBody/content/application~1json/schema", escaped(template));
        // Whoever is understood sends what is described; more than that is passed over. Some routes take other than JSON.
        let sent: Result<Value, _> = serde_json::from_slice(sent);
        let wrong = sent.ok().and_then(|sent| wrong(document, &at, &sent, false));
        if let Some(wrong) = wrong {
            return Some(format!("{said}, but what was sent is not described: {wrong}"));
        }
    }
    let forms = answer.get("content").and_then(Value::as_object);
    if body.is_empty() && (*method == "HEAD" || forms.is_none()) {
        return None;
    }
    if forms.is_none_or(|forms| !forms.contains_key(*form)) {
        return Some(format!("{said}, but that is not among {forms:?}"));
    }
    let at = format!("/paths/{}/{asked}/responses/{status}/content/{}/schema", escaped(template), escaped(form));
    document.pointer(&at)?;
    let parts: Vec<Value> = match *form {
        "application/x-ndjson" | "text/event-stream" => return None,
        _ => vec![serde_json::from_slice(body).unwrap()],
    };
    parts.iter().find_map(|part| wrong(document, &at, part, true)).map(|wrong| format!("{said}, but {wrong}"))
}

/// What is wrong with an event of a stream: `/v1/events`, with `text/event-stream`.
pub(crate) fn wrong_event(document: &Value, path: &str, form: &str, event: &Value) -> Option<String> {
    let (template, _) = route(document, path)?;
    let at = format!("/paths/{}/get/responses/200/content/{}/schema", escaped(template), escaped(form));
    wrong(document, &at, event, true)
}

/// What is wrong with a message on a WebSocket: one that the service told, or was sent. What it says is to be described
/// to the last field; what it is sent may have more.
pub(crate) fn wrong_message(document: &Value, told: bool, message: &Value) -> Option<String> {
    let name = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let side = if told { "receive" } else { "send" };
    let at = format!("/components/messages/{side}_{}_{}/payload", name("type"), name("event"));
    if document.pointer(&at).is_none() {
        return Some(format!("nobody is to {side} {}/{}", name("type"), name("event")));
    }
    wrong(document, &at, message, told)
}

/// The address that a path is one of, and what it can be asked.
fn route<'a>(document: &'a Value, path: &str) -> Option<(&'a str, &'a Value)> {
    let fits = |template: &str| {
        let (mut ours, mut theirs) = (template.split('/'), path.trim_end_matches('/').split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs)) if ours.starts_with('{') || ours == theirs => (),
                _ => return false,
            }
        }
    };
    document["paths"].as_object()?.iter().find(|(path, _)| fits(path)).map(|(path, routes)| (path.as_str(), routes))
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn wrong(document: &Value, at: &str, value: &Value, to_the_last_field: bool) -> Option<String> {
    let validator = validator(document, at, to_the_last_field);
    let wrong: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{} at {:?}", error, error.instance_path().as_str()))
        .collect();
    (!wrong.is_empty()).then(|| format!("{value} is not as {at} says: {wrong:?}"))
}

fn validator(document: &Value, at: &str, to_the_last_field: bool) -> &'static Validator {
    let key = format!("{to_the_last_field} {at}");
    let mut read = READ.lock().unwrap();
    read.get_or_insert_default().entry(key).or_insert_with(|| {
        let (mut schema, mut components) = (document.pointer(at).unwrap().clone(), document["components"].clone());
        if to_the_last_field {
            close(&mut schema);
            close(&mut components);
        }
        let root = json!({"allOf": [schema], "components": components});
        let is_http = document.get("openapi").is_some();
        let draft = if is_http { Draft::Draft202012 } else { Draft::Draft7 };
        let validator = jsonschema::options().with_draft(draft).should_validate_formats(true).build(&root);
        // As long as the process lives; there are a few dozen.
        Box::leak(Box::new(validator.unwrap_or_else(|error| panic!("{at}: {error}"))))
    })
}

/// Lets objects have only the fields that are said of them: what is answered has nothing that is not described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        _ => {}
    }
}
