//! A tombstone, form 1: the last event of a stream that was erased. Frozen: add a form beside it, never change it.
//!
//! Body: `["erased.1"]`, and nothing else. Cause: `[]`. When is recorded beside it, as of every event.

use super::Stored;

const BODY: &str = r#"["erased.1"]"#;

/// Writes both halves.
pub(in crate::event_log) fn encode() -> Stored {
    Stored { body: BODY.to_owned(), cause: "[]".to_owned() }
}

/// Whether this is one.
pub(in crate::event_log) fn is(body: &[u8]) -> bool {
    body == BODY.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        what: String,
        body: String,
        cause: String,
    }

    #[test]
    fn every_tombstone_ever_shipped_stays_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/erased.1.json");
        let cases: Vec<Golden> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for Golden { what, body, cause } in cases {
            assert!(is(body.as_bytes()), "{what}");
            assert_eq!(encode(), Stored { body, cause }, "{what}");
        }
    }

    #[test]
    fn text_that_looks_like_one_is_none() {
        for body in [r#"["edited.1","[\"erased.1\"]"]"#, r#"["erased.1",1]"#, r#"["erased.2"]"#, ""] {
            assert!(!is(body.as_bytes()), "{body}");
        }
    }
}
