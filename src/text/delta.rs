//! A change of a document, or a whole document as the change of an empty one.

use std::marker::PhantomData;

use smallvec::SmallVec;

use super::{Attributes, Content, Embed, Op, Text, Unit, Utf16};

/// A list of [`Op`]s over a document whose lengths count in `U`, canonical by construction: nothing
/// empty, neighbours that could be one are one, an insert stands before a delete at the same place,
/// and no plain retain at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta<U: Unit = Utf16> {
    ops: SmallVec<[Op; 2]>,
    unit: PhantomData<U>,
}

impl<U: Unit> Default for Delta<U> {
    fn default() -> Self {
        Self { ops: SmallVec::new(), unit: PhantomData }
    }
}

impl<U: Unit> Delta<U> {
    /// The change that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The components, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
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
    pub fn insert(mut self, text: &str, attributes: Attributes) -> Self {
        self.push(Op::Insert { content: Content::Text(Text::new(text)), attributes });
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

    /// Appends a component, keeping the delta canonical. (Quill's `Delta.push`.)
    pub fn push(&mut self, op: Op) {
        if op.length::<U>() == 0 {
            return;
        }
        let mut at = self.ops.len();
        if matches!(op, Op::Insert { .. }) && matches!(self.ops.last(), Some(Op::Delete { .. })) {
            at -= 1;
        }
        let merged = match at.checked_sub(1).map(|last| (&mut self.ops[last], &op)) {
            Some((Op::Delete { length }, Op::Delete { length: more })) => {
                *length += more;
                true
            }
            _ => false,
        };
        if !merged {
            self.ops.insert(at, op);
        }
    }
}
