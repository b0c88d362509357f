//! A document from the inserts that make it, and back.

use crate::text::{Content, Delta, Op, Text, Unit};

use super::{
    EditError, RichText,
    leaf::{Leaf, MAX_BYTES, MAX_RUNS, Piece},
    tree::{MAX_CHILDREN, Node, Subtree},
};

/// How full a new leaf is, so that the first edits find room in it.
const FILL: usize = MAX_BYTES / 4 * 3;

impl RichText {
    /// The document that consists of these inserts. Much faster than applying them.
    ///
    /// # Errors
    /// When there is a retain or a delete.
    pub fn from_delta<U: Unit>(delta: &Delta<U>) -> Result<Self, EditError> {
        let mut leaves = Vec::new();
        let mut leaf = Leaf::default();
        for op in delta.ops() {
            let Op::Insert { content, attributes } = op else { return Err(EditError::NotADocument) };
            let mut push = |piece| {
                if leaf.text().len() >= FILL || leaf.runs().len() >= MAX_RUNS / 4 * 3 {
                    leaves.push(Subtree::new(Node::Leaf(std::mem::take(&mut leaf))));
                }
                leaf.push(piece, attributes);
            };
            match content {
                Content::Embed(embed) => push(Piece::Embed(embed)),
                Content::Text(text) => cut(text.as_str()).for_each(push),
            }
        }
        leaves.push(Subtree::new(Node::Leaf(leaf)));
        Ok(Self { root: root_of(leaves) })
    }

    /// The inserts that make this document, canonical.
    pub fn to_delta<U: Unit>(&self) -> Delta<U> {
        let mut delta = Delta::new();
        let mut spans = self.spans().peekable();
        let mut text = String::new();
        while let Some(span) = spans.next() {
            if span.embed.is_some() {
                delta.push(Op::Insert { content: span.content(), attributes: span.attributes.clone() });
                continue;
            }
            text.push_str(span.text);
            let goes_on = spans.peek().is_some_and(|next| next.embed.is_none() && next.attributes == span.attributes);
            if !goes_on {
                delta = delta.insert(Text::from(std::mem::take(&mut text)), span.attributes.clone());
            }
        }
        delta
    }
}

/// A quarter of a leaf at a time: with a first piece that fills a leaf up, full leaves would be the rule.
fn cut(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at(rest.floor_char_boundary(MAX_BYTES / 4));
        rest = tail;
        (!head.is_empty()).then_some(Piece::Text(head))
    })
}

/// Builds the tree over the leaves, level by level.
fn root_of(mut level: Vec<Subtree>) -> Subtree {
    while level.len() > 1 {
        let parents = level.len().div_ceil(MAX_CHILDREN / 4 * 3);
        let (each, more) = (level.len() / parents, level.len() % parents);
        let mut children = level.into_iter();
        level = (0..parents)
            .map(|at| children.by_ref().take(each + usize::from(at < more)).collect())
            .map(|children| Subtree::new(Node::Inner(children)))
            .collect();
    }
    level.pop().unwrap_or_default()
}
