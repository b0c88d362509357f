//! Contributions, form 1: `["contributions.1", [user, edits, added, removed, comments, first, last], …]`. Frozen: add a
//! form beside it, never change it.
//!
//! Characters are code points, times microseconds.

use serde::{Serializer, de::SeqAccess, ser::SerializeSeq};

use super::{Why, fields};
use crate::{
    domain::{Seq, Timestamp, UserId},
    projection::{Contribution, Contributions},
};

pub(in crate::event_log) const TAG: &str = "contributions.1";

/// Writes it.
pub(super) fn encode(contributions: &Contributions) -> Result<String, Why> {
    let write = || -> serde_json::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut text);
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(TAG)?;
        for (user, it) in contributions.authors() {
            let Contribution { edits, added, removed, comments, first, last } = *it;
            list.serialize_element(&(user.as_str(), edits, added, removed, comments, first.0, last.0))?;
        }
        SerializeSeq::end(list)?;
        Ok(text)
    };
    String::from_utf8(write().map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// What a text says, not yet as of a place.
pub(super) struct Read(Vec<(UserId, Contribution)>);

/// Reads it after its tag.
pub(super) fn read<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Read, A::Error> {
    type Item = (String, u64, u64, u64, u64, i64, i64);
    let mut authors = Vec::new();
    while let Some((user, edits, added, removed, comments, first, last)) = list.next_element::<Item>()? {
        let (first, last) = (Timestamp(first), Timestamp(last));
        let contribution = Contribution { edits, added, removed, comments, first, last };
        authors.push((fields::id(&user, UserId::parse)?, contribution));
    }
    Ok(Read(authors))
}

impl Read {
    /// The state as of an event.
    pub(super) fn into_state(self, seq: Seq) -> Contributions {
        Contributions::restore(seq, self.0)
    }
}
