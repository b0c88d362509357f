//! Ways to read a document.

use std::{marker::PhantomData, ops::Range, slice};

use crate::text::{Attributes, Content, Embed, Text, Unit, unit::Size};

use super::{
    leaf::Leaf,
    tree::{Node, Subtree, child_at},
};

/// The leaves from left to right.
pub(super) struct Leaves<'a> {
    first: Option<&'a Leaf>,
    /// What is still to the right, the deepest last.
    right: Vec<slice::Iter<'a, Subtree>>,
}

impl<'a> Leaves<'a> {
    /// From the leaf with the `position`th unit on, and where in that leaf this is.
    pub(super) fn from<U: Unit>(root: &'a Subtree, position: usize) -> (Self, usize) {
        let (mut node, mut within, mut right) = (&*root.node, position, Vec::new());
        loop {
            match node {
                Node::Leaf(leaf) => return (Self { first: Some(leaf), right }, within),
                Node::Inner(children) => {
                    let (at, before) = child_at::<U>(children, within);
                    within -= before.length::<U>();
                    right.push(children[at + 1..].iter());
                    node = &*children[at].node;
                }
            }
        }
    }
}

impl<'a> Iterator for Leaves<'a> {
    type Item = &'a Leaf;

    fn next(&mut self) -> Option<&'a Leaf> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while let Some(deepest) = self.right.last_mut() {
            match deepest.next().map(|child| &*child.node) {
                Some(Node::Leaf(leaf)) => return Some(leaf),
                Some(Node::Inner(children)) => self.right.push(children.iter()),
                None => {
                    self.right.pop();
                }
            }
        }
        None
    }
}

/// A stretch of a document with the same attributes, or an embed. Neighbours may be alike: they are where
/// the document is cut into pieces inside.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// The text; U+FFFC for an embed.
    pub text: &'a str,
    /// The embed, if it is one.
    pub embed: Option<&'a Embed>,
    /// Its attributes.
    pub attributes: &'a Attributes,
    pub(super) size: Size,
}

impl Span<'_> {
    /// Its length in `U`.
    pub fn length<U: Unit>(&self) -> usize {
        self.size.length::<U>()
    }

    pub(super) fn content(&self) -> Content {
        self.embed.map_or_else(|| Content::Text(Text::new(self.text)), |embed| Content::Embed(embed.clone()))
    }
}

/// The spans of a range of a document.
pub(super) struct Spans<'a, U> {
    leaves: Leaves<'a>,
    leaf: Option<&'a Leaf>,
    /// The next run of the leaf, and the byte where it starts.
    run: usize,
    start: usize,
    /// Units to pass over before the first span, and units to deliver after them.
    skip: usize,
    left: usize,
    unit: PhantomData<U>,
}

impl<'a, U: Unit> Spans<'a, U> {
    pub(super) fn new(root: &'a Subtree, range: Range<usize>) -> Self {
        let (mut leaves, skip) = Leaves::from::<U>(root, range.start);
        let leaf = leaves.next();
        Self { leaves, leaf, run: 0, start: 0, skip, left: range.end.saturating_sub(range.start), unit: PhantomData }
    }
}

impl<'a, U: Unit> Iterator for Spans<'a, U> {
    type Item = Span<'a>;

    fn next(&mut self) -> Option<Span<'a>> {
        while self.left > 0 {
            let leaf = self.leaf?;
            let Some(run) = leaf.runs().get(self.run) else {
                (self.leaf, self.run, self.start) = (self.leaves.next(), 0, 0);
                continue;
            };
            let (start, mut size) = (self.start, run.size);
            self.run += 1;
            self.start += size.bytes;
            let mut text = &leaf.text()[start..start + size.bytes];
            let skipped = size.of_start::<U>(text, self.skip);
            self.skip -= skipped.length::<U>().min(self.skip);
            (text, size) = (&text[skipped.bytes..], size - skipped);
            size = size.of_start::<U>(text, self.left);
            self.left -= size.length::<U>();
            if size.bytes > 0 {
                let (embed, attributes) = (run.embed.as_ref(), &run.attributes);
                return Some(Span { text: &text[..size.bytes], embed, attributes, size });
            }
            if skipped != run.size {
                // The range ends inside a surrogate pair.
                return None;
            }
        }
        None
    }
}
