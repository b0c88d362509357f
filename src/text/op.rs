//! One component of a change.

use super::{Attributes, Embed, Text, Unit};

/// What an insert inserts.
#[derive(Debug, Clone)]
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

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Embed(a), Self::Embed(b)) => a == b,
            _ => false,
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
        /// With which attributes; none of them is `null` inside a [`super::Delta`].
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

    /// The first `length` units, which must be less than all, and the rest.
    pub(super) fn split_at<U: Unit>(&self, length: usize) -> (Self, Self) {
        match self {
            Self::Retain { length: all, attributes } => (
                Self::Retain { length, attributes: attributes.clone() },
                Self::Retain { length: all - length, attributes: attributes.clone() },
            ),
            Self::Delete { length: all } => (Self::Delete { length }, Self::Delete { length: all - length }),
            Self::Insert { content: Content::Text(text), attributes } => {
                let (head, tail) = text.split_at::<U>(length);
                let insert = |text| Self::Insert { content: Content::Text(text), attributes: attributes.clone() };
                (insert(head), insert(tail))
            }
            Self::Insert { content: Content::Embed(_), .. } => unreachable!("an embed has length 1"),
        }
    }
}
