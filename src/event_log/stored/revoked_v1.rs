//! `Revocation`, form 1, in the stream `service:revocations`. Frozen: add a form beside it, never change it.
//!
//! Body: `["revoked.1", "user" or "token", id, until]`, the moment in microseconds since 1970.
//! Cause: `["revoked-by.1", user, reason or null]`.

use serde::Deserialize;

use super::{Stored, Why, read};
use crate::domain::{IdError, Revocation, Revoked, Timestamp, TokenId, UserId};

const BODY: &str = "revoked.1";
const CAUSE: &str = "revoked-by.1";

/// Writes both halves.
pub(in crate::event_log) fn encode(revocation: &Revocation) -> Result<Stored, Why> {
    let (kind, id) = match &revocation.revoked {
        Revoked::User(id) => ("user", id.as_str()),
        Revoked::Token(id) => ("token", id.as_str()),
    };
    let body = serde_json::to_string(&(BODY, kind, id, revocation.until.0));
    let cause = serde_json::to_string(&(CAUSE, revocation.by.as_str(), &revocation.reason));
    let why = |error: serde_json::Error| error.to_string();
    Ok(Stored { body: body.map_err(why)?, cause: cause.map_err(why)? })
}

/// Reads both halves.
pub(in crate::event_log) fn decode(body: &[u8], cause: &[u8]) -> Result<Revocation, Why> {
    #[derive(Deserialize)]
    struct Body(String, String, String, i64);
    #[derive(Deserialize)]
    struct Cause(String, String, Option<String>);
    let (Body(body, kind, id, until), Cause(cause, by, reason)) = (read(body)?, read(cause)?);
    if body != BODY || cause != CAUSE {
        return Err(format!("{body:?} with {cause:?} is not a known form of a revocation"));
    }
    let invalid = |error: IdError| error.to_string();
    let revoked = match &*kind {
        "user" => Revoked::User(UserId::parse(&id).map_err(invalid)?),
        "token" => Revoked::Token(TokenId::parse(&id).map_err(invalid)?),
        unknown => return Err(format!("{unknown:?} is nothing that can be revoked")),
    };
    Ok(Revocation { revoked, until: Timestamp(until), reason, by: UserId::parse(&by).map_err(invalid)? })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        what: String,
        body: String,
        cause: String,
        user_id: Option<String>,
        jti: Option<String>,
        until: i64,
        by: String,
        reason: Option<String>,
    }

    #[test]
    fn every_revocation_ever_shipped_stays_readable() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/revoked.1.json");
        let cases: Vec<Golden> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for Golden { what, body, cause, user_id, jti, until, by, reason } in cases {
            let user = user_id.map(|id| Revoked::User(UserId::parse(&id).unwrap()));
            let revoked = user.or(jti.map(|id| Revoked::Token(TokenId::parse(&id).unwrap()))).unwrap();
            let by = UserId::parse(&by).unwrap();
            let expected = Revocation { revoked, until: Timestamp(until), reason, by };
            assert_eq!(decode(body.as_bytes(), cause.as_bytes()), Ok(expected.clone()), "{what}");
            assert_eq!(encode(&expected), Ok(Stored { body, cause }), "{what}");
        }
    }

    #[test]
    fn what_is_not_a_revocation_is_refused_with_a_reason() {
        let (body, cause) = (r#"["revoked.1","user","ann",5]"#, r#"["revoked-by.1","admin",null]"#);
        assert!(decode(body.as_bytes(), cause.as_bytes()).is_ok());
        for (from, to, why) in [
            ("revoked.1", "revoked.2", "not a known form"),
            ("user", "group", "nothing that can be revoked"),
            ("ann", "", "user_id"),
            ("5", "5.5", "invalid type"),
            (",5", "", "invalid length"),
            ("admin", "\\n", "user_id"),
            ("revoked-by.1", "cause.1", "not a known form"),
            ("null", "7", "invalid type"),
        ] {
            let (body, cause) = (body.replace(from, to), cause.replace(from, to));
            let refused = decode(body.as_bytes(), cause.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{to}: {refused}");
        }
    }
}
