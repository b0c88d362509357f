//! What a database has to be able to do for projections that are kept.

use std::sync::Arc;

use crate::{
    domain::Seq,
    event_log::{Position, StreamName, port::Answer},
};

/// One of the states of a projection's generation, in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::event_log) struct KeptRow {
    /// The last event folded into it.
    pub seq: Seq,
    pub content: Arc<str>,
}

/// Where a state is, and how large: in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::event_log) struct KeptPlace {
    pub seq: Seq,
    pub size: u64,
}

/// A projection as it is, or as it is being built beside the one in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::event_log) struct Generation {
    pub id: u64,
    /// What the feed has up to here is in it, but for streams that have not been gone through.
    pub position: Position,
    /// The streams have been gone through up to this name; `None` when all have been.
    pub building: Option<String>,
    /// Whether it has caught up.
    pub is_in_use: bool,
}

/// A stream in a stretch of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::event_log) struct Moved {
    pub stream: StreamName,
    /// The last of its events there.
    pub seq: Seq,
    /// Where that is.
    pub position: Position,
    /// How many of its events are there.
    pub events: u64,
}

/// A place for projections that are kept.
pub(in crate::event_log) trait Shelf: Send + Sync {
    /// The generations of a projection, the oldest first.
    fn generations<'a>(&'a self, form: &'a str) -> Answer<'a, Vec<Generation>>;
    /// Begins a generation with what is in the feed behind a position, unless one is being built already.
    fn begin_generation<'a>(&'a self, form: &'a str, position: Position) -> Answer<'a, ()>;
    /// Notes that the streams have been gone through, up to a name or all; it never goes back.
    fn note_gone_through<'a>(&'a self, generation: u64, to: Option<&'a StreamName>) -> Answer<'a, ()>;
    /// Notes that the feed has been followed up to a position; it never goes back.
    fn note_followed(&self, generation: u64, to: Position) -> Answer<'_, ()>;
    /// Puts a generation in use whose streams have all been gone through.
    fn put_in_use(&self, generation: u64) -> Answer<'_, ()>;
    /// Removes some states of a generation, and with the last one itself; answers how many. Called until it is 0.
    fn forget_generation(&self, generation: u64) -> Answer<'_, u64>;
    /// Saves a state of a stream that has come so far; one that is there already stays, and in a generation that is gone
    /// nothing is saved. Of the others that goes which has just ceased to be the newest, if those beside it are no
    /// further apart than `spacing` events.
    fn save_kept<'a>(&'a self, generation: u64, stream: &'a StreamName, row: KeptRow, spacing: u64) -> Answer<'a, ()>;
    /// The newest state at or before a place.
    fn kept<'a>(&'a self, generation: u64, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<KeptRow>>;
    /// Where the states of a stream are, the oldest first.
    fn kept_places<'a>(&'a self, generation: u64, stream: &'a StreamName) -> Answer<'a, Vec<KeptPlace>>;
    /// Throws away all states of a stream, of every generation of every projection; answers how many there were.
    fn drop_kept<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, u64>;
    /// The streams of the next `limit` events after a position, up to and including a settled one, by name.
    fn moved(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<Moved>>;
    /// How many documents have streams after a name.
    fn documents_after<'a>(&'a self, name: &'a str) -> Answer<'a, u64>;
}
