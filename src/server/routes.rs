//! Which address answers what.

use std::sync::Arc;

use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use warp::{Filter, Rejection, filters::BoxedFilter};

use crate::telemetry::Refusal;

use super::{
    Shared,
    accept::Slot,
    connection, handshake, limits,
    peer::{self, Peer},
    problem::{Code, Problem},
    replay, request,
    request::OpenRequest,
    rest,
};

/// All routes as one service.
pub(super) type Routes = BoxedFilter<(warp::reply::Response,)>;

/// Every route of the service.
pub(super) fn all(shared: &Arc<Shared>) -> Routes {
    documents(shared).or(rest::route(shared)).unify().recover(not_found).unify().boxed()
}

/// `GET /v1/ws/documents/{document_id}` and `…/replay`
fn documents(shared: &Arc<Shared>) -> Routes {
    let shared = Arc::clone(shared);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let purpose = warp::path("replay").map(|| Purpose::Watch).or(warp::any().map(|| Purpose::Write)).unify();
    warp::path!("v1" / "ws" / "documents" / String / ..)
        .and(purpose)
        .and(warp::path::end())
        .and(warp::get())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::get::<Slot>())
        .map(
            move |segment: String,
                  purpose,
                  query: String,
                  headers: HeaderMap,
                  upgrade: Option<OnUpgrade>,
                  peer: Peer,
                  slot: Slot| {
                match open(&shared, (&segment, purpose, &query), (peer, &headers, slot), upgrade) {
                    Ok(response) => response,
                    Err((why, problem)) => {
                        shared.metrics.handshake_refused(why);
                        problem.response()
                    }
                }
            },
        )
        .boxed()
}

/// What a document is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To take part.
    Write,
    /// To see it being written once more.
    Watch,
}

fn open(
    shared: &Arc<Shared>,
    (segment, purpose, query): (&str, Purpose, &str),
    (peer, headers, slot): (Peer, &HeaderMap, Slot),
    upgrade: Option<OnUpgrade>,
) -> Result<warp::reply::Response, (Refusal, Problem)> {
    let bad_request = |problem| (Refusal::BadRequest, problem);
    let unavailable = |why, code, detail| (why, Problem::new(code, detail));
    let key = handshake::key(headers).map_err(bad_request)?;
    // A handshake is a GET, and what it opens can write.
    request::check_origin(&Method::POST, headers, &shared.settings.server.allowed_origins)
        .map_err(|problem| (Refusal::ForbiddenOrigin, problem))?;
    let path = if purpose == Purpose::Watch { rest::REPLAY } else { rest::SOCKET };
    let query = rest::query_of(path, query).map_err(bad_request)?;
    let request = OpenRequest::read(segment, &query, headers).map_err(bad_request)?;
    let wish = (purpose == Purpose::Watch).then(|| replay::Wish::read(&query)).transpose().map_err(bad_request)?;
    let upgrade =
        upgrade.ok_or_else(|| bad_request(Problem::new(Code::UpgradeRequired, "this address speaks WebSocket")))?;
    if shared.stopping.is_cancelled() {
        return Err(unavailable(Refusal::ShuttingDown, Code::ShuttingDown, "the server is stopping"));
    }
    let address = peer::address(peer.0, headers, &shared.settings.server.trusted_proxies);
    shared.address_connections.take(limits::neighbourhood(address), Instant::now()).map_err(|wait| {
        let detail = "too many new connections from this address; try again later";
        (Refusal::Throttled, Problem::new(Code::RateLimited, detail).after(wait))
    })?;
    let place = shared.place(slot, address).map_err(|problem| (Refusal::TooManyConnections, problem))?;
    let protocol = request.offers_bearer.then_some("bearer");
    match wish {
        None => shared.sessions.spawn(connection::run(Arc::clone(shared), upgrade, request, place)),
        Some(wish) => shared.sessions.spawn(replay::run(Arc::clone(shared), upgrade, (request, wish), place)),
    };
    Ok(handshake::accept(&key, protocol))
}

/// For what no route could take: the [table](rest) of routes takes all that is a request.
async fn not_found(_: Rejection) -> Result<warp::reply::Response, std::convert::Infallible> {
    Ok(Problem::new(Code::InvalidRequest, "this request cannot be understood").response())
}
