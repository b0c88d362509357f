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
        let said = in_words_of_json(&error.to_string());
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
        // What is missing has no place of its own; it is named where it should be.
        let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let steps = [root, if path == "." { "" } else { &path }, missing.unwrap_or_default()];
        let path = steps.into_iter().filter(|step| !step.is_empty()).collect::<Vec<_>>().join(".");
        // It quotes what it found, and an answer as large as the mistake would be one more.
        let (found, expected) = said.rsplit_once("expected ").unwrap_or((said, said));
        let (found, expected) = if missing.is_some() { ("it is missing", "a value") } else { (found, expected) };
        let message = match said.len() {
            _ if missing.is_some() => found.to_owned(),
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

/// Puts serde's message about JSON that it cannot read into words of JSON instead of Rust.
pub fn in_words_of_json(said: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("invalid type: map", "invalid type: an object"),
        ("invalid type: sequence", "invalid type: an array"),
        ("expected a sequence", "expected an array"),
        ("expected a map", "expected an object"),
        ("expected a JSON number", "expected a number"),
        ("expected a boolean", "expected true or false"),
    ];
    WORDS.iter().fold(said.to_owned(), |said, (rust, json)| said.replace(rust, json))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        domain::{ClientId, DocumentId, PositionEncoding},
        protocol::document::{EditLimits, Reader},
    };

    #[test]
    fn mistakes_are_told_in_words_of_json() {
        let reader = Reader {
            document_id: DocumentId::parse("doc").unwrap(),
            client_id: ClientId::parse("ann").unwrap(),
            encoding: PositionEncoding::Utf16,
            limits: EditLimits { components: 10, attributes: 10, attribute_bytes: 100 },
            make_id: || "id".to_owned(),
        };
        let edit = |data: Value| json!({"type": "operation", "event": "document_edit", "data": data});
        let comment = |data: Value| json!({"type": "comment", "event": "comment_added", "data": data});
        for (frame, path, expected) in [
            (json!(5), "", "an object"),
            (json!([5]), "", "an object"),
            (json!({"event": "ping", "data": {}}), "type", "a value"),
            (json!({"type": {}, "event": "ping", "data": {}}), "type", "a string"),
            (edit(json!({"operation": [], "version": 1})), "data.operation", "an object"),
            (edit(json!({"operation": {"type": "delta", "ops": {}}, "version": 1})), "data.operation.ops", "an array"),
            (
                edit(json!({"operation": {"type": "insert", "position": {}}, "version": 1})),
                "data.operation.position",
                "a number",
            ),
            (edit(json!({"version": 1})), "data.operation", "a value"),
            (
                edit(json!({"operation": {"type": "insert"}, "version": 1.5})),
                "data.version",
                "a whole number that is not negative",
            ),
            (comment(json!({"comment": 5})), "data.comment", "an object"),
        ] {
            let frame = frame.to_string();
            let refusal = reader.read_frame(&frame).unwrap().next().unwrap().unwrap_err();
            let told = (&refusal.details["path"], &refusal.details["expected"]);
            assert_eq!(told, (&json!(path), &json!(expected)), "{frame}: {}", refusal.message);
            let rust = ["struct", "u64", "i64", "map", "sequence", "field", "JSON number"];
            assert!(rust.iter().all(|word| !refusal.message.contains(word)), "{}", refusal.message);
        }
    }
}
