//! The end of a document that is erased: everybody is told and sent away, and nothing of it is kept here.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    domain::{DocumentId, Rejection},
    event_log::{Erasure, ReadError, StreamName},
    telemetry::Rung,
};

use super::{Live, command::Command, document::OpenDocument, opening::Joined, outbox::Goodbye, serving};

impl Live {
    /// Erases a document, here and for all who share the log; `None` if there is none.
    pub async fn erase(&self, id: &DocumentId) -> Result<Option<Erasure>, ReadError> {
        let erased = self.log.erase_document(id, self.clock.now(), |_| ()).await;
        // Also after a failure: it may have begun.
        let stream = StreamName::document(id);
        if let Ok(Some(head)) = self.log.head(&stream).await {
            self.ring(&stream, head.seq, Rung::Look);
        }
        erased
    }

    /// Finishes erasures that were interrupted, by the end of this process or of another one.
    pub async fn finish_erasures(&self) {
        match self.log.finish_erasures().await {
            Ok(0) => (),
            Ok(streams) => info!(streams, "removed what interrupted erasures had left"),
            Err(error) => warn!(%error, "interrupted erasures could not be finished; it will be tried again"),
        }
    }

    /// Answers everybody who waits for a document that is not to be had, and takes it off the list.
    pub(super) async fn refuse(
        &self,
        id: &DocumentId,
        mut inbox: mpsc::Receiver<Command>,
        why: Joined,
    ) -> mpsc::Receiver<Command> {
        loop {
            while let Ok(command) = inbox.try_recv() {
                refuse(command, why);
            }
            if self.directory.unlist(id, &inbox) {
                return inbox;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Answers one who waits for a document that is not to be had.
fn refuse(command: Command, why: Joined) {
    match command {
        Command::Join(_, _, reply) => drop(reply.send(why)),
        Command::Leave(_, reply) => drop(reply.send(())),
        Command::Serve(_, reply) => {
            let rejection = if why == Joined::NotFound { Rejection::Erased } else { serving::unavailable() };
            drop(reply.send(Err(rejection)));
        }
        Command::Submit(_)
        | Command::Presence(_)
        | Command::Sync(..)
        | Command::Rename(..)
        | Command::Alive(_)
        | Command::Prepared(_)
        | Command::Forget(..)
        | Command::EnterAgain => (),
    }
}

impl OpenDocument {
    /// Sends everybody away who is here. What they have sent is not answered: nobody can say that it happened.
    pub(super) async fn end_erased(mut self, waiting: Option<Command>) -> mpsc::Receiver<Command> {
        for subscriber in &self.subscribers {
            subscriber.outbox.close(Goodbye::not_found("this document is erased"));
        }
        for gone in std::mem::take(&mut self.subscribers) {
            self.exit(&gone);
        }
        if let Some(command) = waiting {
            refuse(command, Joined::NotFound);
        }
        let (live, id) = (Arc::clone(&self.live), self.id.clone());
        live.refuse(&id, self.inbox, Joined::NotFound).await
    }
}
