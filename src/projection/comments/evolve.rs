//! How comments change with what happened.

use std::sync::Arc;

use crate::{
    domain::{CommentChange, Commented, NewComment, Placed, Seq, Stretch, ThreadId, Version},
    projection::anchors::Finding,
    text::{Delta, EditError, RichText, Utf16},
};

use super::{Anchors, Comment, Comments, Stamp, Thread, Threads};

/// Why an event cannot have happened to this document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// An edit does not fit the text.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A comment, or its thread, is not there, or is there already.
    #[error("comment {comment} of thread {thread} does not fit the comments that are there")]
    Comment {
        /// The comment.
        comment: String,
        /// Its thread.
        thread: String,
    },
    /// A thread would be outside of the text.
    #[error("thread {thread} would be at {start} to {end} of a document that is {length} long")]
    Outside {
        /// The thread.
        thread: ThreadId,
        /// Where it would begin.
        start: usize,
        /// Where it would end.
        end: usize,
        /// The document's length.
        length: usize,
    },
}

impl Comments {
    /// Folds in something that happened to a comment. On an error nothing has changed.
    pub(in crate::projection) fn apply(
        &mut self,
        commented: &Commented,
        seq: Seq,
        length: usize,
    ) -> Result<(), Misfit> {
        let change = &commented.change;
        let misfit = || Misfit::Comment { comment: change.comment().to_string(), thread: change.thread().to_string() };
        if let CommentChange::Added(new) = change {
            let is_known = self.comment(&new.id).is_some() || self.has_thread(&new.thread) == new.begins.is_some();
            if is_known {
                return Err(misfit());
            }
            let comment = Comment {
                id: new.id.clone(),
                seq,
                author: commented.by.clone(),
                author_name: new.author_name.clone(),
                content: Arc::clone(&new.content),
                created_at: commented.at,
                updated: None,
            };
            return self.add(new, comment, length);
        }
        if self.comment(change.comment()).is_none_or(|(_, thread)| thread.id != *change.thread()) {
            return Err(misfit());
        }
        let threads = Arc::make_mut(self.threads.get_or_insert_default());
        let number = *threads.by_id.get(change.thread()).ok_or_else(misfit)?;
        let thread = threads.slots.get_mut(number as usize).and_then(Option::as_mut).ok_or_else(misfit)?;
        let thread = Arc::make_mut(thread);
        let at = thread.comments.iter().position(|comment| comment.id == *change.comment()).ok_or_else(misfit)?;
        let stamp = || Stamp { by: commented.by.clone(), at: commented.at };
        match change {
            CommentChange::Updated { content, .. } => {
                let comment = Arc::make_mut(&mut thread.comments[at]);
                threads.bytes = threads.bytes - comment.content.len() + content.len();
                (comment.content, comment.updated) = (Arc::clone(content), Some(stamp()));
            }
            CommentChange::Resolved { .. } => thread.resolved = Some(stamp()),
            CommentChange::Reopened { .. } => thread.resolved = None,
            CommentChange::Deleted { comment, .. } => {
                threads.bytes -= thread.comments.remove(at).content.len();
                threads.of_comment.remove(comment);
                let is_over = thread.comments.is_empty();
                if is_over {
                    self.end(number);
                }
            }
            CommentChange::Added(_) => {}
        }
        Ok(())
    }

    fn add(&mut self, new: &NewComment, comment: Comment, length: usize) -> Result<(), Misfit> {
        let place = new.begins.as_ref().map(|begins| begins.place.utf16);
        if let Some(at) = place {
            check_inside(&new.thread, at, length)?;
        }
        let threads = Arc::make_mut(self.threads.get_or_insert_default());
        let number = match threads.by_id.get(&new.thread) {
            Some(number) => *number,
            None => threads.begin(new, comment.seq),
        };
        threads.bytes += comment.content.len();
        threads.of_comment.insert(comment.id.clone(), number);
        if let Some(Some(thread)) = threads.slots.get_mut(number as usize) {
            Arc::make_mut(thread).comments.push(Arc::new(comment));
        }
        if let Some(at) = place {
            Arc::make_mut(self.anchors.get_or_insert_default()).add(number, at);
        }
        Ok(())
    }

    /// A thread has lost its last comment.
    fn end(&mut self, number: u32) {
        let threads = Arc::make_mut(self.threads.get_or_insert_default());
        if let Some(thread) = threads.slots.get_mut(number as usize).and_then(Option::take) {
            threads.bytes -= thread.quote.len();
            threads.by_id.remove(&thread.id);
            threads.free.push(number);
        }
        if threads.by_id.is_empty() {
            *self = Self::default();
        } else if let Some(anchors) = &mut self.anchors {
            Arc::make_mut(anchors).forget(number);
        }
    }

    /// Moves all anchors with an edit of `before` that makes `version`. Answers the threads that found their text
    /// again, and where in UTF-16 units they are after the edit.
    pub(in crate::projection) fn edit(
        &mut self,
        applied: &Delta<Utf16>,
        before: &RichText,
        version: Version,
        finding: Finding,
    ) -> Vec<(ThreadId, Stretch)> {
        let Some(anchors) = &mut self.anchors else { return Vec::new() };
        let grown = Arc::make_mut(anchors).edit(applied, before, version, finding);
        let name = |(number, at)| Some((self.numbered(number)?.id.clone(), at));
        let mut named: Vec<_> = grown.into_iter().filter_map(name).collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named
    }

    /// Puts threads where an event says that they are.
    pub(in crate::projection) fn put(&mut self, placed: &[Placed], length: usize) -> Result<(), Misfit> {
        for Placed { thread, place } in placed {
            check_inside(thread, place.utf16, length)?;
            let number = self.threads.as_ref().and_then(|threads| threads.by_id.get(thread).copied());
            let (Some(number), Some(anchors)) = (number, &mut self.anchors) else {
                return Err(Misfit::Comment { comment: "…".to_owned(), thread: thread.to_string() });
            };
            Arc::make_mut(anchors).put(number, place.utf16);
        }
        Ok(())
    }
}

fn check_inside(thread: &ThreadId, at: Stretch, length: usize) -> Result<(), Misfit> {
    let Stretch { start, end } = at;
    if start <= end && end <= length {
        return Ok(());
    }
    Err(Misfit::Outside { thread: thread.clone(), start, end, length })
}

impl Threads {
    /// A number for a new thread, which has no comment yet.
    fn begin(&mut self, new: &NewComment, begun: Seq) -> u32 {
        let quote = new.begins.as_ref().map(|begins| Arc::clone(&begins.quote)).unwrap_or_default();
        self.insert(Thread { id: new.thread.clone(), begun, quote, resolved: None, comments: Vec::new() })
    }

    /// A number for a thread.
    pub(super) fn insert(&mut self, thread: Thread) -> u32 {
        let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let number = self.free.pop().unwrap_or(next);
        self.bytes += thread.quote.len();
        self.by_id.insert(thread.id.clone(), number);
        let thread = Some(Arc::new(thread));
        match self.slots.get_mut(number as usize) {
            Some(slot) => *slot = thread,
            None => self.slots.push(thread),
        }
        number
    }
}

impl Anchors {
    /// An anchor at a place, for a thread that is being restored.
    pub(super) fn restored(places: impl IntoIterator<Item = (u32, Stretch)>) -> Self {
        let mut anchors = Self::default();
        places.into_iter().for_each(|(number, at)| anchors.add(number, at));
        anchors
    }
}
