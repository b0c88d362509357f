//! How an edit is told: as simple operations with positions, or as a delta.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{
    protocol::json::{AttributesJson, ContentJson, OpsJson},
    text::{Attributes, Content, Delta, Op, Unit},
};

use super::Form;

/// An operation in one of the two forms.
pub struct OperationJson<'a, U: Unit> {
    pub(super) delta: &'a Delta<U>,
    pub(super) form: Form,
    pub(super) author: &'a str,
}

impl<U: Unit> Serialize for OperationJson<'_, U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut steps = steps(self.delta);
        match (self.form, steps.next(), steps.next()) {
            (Form::Simple, Some(step), None) => step.write(&mut map)?,
            (Form::Simple, ..) => {
                map.serialize_entry("type", "composite")?;
                map.serialize_entry("operations", &Steps(self.delta))?;
            }
            (Form::Delta, ..) => {
                map.serialize_entry("type", "delta")?;
                map.serialize_entry("ops", &OpsJson(self.delta.ops()))?;
            }
        }
        map.serialize_entry("author", self.author)?;
        map.end()
    }
}

/// A simple operation: everything in a delta but plain retains, with its position.
struct Step<'a> {
    position: usize,
    length: usize,
    op: &'a Op,
}

fn steps<U: Unit>(delta: &Delta<U>) -> impl Iterator<Item = Step<'_>> {
    let mut position = 0;
    delta.ops().iter().filter_map(move |op| {
        let (at, length) = (position, op.length::<U>());
        if !matches!(op, Op::Delete { .. }) {
            position += length;
        }
        let is_plain = matches!(op, Op::Retain { attributes, .. } if attributes.is_empty());
        (!is_plain).then_some(Step { position: at, length, op })
    })
}

impl Step<'_> {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let kind = match self.op {
            Op::Retain { .. } => "format",
            Op::Insert { .. } => "insert",
            Op::Delete { .. } => "delete",
        };
        map.serialize_entry("type", kind)?;
        map.serialize_entry("position", &self.position)?;
        let attributes = match self.op {
            Op::Retain { attributes, .. } => {
                map.serialize_entry("length", &self.length)?;
                attributes
            }
            Op::Insert { content, attributes } => {
                let name = if matches!(content, Content::Text(_)) { "content" } else { "embed" };
                map.serialize_entry(name, &ContentJson(content))?;
                attributes
            }
            Op::Delete { .. } => {
                map.serialize_entry("length", &self.length)?;
                &Attributes::NONE
            }
        };
        if attributes.is_empty() { Ok(()) } else { map.serialize_entry("attributes", &AttributesJson(attributes)) }
    }
}

impl Serialize for Step<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

struct Steps<'a, U: Unit>(&'a Delta<U>);

impl<U: Unit> Serialize for Steps<'_, U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for step in steps(self.0) {
            list.serialize_element(&step)?;
        }
        list.end()
    }
}
