//! Everything that is asked over HTTP: documents and their past, and what those ask who watch over the service.
//!
//! One filter takes it all and looks in the [table] of routes for the path and the method, so that a wrong method,
//! a wrong id and an address that does not exist each get an answer of their own.

mod answer;
mod authors;
mod body;
mod events;
mod exchange;
mod past;
mod query;
mod reading;
mod route;
mod stream;
mod table;
mod writing;

pub(super) use answer::{has_already, json, not_modified};
pub(super) use body::SLOWEST;
use route::Longest;
pub(super) use route::{Needs, Parameter, Reply, Route, Run, describe};
pub(super) use table::{REPLAY, ROUTES, SOCKET, query_of};
pub(super) use writing::{read as read_json, unusable};

use std::{sync::Arc, time::Duration};

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::time::Instant;
use warp::{Filter, path::FullPath};

use crate::{
    auth::{Identity, Permission},
    domain::DocumentId,
    telemetry::{Limited, Metrics},
};

use super::{
    Shared,
    accept::Slot,
    caller, limits,
    peer::{self, Peer},
    problem::{Code, Problem},
    quota::{Held, Quota},
    request,
    routes::Routes,
};
use answer::Answer;
pub(super) use query::{Query, bad};

/// Somebody asks for something, and may ask.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) shared: Arc<Shared>,
    query: Query,
    headers: HeaderMap,
    /// The connection that it came over.
    slot: Slot,
    pub(super) identity: Identity,
}

impl Ask {
    /// Whether they may do this with the document.
    fn check(&self, id: &DocumentId, needed: Permission) -> Result<(), Problem> {
        caller::check_on(&self.identity, id, needed)
    }

    /// A turn for a question that may take long. Work that does not end with the request has to take it along.
    async fn turn(&self) -> Result<Held, Problem> {
        let turn = self.shared.long_questions.turn(&self.identity.user_id).await;
        turn.ok_or_else(|| Problem::new(Code::Busy, "too many long questions at once; try again later"))
    }

    async fn import_turn(&self) -> Result<Held, Problem> {
        let turn = self.shared.imports.turn(&self.identity.user_id).await;
        turn.ok_or_else(|| Problem::new(Code::Busy, "too many imports at once; try again later"))
    }
}

/// The route.
pub(super) fn route(shared: &Arc<Shared>) -> Routes {
    let shared = Arc::clone(shared);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::get::<Slot>())
        .and(warp::body::stream())
        .then(move |path: FullPath, method: Method, query: String, headers: HeaderMap, peer: Peer, slot: Slot, body| {
            let shared = Arc::clone(&shared);
            async move {
                let page = request::check_origin(&method, &headers, &shared.settings.server.allowed_origins);
                let origin = headers.get(header::ORIGIN).filter(|_| page.is_ok()).cloned();
                let (counted, came) = (shared.metrics.http_request(), Instant::now());
                let here = table::at(path.as_str());
                let template = here.first().map_or("other", |(route, _)| route.path);
                let answer = answer(&shared, &here, (&method, &query), (headers, peer, slot), (page, body)).await;
                let response = for_page(answer.unwrap_or_else(|problem| problem.response()), origin);
                counted.answered((template, name_of(&method)), response.status().as_u16(), came.elapsed());
                response
            }
        })
        .boxed()
}

/// The answer to a request that was refused before its address was looked at.
pub(super) fn refused(metrics: &Metrics, method: &Method, problem: &Problem) -> warp::reply::Response {
    let response = problem.response();
    metrics.http_request().answered(("other", name_of(method)), response.status().as_u16(), Duration::ZERO);
    response
}

async fn answer<B: Buf>(
    shared: &Arc<Shared>,
    here: &[(&'static Route, &str)],
    (method, query): (&Method, &str),
    (headers, peer, slot): (HeaderMap, Peer, Slot),
    (page, body): (Result<(), Problem>, impl Stream<Item = Result<B, warp::Error>> + Send),
) -> Answer {
    if !here.iter().any(|(route, _)| matches!(route.run, Run::Plain(_))) {
        page?;
    }
    let is_asked_for =
        |route: &Route| route.method == *method || (route.method == Method::GET && *method == Method::HEAD);
    let Some((route, segment)) = here.iter().find(|(route, _)| is_asked_for(route)) else {
        return otherwise(method, here);
    };
    if let Run::Plain(run) = route.run {
        return Ok(run(shared, &headers).await);
    }
    slot.check()?;
    let address = peer::address(peer.0, &headers, &shared.settings.server.trusted_proxies);
    let too_much = |of, wait| {
        shared.metrics.rate_limited(of);
        Problem::new(Code::RateLimited, "too many requests; try again later").after(wait)
    };
    let taken = shared.address_requests.take(limits::neighbourhood(address), Instant::now());
    taken.map_err(|wait| too_much(Limited::HttpAddress, wait))?;
    let identity = caller::identify(shared, query, &headers)?;
    let taken = shared.user_requests.take(identity.user_id.clone(), Instant::now());
    taken.map_err(|wait| too_much(Limited::HttpUser, wait))?;
    let id = matches!(route.run, Run::About(_)).then(|| document_id(segment)).transpose()?;
    check(&identity, id.as_ref(), route.needs)?;
    let query = Query::read(query, &route.query_parameters())?;
    if !route.body.is_empty() {
        body::check_form(&headers)?;
    }
    let (limit, room) = room_for(shared, route.longest);
    let room = room.nothing(&identity.user_id).ok_or_else(body::no_room)?;
    let body = body::read(body, (limit, body::announced(&headers)), room, shared.settings.server.io_timeout).await?;
    let body = body::without_mark(body);
    let ask = Ask { shared: Arc::clone(shared), query, headers, slot, identity };
    match (route.run, id) {
        (Run::Asked(run), _) => run(&ask, &body).await,
        (Run::About(run), Some(id)) => run(&ask, &id, &body).await,
        (Run::About(_) | Run::Plain(_) | Run::Socket, _) => Err(nothing_here()),
    }
}

/// How long a body may be, and where room for it is taken.
fn room_for(shared: &Shared, longest: Longest) -> (usize, &Arc<Quota>) {
    let limits = &shared.settings.limits;
    match longest {
        Longest::Nothing => (0, &shared.body_bytes),
        Longest::Message => (limits.message_bytes, &shared.body_bytes),
        Longest::Import => (limits.import_bytes, &shared.import_bytes),
    }
}

/// Whether somebody may use the route at all: what is wrong with their request they learn only then.
fn check(identity: &Identity, id: Option<&DocumentId>, needs: Needs) -> Result<(), Problem> {
    match (needs, id) {
        (Needs::Everywhere(permission), _) => caller::check_everywhere(identity, permission),
        (Needs::On(permission), Some(id)) => caller::check_on(identity, id, permission),
        (Needs::On(_) | Needs::OnTold(_) | Needs::Nothing | Needs::Token, _) => Ok(()),
    }
}

/// For a method that has no route here.
fn otherwise(method: &Method, here: &[(&Route, &str)]) -> Answer {
    if here.is_empty() {
        return Err(nothing_here());
    }
    let mut allowed = Vec::new();
    for (route, _) in here {
        allowed.push(route.method.clone());
        // A WebSocket is opened by GET alone.
        if route.method == Method::GET && !matches!(route.run, Run::Socket) {
            allowed.push(Method::HEAD);
        }
    }
    if *method == Method::OPTIONS {
        return Ok(options(&allowed));
    }
    let detail = "this address does not know this method";
    let mut response = Problem::new(Code::MethodNotAllowed, detail).response();
    response.headers_mut().insert(header::ALLOW, list_of(&allowed));
    Ok(response)
}

/// A method as a label: a closed set.
fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this address")
}

fn document_id(segment: &str) -> Result<DocumentId, Problem> {
    let id = percent_decode_str(segment).decode_utf8().map_err(|_| bad("the path is not UTF-8"))?;
    DocumentId::from_client(&id).map_err(|error| bad(error.to_string()))
}

fn list_of(methods: &[Method]) -> HeaderValue {
    let names: Vec<_> = methods.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).expect("methods are plain words")
}

/// What a browser asks before it asks.
fn options(methods: &[Method]) -> warp::reply::Response {
    let mut response = Response::new("".into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, list_of(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, list_of(methods));
    let allowed = "authorization, content-type, idempotency-key, if-none-match, last-event-id";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets a page of an allowed origin read the answer.
fn for_page(mut response: warp::reply::Response, origin: Option<HeaderValue>) -> warp::reply::Response {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin, accept"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("allow, content-disposition, etag, location, retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}
