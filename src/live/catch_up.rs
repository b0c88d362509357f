//! Resuming from further back than a document keeps in memory: from the log, in pages, by the connection's
//! own task, so that neither the document nor the outbox has to hold it all.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    domain::{DocumentId, Version},
    event_log::{Damaged, ReadError, StreamName},
    telemetry::{Resume, Sent},
};

use super::{
    Live,
    committed::Committed,
    directory::Handle,
    document::Joined,
    outbox::Item,
    subscriber::{Opening, Subscriber},
};

/// Edits read at a time.
const PAGE: usize = 500;

impl Live {
    /// Joins, and where that takes more than is in memory reads it from the log first.
    pub async fn join_and_catch_up(
        self: &Arc<Self>,
        id: &DocumentId,
        subscriber: &Subscriber,
        since: Option<Version>,
    ) -> Result<(Joined, Handle), ReadError> {
        let mut opening = Opening { since, acknowledged: false };
        loop {
            let (joined, handle) = self.join(id, subscriber, opening).await;
            let (Joined::CatchUp(until), Some(since)) = (joined, opening.since) else { return Ok((joined, handle)) };
            if !opening.acknowledged {
                self.metrics.resume(Resume::Resumed);
                let frame = subscriber.connection_ack(until, self.clock.now(), true);
                subscriber.outbox.push(Item::Frames(frame));
                self.metrics.messages_sent(Sent::Other, 1);
            }
            self.send_from_log(id, subscriber, since, until).await?;
            opening = Opening { since: Some(until), acknowledged: true };
        }
    }

    async fn send_from_log(
        &self,
        id: &DocumentId,
        subscriber: &Subscriber,
        since: Version,
        until: Version,
    ) -> Result<(), ReadError> {
        let stream = StreamName::document(id);
        let mut seq = self.log.seq_of_version(&stream, since).await?.unwrap_or_default();
        let mut reached = since;
        while reached < until && !subscriber.outbox.is_closed() {
            let mut page = self.log.read(&stream, seq, PAGE).await?;
            page.retain(|recorded| recorded.version <= until);
            let Some(last) = page.last() else {
                let why = format!("the stream ends before version {until}");
                return Err(Damaged { stream, seq: seq.next(), why }.into());
            };
            (seq, reached) = (last.seq, last.version);
            for recorded in page {
                self.send_when_there_is_room(id, subscriber, &Committed::from_log(recorded)).await;
            }
        }
        Ok(())
    }

    async fn send_when_there_is_room(&self, id: &DocumentId, subscriber: &Subscriber, edit: &Committed) {
        let is_own = subscriber.is_own(edit);
        let frame = subscriber.frame(id, edit);
        if subscriber.outbox.waiting() + frame.bytes() > subscriber.outbox.helping() {
            let patience = self.settings.patience;
            if timeout(patience, subscriber.outbox.emptied()).await.is_err() {
                subscriber.outbox.cut_off();
            }
        }
        subscriber.outbox.push(Item::Frames(frame));
        self.metrics.messages_sent(if is_own { Sent::Ack } else { Sent::Broadcast }, 1);
    }
}
