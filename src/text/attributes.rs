//! Formatting: a map of attribute names to JSON values.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::Priority;

/// Attributes of a stretch of text, or a change of them, in which `null` takes an attribute away.
///
/// Empty attributes and no attributes are one and the same, and cost nothing. Values are equal as in
/// JavaScript, where 1 and 1.0 are one number.
///
/// A list in the order of names: most have one or two, and documents hundreds of thousands; the smallest map takes seven times
/// the room.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Option<Arc<[(String, Value)]>>);

impl Attributes {
    /// No attributes.
    pub const NONE: Self = Self(None);

    /// These attributes.
    pub fn new(map: BTreeMap<String, Value>) -> Self {
        Self((!map.is_empty()).then(|| map.into_iter().collect()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Each name with its value, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|list| list.iter()).map(|(name, value)| (name.as_str(), value))
    }

    /// The value of one attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let list = self.0.as_ref()?;
        let at = list.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        Some(&list[at].1)
    }

    /// This change followed by `later`, as one change: the later value wins, `null`s stay, because they
    /// still have to take something away. (Quill's `AttributeMap.compose` with `keepNull`.)
    #[must_use]
    pub fn compose(&self, later: &Self) -> Self {
        match (&self.0, &later.0) {
            (_, None) => self.clone(),
            (None, _) => later.clone(),
            (Some(earlier), Some(later)) => {
                // Of two of one name the later one stays.
                earlier.iter().chain(later.iter()).cloned().collect()
            }
        }
    }

    /// These attributes of text after `change`: nothing is left to take away, so no `null` stays.
    /// (Quill's `AttributeMap.compose` without `keepNull`.)
    #[must_use]
    pub fn changed_by(&self, change: &Self) -> Self {
        if change.is_empty() { self.clone() } else { self.compose(change).without_nulls() }
    }

    /// These attributes without those that are `null`.
    #[must_use]
    pub fn without_nulls(self) -> Self {
        if self.iter().all(|(_, value)| !value.is_null()) {
            return self;
        }
        self.keep(|_, value| !value.is_null())
    }

    /// The change that undoes this one on text that had `base`. (Quill's `AttributeMap.invert`: a list or an
    /// object in `base` is set again even where it did not change, because JavaScript compares those by
    /// identity.)
    #[must_use]
    pub fn invert(&self, base: &Self) -> Self {
        let restored = |(name, value): (&str, &Value)| {
            let before = base.get(name);
            let unchanged = before.is_some_and(|before| scalars_equal(before, value));
            (!unchanged).then(|| (name.to_owned(), before.cloned().unwrap_or(Value::Null)))
        };
        self.iter().filter_map(restored).collect()
    }

    /// The concurrent change `other` of the same text as it is to be made after this one.
    /// (Quill's `AttributeMap.transform`.)
    #[must_use]
    pub fn transform(&self, other: &Self, priority: Priority) -> Self {
        if priority == Priority::Second || self.is_empty() || other.is_empty() {
            return other.clone();
        }
        other.keep(|name, _| self.get(name).is_none())
    }

    fn keep(&self, wanted: impl Fn(&str, &Value) -> bool) -> Self {
        self.iter()
            .filter(|(name, value)| wanted(name, value))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let same = |((a, x), (b, y)): (&(String, Value), &(String, Value))| a == b && values_equal(x, y);
                Arc::ptr_eq(a, b) || a.len() == b.len() && a.iter().zip(b.iter()).all(same)
            }
            _ => false,
        }
    }
}

impl FromIterator<(String, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().collect())
    }
}

/// Whether two JSON values are the same to JavaScript: all numbers are doubles, the order of an object's
/// keys does not matter.
pub(super) fn values_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| values_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => objects_equal(a, b),
        _ => scalars_equal(a, b),
    }
}

/// See [`values_equal`].
fn objects_equal(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| values_equal(a, b)))
}

/// `===` of JavaScript, with lists and objects unequal to everything.
fn scalars_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(_) | Value::Object(_), _) => false,
        _ => a == b,
    }
}
