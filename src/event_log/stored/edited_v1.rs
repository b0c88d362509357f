//! `Edited`, form 1. Frozen: add a form beside it, never change it.
//!
//! Body: `["edited.1", op, …]`, the edit as applied, in UTF-16 units, with the ops of [`ops_v1`].
//! Cause: `["cause.1", user, client, base, origin, after or null, encoding,
//! transformed, in code points or null, received]`.

use std::sync::Arc;

use serde::{Serialize, de::SeqAccess};
use serde_json::value::RawValue;

use super::{
    Stored, Why, fields,
    ops_v1::{self, Ops},
};
use crate::{
    domain::{Cause, ClientId, Edited, IdError, MessageId, Placed, UserId, Version},
    text::{CodePoints, Delta, Utf16},
};

pub(super) const BODY: &str = "edited.1";
pub(super) const CAUSE: &str = "cause.1";

/// Writes both halves.
pub(super) fn encode(edited: &Edited) -> serde_json::Result<Stored> {
    Ok(Stored { body: ops_v1::tagged(BODY, &edited.applied)?, cause: encode_cause(edited)? })
}

/// Writes the cause.
pub(super) fn encode_cause(edited: &Edited) -> serde_json::Result<String> {
    let cause = &*edited.cause;
    serde_json::to_string(&(
        CAUSE,
        cause.user.as_str(),
        cause.client.as_str(),
        cause.base.0,
        cause.origin.0,
        cause.after.as_ref().map(MessageId::as_str),
        cause.encoding.as_str(),
        edited.transformed,
        edited.in_code_points.as_ref().map(Written),
        &*cause.received,
    ))
}

struct Written<'a>(&'a Delta<CodePoints>);

impl Serialize for Written<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ops_v1::serialize(self.0, serializer)
    }
}

/// An [`Edited`] but for what it did.
pub(super) struct How {
    user: String,
    client: String,
    base: u64,
    origin: u64,
    after: Option<String>,
    encoding: String,
    transformed: bool,
    in_code_points: Option<Ops<CodePoints>>,
    received: Box<RawValue>,
}

/// Reads a cause after its tag.
pub(super) fn read_cause<'de, A: SeqAccess<'de>>(mut list: A) -> Result<How, A::Error> {
    fn field<'de, T: serde::Deserialize<'de>, A: SeqAccess<'de>>(
        list: &mut A,
        name: &'static str,
    ) -> Result<T, A::Error> {
        list.next_element()?.ok_or_else(|| serde::de::Error::missing_field(name))
    }
    Ok(How {
        user: field(&mut list, "user")?,
        client: field(&mut list, "client")?,
        base: field(&mut list, "base")?,
        origin: field(&mut list, "origin")?,
        after: field(&mut list, "after")?,
        encoding: field(&mut list, "encoding")?,
        transformed: field(&mut list, "transformed")?,
        in_code_points: field(&mut list, "in_code_points")?,
        received: field(&mut list, "received")?,
    })
}

impl How {
    /// The whole event.
    pub(super) fn onto(self, applied: Delta<Utf16>, placed: Vec<Placed>) -> Result<Edited, Why> {
        let invalid = |e: IdError| e.to_string();
        let cause = Cause {
            user: UserId::parse(&self.user).map_err(invalid)?,
            client: ClientId::parse(&self.client).map_err(invalid)?,
            base: Version(self.base),
            origin: Version(self.origin),
            after: self.after.as_deref().map(MessageId::parse).transpose().map_err(invalid)?,
            encoding: fields::encoding(&self.encoding)?,
            received: self.received.into(),
        };
        Ok(Edited {
            applied,
            in_code_points: self.in_code_points.map(|Ops(delta)| delta),
            transformed: self.transformed,
            placed,
            cause: Arc::new(cause),
        })
    }
}
