//! The state of a document.

mod build;
mod leaf;
mod read;
mod recount;
mod tree;

use std::sync::Arc;

pub use read::Span;

use crate::text::{Content, Delta, Op, Unit, Utf16, unit::Size};
use leaf::{Change, Piece};
use read::{Leaves, Spans};
use tree::Subtree;

/// Rich text: a document. Cloning takes no time and shares everything; the clone and the original then
/// change independently. An edit takes time in the logarithm of the document's length, however much text
/// and formatting it has.
#[derive(Clone, Default)]
pub struct RichText {
    root: Subtree,
}

/// Why an edit cannot be applied to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It retains, formats or deletes beyond the end.
    #[error("position {position} is outside the document, which has a length of {length}")]
    OutsideDocument {
        /// The first place beyond that it needs.
        position: usize,
        /// The document's length in the edit's unit.
        length: usize,
    },
    /// One of its components ends inside a character that has two UTF-16 units.
    #[error("position {position} is inside a surrogate pair")]
    InsideSurrogatePair {
        /// The place between the two units.
        position: usize,
    },
    /// It was to be a whole document, but retains or deletes.
    #[error("a document consists of inserts only")]
    NotADocument,
}

impl RichText {
    /// The empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its length in `U`.
    pub fn length<U: Unit>(&self) -> usize {
        self.root.size.length::<U>()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.root.size.bytes == 0
    }

    /// Whether all its positions are the same numbers in every unit: no character needs two UTF-16 units.
    pub fn is_single_unit(&self) -> bool {
        self.root.size.utf16 == self.root.size.chars
    }

    /// Applies an edit, all or nothing: on an error the document is what it was.
    ///
    /// # Errors
    /// When the edit reaches beyond the end or cuts a surrogate pair.
    pub fn apply(&mut self, edit: &Delta<Utf16>) -> Result<(), EditError> {
        self.check(edit)?;
        let mut position = 0;
        for op in edit.ops() {
            match op {
                Op::Retain { length, attributes } => {
                    if !attributes.is_empty() {
                        self.root.change_root(position..position + length, Change::Format(attributes));
                    }
                    position += length;
                }
                Op::Delete { length } => self.root.change_root(position..position + length, Change::Delete),
                Op::Insert { content: Content::Embed(embed), attributes } => {
                    let change = Change::Insert(Piece::Embed(embed), attributes);
                    self.root.change_root(position..position, change);
                    position += 1;
                }
                Op::Insert { content: Content::Text(text), attributes } => {
                    for piece in Piece::cut(text.as_str()) {
                        self.root.change_root(position..position, Change::Insert(piece, attributes));
                        position += piece.size().utf16;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether [`Self::apply`] would accept this edit.
    ///
    /// # Errors
    /// The same.
    pub fn check<U: Unit>(&self, edit: &Delta<U>) -> Result<(), EditError> {
        let mut position: usize = 0;
        for op in edit.ops() {
            match op {
                Op::Retain { length, .. } | Op::Delete { length } => {
                    position = position.saturating_add(*length);
                    self.before::<U>(position)?;
                }
                Op::Insert { .. } => {}
            }
        }
        Ok(())
    }

    /// A position in another unit.
    ///
    /// # Errors
    /// When it is beyond the end or inside a surrogate pair.
    pub fn position<From: Unit, To: Unit>(&self, position: usize) -> Result<usize, EditError> {
        Ok(self.before::<From>(position)?.length::<To>())
    }

    /// The plain text; each embed shows as U+FFFC.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.root.size.bytes);
        self.chunks().for_each(|chunk| text.push_str(chunk));
        text
    }

    /// The plain text in pieces of about a kibibyte.
    pub fn chunks(&self) -> impl Iterator<Item = &str> {
        Leaves::from::<Utf16>(&self.root, 0).0.map(leaf::Leaf::text)
    }

    /// How many words there are: stretches between Unicode white space.
    pub fn word_count(&self) -> usize {
        let mut count = 0;
        let mut after_space = true;
        for c in self.chunks().flat_map(str::chars) {
            let space = c.is_whitespace();
            count += usize::from(after_space && !space);
            after_space = space;
        }
        count
    }

    /// Everything in it, from left to right.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.slice::<Utf16>(0..usize::MAX)
    }

    /// What is in a range of positions, as far as it is inside the document.
    pub fn slice<U: Unit>(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = Span<'_>> {
        Spans::<U>::new(&self.root, range)
    }

    /// The size of what comes before a position.
    fn before<U: Unit>(&self, position: usize) -> Result<Size, EditError> {
        let length = self.length::<U>();
        if position > length {
            return Err(EditError::OutsideDocument { position, length });
        }
        if self.root.size.bytes == self.root.size.utf16 {
            return Ok(Size { bytes: position, utf16: position, chars: position });
        }
        let before = self.root.before::<U>(position);
        if before.length::<U>() == position { Ok(before) } else { Err(EditError::InsideSurrogatePair { position }) }
    }
}

impl<U: Unit> Delta<U> {
    /// The edit that undoes this edit of `base`. (Quill's `invert`.)
    ///
    /// # Errors
    /// When this is not an edit of `base`.
    pub fn invert(&self, base: &RichText) -> Result<Self, EditError> {
        base.check(self)?;
        let (mut inverted, mut position) = (Self::new(), 0);
        for op in self.ops() {
            match op {
                Op::Insert { content, .. } => inverted = inverted.delete(content.length::<U>()),
                Op::Retain { length, attributes } if attributes.is_empty() => {
                    inverted = inverted.retain(*length);
                    position += length;
                }
                Op::Retain { length, attributes } => {
                    for span in base.slice::<U>(position..position + length) {
                        inverted = inverted.format(span.length::<U>(), attributes.invert(span.attributes));
                    }
                    position += length;
                }
                Op::Delete { length } => {
                    for span in base.slice::<U>(position..position + length) {
                        inverted.push(Op::Insert { content: span.content(), attributes: span.attributes.clone() });
                    }
                    position += length;
                }
            }
        }
        Ok(inverted.chop())
    }
}

/// Equal content; how it is cut into pieces inside makes no difference.
impl PartialEq for RichText {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.root.node, &other.root.node) {
            return true;
        }
        if self.root.size != other.root.size {
            return false;
        }
        let (mut ours, mut theirs) = (self.spans(), other.spans());
        let (mut a, mut b) = (ours.next(), theirs.next());
        while let (Some(x), Some(y)) = (&mut a, &mut b) {
            let common = x.text.len().min(y.text.len());
            let (head, other) = (&x.text.as_bytes()[..common], &y.text.as_bytes()[..common]);
            let embeds = (x.embed.is_none() && y.embed.is_none()) || x.content() == y.content();
            if head != other || !embeds || x.attributes != y.attributes {
                return false;
            }
            (x.text, y.text) = (&x.text[common..], &y.text[common..]);
            if x.text.is_empty() {
                a = ours.next();
            }
            if y.text.is_empty() {
                b = theirs.next();
            }
        }
        a.is_none() && b.is_none()
    }
}

impl std::fmt::Debug for RichText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_delta::<Utf16>().fmt(f)
    }
}

#[cfg(test)]
impl RichText {
    /// Panics unless everything that must hold of the tree holds.
    pub(super) fn assert_balanced(&self) {
        self.root.assert_sound(2);
    }
}
