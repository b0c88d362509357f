//! Every route there is. What is not here is not answered, and what is here is described.

use std::{
    future::ready,
    sync::{Arc, LazyLock},
};

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::{
    auth::Permission::{Admin, Read, Write},
    protocol::{
        history::{
            BlameJson, CommentsJson, ContributionsJson, CreateJson, DiffJson, DocumentJson, EditJson, EventJson,
            EventPageJson, HistoryJson, ListJson, PeopleJson, RestoreJson, WrittenJson,
        },
        schema::{Anything, EXACT},
    },
    server::{
        describe,
        erase::{self, ErasureJson, ErasureOrderJson},
        probes,
        problem::Problem,
        revoke::{self, RevocationJson, RevokedJson},
    },
};

use super::{
    Query, authors, events, exchange, past, reading,
    route::{
        Needs::{Everywhere, Nothing, On, OnTold, Token},
        Parameter, Route, Run, describe as looks, header, limit, query,
    },
    writing,
};

/// Where a document is opened, and where one is watched.
pub(in crate::server) const SOCKET: &str = "/v1/ws/documents/{id}";
pub(in crate::server) const REPLAY: &str = "/v1/ws/documents/{id}/replay";

/// Every route, in the order of the description.
pub(in crate::server) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    vec![
        Route::get(
            "/v1/documents",
            "The documents that one may read",
            Token,
            Run::Asked(|ask, _| Box::pin(reading::list(ask))),
        )
        .takes([after(text(), "Those whose ids come behind this one."), limit(reading::PAGE, reading::LARGEST_PAGE)])
        .gives::<ListJson>(200, "A page of them, in the order of their ids."),
        Route::post::<CreateJson>(
            "/v1/documents",
            "Makes a document",
            OnTold(Write),
            Run::Asked(|ask, body| Box::pin(writing::create(ask, body))),
        )
        .takes([idempotency_key()])
        .gives::<WrittenJson<'_>>(201, "It was made.")
        .with_headers(&["location"])
        .gives::<WrittenJson<'_>>(200, "It had been made before, by this message.")
        .with_headers(&["location"])
        .fails(&[409, 410]),
        about(
            "/v1/documents/{id}",
            "A document as it is, or as it was",
            Run::About(|ask, id, _| Box::pin(reading::document(ask, id))),
        )
        .takes(then())
        .takes([if_none_match()])
        .gives::<DocumentJson<'_>>(200, "The document as of then.")
        .with_headers(&["etag"])
        .gives_nothing(304, "It is as the one who asks has it already.")
        .with_headers(&["etag"]),
        Route::delete(
            "/v1/documents/{id}",
            "Erases a document for good",
            On(Admin),
            Run::About(|ask, id, _| Box::pin(reading::erase(ask, id))),
        )
        .gives_nothing(204, "It is gone; its id is never used again."),
        about(
            "/v1/documents/{id}/comments",
            "What was said about it",
            Run::About(|ask, id, _| Box::pin(reading::comments(ask, id))),
        )
        .takes(then())
        .gives::<CommentsJson>(200, "All comments as of then."),
        about(
            "/v1/documents/{id}/presence",
            "Who is there, or was",
            Run::About(|ask, id, _| Box::pin(reading::presence(ask, id))),
        )
        .takes(then())
        .gives::<PeopleJson<'_>>(200, "Everybody who was there, and where."),
        streaming::<EventPageJson>(
            about(
                "/v1/documents/{id}/events",
                "What happened to it",
                Run::About(|ask, id, _| Box::pin(events::of_document(ask, id))),
            ),
            "seq",
        ),
        about(
            "/v1/documents/{id}/history",
            "Who wrote when: edits, grouped into sessions",
            Run::About(|ask, id, _| Box::pin(past::sessions(ask, id))),
        )
        .takes([
            after(version(), "Sessions that begin behind this version."),
            limit(past::PAGE, past::LARGEST_PAGE),
            query("pause", "Without an edit for so long a session is over.", duration("5m")),
        ])
        .gives::<HistoryJson>(200, "A page of sessions, the oldest first."),
        about(
            "/v1/documents/{id}/diff",
            "What makes one version of another",
            Run::About(|ask, id, _| Box::pin(past::diff(ask, id))),
        )
        .takes([
            query("from", "The version that it begins with; 0 if left out.", version()),
            query("to", "The version that it leads to; now if left out.", version()),
        ])
        .gives::<DiffJson<'_>>(200, "The change; either version may be the newer one."),
        about(
            "/v1/documents/{id}/blame",
            "Who wrote what is there",
            Run::About(|ask, id, _| Box::pin(authors::blame(ask, id))),
        )
        .takes(then())
        .takes([if_none_match()])
        .gives::<BlameJson<'_>>(200, "The text as of then in pieces, each of one edit.")
        .with_headers(&["etag"])
        .gives_nothing(304, "It is as the one who asks has it already.")
        .with_headers(&["etag"]),
        about(
            "/v1/documents/{id}/contributions",
            "Who has done how much",
            Run::About(|ask, id, _| Box::pin(authors::contributions(ask, id))),
        )
        .takes(then())
        .takes([if_none_match()])
        .gives::<ContributionsJson<'_>>(200, "What everybody had done up to then, those with most edits first.")
        .with_headers(&["etag"])
        .gives_nothing(304, "It is as the one who asks has it already.")
        .with_headers(&["etag"]),
        Route::post::<EditJson>(
            "/v1/documents/{id}/operations",
            "Edits a document",
            On(Write),
            Run::About(|ask, id, body| Box::pin(writing::edit(ask, id, body))),
        )
        .takes([idempotency_key()])
        .gives::<WrittenJson<'_>>(201, "The edit is on disk.")
        .gives::<WrittenJson<'_>>(200, "It had been made before, by this message.")
        .fails(&[409]),
        Route::post::<RestoreJson>(
            "/v1/documents/{id}/restore",
            "Brings a version back, as a new one",
            On(Write),
            Run::About(|ask, id, body| Box::pin(writing::restore(ask, id, body))),
        )
        .takes([idempotency_key()])
        .gives::<WrittenJson<'_>>(201, "The version is back.")
        .gives::<WrittenJson<'_>>(200, "It had been brought back before, by this message.")
        .fails(&[409]),
        about(
            "/v1/documents/{id}/export",
            "A document in a format of others",
            Run::About(|ask, id, _| Box::pin(exchange::export(ask, id))),
        )
        .takes([format()])
        .takes(then())
        .takes([if_none_match()])
        .gives_as(200, "The document as of then.", JSON, Some(looks::<Anything>))
        .gives_as(200, "", PLAIN, None)
        .gives_as(200, "", "text/markdown; charset=utf-8", None)
        .gives_as(200, "", "text/html; charset=utf-8", None)
        .with_headers(&["etag", "content-disposition"])
        .gives_nothing(304, "It is as the one who asks has it already.")
        .with_headers(&["etag"]),
        Route::post::<Anything>(
            "/v1/documents/{id}/import",
            "Gives a document another content, as one new version, or makes it",
            On(Write),
            Run::About(|ask, id, body| Box::pin(exchange::import(ask, id, body))),
        )
        .or_as(&["text/plain", "text/markdown", "text/html"], looks::<String>)
        .takes([format(), message_id(), idempotency_key()])
        .gives::<WrittenJson<'_>>(201, "The content is on disk.")
        .gives::<WrittenJson<'_>>(200, "It had been taken in before, by this message.")
        .fails(&[409]),
        streaming::<EventPageJson>(
            Route::get(
                "/v1/events",
                "What happened to everything, in the order of the commits",
                Everywhere(Admin),
                Run::Asked(|ask, _| Box::pin(events::feed(ask))),
            ),
            "position",
        ),
        Route::post::<RevocationJson>(
            "/v1/revocations",
            "Shuts somebody out for a while",
            Everywhere(Admin),
            Run::Asked(|ask, body| Box::pin(revoke::revoke(ask, body))),
        )
        .gives::<RevokedJson<'_>>(201, "They are shut out."),
        Route::post::<ErasureOrderJson>(
            "/v1/erasures",
            "Erases a person: their name, their comments, and that it was they who wrote",
            Everywhere(Admin),
            Run::Asked(|ask, body| Box::pin(erase::erase(ask, body))),
        )
        .gives::<ErasureJson<'_>>(200, "It is done, on every node."),
        Route::get(
            SOCKET,
            "Opens a document as a WebSocket; what is said on it is in /asyncapi.json",
            Nothing,
            Run::Socket,
        )
        .takes(opening())
        .gives_nothing(101, "The connection is a WebSocket.")
        .fails(&[400, 403, 426, 429, 503]),
        Route::get(
            REPLAY,
            "Shows on a WebSocket how a document was written; what is said on it is in /asyncapi.json",
            Nothing,
            Run::Socket,
        )
        .takes(opening())
        .takes(replaying())
        .gives_nothing(101, "The connection is a WebSocket.")
        .fails(&[400, 403, 426, 429, 503]),
        Route::get(
            "/healthz",
            "Whether the process lives",
            Nothing,
            Run::Plain(|_, _| Box::pin(ready(probes::healthz()))),
        )
        .gives_as(200, "It does.", PLAIN, None),
        Route::get(
            "/readyz",
            "Whether edits can be stored",
            Nothing,
            Run::Plain(|shared, _| Box::pin(probes::readyz(Arc::clone(shared)))),
        )
        .gives_as(200, "They can.", PLAIN, None)
        .fails(&[503]),
        Route::get(
            "/metrics",
            "What is counted, for Prometheus",
            Nothing,
            Run::Plain(|shared, _| Box::pin(ready(probes::metrics(shared)))),
        )
        .gives_as(200, "Prometheus text format.", probes::PROMETHEUS, None),
        Route::get(
            "/openapi.json",
            "This description",
            Nothing,
            Run::Plain(|_, headers| Box::pin(ready(describe::openapi(headers)))),
        )
        .takes([if_none_match()])
        .gives_as(200, "OpenAPI 3.1.", JSON, None)
        .with_headers(&["etag"])
        .gives_nothing(304, "It has not changed."),
        Route::get(
            "/asyncapi.json",
            "What is said on WebSockets",
            Nothing,
            Run::Plain(|_, headers| Box::pin(ready(describe::asyncapi(headers)))),
        )
        .takes([if_none_match()])
        .gives_as(200, "AsyncAPI 3.", JSON, None)
        .with_headers(&["etag"])
        .gives_nothing(304, "It has not changed."),
    ]
});

/// The routes of an address, each with what stands in the place of the parameter of its path.
pub(super) fn at(address: &str) -> Vec<(&'static Route, &str)> {
    ROUTES.iter().filter_map(|route| Some((route, route.at(address)?))).collect()
}

/// The query of a request to the route of this path.
pub(in crate::server) fn query_of(path: &str, query: &str) -> Result<Query, Problem> {
    let route = ROUTES.iter().find(|route| route.path == path);
    Query::read(query, &route.map_or_else(Vec::new, Route::query_parameters))
}

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

/// A question about one document, for who may read it.
fn about(path: &'static str, does: &'static str, run: Run) -> Route {
    Route::get(path, does, On(Read), run)
}

/// Recorded events, in pages or as a stream that goes by this number.
fn streaming<Page: JsonSchema>(route: Route, number: &'static str) -> Route {
    let follow = json!({"type": "boolean"});
    let last = json!({"type": "string", "pattern": "^[0-9]{0,16}$"});
    let after = if number == "seq" { "Events behind this `seq`." } else { "Events behind this `position`." };
    let most = json!({"type": "integer", "minimum": 1, "maximum": EXACT});
    route
        .takes([
            query("after", after, number_from_zero()),
            query("limit", "So many at most. A page has at most 1,000, and 100 if it is left out.", most),
            query("follow", "Of a stream: whether it waits for more at the end.", follow),
            header("last-event-id", "The `id` of the last event that came; instead of `after`.", last),
        ])
        .gives::<Page>(200, "A page; or, as `Accept` says, a stream, of whose lines (or `data`) the schema is.")
        .gives_as(200, "", "application/x-ndjson", Some(looks::<EventJson>))
        .gives_as(200, "", "text/event-stream", Some(looks::<EventJson>))
        .fails(&[409])
}

/// As of when.
fn then() -> [Parameter; 2] {
    let time = json!({"type": "string", "format": "date-time", "examples": ["2025-01-07T10:30:00Z"]});
    [
        query("version", "As of this version. Not together with `at`.", version()),
        query("at", "As of this moment, RFC 3339.", time),
    ]
}

fn after(schema: Value, says: &'static str) -> Parameter {
    query("after", says, schema)
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number_from_zero() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": EXACT})
}

fn version() -> Value {
    number_from_zero()
}

fn duration(default: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]{1,6}(ms|s|m|h|d)$", "default": default, "examples": ["30s", "5m", "2h"]})
}

fn idempotency_key() -> Parameter {
    let says = "Another place for `message_id`, plain or in quotes.";
    header("idempotency-key", says, json!({"type": "string", "minLength": 1, "maxLength": 130}))
}

fn if_none_match() -> Parameter {
    header("if-none-match", "The tags of the states that one has.", text())
}

fn message_id() -> Parameter {
    query("message_id", "The name of this message.", json!({"type": "string", "minLength": 1, "maxLength": 128}))
}

fn format() -> Parameter {
    let all = json!({"type": "string", "enum": ["text", "markdown", "html", "delta", "json"]});
    query("format", "What it is given out or taken in as; by default text, or what `Content-Type` says.", all)
}

/// What one says besides when one watches a replay.
fn replaying() -> [Parameter; 5] {
    let speed = json!({"type": "number", "minimum": 0, "maximum": 1_000_000, "default": 1});
    let pause = json!({"type": "string", "pattern": "^[0-9]{1,6}(ms|s|m|h|d)$", "examples": ["2s"]});
    [
        query("from", "The version that it begins with; 0 if left out.", version()),
        query("to", "The version that it ends with; the newest if left out.", version()),
        query("speed", "How many times faster than it happened; 0 is at once.", speed),
        query("max_pause", "No pause between two events is longer than this.", pause),
        query(
            "paused",
            "Whether it waits to be resumed before it begins.",
            json!({"type": "boolean", "default": false}),
        ),
    ]
}

/// What one says when one opens a document.
fn opening() -> [Parameter; 10] {
    let id = json!({"type": "string", "pattern": "^[A-Za-z0-9._:/~-]{1,128}$"});
    let choice = |all: [&str; 2]| json!({"type": "string", "enum": all, "default": all[0]});
    [
        query("client_id", "A stable name of this client, the same across reconnects; made up when absent.", id),
        query("since", "Send what came after this version instead of the whole document.", version()),
        query("position_encoding", "The unit of positions and lengths.", choice(["utf-16", "utf-32"])),
        query("operations", "The form in which the server sends operations.", choice(["simple", "delta"])),
        query("batch", "Whether a frame may hold an array of messages.", choice(["false", "true"])),
        query("token", "A JWT, where no header can carry it.", text()),
        query("user_id", "Who a guest is, where no token is asked for.", text()),
        query("name", "What a guest is called.", text()),
        query("color", "The colour of a guest.", text()),
        header("sec-websocket-protocol", "`bearer, <token>`, from a browser.", text()),
    ]
}
