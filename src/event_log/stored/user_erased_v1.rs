//! A person is erased, form 1, in the stream `service:erasures`. Frozen: add a form beside it, never change it.
//!
//! Body: `["erasing_user.1", user, pseudonym]` as long as it is not done, and `["user_erased.1", pseudonym]` afterwards: the
//! one is written over by the other. Cause: `[]`. When it began is recorded beside it.

use serde::Deserialize;

use super::{Stored, Why, read};
use crate::domain::{IdError, UserId};

const ERASING: &str = "erasing_user.1";
const ERASED: &str = "user_erased.1";

/// A person who is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::event_log) struct Erased {
    /// Who; `None` when it is done.
    pub user: Option<UserId>,
    /// What stands in their place.
    pub pseudonym: UserId,
}

/// Writes both halves.
pub(in crate::event_log) fn encode(Erased { user, pseudonym }: &Erased) -> Result<Stored, Why> {
    let body = match user {
        Some(user) => serde_json::to_string(&(ERASING, user.as_str(), pseudonym.as_str())),
        None => serde_json::to_string(&(ERASED, pseudonym.as_str())),
    };
    Ok(Stored { body: body.map_err(|error| error.to_string())?, cause: "[]".to_owned() })
}

/// Reads the body.
pub(in crate::event_log) fn decode(body: &[u8]) -> Result<Erased, Why> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Body {
        Erasing(String, String, String),
        Erased(String, String),
    }
    let id = |id: String| UserId::parse(&id).map_err(|error: IdError| error.to_string());
    match read(body)? {
        Body::Erasing(tag, user, pseudonym) if tag == ERASING => {
            Ok(Erased { user: Some(id(user)?), pseudonym: id(pseudonym)? })
        }
        Body::Erased(tag, pseudonym) if tag == ERASED => Ok(Erased { user: None, pseudonym: id(pseudonym)? }),
        Body::Erasing(tag, ..) | Body::Erased(tag, ..) => {
            Err(format!("{tag:?} is not a known form of the erasure of a person"))
        }
    }
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
        user: Option<String>,
        pseudonym: String,
    }

    #[test]
    fn every_erasure_of_a_person_ever_shipped_stays_readable() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/user_erased.1.json");
        let cases: Vec<Golden> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for Golden { what, body, cause, user, pseudonym } in cases {
            let id = |id: &str| UserId::parse(id).unwrap();
            let expected = Erased { user: user.as_deref().map(id), pseudonym: id(&pseudonym) };
            assert_eq!(decode(body.as_bytes()), Ok(expected.clone()), "{what}");
            assert_eq!(encode(&expected), Ok(Stored { body, cause }), "{what}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_reason() {
        for (body, why) in [
            (r#"["erasing_user.2","ann","erased-1"]"#, "not a known form"),
            (r#"["user_erased.1","ann","erased-1"]"#, "not a known form"),
            (r#"["erasing_user.1","erased-1"]"#, "not a known form"),
            (r#"["erasing_user.1","","erased-1"]"#, "user_id"),
            (r#"["user_erased.1",""]"#, "user_id"),
            (r#"["user_erased.1",7]"#, "did not match"),
            ("[]", "did not match"),
        ] {
            let refused = decode(body.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{body}: {refused}");
        }
    }
}
