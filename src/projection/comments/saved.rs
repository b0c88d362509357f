//! Comments as plain data, for a snapshot.

use std::{collections::HashMap, sync::Arc};

use crate::domain::{Seq, Stretch, ThreadId};

use super::{Anchors, Comment, Comments, Stamp, Thread, Threads};
use crate::projection::anchors::SavedDeletion;

/// The comments of a document and all that a fold needs to go on with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedComments {
    /// The oldest first.
    pub threads: Vec<SavedThread>,
    /// What is remembered of deleted texts, in the order of the text.
    pub deletions: Vec<SavedDeletion>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedThread {
    /// Its name.
    pub id: ThreadId,
    /// The event that began it.
    pub begun: Seq,
    /// Where it is, in UTF-16 units.
    pub at: Stretch,
    /// The text that it was made on.
    pub quote: Arc<str>,
    /// Who found it done, if it is.
    pub resolved: Option<Stamp>,
    /// Its comments in order.
    pub comments: Vec<Arc<Comment>>,
}

impl SavedComments {
    /// Whether there is nothing to save.
    pub const fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }
}

impl Comments {
    /// Everything.
    pub fn saved(&self) -> SavedComments {
        let (Some(threads), Some(anchors)) = (&self.threads, &self.anchors) else { return SavedComments::default() };
        let all = self.threads();
        let order: HashMap<_, _> =
            all.iter().enumerate().map(|(at, (thread, _))| (threads.by_id[&thread.id], at)).collect();
        let saved = |(thread, at): &(&Thread, Stretch)| SavedThread {
            id: thread.id.clone(),
            begun: thread.begun,
            at: *at,
            quote: Arc::clone(&thread.quote),
            resolved: thread.resolved.clone(),
            comments: thread.comments.clone(),
        };
        let deletions = anchors.deletions(|number| order.get(&number).copied().unwrap_or(usize::MAX));
        SavedComments { threads: all.iter().map(saved).collect(), deletions }
    }

    /// Comments as they were saved. `None` where that cannot be: nothing that a fold makes looks so.
    pub fn restore(saved: &SavedComments, length: usize) -> Option<Self> {
        if saved.is_empty() {
            return saved.deletions.is_empty().then(Self::default);
        }
        let (mut threads, mut places) = (Threads::default(), Vec::new());
        for it in &saved.threads {
            if it.comments.is_empty() || it.at.start > it.at.end || it.at.end > length {
                return None;
            }
            let thread = Thread {
                id: it.id.clone(),
                begun: it.begun,
                quote: Arc::clone(&it.quote),
                resolved: it.resolved.clone(),
                comments: it.comments.clone(),
            };
            let number = threads.insert(thread);
            for comment in &it.comments {
                threads.bytes += comment.content.len();
                threads.of_comment.insert(comment.id.clone(), number);
            }
            places.push((number, it.at));
        }
        let comments: usize = saved.threads.iter().map(|it| it.comments.len()).sum();
        let is_known = |it: &SavedDeletion| {
            it.parts.iter().all(|part| {
                part.thread < saved.threads.len()
                    && part.to <= it.length
                    && (part.from <= part.to || (part.from, part.to) == (1, 0))
            })
        };
        let in_order = saved.deletions.is_sorted_by_key(|it| it.at)
            && saved.deletions.last().is_none_or(|last| last.at <= length)
            && saved.deletions.iter().all(|it| it.from <= it.at)
            && saved.deletions.iter().all(is_known);
        if !in_order || threads.by_id.len() != saved.threads.len() || threads.of_comment.len() != comments {
            return None;
        }
        let mut anchors = Anchors::restored(places);
        anchors.remember_again(&saved.deletions);
        Some(Self { threads: Some(Arc::new(threads)), anchors: Some(Arc::new(anchors)) })
    }
}
