//! A change of a document, or a whole document as the change of an empty one.

use std::{fmt, marker::PhantomData};

use smallvec::SmallVec;

use super::{Attributes, Content, Embed, Op, Text, Unit, Utf16};

/// A list of [`Op`]s over a document whose lengths count in `U`, canonical by construction: nothing
/// empty, neighbours that could be one are one, an insert stands before a delete at the same place,
/// no insert has a `null` attribute, and no plain retain is at the end.
#[derive(Clone)]
pub struct Delta<U: Unit = Utf16> {
    ops: SmallVec<[Op; 2]>,
    /// The plain retain at the end, which becomes a component when something follows it.
    pending: usize,
    unit: PhantomData<U>,
}

impl<U: Unit> Delta<U> {
    /// The change that changes nothing.
    pub const fn new() -> Self {
        Self { ops: SmallVec::new_const(), pending: 0, unit: PhantomData }
    }

    /// The components, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How much of a document it covers, up to its last change: the retained and the deleted length.
    pub fn base_length(&self) -> usize {
        self.ops
            .iter()
            .map(|op| if let Op::Insert { .. } = op { 0 } else { op.length::<U>() })
            .fold(0, usize::saturating_add)
    }

    /// By how much it makes a document longer, or shorter when negative.
    pub fn length_change(&self) -> isize {
        let signed = |length: usize| isize::try_from(length).unwrap_or(isize::MAX);
        self.ops.iter().fold(0, |change: isize, op| match op {
            Op::Retain { .. } => change,
            Op::Insert { .. } => change.saturating_add(signed(op.length::<U>())),
            Op::Delete { length } => change.saturating_sub(signed(*length)),
        })
    }

    /// The same components with the same numbers, which now count in `V`.
    pub fn recount<V: Unit>(&self) -> Delta<V> {
        Delta { ops: self.ops.clone(), pending: self.pending, unit: PhantomData }
    }

    /// Keeps `length` units. Builder form; see [`Self::push`].
    #[must_use]
    pub fn retain(self, length: usize) -> Self {
        self.format(length, Attributes::NONE)
    }

    /// Keeps `length` units with a change of attributes.
    #[must_use]
    pub fn format(mut self, length: usize, attributes: Attributes) -> Self {
        self.push(Op::Retain { length, attributes });
        self
    }

    /// Inserts text.
    #[must_use]
    pub fn insert(mut self, text: impl Into<Text>, attributes: Attributes) -> Self {
        self.push(Op::Insert { content: Content::Text(text.into()), attributes });
        self
    }

    /// Inserts an embed.
    #[must_use]
    pub fn embed(mut self, embed: Embed, attributes: Attributes) -> Self {
        self.push(Op::Insert { content: Content::Embed(embed), attributes });
        self
    }

    /// Deletes `length` units.
    #[must_use]
    pub fn delete(mut self, length: usize) -> Self {
        self.push(Op::Delete { length });
        self
    }

    /// Appends a component, keeping the delta canonical. (Quill's `push`, and `chop` ahead of time: a plain
    /// retain counts only once something follows it.)
    pub fn push(&mut self, op: Op) {
        match op {
            Op::Retain { length, attributes } if length == 0 || attributes.is_empty() => {
                self.pending = self.pending.saturating_add(length);
            }
            Op::Retain { length: more, attributes } => {
                self.settle();
                match self.ops.last_mut() {
                    Some(Op::Retain { length, attributes: same }) if *same == attributes => {
                        *length = length.saturating_add(more);
                    }
                    _ => self.ops.push(Op::Retain { length: more, attributes }),
                }
            }
            Op::Delete { length: 0 } => {}
            Op::Delete { length: more } => {
                self.settle();
                match self.ops.last_mut() {
                    Some(Op::Delete { length }) => *length = length.saturating_add(more),
                    _ => self.ops.push(Op::Delete { length: more }),
                }
            }
            Op::Insert { content: Content::Text(text), .. } if text.is_empty() => {}
            Op::Insert { content, attributes } => self.push_insert(content, attributes.without_nulls()),
        }
    }

    /// Inserts go before a delete: which of the two comes first makes no difference to the document.
    fn push_insert(&mut self, content: Content, attributes: Attributes) {
        self.settle();
        let at = self.ops.len() - usize::from(matches!(self.ops.last(), Some(Op::Delete { .. })));
        let before = at.checked_sub(1).map(|last| &mut self.ops[last]);
        match (before, &content) {
            (Some(Op::Insert { content: Content::Text(text), attributes: same }), Content::Text(more))
                if *same == attributes =>
            {
                text.append(more);
            }
            _ => self.ops.insert(at, Op::Insert { content, attributes }),
        }
    }

    /// Drops the plain retain at the end. (Quill's `chop`.)
    pub(super) fn chop(mut self) -> Self {
        self.pending = 0;
        self
    }

    fn settle(&mut self) {
        if self.pending > 0 {
            let length = std::mem::take(&mut self.pending);
            self.ops.push(Op::Retain { length, attributes: Attributes::NONE });
        }
    }
}

impl<U: Unit> Default for Delta<U> {
    fn default() -> Self {
        Self::new()
    }
}

impl<U: Unit> PartialEq for Delta<U> {
    fn eq(&self, other: &Self) -> bool {
        self.ops == other.ops
    }
}

impl<U: Unit> fmt::Debug for Delta<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.ops).finish()
    }
}

impl<U: Unit> Extend<Op> for Delta<U> {
    fn extend<I: IntoIterator<Item = Op>>(&mut self, ops: I) {
        ops.into_iter().for_each(|op| self.push(op));
    }
}

impl<U: Unit> FromIterator<Op> for Delta<U> {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        let mut delta = Self::new();
        delta.extend(ops);
        delta.chop()
    }
}

impl<U: Unit> IntoIterator for Delta<U> {
    type Item = Op;
    type IntoIter = smallvec::IntoIter<[Op; 2]>;

    fn into_iter(self) -> Self::IntoIter {
        self.ops.into_iter()
    }
}
