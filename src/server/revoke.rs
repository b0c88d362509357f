//! `POST /v1/revocations`: shutting somebody out for a while.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use tracing::{error, info};
use uuid::Uuid;
use warp::Filter;

use crate::{
    auth::{Identity, Permission},
    domain::{IdError, MessageId, Revocation, Revoked, Timestamp, TokenId, UserId},
};

use super::{Shared, caller, problem::Problem, routes::Routes};

/// The longest body that is read.
const BODY: u64 = 16 * 1024;
/// The longest reason, in characters.
const REASON: usize = 500;

#[derive(Deserialize)]
struct Wish {
    user_id: Option<String>,
    jti: Option<String>,
    until: Option<String>,
    reason: Option<String>,
}

/// What was recorded.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    until: String,
    reason: Option<&'a str>,
    revoked_by: &'a str,
    timestamp: String,
}

/// The route.
pub(super) fn route(shared: &Arc<Shared>) -> Routes {
    let shared = Arc::clone(shared);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path!("v1" / "revocations")
        .and(warp::post())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::content_length_limit(BODY))
        .and(warp::body::bytes())
        .then(move |query: String, headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move { revoke(&shared, &query, &headers, &body).await.unwrap_or_else(|problem| problem.response()) }
        })
        .boxed()
}

async fn revoke(
    shared: &Shared,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<warp::reply::Response, Problem> {
    let caller = caller::identify(shared, query, headers)?;
    caller::check_everywhere(&caller, Permission::Admin)?;
    let revocation = read(body, caller)?;
    let id = MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is 36 plain characters");
    if let Err(why) = shared.revocations.record(id, &revocation).await {
        error!(error = %why, "a revocation could not be recorded");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the log cannot be written now; try again later"));
    }
    let Revocation { revoked, until, reason, by } = &revocation;
    info!(?revoked, %until, reason, %by, "recorded a revocation");
    let (user_id, jti) = match revoked {
        Revoked::User(id) => (Some(id.as_str()), None),
        Revoked::Token(id) => (None, Some(id.as_str())),
    };
    let (until, timestamp) = (until.to_rfc3339(), shared.clock.now().to_rfc3339());
    let answer = Answer { user_id, jti, until, reason: reason.as_deref(), revoked_by: by.as_str(), timestamp };
    let body = serde_json::to_string(&answer).expect("texts only");
    let mut response = warp::reply::Response::new(body.into());
    *response.status_mut() = StatusCode::CREATED;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn read(body: &[u8], by: Identity) -> Result<Revocation, Problem> {
    let wish: Wish = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => unusable(format!("the body is not as it must be: {error}")),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))
        }
    })?;
    let id = |error: IdError| unusable(error.to_string());
    let revoked = match (&wish.user_id, &wish.jti) {
        (Some(user), None) => Revoked::User(UserId::parse(user).map_err(id)?),
        (None, Some(jti)) => Revoked::Token(TokenId::parse(jti).map_err(id)?),
        _ => return Err(unusable("exactly one of `user_id` and `jti` is needed")),
    };
    let until = wish.until.ok_or_else(|| unusable("`until` is missing: a time like 2030-01-01T00:00:00Z"))?;
    let until = Timestamp::parse_rfc3339(&until).map_err(|error| unusable(format!("`until`: {error}")))?;
    let reason = wish.reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON) {
        return Err(unusable(format!("`reason` must have at most {REASON} characters")));
    }
    Ok(Revocation { revoked, until, reason, by: by.user_id })
}

fn unusable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}
