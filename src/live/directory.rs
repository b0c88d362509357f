//! Which documents are open, and opening them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use crate::{domain::DocumentId, event_log::ReadError, telemetry::Metrics};

use super::{
    Live,
    command::Command,
    document::OpenDocument,
    opening::Joined,
    rings::Streams,
    subscriber::{Opening, Subscriber},
};

/// A way to an open document. When its document has been unloaded, joining again opens it anew.
pub type Handle = mpsc::Sender<Command>;

/// The open documents.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<HashMap<DocumentId, Entry>>);

#[derive(Debug)]
struct Entry {
    handle: Handle,
    streams: Streams,
}

impl Directory {
    /// Takes a document off the list, unless somebody has just sent it something. The document's task must
    /// end then: a newer one may be opened at any time.
    pub(super) fn unlist(&self, id: &DocumentId, inbox: &mpsc::Receiver<Command>) -> bool {
        let mut open = self.lock();
        let is_unneeded = inbox.is_empty();
        if is_unneeded {
            open.remove(id);
        }
        is_unneeded
    }

    /// Takes a document off the list whoever still wants something of it: they find their replies dropped, and open it
    /// again.
    pub(super) fn release(&self, id: &DocumentId, inbox: &mut mpsc::Receiver<Command>) {
        let mut open = self.lock();
        inbox.close();
        if open.get(id).is_some_and(|entry| entry.handle.is_closed()) {
            open.remove(id);
        }
    }

    /// The way to a document, if it is open.
    pub(super) fn handle(&self, id: &DocumentId) -> Option<Handle> {
        self.lock().get(id).map(|entry| entry.handle.clone())
    }

    /// The ways to all open documents.
    pub(super) fn all(&self) -> Vec<Handle> {
        self.lock().values().map(|entry| entry.handle.clone()).collect()
    }

    /// Lets go of all documents: each ends when the last connection has let go of it too.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// How far a document that is open is, and where it is said that its streams are.
    pub(super) fn streams(&self, id: &DocumentId) -> Option<Streams> {
        self.lock().get(id).map(|entry| entry.streams.clone())
    }

    /// What is open now.
    pub(super) fn open_documents(&self) -> Vec<DocumentId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DocumentId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a document is opened anew for one who comes just when it is unloaded.
pub(super) const ATTEMPTS: usize = 10;

/// Counts an open document for as long as its task runs, also when that ends in a panic.
struct Open(Metrics);

impl Open {
    fn count(metrics: &Metrics) -> Self {
        metrics.document_opened();
        Self(metrics.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.document_closed();
    }
}

impl Live {
    /// Opens `id` for a connection: the document's task puts the opening frames into its outbox, and from
    /// then on everything that happens.
    pub async fn join(
        self: &Arc<Self>,
        id: &DocumentId,
        subscriber: &Subscriber,
        opening: Opening,
    ) -> (Joined, Handle) {
        let mut attempts = 0;
        loop {
            let handle = self.open(id);
            let (reply, joined) = oneshot::channel();
            let command = Command::Join(Box::new(subscriber.clone()), opening, reply);
            // A closed inbox, or a reply that never comes: the document was just being unloaded. Once more.
            if handle.send(command).await.is_ok()
                && let Ok(joined) = joined.await
            {
                return (joined, handle);
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                tracing::error!(document = %id, "a document ends as soon as it is opened");
                return (Joined::Unavailable, handle);
            }
        }
    }

    pub(super) fn open(self: &Arc<Self>, id: &DocumentId) -> Handle {
        let mut open = self.directory.lock();
        if let Some(Entry { handle, .. }) = open.get(id)
            && !handle.is_closed()
        {
            return handle.clone();
        }
        let (handle, inbox) = mpsc::channel(self.settings.inbox);
        let streams = Streams::default();
        open.insert(id.clone(), Entry { handle: handle.clone(), streams: streams.clone() });
        drop(open);
        let (live, id) = (Arc::clone(self), id.clone());
        self.tasks.spawn(async move {
            let _open = Open::count(&live.metrics);
            let mut inbox = match OpenDocument::load(Arc::clone(&live), id.clone(), (inbox, streams)).await {
                Ok(document) => document.run().await,
                Err((inbox, error)) => {
                    if !matches!(error, ReadError::Erased(_)) {
                        tracing::error!(document = %id, %error, "a document could not be loaded");
                    }
                    live.refuse(&id, inbox, Joined::unread(&error)).await
                }
            };
            // Who sent something in the last moment finds their reply dropped, and opens the document again.
            inbox.close();
        });
        handle
    }
}
