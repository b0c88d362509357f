//! The stored forms: how events and snapshots are written into the database, for good.
//!
//! A stored text is a JSON list that begins with the tag of its form, e.g. `edited.1`. The tag chooses
//! the decoder, and the decoder yields today's domain type: that is the upcasting step. A form never
//! changes once it has shipped; a new one gets a new tag and a decoder beside the old ones, and
//! `tests/fixtures/stored` proves that every form ever shipped stays readable. `docs/events.md` lists them.

pub(super) mod blame_v1;
#[cfg(test)]
mod comment_tests;
mod commented_v1;
pub(super) mod contributions_v1;
mod edited_v1;
mod edited_v2;
pub(super) mod erased_v1;
mod fields;
#[cfg(test)]
mod kept_tests;
mod ops_v1;
#[cfg(test)]
mod presence_tests;
mod presence_v1;
pub(super) mod revoked_v1;
mod snapshot_v1;
mod snapshot_v2;
mod snapshot_v3;
#[cfg(test)]
mod tests;
pub(super) mod user_erased_v1;

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use crate::{
    domain::{CommentCause, Effect, Event, MessageId, PresenceEvent, Seq},
    projection::{Blame, Contributions, Presence, SavedComments},
    text::{Content, Delta, Op, Unit, Utf16},
};

/// Why a text cannot be written or read.
pub(super) type Why = String;

/// An event in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// What a fold reads; on one line.
    pub body: String,
    /// Everything else.
    pub cause: String,
}

/// Writes an event in the newest form that it needs.
pub(super) fn encode(event: &Event) -> Result<Stored, Why> {
    match event {
        Event::Edited(edited) => {
            let stored = if edited.placed.is_empty() { edited_v1::encode(edited) } else { edited_v2::encode(edited) };
            let stored = stored.map_err(|e| e.to_string())?;
            // Values of attributes and embeds nest, and a reader gives up at some depth: the log never
            // accepts what it could not read back.
            if is_rich(&edited.applied) {
                let read = decode_body(stored.body.as_bytes())?;
                if !matches!(read, Effect::Edited { applied, .. } if applied == edited.applied) {
                    return Err("the event would not be read as it was written".into());
                }
            }
            Ok(stored)
        }
        Event::Commented(commented, cause) => commented_v1::encode(commented, cause).map_err(|e| e.to_string()),
    }
}

/// Reads the part of an event that a fold needs.
pub(super) fn decode_body(body: &[u8]) -> Result<Effect, Why> {
    let Body(effect) = read(body)?;
    Ok(effect)
}

/// Reads an event.
pub(super) fn decode(body: &[u8], cause: &[u8]) -> Result<Event, Why> {
    let Body(effect) = read(body)?;
    match (effect, read(cause)?) {
        (Effect::Edited { applied, placed }, CauseOf::Edited(how)) => how.onto(applied, placed).map(Event::Edited),
        (Effect::Commented(commented), CauseOf::Commented(cause)) => Ok(Event::Commented(commented, Arc::new(cause))),
        (Effect::Edited { .. } | Effect::Commented(_), _) => Err("the cause is that of another kind of event".into()),
    }
}

/// Reads the id of the message that caused an event.
pub(super) fn decode_message_id(text: &[u8]) -> Result<MessageId, Why> {
    let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
    MessageId::parse(text).map_err(|e| e.to_string())
}

/// Writes a snapshot in the newest form that it needs.
pub(super) fn encode_snapshot(content: &Delta<Utf16>, comments: &SavedComments) -> Result<String, Why> {
    let text = if comments.is_empty() { snapshot_v1::encode(content) } else { snapshot_v3::encode(content, comments) };
    let text = text.map_err(|e| e.to_string())?;
    if is_rich(content) && decode_snapshot(text.as_bytes())?.0 != *content {
        return Err("the snapshot would not be read as it was written".into());
    }
    Ok(text)
}

/// Reads a snapshot.
pub(super) fn decode_snapshot(text: &[u8]) -> Result<(Delta<Utf16>, SavedComments), Why> {
    let SnapshotForm(content, comments) = read(text)?;
    Ok((content, comments))
}

/// Writes an event of a presence stream in the newest form.
pub(super) fn encode_presence(event: &PresenceEvent) -> Result<Stored, Why> {
    let body = presence_v1::encode(event).map_err(|e| e.to_string())?;
    Ok(Stored { body, cause: presence_v1::CAUSE.to_owned() })
}

/// Reads an event of a presence stream.
pub(super) fn decode_presence(body: &[u8]) -> Result<PresenceEvent, Why> {
    let PresenceBody(event) = read(body)?;
    Ok(event)
}

/// Writes a snapshot of a presence stream in the newest form.
pub(super) fn encode_presence_snapshot(presence: &Presence) -> Result<String, Why> {
    presence_v1::encode_snapshot(presence)
}

/// Reads a snapshot of a presence stream.
pub(super) fn decode_presence_snapshot(text: &[u8]) -> Result<Presence, Why> {
    let PresenceForm(presence) = read(text)?;
    Ok(presence)
}

/// Writes blame in the newest form.
pub(super) fn encode_blame(blame: &Blame) -> Result<String, Why> {
    blame_v1::encode(blame)
}

/// Reads blame as of an event.
pub(super) fn decode_blame(seq: Seq, text: &[u8]) -> Result<Blame, Why> {
    let BlameForm(blame) = read(text)?;
    blame.as_of(seq)
}

/// Writes contributions in the newest form.
pub(super) fn encode_contributions(contributions: &Contributions) -> Result<String, Why> {
    contributions_v1::encode(contributions)
}

/// Reads contributions as of an event.
pub(super) fn decode_contributions(seq: Seq, text: &[u8]) -> Result<Contributions, Why> {
    let ContributionsForm(contributions) = read(text)?;
    Ok(contributions.into_state(seq))
}

fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Why> {
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

fn is_rich<U: Unit>(delta: &Delta<U>) -> bool {
    delta.ops().iter().any(|op| match op {
        Op::Retain { attributes, .. } => !attributes.is_empty(),
        Op::Insert { content, attributes } => matches!(content, Content::Embed(_)) || !attributes.is_empty(),
        Op::Delete { .. } => false,
    })
}

/// Declares a type that is read from a list whose first element is the tag of its form.
macro_rules! tagged {
    ($(#[$doc:meta])* $name:ident = $what:literal { $($tag:pat => $decode:expr,)+ } -> $make:item) => {
        $(#[$doc])*
        $make

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Forms;

                impl<'de> Visitor<'de> for Forms {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a list that begins with the tag of ", $what))
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                        let tag = list.next_element::<&str>()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                        match tag {
                            $($tag => $decode(list),)+
                            unknown => Err(A::Error::custom(format_args!("{unknown:?} is not a known form of {}", $what))),
                        }
                    }
                }

                deserializer.deserialize_seq(Forms)
            }
        }
    };
}

tagged! {
    /// What a fold reads of an event.
    Body = "an event" {
        edited_v1::BODY => |list| {
            ops_v1::read(list).map(|applied| Body(Effect::Edited { applied, placed: Vec::new() }))
        },
        edited_v2::BODY => |list| edited_v2::read(list).map(Body),
        commented_v1::ADDED => |list| commented_v1::read_added(list).map(Body),
        commented_v1::UPDATED => |list| commented_v1::read_updated(list).map(Body),
        commented_v1::RESOLVED => |list| commented_v1::read_resolved(list).map(Body),
        commented_v1::REOPENED => |list| commented_v1::read_reopened(list).map(Body),
        commented_v1::DELETED => |list| commented_v1::read_deleted(list).map(Body),
    } ->
    struct Body(Effect);
}

tagged! {
    /// The rest of an event.
    CauseOf = "a cause" {
        edited_v1::CAUSE => |list| edited_v1::read_cause(list).map(Self::Value::Edited),
        commented_v1::CAUSE => |list| commented_v1::read_cause(list).map(Self::Value::Commented),
    } ->
    enum CauseOf { Edited(edited_v1::How), Commented(CommentCause) }
}

tagged! {
    /// A snapshot.
    SnapshotForm = "a snapshot" {
        snapshot_v1::TAG => |list| ops_v1::read(list).map(|content| SnapshotForm(content, SavedComments::default())),
        snapshot_v2::TAG => |list| snapshot_v2::read(list).map(|(content, comments)| SnapshotForm(content, comments)),
        snapshot_v3::TAG => |list| snapshot_v3::read(list).map(|(content, comments)| SnapshotForm(content, comments)),
    } ->
    struct SnapshotForm(Delta<Utf16>, SavedComments);
}

tagged! {
    /// An event of a presence stream.
    PresenceBody = "a presence event" {
        presence_v1::JOINED => |list| presence_v1::joined(list).map(PresenceBody),
        presence_v1::LEFT => |list| presence_v1::left(list).map(PresenceBody),
        presence_v1::MOVED => |list| presence_v1::moved(list).map(PresenceBody),
        presence_v1::TYPED => |list| presence_v1::typed(list).map(PresenceBody),
    } ->
    struct PresenceBody(PresenceEvent);
}

tagged! {
    /// A snapshot of a presence stream.
    PresenceForm = "a snapshot of presence" {
        presence_v1::SNAPSHOT => |list| presence_v1::snapshot(list).map(PresenceForm),
    } ->
    struct PresenceForm(Presence);
}

tagged! {
    /// Kept blame.
    BlameForm = "blame" {
        blame_v1::TAG => |list| blame_v1::read(list).map(BlameForm),
    } ->
    struct BlameForm(blame_v1::Read);
}

tagged! {
    /// Kept contributions.
    ContributionsForm = "contributions" {
        contributions_v1::TAG => |list| contributions_v1::read(list).map(ContributionsForm),
    } ->
    struct ContributionsForm(contributions_v1::Read);
}
