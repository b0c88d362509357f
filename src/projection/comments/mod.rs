//! What is said about a document: threads of comments, each anchored in the text.

mod decide;
mod evolve;
mod saved;

use std::{collections::HashMap, sync::Arc};

use crate::domain::{CommentId, Seq, Stretch, ThreadId, Timestamp, UserId};

use super::anchors::Anchors;

pub use evolve::Misfit;
pub use saved::{SavedComments, SavedThread};

/// The comments of a document. Cloning is O(1); a clone that changes copies pointers first.
#[derive(Debug, Clone, Default)]
pub struct Comments {
    threads: Option<Arc<Threads>>,
    anchors: Option<Arc<Anchors>>,
}

#[derive(Debug, Clone, Default)]
struct Threads {
    /// By number; a number is given again when its thread is gone.
    slots: Vec<Option<Arc<Thread>>>,
    free: Vec<u32>,
    by_id: HashMap<ThreadId, u32>,
    /// The thread that each comment is in.
    of_comment: HashMap<CommentId, u32>,
    /// Of all contents and quotes.
    bytes: usize,
}

/// A comment and the replies to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its name.
    pub id: ThreadId,
    /// The event that began it.
    pub begun: Seq,
    /// The text that it was made on, as it was then.
    pub quote: Arc<str>,
    /// Who found it done, and when, if it is.
    pub resolved: Option<Stamp>,
    /// Its comments in the order in which they came; never empty.
    pub comments: Vec<Arc<Comment>>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its name.
    pub id: CommentId,
    /// The event that made it.
    pub seq: Seq,
    /// Whose it is.
    pub author: UserId,
    /// What its author was called then, where known.
    pub author_name: Option<Arc<str>>,
    /// What it says.
    pub content: Arc<str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who last changed it, and when, if anybody did.
    pub updated: Option<Stamp>,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Who.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

impl Comments {
    /// Whether nothing is said.
    pub const fn is_empty(&self) -> bool {
        self.threads.is_none()
    }

    /// How many comments there are, replies included.
    pub fn len(&self) -> usize {
        self.threads.as_ref().map_or(0, |threads| threads.of_comment.len())
    }

    /// How many bytes they take: all contents and quotes.
    pub fn bytes(&self) -> usize {
        self.threads.as_ref().map_or(0, |threads| threads.bytes)
    }

    /// Every thread and where it is, in UTF-16 units; the oldest first.
    pub fn threads(&self) -> Vec<(&Thread, Stretch)> {
        let anchors = self.anchors.as_ref().map(|anchors| anchors.all()).unwrap_or_default();
        let slots = self.threads.iter().flat_map(|threads| (0..).zip(&threads.slots));
        let place = |number: &u32| anchors.get(number).copied().unwrap_or_default();
        let mut all: Vec<_> =
            slots.filter_map(|(number, thread)| Some((&**thread.as_ref()?, place(&number)))).collect();
        all.sort_by_key(|(thread, _)| thread.begun);
        all
    }

    /// A thread, and where it is.
    pub fn thread(&self, id: &ThreadId) -> Option<(&Thread, Stretch)> {
        let number = *self.threads.as_ref()?.by_id.get(id)?;
        Some((self.numbered(number)?, self.anchors.as_ref()?.of(number)?))
    }

    fn has_thread(&self, id: &ThreadId) -> bool {
        self.threads.as_ref().is_some_and(|threads| threads.by_id.contains_key(id))
    }

    /// A comment and its thread.
    fn comment(&self, id: &CommentId) -> Option<(&Comment, &Thread)> {
        let thread = self.numbered(*self.threads.as_ref()?.of_comment.get(id)?)?;
        Some((thread.comments.iter().find(|comment| comment.id == *id)?, thread))
    }

    fn numbered(&self, number: u32) -> Option<&Thread> {
        self.threads.as_ref()?.slots.get(number as usize)?.as_deref()
    }
}

/// Equal threads in equal places, and the same memory; numbers make no difference.
impl PartialEq for Comments {
    fn eq(&self, other: &Self) -> bool {
        self.saved() == other.saved()
    }
}
