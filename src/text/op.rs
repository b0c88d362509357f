//! One component of a change.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Attributes, Text, Unit};

/// Something in a document that is not text, e.g. `{"image": url}`. Its length is 1 in every unit.
pub type Embed = Arc<Map<String, Value>>;

/// What an insert inserts.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text; never empty inside a [`super::Delta`].
    Text(Text),
    /// An embed of length 1.
    Embed(Embed),
}

impl Content {
    /// Its length in `U`.
    pub fn length<U: Unit>(&self) -> usize {
        match self {
            Self::Text(text) => text.length::<U>(),
            Self::Embed(_) => 1,
        }
    }
}

/// One component of a [`super::Delta`].
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Keeps the next `length` units and changes their attributes.
    Retain {
        /// How many units.
        length: usize,
        /// The change of attributes; `null` takes one away.
        attributes: Attributes,
    },
    /// Inserts here.
    Insert {
        /// What.
        content: Content,
        /// With which attributes.
        attributes: Attributes,
    },
    /// Deletes the next `length` units.
    Delete {
        /// How many units.
        length: usize,
    },
}

impl Op {
    /// The length that this component covers (inserts, retains or deletes), in `U`.
    pub fn length<U: Unit>(&self) -> usize {
        match self {
            Self::Retain { length, .. } | Self::Delete { length } => *length,
            Self::Insert { content, .. } => content.length::<U>(),
        }
    }
}
