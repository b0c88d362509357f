//! The simplest thing that is a document: a list of characters and embeds, each with its attributes.

use crate::text::{Attributes, Content, Delta, Embed, Op, Unit, Utf16};

use super::Step;

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model(pub(super) Vec<Unitary>);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unitary {
    pub(super) content: Content,
    pub(super) attributes: Attributes,
}

impl Unitary {
    pub(super) fn length(&self) -> usize {
        self.content.length::<Utf16>()
    }
}

impl Model {
    /// The result of an edit that fits.
    pub(super) fn apply(&self, edit: &Delta<Utf16>) -> Self {
        let mut base = self.0.iter().cloned();
        let mut result = Vec::new();
        let mut take = |mut length: usize| {
            let mut taken = Vec::new();
            while length > 0 {
                let next: Unitary = base.next().expect("an edit inside the document");
                length = length.checked_sub(next.length()).expect("an edit at character boundaries");
                taken.push(next);
            }
            taken
        };
        for op in edit.ops() {
            match op {
                Op::Retain { length, attributes } => result.extend(take(*length).into_iter().map(|mut kept| {
                    kept.attributes = kept.attributes.changed_by(attributes);
                    kept
                })),
                Op::Delete { length } => drop(take(*length)),
                Op::Insert { content: Content::Text(text), attributes } => {
                    result.extend(text.as_str().chars().map(|c| Unitary {
                        content: Content::Text(c.to_string().as_str().into()),
                        attributes: attributes.clone(),
                    }));
                }
                Op::Insert { content, attributes } => {
                    result.push(Unitary { content: content.clone(), attributes: attributes.clone() });
                }
            }
        }
        result.extend(base);
        Self(result)
    }

    pub(super) fn to_delta<U: Unit>(&self) -> Delta<U> {
        let op = |unit: &Unitary| Op::Insert { content: unit.content.clone(), attributes: unit.attributes.clone() };
        self.0.iter().map(op).collect()
    }

    pub(super) fn text(&self) -> String {
        let text = |unit: &Unitary| match &unit.content {
            Content::Text(text) => text.as_str().to_owned(),
            Content::Embed(_) => "\u{FFFC}".to_owned(),
        };
        self.0.iter().map(text).collect()
    }

    /// An edit of this document: steps beyond its end are left out.
    pub(super) fn edit<U: Unit>(&self, steps: &[Step]) -> Delta<U> {
        let mut at = 0;
        let mut pass = |characters: usize| {
            let end = self.0.len().min(at + characters);
            let length = self.0[at..end].iter().map(|unit| unit.content.length::<U>()).sum();
            at = end;
            length
        };
        let op = |step: &Step| match step {
            Step::Retain(length, attributes) => Op::Retain { length: pass(*length), attributes: attributes.clone() },
            Step::Delete(length) => Op::Delete { length: pass(*length) },
            Step::Insert(content, attributes) => {
                Op::Insert { content: content.clone(), attributes: attributes.clone() }
            }
        };
        steps.iter().map(op).collect()
    }

    pub(super) fn embeds(&self) -> impl Iterator<Item = &Embed> {
        self.0.iter().filter_map(|unit| if let Content::Embed(embed) = &unit.content { Some(embed) } else { None })
    }
}
