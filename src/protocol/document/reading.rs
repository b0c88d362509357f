//! JSON that clients send, and what is said of its mistakes.

use serde::Deserialize;

use crate::protocol::{ErrorCode, Refusal};

/// Nesting deeper than this is refused: readers of JSON recurse.
pub(super) const DEEPEST: usize = 64;

/// Reads typed JSON, and on a mistake says where it is and what was expected.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str, root: &str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|error| {
        if error.is_syntax() || error.is_eof() {
            return invalid_json(&error);
        }
        // Read once more, only now, to learn the path: it costs, and the good message need not pay for it.
        let path = match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(json)) {
            Ok(_) => String::new(),
            Err(at) => at.path().to_string(),
        };
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
        // What is missing has no place of its own; it is named where it should be.
        let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let steps = [root, if path == "." { "" } else { &path }, missing.unwrap_or_default()];
        let path = steps.into_iter().filter(|step| !step.is_empty()).collect::<Vec<_>>().join(".");
        // It quotes what it found, and an answer as large as the mistake would be one more.
        let (found, expected) = said.rsplit_once("expected ").unwrap_or((said, said));
        let message = match said.len() {
            0..=200 => said.to_owned(),
            _ => format!("{}…, expected {}", short(found), short(expected)),
        };
        Refusal::new(
            ErrorCode::InvalidMessage,
            format!("{}: {message}", if path.is_empty() { "message" } else { &path }),
        )
        .with("path", path)
        .with("expected", short(expected))
    })
}

pub(super) fn invalid_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(ErrorCode::InvalidJson, format!("this is not JSON: {error}"))
        .with("line", error.line())
        .with("column", error.column())
}

/// As much of a text as an answer may repeat.
pub(super) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

pub(super) fn check_depth(frame: &str, deepest: usize) -> Result<(), Refusal> {
    // Almost every frame has too few brackets to be deep; only the others are walked.
    if frame.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() <= deepest {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in frame.bytes() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => (),
        }
        if depth > deepest {
            let message = format!("JSON nested deeper than {deepest} levels");
            return Err(Refusal::new(ErrorCode::InvalidJson, message).with("limit", deepest));
        }
    }
    Ok(())
}
