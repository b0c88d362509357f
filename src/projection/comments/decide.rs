//! Whether what somebody asks for can be, and what it then is.

use std::sync::Arc;

use crate::domain::{
    CommentChange, CommentCommand, CommentId, CommentLimits, Commenter, Named, NewComment, NewThread, Rejection,
    ThreadId,
};

use super::Comments;

impl Comments {
    /// Whether a command would begin a thread, so that its place in the text has to be found first.
    pub fn begins_thread(&self, command: &CommentCommand) -> bool {
        matches!(command, CommentCommand::Add { thread, .. } if !self.has_thread(thread))
    }

    /// What a command does. `begins` is where the thread would be that it begins.
    pub fn decide(
        &self,
        command: &CommentCommand,
        asker: &Commenter,
        begins: Option<NewThread>,
        limits: &CommentLimits,
    ) -> Result<CommentChange, Rejection> {
        match command {
            CommentCommand::Add { id, thread, content, .. } => {
                if self.comment(id).is_some() {
                    return Err(Rejection::CommentDoesNotFit {
                        path: "data.comment.id",
                        expected: "an id that no comment of this document has",
                    });
                }
                if begins.is_none() && !self.has_thread(thread) {
                    return Err(Rejection::ThreadNotFound { thread: thread.clone() });
                }
                let begins = begins.filter(|_| !self.has_thread(thread));
                self.check_room(limits, 1, content.len() + begins.as_ref().map_or(0, |begins| begins.quote.len()))?;
                Ok(CommentChange::Added(Arc::new(NewComment {
                    id: id.clone(),
                    thread: thread.clone(),
                    content: Arc::clone(content),
                    author_name: asker.name.clone(),
                    begins,
                })))
            }
            CommentCommand::Update { comment, content } => {
                let thread = self.own(comment, asker)?;
                let before = self.comment(comment).map_or(0, |(comment, _)| comment.content.len());
                self.check_room(limits, 0, content.len().saturating_sub(before))?;
                Ok(CommentChange::Updated { comment: comment.clone(), thread, content: Arc::clone(content) })
            }
            CommentCommand::Resolve(named) => {
                let (comment, thread) = self.named(named)?;
                Ok(CommentChange::Resolved { comment, thread })
            }
            CommentCommand::Reopen(named) => {
                let (comment, thread) = self.named(named)?;
                Ok(CommentChange::Reopened { comment, thread })
            }
            CommentCommand::Delete(comment) => {
                let thread = self.own(comment, asker)?;
                Ok(CommentChange::Deleted { comment: comment.clone(), thread })
            }
        }
    }

    fn check_room(&self, limits: &CommentLimits, more: usize, more_bytes: usize) -> Result<(), Rejection> {
        let over = |what, would_have, limit, setting| Rejection::TooManyComments { what, would_have, limit, setting };
        let (comments, bytes) = (self.len() + more, self.bytes() + more_bytes);
        if more > 0 && comments > limits.comments {
            return Err(over("comments", comments, limits.comments, "limits.comments"));
        }
        if more_bytes > 0 && bytes > limits.bytes {
            return Err(over("bytes of comments", bytes, limits.bytes, "limits.comment_bytes"));
        }
        Ok(())
    }

    /// The thread of a comment that the asker may change.
    fn own(&self, id: &CommentId, asker: &Commenter) -> Result<ThreadId, Rejection> {
        let Some((comment, thread)) = self.comment(id) else {
            return Err(Rejection::CommentNotFound { comment: id.clone() });
        };
        if comment.author != asker.user && !asker.is_admin {
            let permissions = asker.permissions.clone();
            return Err(Rejection::NotTheAuthor { comment: id.clone(), permissions });
        }
        Ok(thread.id.clone())
    }

    fn named(&self, named: &Named) -> Result<(CommentId, ThreadId), Rejection> {
        let of_comment = |id: &CommentId| match self.comment(id) {
            Some((_, thread)) => Ok((id.clone(), thread.id.clone())),
            None => Err(Rejection::CommentNotFound { comment: id.clone() }),
        };
        match named {
            Named::ByComment(id) => of_comment(id),
            Named::ByThread(id) => match self.thread(id) {
                Some((thread, _)) => Ok((thread.comments[0].id.clone(), id.clone())),
                None => Err(Rejection::ThreadNotFound { thread: id.clone() }),
            },
            Named::ByBoth(comment, thread) => {
                let (comment, found) = of_comment(comment)?;
                if found == *thread {
                    return Ok((comment, found));
                }
                let expected = "the thread that this comment is in";
                Err(Rejection::CommentDoesNotFit { path: "data.thread_id", expected })
            }
        }
    }
}
