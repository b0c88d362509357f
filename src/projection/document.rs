//! The document: its text and formatting, and what is said about it, as of one event.

use std::collections::BTreeMap;

use crate::{
    domain::{Commented, Effect, Place, Placed, Seq, Stretch, ThreadId, Timestamp, Version},
    text::{CodePoints, Delta, EditError, RichText, Utf16},
};

use super::{
    anchors::Finding,
    comments::{Comments, Misfit},
};

/// A document as of one event. Cloning is O(1).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    content: RichText,
    comments: Comments,
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
    pub fn restore(
        content: RichText,
        comments: Comments,
        (version, seq): (Version, Seq),
        last_modified: Option<Timestamp>,
    ) -> Self {
        Self { content, comments, version, seq, last_modified }
    }

    /// Makes the next edit, and answers the threads that find their text again by it. On an error nothing has
    /// changed.
    pub fn edit(&mut self, applied: &Delta<Utf16>) -> Result<Vec<Placed>, EditError> {
        let grown = self.change(applied, Finding::Allowed)?;
        Ok(grown.into_iter().filter_map(|(thread, at)| Some(Placed { thread, place: self.place(at)? })).collect())
    }

    /// Makes an edit that brings back the text of `then`, an earlier state of this document, and puts every thread
    /// that there was then where it was. Answers those that the edit alone would have left elsewhere.
    pub fn edit_back_to(&mut self, then: &Self, applied: &Delta<Utf16>) -> Result<Vec<Placed>, EditError> {
        let mut placed = self.edit(applied)?;
        // A thread that was deleted since and begun anew under the same id is another one: it was nowhere then.
        let now: BTreeMap<_, _> =
            self.comments.threads().into_iter().map(|(thread, at)| ((thread.begun, thread.id.clone()), at)).collect();
        for (thread, at) in then.comments.threads() {
            let was_elsewhere = now.get(&(thread.begun, thread.id.clone())).is_some_and(|now| *now != at);
            if let Some(place) = self.place(at)
                && was_elsewhere
            {
                placed.retain(|it| it.thread != thread.id);
                placed.push(Placed { thread: thread.id.clone(), place });
            }
        }
        placed.sort_by(|a, b| a.thread.cmp(&b.thread));
        // All of them are there, and inside of the text: it is that of then.
        let _ = self.comments.put(&placed, self.content.length::<Utf16>());
        Ok(placed)
    }

    /// Folds in the next event. On an error the document is of no use any more.
    pub fn apply(&mut self, effect: &Effect) -> Result<(), Misfit> {
        match effect {
            Effect::Edited { applied, placed } => self.apply_edit(applied, placed),
            Effect::Commented(commented) => self.comment(commented),
        }
    }

    /// Folds in the next event, an edit. On an error the document is of no use any more.
    pub fn apply_edit(&mut self, applied: &Delta<Utf16>, placed: &[Placed]) -> Result<(), Misfit> {
        self.change(applied, Finding::OnRecord)?;
        self.comments.put(placed, self.content.length::<Utf16>())
    }

    /// Folds in the next event, which is about a comment. On an error nothing has changed.
    pub fn comment(&mut self, commented: &Commented) -> Result<(), Misfit> {
        self.comments.apply(commented, self.seq.next(), self.content.length::<Utf16>())?;
        self.seq = self.seq.next();
        Ok(())
    }

    fn change(&mut self, applied: &Delta<Utf16>, finding: Finding) -> Result<Vec<(ThreadId, Stretch)>, EditError> {
        let mut grown = Vec::new();
        if !self.comments.is_empty() {
            // First, for anchors ask what is being deleted.
            self.content.check(applied)?;
            grown = self.comments.edit(applied, &self.content, self.version.next(), finding);
        }
        self.content.apply(applied)?;
        self.version = self.version.next();
        self.seq = self.seq.next();
        Ok(grown)
    }

    /// Notes when the last edit was recorded. Apart from [`Self::edit`] because a fold over many events
    /// needs, and reads, only the last one's time.
    pub fn modified_at(&mut self, time: Timestamp) {
        self.last_modified = Some(time);
    }

    /// A stretch in both units; `None` if it is not in the text.
    pub fn place(&self, utf16: Stretch) -> Option<Place> {
        let points = |at| self.content.position::<Utf16, CodePoints>(at).ok();
        let code_points = Stretch { start: points(utf16.start)?, end: points(utf16.end)? };
        Some(Place { utf16, code_points })
    }

    /// Text and formatting.
    pub const fn content(&self) -> &RichText {
        &self.content
    }

    /// What is said about it.
    pub const fn comments(&self) -> &Comments {
        &self.comments
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
