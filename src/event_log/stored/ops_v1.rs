//! A delta as a JSON list, form 1. Frozen: add a form beside it, never change it.
//!
//! `5` keeps 5 units, `-5` deletes them, `"text"` inserts text. With attributes, or for an embed, a list:
//! `[5,{"bold":true}]`, `["text",{"bold":true}]`, `[{"image":"u"}]`, `[{"image":"u"},{"alt":"a"}]`.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, SeqAccess, Visitor, value::MapAccessDeserializer},
    ser::{SerializeSeq, SerializeTuple},
};
use serde_json::Value;

use crate::text::{Attributes, Content, Delta, Embed, Op, Text, Unit};

/// The text of a list that begins with `tag` and goes on with the ops of a delta.
pub(super) fn tagged<U: Unit>(tag: &str, delta: &Delta<U>) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(64);
    let mut serializer = serde_json::Serializer::new(&mut text);
    let mut list = serializer.serialize_seq(None)?;
    SerializeSeq::serialize_element(&mut list, tag)?;
    write(&mut list, delta)?;
    SerializeSeq::end(list)?;
    Ok(String::from_utf8(text).expect("serde_json writes UTF-8"))
}

/// The same with one more element between the tag and the ops.
pub(super) fn tagged_with<U: Unit>(tag: &str, more: &impl Serialize, delta: &Delta<U>) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut text);
    let mut list = serializer.serialize_seq(None)?;
    SerializeSeq::serialize_element(&mut list, tag)?;
    SerializeSeq::serialize_element(&mut list, more)?;
    write(&mut list, delta)?;
    SerializeSeq::end(list)?;
    Ok(String::from_utf8(text).expect("serde_json writes UTF-8"))
}

/// Writes a delta as one list.
pub(super) fn serialize<S: Serializer, U: Unit>(delta: &Delta<U>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(delta.ops().len()))?;
    write(&mut list, delta)?;
    list.end()
}

fn write<S: SerializeSeq, U: Unit>(list: &mut S, delta: &Delta<U>) -> Result<(), S::Error> {
    delta.ops().iter().try_for_each(|op| list.serialize_element(&Written(op)))
}

/// Reads the rest of a list as the ops of a delta.
pub(super) fn read<'de, A: SeqAccess<'de>, U: Unit>(mut list: A) -> Result<Delta<U>, A::Error> {
    let mut delta = Delta::new();
    while let Some(op) = list.next_element_seed(AnOp)? {
        delta.push(op);
    }
    Ok(delta)
}

/// A whole delta, read from one list.
pub(super) struct Ops<U: Unit>(pub Delta<U>);

impl<'de, U: Unit> Deserialize<'de> for Ops<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData)).map(Self)
    }
}

struct List<U>(PhantomData<U>);

impl<'de, U: Unit> Visitor<'de> for List<U> {
    type Value = Delta<U>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ops")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        read(list)
    }
}

struct Written<'a>(&'a Op);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Op::Retain { length, attributes } => with_attributes(serializer, length, attributes),
            // A length fits: no document has 2^63 units.
            Op::Delete { length } => serializer.serialize_i64(i64::try_from(*length).map_or(i64::MIN, |n| -n)),
            Op::Insert { content: Content::Text(text), attributes } => {
                with_attributes(serializer, text.as_str(), attributes)
            }
            Op::Insert { content: Content::Embed(embed), attributes } => {
                let mut list = serializer.serialize_seq(None)?;
                list.serialize_element(embed)?;
                if !attributes.is_empty() {
                    list.serialize_element(&Named(attributes))?;
                }
                list.end()
            }
        }
    }
}

fn with_attributes<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    what: &T,
    attributes: &Attributes,
) -> Result<S::Ok, S::Error> {
    if attributes.is_empty() {
        return what.serialize(serializer);
    }
    let mut pair = serializer.serialize_tuple(2)?;
    pair.serialize_element(what)?;
    pair.serialize_element(&Named(attributes))?;
    pair.end()
}

struct Named<'a>(&'a Attributes);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// Reads one op.
#[derive(Clone, Copy)]
struct AnOp;

impl<'de> DeserializeSeed<'de> for AnOp {
    type Value = Op;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Op, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnOp {
    type Value = Op;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length, a text or a list of it and attributes")
    }

    fn visit_u64<E: de::Error>(self, length: u64) -> Result<Op, E> {
        Ok(Op::Retain { length: units(length)?, attributes: Attributes::NONE })
    }

    fn visit_i64<E: de::Error>(self, length: i64) -> Result<Op, E> {
        Ok(Op::Delete { length: units(length.unsigned_abs())? })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Op, E> {
        Ok(insert(Content::Text(Text::new(text))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Op, A::Error> {
        let bare = list.next_element_seed(Bare)?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let Some(named) = list.next_element::<BTreeMap<String, Value>>()? else { return Ok(bare) };
        if list.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(3, &self));
        }
        let attributes = Attributes::new(named);
        match bare {
            Op::Retain { length, .. } => Ok(Op::Retain { length, attributes }),
            Op::Insert { content, .. } => Ok(Op::Insert { content, attributes }),
            Op::Delete { .. } => Err(de::Error::custom("a delete has no attributes")),
        }
    }
}

/// Reads the first element of an op that is a list.
struct Bare;

impl<'de> DeserializeSeed<'de> for Bare {
    type Value = Op;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Op, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bare {
    type Value = Op;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length, a text or an embed")
    }

    fn visit_u64<E: de::Error>(self, length: u64) -> Result<Op, E> {
        AnOp.visit_u64(length)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Op, E> {
        AnOp.visit_str(text)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Op, A::Error> {
        let embed = Embed::deserialize(MapAccessDeserializer::new(map))?;
        Ok(insert(Content::Embed(embed)))
    }
}

fn insert(content: Content) -> Op {
    Op::Insert { content, attributes: Attributes::NONE }
}

/// Lengths are sums away from each other, so an absurd one must not get far enough to overflow.
fn units<E: de::Error>(length: u64) -> Result<usize, E> {
    u32::try_from(length).map(|n| n as usize).map_err(|_| E::custom("a length beyond 4 G units"))
}
