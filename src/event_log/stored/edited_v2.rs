//! `Edited`, form 2: with threads that found their text again. Frozen: add a form beside it, never change it.
//!
//! Body: `["edited.2", [[thread, start, end, start in code points, end in code points], …], op, …]`, the ops as in
//! form 1. The cause is that of form 1.

use serde::de::SeqAccess;

use super::{
    Stored, edited_v1,
    fields::{self, Ends},
    ops_v1,
};
use crate::domain::{Edited, Effect, Placed, ThreadId};

pub(super) const BODY: &str = "edited.2";

/// Writes both halves.
pub(super) fn encode(edited: &Edited) -> serde_json::Result<Stored> {
    let written = |Placed { thread, place }: &Placed| {
        let [start, end, from, to] = fields::ends(place);
        (thread.as_str().to_owned(), start, end, from, to)
    };
    let placed: Vec<_> = edited.placed.iter().map(written).collect();
    let body = ops_v1::tagged_with(BODY, &placed, &edited.applied)?;
    Ok(Stored { body, cause: edited_v1::encode_cause(edited)? })
}

/// Reads the body after its tag.
pub(super) fn read<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Effect, A::Error> {
    type Written = (String, u32, u32, u32, u32);
    let placed: Vec<Written> = fields::next(&mut list, "anchors")?;
    let placed = placed.into_iter().map(|(thread, start, end, from, to)| {
        let ends: Ends = (start, end, from, to);
        Ok(Placed { thread: fields::id(&thread, ThreadId::parse)?, place: fields::place(ends)? })
    });
    let placed = placed.collect::<Result<_, A::Error>>()?;
    Ok(Effect::Edited { applied: ops_v1::read(list)?, placed })
}
