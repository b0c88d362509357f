//! Formatting: a map of attribute names to JSON values.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// Attributes of a stretch of text, or a change of them, in which `null` takes an attribute away.
///
/// Empty attributes and no attributes are one and the same, and cost nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(Option<Arc<BTreeMap<String, Value>>>);

impl Attributes {
    /// No attributes.
    pub const NONE: Self = Self(None);

    /// These attributes.
    pub fn new(map: BTreeMap<String, Value>) -> Self {
        Self((!map.is_empty()).then(|| Arc::new(map)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Each name with its value, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|map| map.iter()).map(|(name, value)| (name.as_str(), value))
    }

    /// The value of one attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }
}

impl FromIterator<(String, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().collect())
    }
}
