//! Documents and their past over HTTP: everything under `/v1/documents`, and `/v1/events`.
//!
//! One filter takes them all and decides by the path and the method, so that a wrong method, a wrong id and an address
//! that does not exist each get an answer of their own.

mod answer;
mod events;
mod past;
mod query;
mod reading;
mod stream;
mod writing;

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::{sync::SemaphorePermit, time::timeout};
use warp::{Filter, path::FullPath};

use crate::{
    auth::{Identity, Permission},
    domain::DocumentId,
};

use super::{
    Shared, caller,
    peer::{self, Peer},
    problem::Problem,
    request,
    routes::Routes,
};
use answer::Answer;
use query::{Query, bad};

/// Who waits longer for a turn is sent away.
const TURN: Duration = Duration::from_secs(10);

/// Somebody asks for something, and may ask.
struct Ask {
    shared: Arc<Shared>,
    query: Query,
    headers: HeaderMap,
    peer: Peer,
    identity: Identity,
}

impl Ask {
    /// Whether they may do this with the document.
    fn check(&self, id: &DocumentId, needed: Permission) -> Result<(), Problem> {
        caller::check_on(&self.identity, id, needed)
    }

    /// A turn for a question that may take long.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let detail = "too many long questions at once; try again later";
        let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(Duration::from_secs(1));
        timeout(TURN, self.shared.long_questions.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    fn address(&self) -> std::net::IpAddr {
        peer::address(self.peer.0, &self.headers, &self.shared.settings.server.trusted_proxies)
    }
}

/// The route.
pub(super) fn route(shared: &Arc<Shared>) -> Routes {
    let shared = Arc::clone(shared);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let path = warp::path::full().and_then(|path: FullPath| async move {
        if segments(path.as_str()).is_some() { Ok(path) } else { Err(warp::reject::not_found()) }
    });
    path.and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .and(warp::body::stream())
        .then(move |path: FullPath, method: Method, query: String, headers: HeaderMap, peer: Peer, body| {
            let shared = Arc::clone(&shared);
            async move {
                let origin = headers.get(header::ORIGIN).cloned();
                if let Err(problem) = request::check_origin(&headers, &shared.settings.server.allowed_origins) {
                    return problem.response();
                }
                let answer = answer(&shared, (path.as_str(), &method, &query), (headers, peer), body).await;
                for_page(answer.unwrap_or_else(|problem| problem.response()), origin)
            }
        })
        .boxed()
}

/// What follows `/v1` where it is ours.
fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix("/v1/")?.trim_end_matches('/');
    let segments: Vec<_> = rest.split('/').collect();
    matches!(segments[..], ["documents", ..] | ["events"]).then_some(segments)
}

async fn answer<B: Buf>(
    shared: &Arc<Shared>,
    (path, method, query): (&str, &Method, &str),
    (headers, peer): (HeaderMap, Peer),
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
) -> Answer {
    let segments = segments(path).unwrap_or_default();
    let allowed: &[Method] = match segments[..] {
        ["documents"] => &[Method::GET, Method::HEAD, Method::POST],
        ["documents", _, "operations" | "restore"] => &[Method::POST],
        ["documents", _] | ["documents", _, "events" | "history" | "diff" | "comments" | "presence"] | ["events"] => {
            &[Method::GET, Method::HEAD]
        }
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address")),
    };
    if *method == Method::OPTIONS {
        return Ok(options(allowed));
    }
    if !allowed.contains(method) {
        let mut response =
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not know this method").response();
        response.headers_mut().insert(header::ALLOW, list_of(allowed));
        return Ok(response);
    }
    let identity = caller::identify(shared, query, &headers)?;
    let ask = Ask { shared: Arc::clone(shared), query: Query::read(query)?, headers, peer, identity };
    let id = segments.get(1).map(|segment| document_id(segment)).transpose()?;
    let may_have_body = *method == Method::POST;
    let body = read_body(body, if may_have_body { shared.settings.limits.message_bytes } else { 0 }).await?;
    match (&segments[1..], id) {
        ([], _) if may_have_body => writing::create(&ask, &body).await,
        ([_, "operations"], Some(id)) => writing::edit(&ask, &id, &body).await,
        ([_, "restore"], Some(id)) => writing::restore(&ask, &id, &body).await,
        ([], _) if segments[0] == "events" => events::feed(&ask).await,
        ([], _) => reading::list(&ask).await,
        ([_, sub @ ..], Some(id)) => {
            ask.check(&id, Permission::Read)?;
            match *sub {
                [] => reading::document(&ask, &id).await,
                ["events"] => events::of_document(&ask, &id).await,
                ["history"] => past::sessions(&ask, &id).await,
                ["diff"] => past::diff(&ask, &id).await,
                ["comments"] => reading::comments(&ask, &id).await,
                _ => reading::presence(&ask, &id).await,
            }
        }
        ([_, ..], None) => Err(bad("the id is missing")),
    }
}

fn document_id(segment: &str) -> Result<DocumentId, Problem> {
    let id = percent_decode_str(segment).decode_utf8().map_err(|_| bad("the path is not UTF-8"))?;
    DocumentId::parse(&id).map_err(|error| bad(error.to_string()))
}

/// All of a body, if it is not longer than this.
async fn read_body<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
    limit: usize,
) -> Result<BytesMut, Problem> {
    let (mut body, mut whole) = (std::pin::pin!(body), BytesMut::new());
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|error| bad(format!("the body could not be read: {error}")))?;
        if whole.len() + part.remaining() > limit {
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have {limit} bytes")));
        }
        while part.has_remaining() {
            let piece = part.chunk();
            whole.extend_from_slice(piece);
            let length = piece.len();
            part.advance(length);
        }
    }
    Ok(whole)
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
        let exposed = HeaderValue::from_static("allow, etag, location, retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}
