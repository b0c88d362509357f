//! Forgetting a person who was erased from the log: documents that know them are closed, and opened again from it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::domain::UserId;

use super::{Live, command::Command, document::OpenDocument, outbox::Goodbye};

/// Somebody who was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erased {
    /// This one.
    User(UserId),
    /// Nobody here knows who: it was over before it was heard of.
    Somebody,
}

impl Live {
    /// Closes every open document that remembers somebody, or that may. Their clients come back at once and resume.
    /// Returns when nothing of it is left.
    pub async fn forget(&self, erased: Erased) {
        let erased = Arc::new(erased);
        let mut ends = Vec::new();
        for handle in self.directory.all() {
            let (done, ended) = oneshot::channel();
            if handle.send(Command::Forget(Arc::clone(&erased), done)).await.is_ok() {
                ends.push(ended);
            }
        }
        for ended in ends {
            // One that ended without an answer has forgotten everything.
            let _ended = ended.await;
        }
    }
}

impl OpenDocument {
    /// Whether there may be anything of somebody in memory here.
    pub(super) fn remembers(&self, erased: &Erased) -> bool {
        let Erased::User(user) = erased else { return true };
        let in_comments = || {
            let threads = self.document.comments().threads();
            threads.iter().any(|(thread, _)| {
                thread.resolved.as_ref().is_some_and(|it| it.by == *user)
                    || thread
                        .comments
                        .iter()
                        .any(|it| it.author == *user || it.updated.as_ref().is_some_and(|updated| updated.by == *user))
            })
        };
        self.presence.knows(user) || self.recent.is_of(user) || in_comments()
    }

    /// Sends everybody away, to come back at once.
    pub(super) fn end_forgotten(mut self) -> mpsc::Receiver<Command> {
        for subscriber in &self.subscribers {
            subscriber.outbox.close(Goodbye::REOPENED);
        }
        for gone in std::mem::take(&mut self.subscribers) {
            self.exit(&gone);
        }
        self.tell();
        self.live.directory.release(&self.id, &mut self.inbox);
        self.inbox
    }
}
