//! JSON Web Tokens: reading them with suspicion, and making them for trying things out.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, errors::ErrorKind};
use serde_json::{Map, Value, json};

use crate::{
    domain::{Timestamp, TokenId, UserId},
    settings::Auth,
};

use super::{Denied, Identity, Permissions, Reason, SetupError, keys::Keys};

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
}

impl Verifier {
    pub(super) fn from_settings(auth: &Auth) -> Result<Self, SetupError> {
        let (issuer, audience, leeway) = (auth.issuer.clone(), auth.audience.clone(), auth.leeway);
        Ok(Self { keys: Keys::load(auth)?, issuer, audience, leeway })
    }

    /// The keys, for the operator's log.
    pub(super) fn keys(&self) -> String {
        self.keys.to_string()
    }

    /// Who the bearer of `token` is.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Denied> {
        let key = self.keys.of(token).map_err(|reason| Denied { reason })?;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &key.validation)
            .map_err(|error| Denied { reason: reason_of(error.kind()) })?;
        // RFC 7515 §4.1.11: who does not understand a critical extension must refuse.
        if decoded.header.crit.is_some() {
            return Err(Denied { reason: Reason::Malformed });
        }
        self.judge(&decoded.claims, now).map_err(|reason| Denied { reason })
    }

    fn judge(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Identity, Reason> {
        let user_id = match claims.get("sub") {
            Some(sub) => sub.as_str().and_then(|sub| UserId::parse(sub).ok()).ok_or(Reason::Malformed)?,
            None => return Err(Reason::NoSubject),
        };
        let leeway = i64::try_from(self.leeway.as_micros()).unwrap_or(i64::MAX);
        let expires_at = match claims.get("exp") {
            Some(exp) => Timestamp(numeric_date(exp)?.0.saturating_add(leeway)),
            None => return Err(Reason::NoExpiry),
        };
        if now >= expires_at {
            return Err(Reason::Expired);
        }
        if let Some(nbf) = claims.get("nbf")
            && now.0.saturating_add(leeway) < numeric_date(nbf)?.0
        {
            return Err(Reason::NotYetValid);
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Reason::WrongIssuer);
        }
        if let Some(audience) = &self.audience
            && !claims.get("aud").is_some_and(|aud| names(aud, audience))
        {
            return Err(Reason::WrongAudience);
        }
        let token_id = match claims.get("jti") {
            // One that could not be named could not be revoked.
            Some(jti) => Some(jti.as_str().and_then(|jti| TokenId::parse(jti).ok()).ok_or(Reason::Malformed)?),
            None => None,
        };
        let permissions = match claims.get("permissions") {
            Some(claim) => Permissions::from_claim(claim).ok_or(Reason::Malformed)?,
            None => Permissions::none(),
        };
        Ok(Identity {
            user_id,
            token_id,
            name: text(claims, "name"),
            avatar_url: text(claims, "avatar_url"),
            color: text(claims, "color"),
            role: text(claims, "role"),
            permissions,
            expires_at: Some(expires_at),
        })
    }
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519 §2).
fn numeric_date(claim: &Value) -> Result<Timestamp, Reason> {
    const MICROS: i64 = 1_000_000;
    if let Some(seconds) = claim.as_i64() {
        return Ok(Timestamp(seconds.saturating_mul(MICROS)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and so far away it makes no difference")]
    claim.as_f64().map(|seconds| Timestamp((seconds * 1e6) as i64)).ok_or(Reason::Malformed)
}

fn names(audience: &Value, ours: &str) -> bool {
    match audience.as_array() {
        Some(list) => list.iter().any(|one| one == ours),
        None => audience == ours,
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name)?.as_str().map(str::to_owned)
}

fn reason_of(kind: &ErrorKind) -> Reason {
    if matches!(kind, ErrorKind::InvalidSignature) {
        Reason::BadSignature
    } else if matches!(kind, ErrorKind::InvalidAlgorithm) {
        Reason::WrongAlgorithm
    } else {
        // A header with an algorithm that the library does not have, `none` for one, is not even a header to it.
        Reason::Malformed
    }
}

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Claims {
    /// `sub`.
    pub user_id: UserId,
    /// `name`.
    pub name: Option<String>,
    /// `permissions`: a list, or an object from a pattern to a list.
    pub permissions: Value,
    /// `iat` and `nbf`, cut to seconds.
    pub issued_at: Timestamp,
    /// How long after that it expires.
    pub ttl: Duration,
}

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The service checks tokens with a public key, or not at all.
    #[error(
        "making a token needs auth.hs256_secret; with a public key, the tokens come from whoever has the private one"
    )]
    NoSecret,
    /// A claim that the service would refuse.
    #[error("permissions must be a list like [\"read\", \"write\"] or an object like {{\"team-a/*\": [\"read\"]}}")]
    BadPermissions,
    /// The library refused to sign.
    #[error("the token cannot be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// Makes a token that a service with these settings accepts. Needs `auth.hs256_secret`.
pub fn issue(auth: &Auth, claims: &Claims) -> Result<String, IssueError> {
    let secret = auth.hs256_secret.as_ref().ok_or(IssueError::NoSecret)?;
    Permissions::from_claim(&claims.permissions).ok_or(IssueError::BadPermissions)?;
    let issued = claims.issued_at.0.div_euclid(1_000_000);
    let mut body = json!({
        "sub": claims.user_id.as_str(),
        "iat": issued,
        "nbf": issued,
        "exp": issued.saturating_add_unsigned(claims.ttl.as_secs()),
        "permissions": claims.permissions,
    });
    for (name, value) in [("name", &claims.name), ("iss", &auth.issuer), ("aud", &auth.audience)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &body, &key)?)
}
