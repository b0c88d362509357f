//! The task that writes a document's presence to the log, for as long as there is something to write.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use crate::{
    domain::{DocumentId, Seq},
    event_log::{NewPresence, Unavailable, UnavailableKind},
    telemetry::PresenceOutcome,
};

use super::{
    super::{Live, rings::Progress},
    unlogged::{Taken, Unlogged},
};

/// How long to wait before a log is tried again that could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// A snapshot is saved after about so many events: whoever needs to know who is present folds no more.
const SNAPSHOT_EVERY: u64 = 1_000;

/// Where events are in a stream: behind the one place, up to the other.
struct Written {
    from: Seq,
    to: Seq,
}

impl Live {
    /// Starts the task. There is one at a time for each `unlogged`.
    pub(super) fn write_presence(
        self: &Arc<Self>,
        document: &DocumentId,
        unlogged: &Arc<Unlogged>,
        progress: &Arc<Progress>,
    ) {
        let (live, document) = (Arc::clone(self), document.clone());
        let (unlogged, progress) = (Arc::clone(unlogged), Arc::clone(progress));
        self.tasks.spawn(async move {
            while let Some(Taken { events, is_first }) = unlogged.take() {
                let events: Vec<_> = events
                    .into_iter()
                    .map(|(version, event)| NewPresence { id: live.node.next_event(), version, event })
                    .collect();
                unlogged.named(&events);
                match live.write_until_written(&document, &events, is_first).await {
                    Ok(Some(Written { from, to })) => progress.skip(from, to),
                    Ok(None) => (),
                    Err(error) => {
                        warn!(%document, %error, events = events.len(), "presence was not recorded");
                        live.metrics.presence(PresenceOutcome::Dropped, events.len() as u64);
                        return unlogged.give_up();
                    }
                }
                unlogged.written();
                if unlogged.was_last()
                    && let Err(error) = live.log.note_people(&live.node.life(), &document, false).await
                {
                    // Whoever clears up after this process looks once more, and finds nobody.
                    warn!(%document, %error, "it was not noted that nobody is in a document any more");
                }
            }
        });
    }

    /// Writes, again and again until the log has it. Gives up only when the service ends: the next one to
    /// open the log finds out who has left. Answers where the events are, if they are surely next to each other.
    async fn write_until_written(
        &self,
        document: &DocumentId,
        events: &[NewPresence],
        is_first: bool,
    ) -> Result<Option<Written>, Unavailable> {
        let mut is_certain = true;
        loop {
            match self.write_once(document, events, is_first).await {
                Ok(end) => {
                    self.metrics.presence(PresenceOutcome::Logged, events.len() as u64);
                    let count = events.len() as u64;
                    self.save_presence_if_due(document, end, count).await;
                    let from = Seq(end.0.saturating_sub(count));
                    return Ok(is_certain.then_some(Written { from, to: end }));
                }
                Err(error) if error.kind() == UnavailableKind::Closed || self.tasks.is_closed() => return Err(error),
                Err(error) => {
                    warn!(%document, %error, "presence could not be recorded yet");
                    is_certain = false;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The note comes first: it tells where to look for those who never got to say goodbye.
    async fn write_once(
        &self,
        document: &DocumentId,
        events: &[NewPresence],
        is_first: bool,
    ) -> Result<Seq, Unavailable> {
        if is_first {
            self.log.note_people(&self.node.life(), document, true).await?;
        }
        self.log.append_presence(document, self.clock.now(), events).await
    }

    async fn save_presence_if_due(&self, document: &DocumentId, end: Seq, events: u64) {
        if end.0 / SNAPSHOT_EVERY == end.0.saturating_sub(events) / SNAPSHOT_EVERY {
            return;
        }
        let saved = match self.log.presence(document).await {
            Ok(saved) => self.log.save_presence(document, &saved).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = saved {
            warn!(%document, %error, "a snapshot of presence was not saved; finding out who is present will take longer");
        }
    }
}
