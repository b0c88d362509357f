//! What those ask who watch over the service.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Response, header};
use tokio::time::timeout;
use warp::Reply;

use super::{
    Shared,
    problem::{Code, Problem},
};

/// A log that takes longer for one small write is not ready.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// Prometheus text format.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process lives.
pub(super) fn healthz() -> warp::reply::Response {
    text("ok\n")
}

/// Whether edits can be stored.
pub(super) async fn readyz(shared: Arc<Shared>) -> warp::reply::Response {
    if shared.stopping.is_cancelled() {
        return Problem::new(Code::ShuttingDown, "the server is stopping").response();
    }
    match timeout(READY_WITHIN, shared.log.check_writable()).await {
        Ok(Ok(())) => text("ready\n"),
        Err(_) => {
            let detail = format!("the event log did not answer within {} s", READY_WITHIN.as_secs());
            Problem::new(Code::StorageUnavailable, detail).response()
        }
        Ok(Err(why)) => {
            Problem::new(Code::StorageUnavailable, format!("the event log is not writable: {why}")).response()
        }
    }
}

/// What is counted.
pub(super) fn metrics(shared: &Shared) -> warp::reply::Response {
    let mut response = Response::new(shared.metrics.render().into());
    let kind = HeaderValue::from_static(PROMETHEUS);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn text(body: &'static str) -> warp::reply::Response {
    body.into_response()
}
