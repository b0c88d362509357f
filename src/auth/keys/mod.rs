//! The keys that tokens are checked with, each with the one algorithm that goes with it: what a token says about
//! itself never chooses the algorithm.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::settings::Auth;

use super::{Reason, SetupError};

/// The smallest RSA key that may be used, in bytes of its DER form or its modulus: 2048 bits (RFC 7518 §3.3).
const RSA_KEY_BYTES: usize = 256;
/// An uncompressed point of P-256, the curve of ES256.
const P256_KEY_BYTES: usize = 65;
/// A public key of Ed25519.
const ED25519_KEY_BYTES: usize = 32;
/// The shortest secret that HS256 is safe with (RFC 7518 §3.2).
const SECRET_BYTES: usize = 32;

/// A key and its algorithm.
pub(super) struct VerifyingKey {
    pub(super) key: DecodingKey,
    pub(super) validation: Validation,
}

/// All keys.
#[derive(Debug)]
pub(super) enum Keys {
    /// The only one; a token's `kid` means nothing.
    One(VerifyingKey),
    /// Those of a set by their `kid`, and those that have none.
    Set { named: BTreeMap<String, VerifyingKey>, nameless: Vec<VerifyingKey>, passed_over: Vec<String> },
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.validation.algorithms)
    }
}

impl VerifyingKey {
    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm);
        // The library would read the system's clock, and would not say which claim is missing: the claims are
        // judged by us. It checks the algorithm and the signature.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        validation.required_spec_claims.clear();
        Self { key, validation }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.validation.algorithms.iter().try_for_each(|algorithm| write!(f, "{algorithm:?}"))
    }
}

/// What was loaded, for the operator's log.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Set { named, nameless, passed_over } = self else {
            let Self::One(key) = self else { return Ok(()) };
            return write!(f, "one key ({key})");
        };
        let named = named.iter().map(|(kid, key)| format!("{kid:?} ({key})"));
        let nameless = nameless.iter().map(|key| format!("one without kid ({key})"));
        f.write_str(&named.chain(nameless).collect::<Vec<_>>().join(", "))?;
        if passed_over.is_empty() { Ok(()) } else { write!(f, "; passed over: {}", passed_over.join(", ")) }
    }
}

impl Keys {
    pub(super) fn load(auth: &Auth) -> Result<Self, SetupError> {
        match (&auth.hs256_secret, &auth.public_key_file, &auth.jwks_file) {
            (Some(secret), None, None) if secret.expose().contains("-----BEGIN") => Err(SetupError::SecretIsPem),
            (Some(secret), None, None) => {
                let key = DecodingKey::from_secret(secret.expose().as_bytes());
                Ok(Self::One(VerifyingKey::new(Algorithm::HS256, key)))
            }
            (None, Some(path), None) => {
                let unusable = |why| SetupError::KeyFile { key: "auth.public_key_file", path: path.clone(), why };
                public_key(path).map(Self::One).map_err(unusable)
            }
            (None, None, Some(path)) => {
                key_set(path).map_err(|why| SetupError::KeyFile { key: "auth.jwks_file", path: path.clone(), why })
            }
            _ => Err(SetupError::OneKey),
        }
    }

    /// The key that a token says it was signed with. One without `kid` is checked with the only key there is.
    pub(super) fn of(&self, token: &str) -> Result<&VerifyingKey, Reason> {
        let (named, nameless) = match self {
            Self::One(key) => return Ok(key),
            Self::Set { named, nameless, .. } => (named, nameless),
        };
        let header = jsonwebtoken::decode_header(token).map_err(|_| Reason::Malformed)?;
        match header.kid {
            Some(kid) => named.get(&kid).ok_or(Reason::UnknownKey),
            None if named.len() + nameless.len() == 1 => {
                named.values().chain(nameless).next().ok_or(Reason::UnknownKey)
            }
            None => Err(Reason::UnknownKey),
        }
    }
}

/// The key in a PEM file.
fn public_key(path: &Path) -> Result<VerifyingKey, String> {
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    if String::from_utf8_lossy(&pem).contains("PRIVATE KEY") {
        return Err("it is a private key; the service needs the public one only".to_owned());
    }
    let size = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if let Ok(key) = DecodingKey::from_ec_pem(&pem) {
        return if size(&key) == P256_KEY_BYTES {
            Ok(VerifyingKey::new(Algorithm::ES256, key))
        } else {
            Err("its curve is not P-256, which ES256 needs".to_owned())
        };
    }
    if let Ok(key) = DecodingKey::from_ed_pem(&pem) {
        return Ok(VerifyingKey::new(Algorithm::EdDSA, key));
    }
    let Ok(key) = DecodingKey::from_rsa_pem(&pem) else {
        return Err("it is not a PEM file with an RSA, P-256 or Ed25519 public key".to_owned());
    };
    if size(&key) >= RSA_KEY_BYTES {
        Ok(VerifyingKey::new(Algorithm::RS256, key))
    } else {
        Err("its RSA key is shorter than 2048 bits".to_owned())
    }
}

/// The keys in a JWK Set (RFC 7517). One that cannot be used is passed over, as the RFC asks for: a set is often
/// shared with services that know more algorithms. A set without any usable key is refused.
fn key_set(path: &Path) -> Result<Keys, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let set: Value = serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}"))?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or("it is not a JWK Set: it has no list `keys`")?;
    let (mut named, mut nameless, mut passed_over) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (at, json) in keys.iter().enumerate() {
        let kid = json.get("kid").and_then(Value::as_str);
        let name = kid.map_or_else(|| format!("key {}", at + 1), |kid| format!("{kid:?}"));
        if json.get("d").is_some() {
            return Err(format!("{name} is a private key; the service needs the public ones only"));
        }
        match (jwk(json), kid) {
            (Err(why), _) => passed_over.push(format!("{name} ({why})")),
            (Ok(key), None) => nameless.push(key),
            (Ok(key), Some(kid)) => {
                if named.insert(kid.to_owned(), key).is_some() {
                    return Err(format!("two keys are called {name}"));
                }
            }
        }
    }
    if named.is_empty() && nameless.is_empty() {
        let why = if passed_over.is_empty() { String::new() } else { format!(": {}", passed_over.join(", ")) };
        return Err(format!("it holds no key that can be used{why}"));
    }
    Ok(Keys::Set { named, nameless, passed_over })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is the library's, and may grow")]
fn jwk(json: &Value) -> Result<VerifyingKey, &'static str> {
    let jwk = Jwk::deserialize(json).map_err(|_| "it is of no known form")?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("it is not for signatures");
    }
    let (algorithm, length) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, RSA_KEY_BYTES..=usize::MAX),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, P256_KEY_BYTES..=P256_KEY_BYTES)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, ED25519_KEY_BYTES..=ED25519_KEY_BYTES)
        }
        AlgorithmParameters::OctetKey(_) => (Algorithm::HS256, SECRET_BYTES..=usize::MAX),
        _ => return Err("its kind or curve is not supported"),
    };
    if jwk.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return Err("its algorithm is not supported");
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "its numbers cannot be read")?;
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.iter().skip_while(|byte| **byte == 0).count(),
    };
    if length.contains(&bytes) { Ok(VerifyingKey::new(algorithm, key)) } else { Err("it has a wrong length") }
}

#[cfg(test)]
mod tests;
