//! Forgetting a person who was erased from the log: documents that know them are closed, and opened again from it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::domain::UserId;

use super::{
    Live,
    document::{Command, OpenDocument},
    outbox::Goodbye,
};

impl Live {
    /// Closes every open document that remembers somebody, or every one if it is not known who is to be forgotten. Their
    /// clients come back at once and resume. Returns when nothing of it is left.
    pub async fn forget(&self, user: Option<UserId>) {
        let user = user.map(Arc::new);
        let mut ends = Vec::new();
        for handle in self.directory.all() {
            let (done, ended) = oneshot::channel();
            if handle.send(Command::Forget(user.clone(), done)).await.is_ok() {
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
    /// Whether there is anything of somebody in memory here.
    pub(super) fn remembers(&self, user: &UserId) -> bool {
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
            subscriber.outbox.close(Goodbye::RESTARTING);
        }
        for gone in std::mem::take(&mut self.subscribers) {
            self.exit(&gone);
        }
        self.tell();
        self.live.directory.release(&self.id, &mut self.inbox);
        self.inbox
    }
}
