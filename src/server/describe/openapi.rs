//! The table of routes as OpenAPI 3.1.

use http::StatusCode;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    auth::Permission,
    protocol::schema::Id,
    server::{
        problem::{Code, ProblemJson},
        rest::{Needs, Parameter, ROUTES, Reply, Route, Run, describe},
    },
};

use super::{
    examples::{EXCHANGES, Exchange},
    together,
};

/// The form of an answer that is not the one that was hoped for.
const PROBLEM: &str = "application/problem+json";

/// The schemas of what is read and of what is written.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

/// The whole document.
pub(super) fn document() -> Value {
    let settings =
        || SchemaSettings::draft2020_12().with(|it| "#/components/schemas".clone_into(it.definitions_path.to_mut()));
    let mut schemas = Schemas {
        read: settings().for_deserialize().into_generator(),
        written: settings().for_serialize().into_generator(),
    };
    let mut paths = Map::new();
    for route in ROUTES.iter() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        let method = route.method.as_str().to_ascii_lowercase();
        path[method] = operation(route, &mut schemas);
        if route.path.contains("{id}") {
            let schema = schemas.read.subschema_for::<Id>();
            path["parameters"] = json!([{
                "name": "id", "in": "path", "required": true, "schema": schema,
                "description": "The id of a document; a `/` in it is percent-encoded.",
            }]);
        }
    }
    let schemas = together(schemas.read.take_definitions(true), schemas.written.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Scriptorium",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "description": "Documents that are written together, and their past. Positions and lengths count UTF-16 \
                code units. What is said on WebSockets is described by /asyncapi.json.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "token": {
                    "type": "apiKey", "in": "query", "name": "token",
                    "description": "The same token, where no header can be sent.",
                },
                "guest": {
                    "type": "apiKey", "in": "query", "name": "user_id",
                    "description": "Where the service asks for no token: who one is, as one says.",
                },
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let is_of_route = |it: &&Exchange| it.method == route.method.as_str() && route.at(it.address()).is_some();
    let examples: Vec<_> = EXCHANGES.iter().filter(is_of_route).collect();
    let mut operation = json!({
        "operationId": name(route),
        "summary": route.does,
        "responses": responses(route, schemas, &examples),
    });
    if let Some(needed) = permission(route.needs) {
        operation["description"] = format!("Needs {needed}.").into();
    }
    if !route.takes.is_empty() {
        operation["parameters"] = route.takes.iter().map(parameter).collect();
    }
    if !route.body.is_empty() {
        operation["requestBody"] = json!({"required": true});
    }
    for (form, looks) in &route.body {
        let content = &mut operation["requestBody"]["content"][*form];
        content["schema"] = json!(looks(&mut schemas.read));
        if let Some(sent) = examples.iter().find(|it| it.sent_as == *form).and_then(|it| it.sends.as_ref()) {
            content["example"] = sent.clone();
        }
    }
    operation["security"] = match route.run {
        Run::Plain(_) => json!([]),
        Run::Asked(_) | Run::About(_) | Run::Socket => json!([{"bearer": []}, {"token": []}, {"guest": []}, {}]),
    };
    operation
}

/// A name for programs that are made of the description: `getDocumentsEvents`.
fn name(route: &Route) -> String {
    let mut name = route.method.as_str().to_ascii_lowercase();
    let path = route.path.trim_start_matches("/v1").trim_end_matches(".json");
    // Where the path ends with the id it is about one: `getDocument`.
    let path = path.strip_suffix("s/{id}").unwrap_or(path);
    for word in path.split('/').filter(|word| !word.starts_with('{')) {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// What is needed, in words.
fn permission(needs: Needs) -> Option<String> {
    let on = |permission: Permission, which: &str| Some(format!("the permission `{}` on {which}", permission.short()));
    match needs {
        Needs::Nothing | Needs::Token => None,
        Needs::On(permission) | Needs::OnTold(permission) => on(permission, "the document"),
        Needs::Everywhere(permission) => on(permission, "everything (`*`)"),
    }
}

fn parameter(Parameter { place, name, says, schema }: &Parameter) -> Value {
    json!({"name": name, "in": place, "description": says, "required": false, "schema": schema})
}

fn responses(route: &Route, schemas: &mut Schemas, examples: &[&Exchange]) -> Value {
    let mut all = Map::new();
    let example = |reply: &mut Value, status: u16, form: &str| {
        let found = examples.iter().find(|it| it.status == status && it.form == form);
        if let Some(answer) = found.and_then(|it| it.answers.as_ref()) {
            reply["content"][form]["example"] = answer.clone();
        }
    };
    for Reply { status, says, forms, headers } in &route.gives {
        let mut reply = json!({"description": says});
        for (form, looks) in forms {
            reply["content"][*form] = match looks {
                Some(looks) => json!({"schema": looks(&mut schemas.written)}),
                None => json!({}),
            };
            example(&mut reply, *status, form);
        }
        for header in *headers {
            reply["headers"][*header] = json!({"schema": {"type": "string"}});
        }
        all.insert(status.to_string(), reply);
    }
    for status in route.refusals() {
        let codes: Vec<_> = Code::ALL.iter().filter(|it| it.status() == status).map(|it| it.as_str()).collect();
        let words = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        let schema = describe::<ProblemJson<'_>>(&mut schemas.written);
        let mut problem =
            json!({"description": format!("{words}: {}.", codes.join(", ")), "content": {PROBLEM: {"schema": schema}}});
        example(&mut problem, status, PROBLEM);
        if matches!(status, 429 | 503) {
            let seconds = json!({"type": "integer", "minimum": 1});
            let says = "Seconds after which it may be worth another try.";
            problem["headers"]["retry-after"] = json!({"description": says, "schema": seconds});
        }
        all.insert(status.to_string(), problem);
    }
    all.into()
}
