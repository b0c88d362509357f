//! The document: its text and formatting, as of one version.

use crate::{
    domain::{Seq, Timestamp, Version},
    text::{Delta, EditError, RichText, Utf16},
};

/// A document as of one event. Cloning is O(1).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    content: RichText,
    version: Version,
    seq: Seq,
    last_modified: Option<Timestamp>,
}

impl Document {
    /// The document before its first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// A document from a snapshot of it.
    pub fn restore(content: RichText, version: Version, seq: Seq, last_modified: Option<Timestamp>) -> Self {
        Self { content, version, seq, last_modified }
    }

    /// Folds in the next event, an edit. On an error nothing has changed.
    pub fn edit(&mut self, applied: &Delta<Utf16>) -> Result<(), EditError> {
        self.content.apply(applied)?;
        self.version = self.version.next();
        self.seq = self.seq.next();
        Ok(())
    }

    /// Notes when the last event was recorded. Apart from [`Self::edit`] because a fold over many events
    /// needs, and reads, only the last one's time.
    pub fn modified_at(&mut self, time: Timestamp) {
        self.last_modified = Some(time);
    }

    /// Text and formatting.
    pub const fn content(&self) -> &RichText {
        &self.content
    }

    /// The number of operations folded in.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The place of the last event folded in.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// When the last edit was recorded; `None` before the first.
    pub const fn last_modified(&self) -> Option<Timestamp> {
        self.last_modified
    }
}
