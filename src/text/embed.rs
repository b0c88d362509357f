//! What stands in a document and is not text.

use std::{fmt, sync::Arc};

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::attributes::values_equal;

/// Something in a document that is not text, e.g. `{"image": url}`: a JSON object. Its length is 1 in every unit.
///
/// Its fields keep their order, because Quill takes the name of the first one as the kind. Two embeds are equal as JSON
/// values are, whatever the order of their fields.
#[derive(Debug, Clone)]
pub struct Embed(Arc<IndexMap<String, Value>>);

impl Embed {
    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each name with its value, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of one field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The same fields with other values.
    #[must_use]
    pub fn map_values(self, change: impl Fn(Value) -> Value) -> Self {
        Arc::unwrap_or_clone(self.0).into_iter().map(|(name, value)| (name, change(value))).collect()
    }
}

impl PartialEq for Embed {
    fn eq(&self, other: &Self) -> bool {
        let has = |(name, value): (&str, &Value)| other.get(name).is_some_and(|it| values_equal(it, value));
        Arc::ptr_eq(&self.0, &other.0) || self.0.len() == other.0.len() && self.iter().all(has)
    }
}

/// Of two fields of one name the later value stays, at the place of the first, as in JavaScript.
impl FromIterator<(String, Value)> for Embed {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Self(Arc::new(fields.into_iter().collect()))
    }
}

impl Serialize for Embed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Embed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Embed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an embed (an object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Embed, A::Error> {
        let mut fields = IndexMap::new();
        while let Some((name, value)) = map.next_entry()? {
            fields.insert(name, value);
        }
        Ok(Embed(Arc::new(fields)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(json: &str) -> Embed {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn keeps_the_order_of_its_fields_and_is_equal_in_any() {
        let json = r#"{"video":"u","align":{"b":1,"a":2},"alt":""}"#;
        assert_eq!(serde_json::to_string(&embed(json)).unwrap(), r#"{"video":"u","align":{"a":2,"b":1},"alt":""}"#);
        assert_eq!(embed(json), embed(r#"{"alt":"","align":{"a":2.0,"b":1},"video":"u"}"#));
        assert_ne!(embed(json), embed(r#"{"video":"u","align":{"b":1,"a":2}}"#));
        assert_eq!(serde_json::to_string(&embed(r#"{"a":1,"b":2,"a":3}"#)).unwrap(), r#"{"a":3,"b":2}"#);
    }
}
