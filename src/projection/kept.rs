//! What can be kept: a projection that is saved along its stream and folded on from there.

use crate::{
    domain::{Event, Seq, Timestamp, Version},
    text::EditError,
};

/// An event with its place, its version and its time: all that a fold may read.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    /// Its place in the stream.
    pub seq: Seq,
    /// The version of the document after it.
    pub version: Version,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub event: &'a Event,
}

/// A state folded from the events of one document. The default is the state before the first one; two states are
/// equal when they say the same, whichever way they came about.
pub trait Kept: Default + PartialEq + Send + Sync + 'static {
    /// The place of the last event folded in.
    fn seq(&self) -> Seq;

    /// Folds in the next event. On an error the state is of no use any more.
    ///
    /// # Errors
    /// When the event does not fit the document before it.
    fn fold(&mut self, happened: &Happened<'_>) -> Result<(), EditError>;
}
