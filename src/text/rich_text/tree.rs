//! The tree over the leaves: balanced, with the size of every child beside the pointer to it.

use std::{ops::Range, sync::Arc};

use crate::text::{Unit, Utf16, unit::Size};

use super::leaf::{Change, Leaf};

/// An inner node with more children than this is split.
pub(super) const MAX_CHILDREN: usize = 16;

/// A part of the tree. All leaves are equally deep, and but for the root of an empty document no part is
/// empty. Parts are shared between clones of a document and copied when one of them changes.
#[derive(Debug, Clone)]
pub(super) struct Subtree {
    pub(super) size: Size,
    pub(super) node: Arc<Node>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Inner(Vec<Subtree>),
}

impl Default for Subtree {
    fn default() -> Self {
        Self::new(Node::Leaf(Leaf::default()))
    }
}

impl Subtree {
    pub(super) fn new(node: Node) -> Self {
        Self { size: node.size(), node: Arc::new(node) }
    }

    /// The size of what comes before a position; see [`Size::of_start`].
    pub(super) fn before<U: Unit>(&self, position: usize) -> Size {
        let (mut node, mut before) = (&*self.node, Size::default());
        loop {
            let within = position.saturating_sub(before.length::<U>());
            match node {
                Node::Leaf(leaf) => return before + leaf.before::<U>(within),
                Node::Inner(children) => {
                    let (at, skipped) = child_at::<U>(children, within);
                    before += skipped;
                    node = &*children[at].node;
                }
            }
        }
    }

    /// Changes a range of UTF-16 units and stays a tree of which nothing is too large.
    pub(super) fn change_root(&mut self, range: Range<usize>, change: Change<'_>) {
        if let Some(right) = self.change(range, change) {
            let left = std::mem::take(self);
            *self = Self::new(Node::Inner(vec![left, right]));
        }
        while let Node::Inner(children) = &*self.node {
            match children.as_slice() {
                [] => *self = Self::default(),
                [only] => *self = only.clone(),
                _ => break,
            }
        }
    }

    /// Changes a range of UTF-16 units; what is too much for this node comes back as its right neighbour.
    fn change(&mut self, range: Range<usize>, change: Change<'_>) -> Option<Self> {
        let node = Arc::make_mut(&mut self.node);
        match node {
            Node::Leaf(leaf) => leaf.change(range, change),
            Node::Inner(children) => change_children(children, range, change),
        }
        let right = node.split_if_large();
        self.size = node.size();
        right.map(Self::new)
    }

    /// Appends another part of the same depth; what is too much comes back.
    fn append(&mut self, right: Self) -> Option<Self> {
        let node = Arc::make_mut(&mut self.node);
        match (&mut *node, Arc::unwrap_or_clone(right.node)) {
            (Node::Leaf(left), Node::Leaf(right)) => left.append(right),
            (Node::Inner(left), Node::Inner(right)) => {
                let seam = left.len();
                left.extend(right);
                merge_small(left, seam.saturating_sub(1)..seam + 1);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
        let right = node.split_if_large();
        self.size = node.size();
        right.map(Self::new)
    }
}

impl Node {
    fn size(&self) -> Size {
        match self {
            Self::Leaf(leaf) => leaf.size(),
            Self::Inner(children) => children.iter().map(|child| child.size).sum(),
        }
    }

    fn is_small(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.is_small(),
            Self::Inner(children) => children.len() < MAX_CHILDREN / 4,
        }
    }

    fn split_if_large(&mut self) -> Option<Self> {
        match self {
            Self::Leaf(leaf) => leaf.split_if_large().map(Self::Leaf),
            Self::Inner(children) if children.len() > MAX_CHILDREN => {
                Some(Self::Inner(children.split_off(children.len() / 2)))
            }
            Self::Inner(_) => None,
        }
    }
}

/// The first child that reaches up to `position` (else the last), and the size of all before it.
pub(super) fn child_at<U: Unit>(children: &[Subtree], position: usize) -> (usize, Size) {
    let mut before = Size::default();
    for (at, child) in children.iter().enumerate() {
        let next = before + child.size;
        if next.length::<U>() >= position || at + 1 == children.len() {
            return (at, before);
        }
        before = next;
    }
    (0, before)
}

fn change_children(children: &mut Vec<Subtree>, range: Range<usize>, change: Change<'_>) {
    let (first, before) = child_at::<Utf16>(children, range.start);
    let (mut at, mut start) = (first, before.utf16);
    while at < children.len() {
        let end = start + children[at].size.utf16;
        let part = range.start.max(start) - start..range.end.min(end) - start;
        let touched = !part.is_empty() || matches!(change, Change::Insert(..));
        if touched && matches!(change, Change::Delete) && part.len() == end - start {
            children.remove(at);
        } else {
            let right = if touched { children[at].change(part, change) } else { None };
            at += 1;
            if let Some(right) = right {
                children.insert(at, right);
                at += 1;
            }
        }
        start = end;
        if start >= range.end {
            break;
        }
    }
    merge_small(children, first..at);
}

/// Merges each of these children that has become too small with a neighbour.
fn merge_small(children: &mut Vec<Subtree>, touched: Range<usize>) {
    for at in touched.rev() {
        if children.len() < 2 || at >= children.len() || !children[at].node.is_small() {
            continue;
        }
        let left = at.saturating_sub(1);
        let right = children.remove(left + 1);
        if let Some(rest) = children[left].append(right) {
            children.insert(left + 1, rest);
        }
    }
}

#[cfg(test)]
impl Subtree {
    /// Panics unless everything that must hold of a tree holds; says how deep it is.
    pub(super) fn assert_sound(&self, fewest_children: usize) -> usize {
        assert_eq!(self.size, self.node.size());
        match &*self.node {
            Node::Leaf(leaf) => {
                leaf.assert_sound();
                assert!(fewest_children > 1 || self.size.bytes > 0, "an empty leaf that is not the root");
                1
            }
            Node::Inner(children) => {
                assert!((fewest_children..=MAX_CHILDREN).contains(&children.len()));
                let depths: Vec<_> = children.iter().map(|child| child.assert_sound(1)).collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]), "leaves of different depths");
                depths[0] + 1
            }
        }
    }
}
