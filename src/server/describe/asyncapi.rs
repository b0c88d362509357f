//! The table of the dialect's events as AsyncAPI 3.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    protocol::{
        document::{From, events, watchers_events},
        schema::{Id, Name},
    },
    server::rest::{ROUTES, Run},
};

use super::{examples::MESSAGES, together};

/// The whole document. Its schemas are of draft 7, which is what AsyncAPI's own are made of.
pub(super) fn document() -> Value {
    let settings =
        || SchemaSettings::draft07().with(|it| "#/components/schemas".clone_into(it.definitions_path.to_mut()));
    let mut read = settings().for_deserialize().into_generator();
    let mut written = settings().for_serialize().into_generator();
    let (mut messages, mut operations, mut channels) = (Map::new(), Map::new(), Map::new());
    for (channel, title, path, events) in [
        ("document", "One document", "/v1/ws/documents/{id}", events()),
        ("replay", "One document, as it was written", "/v1/ws/documents/{id}/replay", watchers_events()),
    ] {
        let mut in_channel = Map::new();
        for event in events {
            let (schemas, direction, action) = match event.from {
                From::Client => (&mut read, "send", "receive"),
                From::Server => (&mut written, "receive", "send"),
            };
            // As clients see it; AsyncAPI tells of the service.
            let name = format!("{direction}_{}_{}", event.kind, event.event);
            in_channel.insert(name.clone(), json!({"$ref": format!("#/components/messages/{name}")}));
            operations.insert(
                format!("{channel}_{name}"),
                json!({
                    "action": action,
                    "channel": {"$ref": format!("#/channels/{channel}")},
                    "summary": event.says,
                    "messages": [{"$ref": format!("#/channels/{channel}/messages/{name}")}],
                }),
            );
            if !messages.contains_key(&name) {
                let data = (event.data)(schemas);
                let payload = envelope(schemas, (event.kind, event.event), &data);
                let pair = format!("{}/{}", event.kind, event.event);
                let form = "application/json";
                let mut message = json!({"name": pair, "title": event.says, "contentType": form, "payload": payload});
                if let Some(example) = MESSAGES.get(&name) {
                    message["examples"] = json!([{"payload": example}]);
                }
                messages.insert(name, message);
            }
        }
        channels.insert(channel.to_owned(), described(title, path, &in_channel));
    }
    let schemas = together(read.take_definitions(true), written.take_definitions(true));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Scriptorium",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0"},
            "description": "What is said on the WebSocket of a document, and on that of its replay. Every message is a JSON object; a frame may \
                hold an array of them, from clients always, from the server with `batch=true`. Routes that are asked \
                over HTTP are described by /openapi.json.",
        },
        "defaultContentType": "application/json",
        "servers": {"here": server()},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas, "securitySchemes": security()},
    })
}

fn server() -> Value {
    let schemes = security();
    let references = schemes.keys().map(|name| json!({"$ref": format!("#/components/securitySchemes/{name}")}));
    json!({
        "host": "{host}",
        "protocol": "ws",
        "description": "The service that this was asked of; `wss` where a proxy in front of it has TLS.",
        "variables": {"host": {"default": "127.0.0.1:8080", "description": "Its name and port."}},
        "security": references.collect::<Value>(),
    })
}

/// The ways in which one says who one is, of which one is enough.
fn security() -> Map<String, Value> {
    let later = "On the open connection `system`/`authenticate` brings another token in its place.";
    let key = |place: &str, name: &str, says: &str| json!({"type": "httpApiKey", "in": place, "name": name, "description": format!("{says} {later}")});
    let bearer = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": format!("A token in `Authorization`. {later}"),
    });
    let guest = "Where the service asks for no token: who one is, as one says; made up if left out.";
    let schemes = [
        ("bearer", bearer),
        ("protocol", key("header", "sec-websocket-protocol", "From a browser: `bearer, <token>`.")),
        ("token", key("query", "token", "The same token, where no header can be sent.")),
        ("guest", json!({"type": "httpApiKey", "in": "query", "name": "user_id", "description": guest})),
    ];
    schemes.map(|(name, scheme)| (name.to_owned(), scheme)).into_iter().collect()
}

fn described(title: &str, path: &str, messages: &Map<String, Value>) -> Value {
    json!({
        "address": path,
        "title": title,
        "parameters": {
            "id": {"description": "The id of the document; a `/` in it is percent-encoded.", "examples": ["doc_abc123"]},
        },
        "messages": messages,
        "bindings": {"ws": {"method": "GET", "query": query(path)}},
    })
}

fn envelope(schemas: &mut SchemaGenerator, (kind, event): (&str, &str), data: &schemars::Schema) -> Value {
    let (client, message) = (schemas.subschema_for::<Id>(), schemas.subschema_for::<Name>());
    json!({
        "type": "object",
        "required": ["type", "event", "data"],
        "properties": {
            "type": {"const": kind},
            "event": {"const": event},
            "data": data,
            "client_id": client,
            "message_id": message,
        },
    })
}

/// The query with which a document is opened, as an object.
fn query(path: &str) -> Value {
    let sockets = ROUTES.iter().filter(|route| matches!(route.run, Run::Socket) && route.path == path);
    let parameters = sockets.flat_map(|route| &route.takes).filter(|parameter| parameter.place == "query");
    let properties: Map<_, _> = parameters
        .map(|parameter| {
            let mut schema = parameter.schema.clone();
            schema["description"] = parameter.says.into();
            (parameter.name.to_owned(), schema)
        })
        .collect();
    json!({"type": "object", "properties": properties})
}
