//! Resuming from further back than a document keeps in memory: from the log, in pages, by the connection's
//! own task, so that neither the document nor the outbox has to hold it all.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    domain::{DocumentId, Seq, Version},
    event_log::{Damaged, ReadError, StreamName},
    telemetry::{Resume, Sent},
};

use super::{
    Live,
    committed::Committed,
    directory::Handle,
    fan_out::Tally,
    opening::Joined,
    outbox::Item,
    subscriber::{Opening, Subscriber},
};

/// Events read at a time.
const PAGE: usize = 500;

impl Live {
    /// Joins, and where that takes more than is in memory reads it from the log first.
    pub async fn join_and_catch_up(
        self: &Arc<Self>,
        id: &DocumentId,
        subscriber: &Subscriber,
        since: Option<Version>,
    ) -> Result<(Joined, Handle), ReadError> {
        let mut opening = Opening { since, ..Opening::default() };
        loop {
            let (joined, handle) = self.join(id, subscriber, opening).await;
            let (Joined::CatchUp(until, version), Some(since)) = (joined, opening.since) else {
                return Ok((joined, handle));
            };
            let from = match opening.read_to {
                Some(place) => place,
                None => {
                    let from = self.place_of_edit(id, since).await?;
                    if until.0.saturating_sub(from.0) > self.settings.max_resume_events {
                        opening.is_too_far = true;
                        continue;
                    }
                    self.metrics.resume(Resume::Resumed);
                    let frame = subscriber.connection_ack(version, self.clock.now(), true);
                    subscriber.outbox.push(Item::Frames(frame));
                    self.metrics.messages_sent(Sent::Other, 1);
                    from
                }
            };
            self.send_from_log(id, subscriber, from, until).await?;
            opening.read_to = Some(until);
        }
    }

    /// The place of the edit that made a version.
    async fn place_of_edit(&self, id: &DocumentId, version: Version) -> Result<Seq, ReadError> {
        let Some(before) = version.0.checked_sub(1) else { return Ok(Seq(0)) };
        let before = self.log.seq_of_version(&StreamName::document(id), Version(before)).await?;
        Ok(before.unwrap_or_default().next())
    }

    async fn send_from_log(
        &self,
        id: &DocumentId,
        subscriber: &Subscriber,
        from: Seq,
        until: Seq,
    ) -> Result<(), ReadError> {
        let stream = StreamName::document(id);
        let mut reached = from;
        while reached < until && !subscriber.outbox.is_closed() {
            let left = usize::try_from(until.0 - reached.0).unwrap_or(PAGE);
            let page = self.log.read(&stream, reached, left.min(PAGE)).await?;
            let Some(last) = page.last() else {
                let why = format!("the stream ends before {until}");
                return Err(Damaged { stream, seq: reached.next(), why }.into());
            };
            reached = last.seq;
            for recorded in page {
                self.send_when_there_is_room(id, subscriber, &Committed::from_log(recorded)).await;
            }
        }
        Ok(())
    }

    async fn send_when_there_is_room(&self, id: &DocumentId, subscriber: &Subscriber, event: &Committed) {
        for frame in subscriber.frames(id, event) {
            if subscriber.outbox.waiting() + frame.bytes() > subscriber.outbox.helping() {
                let patience = self.settings.patience;
                if timeout(patience, subscriber.outbox.emptied()).await.is_err() {
                    subscriber.outbox.cut_off();
                }
            }
            subscriber.outbox.push(Item::Frames(frame));
        }
        Tally::of(event, subscriber.is_own(event)).count(&self.metrics);
    }
}
