//! `POST /v1/revocations`: shutting somebody out for a while.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{error, info};
use uuid::Uuid;

use crate::{
    auth::Identity,
    domain::{IdError, MessageId, Revocation, Revoked, Timestamp, TokenId, UserId},
    protocol::schema::{Name, Time},
};

use super::{
    problem::{Code, Problem},
    rest::{Ask, json, read_json, unusable},
};

/// The longest body that is read.
const BODY: usize = 16 * 1024;
/// The longest reason, in characters.
const REASON: usize = 500;

/// Who is to be shut out: exactly one of `user_id` and `jti`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Revocation")]
#[schemars(extend("oneOf" = [{"required": ["user_id"]}, {"required": ["jti"]}]))]
pub(super) struct RevocationJson {
    /// A user.
    #[schemars(with = "Option<Name>")]
    user_id: Option<String>,
    /// A token.
    #[schemars(with = "Option<Name>")]
    jti: Option<String>,
    /// Until when.
    #[schemars(with = "Time")]
    until: Option<String>,
    /// Why, for the log.
    #[schemars(length(max = REASON))]
    reason: Option<String>,
}

/// What was recorded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Revoked")]
pub(super) struct RevokedJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    jti: Option<&'a str>,
    #[schemars(with = "Time")]
    until: String,
    reason: Option<&'a str>,
    #[schemars(with = "Name")]
    revoked_by: &'a str,
    #[schemars(with = "Time")]
    timestamp: String,
}

/// `POST /v1/revocations`
pub(super) async fn revoke(ask: &Ask, body: &[u8]) -> Result<warp::reply::Response, Problem> {
    if body.len() > BODY {
        let detail = format!("the body is too large: it may have {BODY} bytes");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    let shared = &ask.shared;
    let revocation = read(body, ask.identity.clone())?;
    let id = MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is 36 plain characters");
    if let Err(why) = shared.revocations.record(id, &revocation).await {
        error!(error = %why, "a revocation could not be recorded");
        return Err(Problem::new(Code::StorageUnavailable, "the log cannot be written now; try again later"));
    }
    let Revocation { revoked, until, reason, by } = &revocation;
    info!(?revoked, %until, reason, %by, "recorded a revocation");
    let (user_id, jti) = match revoked {
        Revoked::User(id) => (Some(id.as_str()), None),
        Revoked::Token(id) => (None, Some(id.as_str())),
    };
    let (until, timestamp) = (until.to_string(), shared.clock.now().to_string());
    let answer = RevokedJson { user_id, jti, until, reason: reason.as_deref(), revoked_by: by.as_str(), timestamp };
    Ok(json(StatusCode::CREATED, &answer))
}

fn read(body: &[u8], by: Identity) -> Result<Revocation, Problem> {
    let wish: RevocationJson = read_json(body)?;
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
