//! How the text algebra looks as JSON: the Quill Delta form.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::text::{Attributes, Content, Op};

/// Attributes as a JSON object.
pub(super) struct AttributesJson<'a>(pub(super) &'a Attributes);

impl Serialize for AttributesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// What an insert inserts: a string, or an embed's object.
pub(super) struct ContentJson<'a>(pub(super) &'a Content);

impl Serialize for ContentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Content::Text(text) => serializer.serialize_str(text.as_str()),
            Content::Embed(embed) => embed.serialize(serializer),
        }
    }
}

/// `[{"retain": 3}, {"insert": "text", "attributes": {…}}, {"delete": 1}]`
#[derive(Debug)]
pub struct OpsJson<'a>(pub &'a [Op]);

impl Serialize for OpsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for op in self.0 {
            list.serialize_element(&OpJson(op))?;
        }
        list.end()
    }
}

struct OpJson<'a>(&'a Op);

impl Serialize for OpJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let attributes = match self.0 {
            Op::Retain { length, attributes } => {
                map.serialize_entry("retain", length)?;
                attributes
            }
            Op::Insert { content, attributes } => {
                map.serialize_entry("insert", &ContentJson(content))?;
                attributes
            }
            Op::Delete { length } => {
                map.serialize_entry("delete", length)?;
                &Attributes::NONE
            }
        };
        if !attributes.is_empty() {
            map.serialize_entry("attributes", &AttributesJson(attributes))?;
        }
        map.end()
    }
}
