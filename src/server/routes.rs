//! Which address answers what.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout};
use warp::{Filter, Rejection, Reply, filters::BoxedFilter};

use crate::telemetry::Refusal;

use super::{
    Shared, connection, handshake, limits,
    peer::{self, Peer},
    problem::Problem,
    request,
    request::OpenRequest,
    rest, revoke,
};

/// A log that takes longer for one small write is not ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// All routes as one service.
pub(super) type Routes = BoxedFilter<(warp::reply::Response,)>;

/// Every route of the service.
pub(super) fn all(shared: &Arc<Shared>) -> Routes {
    documents(shared)
        .or(revoke::route(shared))
        .unify()
        .or(rest::route(shared))
        .unify()
        .or(get(shared, "healthz", |_| async { text("ok\n") }))
        .unify()
        .or(get(shared, "readyz", readyz))
        .unify()
        .or(get(shared, "metrics", metrics))
        .unify()
        .recover(not_found)
        .unify()
        .boxed()
}

fn get<F, A>(shared: &Arc<Shared>, path: &'static str, answer: F) -> Routes
where
    F: Fn(Arc<Shared>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = warp::reply::Response> + Send,
{
    let shared = Arc::clone(shared);
    warp::path(path).and(warp::path::end()).and(warp::get()).then(move || answer(Arc::clone(&shared))).boxed()
}

/// `GET /v1/ws/documents/{document_id}`
fn documents(shared: &Arc<Shared>) -> Routes {
    let shared = Arc::clone(shared);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path!("v1" / "ws" / "documents" / String)
        .and(warp::get())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::get::<Peer>())
        .map(move |segment: String, query: String, headers: HeaderMap, upgrade: Option<OnUpgrade>, peer: Peer| {
            match open(&shared, (&segment, &query), (peer, &headers), upgrade) {
                Ok(response) => response,
                Err((why, problem)) => {
                    shared.metrics.handshake_refused(why);
                    problem.response()
                }
            }
        })
        .boxed()
}

fn open(
    shared: &Arc<Shared>,
    (segment, query): (&str, &str),
    (peer, headers): (Peer, &HeaderMap),
    upgrade: Option<OnUpgrade>,
) -> Result<warp::reply::Response, (Refusal, Problem)> {
    let bad_request = |problem| (Refusal::BadRequest, problem);
    let unavailable = |why, detail| (why, Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    let key = handshake::key(headers).map_err(bad_request)?;
    request::check_origin(headers, &shared.settings.server.allowed_origins)
        .map_err(|problem| (Refusal::ForbiddenOrigin, problem))?;
    let request = OpenRequest::read(segment, query, headers).map_err(bad_request)?;
    let upgrade = upgrade
        .ok_or_else(|| bad_request(Problem::new(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket")))?;
    if shared.stopping.is_cancelled() {
        return Err(unavailable(Refusal::ShuttingDown, "the server is stopping"));
    }
    let address = peer::address(peer.0, headers, &shared.settings.server.trusted_proxies);
    shared.address_connections.take(limits::neighbourhood(address), Instant::now()).map_err(|wait| {
        let detail = "too many new connections from this address; try again later";
        (Refusal::Throttled, Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).after(wait))
    })?;
    let place = shared
        .place(address)
        .ok_or_else(|| unavailable(Refusal::TooManyConnections, "too many connections; try again later"))?;
    let protocol = request.offers_bearer.then_some("bearer");
    shared.sessions.spawn(connection::run(Arc::clone(shared), upgrade, request, place));
    Ok(handshake::accept(&key, protocol))
}

async fn readyz(shared: Arc<Shared>) -> warp::reply::Response {
    if shared.stopping.is_cancelled() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").response();
    }
    match timeout(READY_WITHIN, shared.log.check_writable()).await {
        Ok(Ok(())) => text("ready\n"),
        Err(_) => {
            let detail = format!("the event log did not answer within {} s", READY_WITHIN.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).response()
        }
        Ok(Err(why)) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the event log is not writable: {why}")).response()
        }
    }
}

async fn metrics(shared: Arc<Shared>) -> warp::reply::Response {
    let mut response = Response::new(shared.metrics.render().into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn text(body: &'static str) -> warp::reply::Response {
    body.into_response()
}

async fn not_found(rejection: Rejection) -> Result<warp::reply::Response, std::convert::Infallible> {
    let (status, detail) = if rejection.find::<warp::reject::PayloadTooLarge>().is_some() {
        (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    } else if rejection.find::<warp::reject::LengthRequired>().is_some() {
        (StatusCode::LENGTH_REQUIRED, "the request must say how long its body is")
    } else if rejection.is_not_found() {
        (StatusCode::NOT_FOUND, "there is nothing at this address")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        (StatusCode::METHOD_NOT_ALLOWED, "this address does not know this method")
    } else {
        (StatusCode::BAD_REQUEST, "this request cannot be understood")
    };
    Ok(Problem::new(status, detail).response())
}
