//! JSON Web Tokens: reading them with suspicion, and making them for trying things out.

use std::{fmt, fs, path::Path, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde_json::{Map, Value, json};

use crate::{
    domain::{Timestamp, UserId},
    settings::Auth,
};

use super::{Denied, Identity, Permissions, Reason, SetupError};

/// The smallest RSA key that may be used, in bytes of its DER form: 2048 bits (RFC 7518 §3.3).
const RSA_KEY_BYTES: usize = 256;
/// An uncompressed point of P-256, the curve of ES256.
const P256_KEY_BYTES: usize = 65;

/// Checks tokens with one key and therefore one algorithm: what a token says about itself does not choose it.
pub(super) struct Verifier {
    key: DecodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("algorithms", &self.validation.algorithms).finish_non_exhaustive()
    }
}

impl Verifier {
    pub(super) fn from_settings(auth: &Auth) -> Result<Self, SetupError> {
        let (algorithm, key) = match (&auth.hs256_secret, &auth.public_key_file) {
            (Some(secret), None) if secret.expose().contains("-----BEGIN") => return Err(SetupError::SecretIsPem),
            (Some(secret), None) => (Algorithm::HS256, DecodingKey::from_secret(secret.expose().as_bytes())),
            (None, Some(path)) => public_key(path)?,
            (None, None) | (Some(_), Some(_)) => return Err(SetupError::OneKey),
        };
        let mut validation = Validation::new(algorithm);
        // The library would read the system's clock, and would not say which claim is missing: the claims are
        // judged below. It checks the algorithm and the signature.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        validation.required_spec_claims.clear();
        let (issuer, audience, leeway) = (auth.issuer.clone(), auth.audience.clone(), auth.leeway);
        Ok(Self { key, validation, issuer, audience, leeway })
    }

    /// Who the bearer of `token` is.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Denied> {
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.validation)
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
        let permissions = match claims.get("permissions") {
            Some(claim) => Permissions::from_claim(claim).ok_or(Reason::Malformed)?,
            None => Permissions::none(),
        };
        Ok(Identity {
            user_id,
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

/// The key in a PEM file, and the one algorithm that goes with it.
fn public_key(path: &Path) -> Result<(Algorithm, DecodingKey), SetupError> {
    let unusable = |why: String| SetupError::PublicKey { path: path.to_owned(), why };
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    if String::from_utf8_lossy(&pem).contains("PRIVATE KEY") {
        return Err(unusable("it is a private key; the service needs the public one only".to_owned()));
    }
    let size = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if let Ok(key) = DecodingKey::from_ec_pem(&pem) {
        let curve = "its curve is not P-256, which ES256 needs";
        return if size(&key) == P256_KEY_BYTES {
            Ok((Algorithm::ES256, key))
        } else {
            Err(unusable(curve.to_owned()))
        };
    }
    if let Ok(key) = DecodingKey::from_ed_pem(&pem) {
        return Ok((Algorithm::EdDSA, key));
    }
    let Ok(key) = DecodingKey::from_rsa_pem(&pem) else {
        return Err(unusable("it is not a PEM file with an RSA, P-256 or Ed25519 public key".to_owned()));
    };
    let short = "its RSA key is shorter than 2048 bits";
    if size(&key) >= RSA_KEY_BYTES { Ok((Algorithm::RS256, key)) } else { Err(unusable(short.to_owned())) }
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
