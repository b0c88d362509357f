//! Wherever a message has an integer, a float without a fraction is one, and one with a fraction is not.

use serde_json::Value;

use super::{EditLimits, Reader};
use crate::{
    domain::{ClientId, DocumentId, PositionEncoding},
    protocol::history::{EditJson, RestoreJson},
};

/// Messages, with `#` in the place of every integer.
const MESSAGES: [(&str, &str, &str); 9] = [
    ("operation", "document_edit", r#"{"operation":{"type":"delete","position":#,"length":#},"version":#}"#),
    ("operation", "document_edit", r#"{"operation":{"type":"insert","position":#,"content":"a"},"base_version":#}"#),
    ("operation", "document_edit", r#"{"operation":{"type":"delta","ops":[{"retain":#},{"delete":#}]},"version":#}"#),
    (
        "operation",
        "document_edit",
        r#"{"operation":{"type":"composite","operations":[{"type":"delete","position":#,"length":#}]},"version":#}"#,
    ),
    ("comment", "comment_added", r#"{"comment":{"content":"c","position":{"start":0.0,"end":#}},"version":#}"#),
    ("comment", "comment_added", r#"{"comment":{"content":"c","position":{"start":#,"end":9.0}},"base_version":#}"#),
    ("system", "document_sync", r#"{"since":#}"#),
    ("presence", "cursor_update", r#"{"cursor":{"position":#,"selection":{"start":#,"end":#}},"version":#}"#),
    ("presence", "typing_indicator", r#"{"is_typing":true,"position":#,"version":#}"#),
];

fn reader() -> Reader {
    let limits = EditLimits { components: 100, attributes: 100, attribute_bytes: 1_000 };
    let (document_id, client_id) = (DocumentId::parse("doc").unwrap(), ClientId::parse("client").unwrap());
    Reader { document_id, client_id, encoding: PositionEncoding::Utf16, limits, make_id: || "made".to_owned() }
}

/// What is read, or the code of the refusal.
fn read(event: (&str, &str), data: &str, replay: bool) -> Result<String, Value> {
    let frame = format!(r#"{{"type":"{}","event":"{}","data":{data}}}"#, event.0, event.1);
    let reader = reader();
    let said = |refusal: crate::protocol::Refusal| serde_json::to_value(refusal.code).unwrap();
    if replay {
        let message = reader.read_watchers_frame(&frame).unwrap().next().unwrap();
        return message.map(|message| format!("{:?}", message.event)).map_err(said);
    }
    let message = reader.read_frame(&frame).unwrap().next().unwrap();
    // The data as it came is kept, too, and differs.
    let text = |message: String| message.split(", received:").next().unwrap_or_default().to_owned();
    message.map(|message| text(format!("{:?}", message.event))).map_err(said)
}

#[test]
fn whole_floats_are_integers_in_every_message_and_fractions_are_not() {
    for (kind, event, template) in MESSAGES {
        let whole = read((kind, event), &template.replace('#', "3"), false).unwrap();
        for same in ["3.0", "3e0", "0.3e1"] {
            assert_eq!(read((kind, event), &template.replace('#', same), false).unwrap(), whole, "{template}");
        }
        for (at, _) in template.match_indices('#') {
            let data = format!("{}3.5{}", &template[..at], &template[at + 1..]).replace('#', "3");
            assert_eq!(read((kind, event), &data, false).unwrap_err(), "INVALID_MESSAGE", "{data}");
        }
    }
    let seek = |version: &str| read(("replay", "seek"), &format!(r#"{{"version":{version}}}"#), true);
    assert_eq!(seek("3.0").unwrap(), seek("3").unwrap());
    assert_eq!(seek("3.5").unwrap_err(), "INVALID_MESSAGE");
}

#[test]
fn whole_floats_are_integers_in_every_request() {
    let edit = |version: &str| format!(r#"{{"operation":{{}},"version":{version}}}"#);
    let restore = |version: &str| format!(r#"{{"version":{version}}}"#);
    assert_eq!(serde_json::from_str::<EditJson>(&edit("3.0")).unwrap().version.0, 3);
    assert_eq!(serde_json::from_str::<RestoreJson>(&restore("3.0")).unwrap().version.0, 3);
    for wrong in ["3.5", "-1", "\"3\""] {
        assert!(serde_json::from_str::<EditJson>(&edit(wrong)).is_err());
        let error = serde_json::from_str::<RestoreJson>(&restore(wrong)).err().unwrap().to_string();
        assert!(wrong == "\"3\"" || error.contains("expected a whole number"), "{error}");
    }
}
