//! What others have written to an open document, and what an append of unknown outcome has left in the log.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::error;

use crate::{
    domain::{Event, Rejection, Timestamp},
    event_log::{Damaged, ReadError},
    projection::Misfit,
    telemetry::TailRead,
};

use super::{batch::Outcome, committed::Committed, document::OpenDocument};

impl OpenDocument {
    /// Takes in what others are said to have written, so far as that is known.
    pub(super) async fn look(&mut self) {
        if self.unsure || self.streams.document.is_behind() {
            let why = if self.unsure { TailRead::Unsure } else { TailRead::Rung };
            if let Err(error) = self.read_tail(why).await {
                self.unread(&error);
            }
        }
        if self.presence.is_to_be_read(self.live.presence.merge_interval)
            && let Err(error) = self.read_presence().await
        {
            self.unread(&error);
        }
    }

    /// Reads what others may have written before somebody comes here who has perhaps just been there: what
    /// they know already must not be news to this node. Those who came while it read need not wait for
    /// another time.
    pub(super) async fn catch_up(&mut self) -> Result<(), ReadError> {
        if self.taken <= self.covered {
            return Ok(());
        }
        let covered = self.taken + self.inbox.len();
        self.read_tail(TailRead::Opening).await?;
        if self.live.log.is_shared() {
            self.read_presence().await?;
        }
        self.covered = covered;
        Ok(())
    }

    /// Leaves the turn to others who write to this document, too, where it is theirs.
    pub(super) async fn give_way(&mut self) {
        let Some(patience) = self.turns.give_way() else { return };
        // Only where it is heard when they have written; else everybody would wait for nothing.
        if self.live.log.is_shared() {
            let began = Instant::now();
            if timeout(patience, self.streams.document.told()).await.is_ok() {
                self.look().await;
            }
            self.live.metrics.gave_way(began.elapsed());
        }
    }

    /// After an append that may or may not have happened: looks into the log before anything is said.
    pub(super) async fn find_out(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        self.unsure = true;
        self.clients.discard();
        let before = self.document.seq();
        let why = match self.read_tail(TailRead::Unsure).await {
            Ok(()) => "the log cannot be written now; send it again later, with the same message_id",
            Err(error) => {
                self.unread(&error);
                "the log cannot be written now; whether it was recorded is not known, send it again as it is"
            }
        };
        let recorded = |it: &Committed| self.recent.find(&it.message_id).filter(|found| found.client == it.client);
        let mut is_in_vain = false;
        let find_out = |outcome| {
            let found = match &outcome {
                Outcome::Accepted(it) => recorded(it),
                // What lies beyond was to be recorded by this very append.
                Outcome::Repeated(it) if it.seq > before => recorded(it),
                // What was held against something that did not happen has to be held against what did.
                Outcome::Rejected(_) if is_in_vain => None,
                Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => return outcome,
            };
            match (outcome, found) {
                // It happened after all, and has been delivered to everybody with the rest of the tail.
                (Outcome::Accepted(_), Some(_)) => Outcome::Delivered,
                (_, Some(found)) => Outcome::Repeated(Arc::clone(found)),
                (_, None) => {
                    is_in_vain = true;
                    Outcome::Rejected(Rejection::StorageUnavailable { why })
                }
            }
        };
        outcomes.into_iter().map(find_out).collect()
    }

    /// Reads on from where the document is: to where the stream is said to be, or else to its end. Either is that of the
    /// moment when it begins: others may write faster than this node reads, and those who wait here would wait for ever.
    pub(super) async fn read_tail(&mut self, why: TailRead) -> Result<(), ReadError> {
        const PAGE: usize = 500;
        self.live.metrics.tail_read(why);
        let end = match why {
            TailRead::Rung | TailRead::LostRace => self.streams.document.said(),
            TailRead::Opening | TailRead::Unsure | TailRead::Presence => {
                self.live.log.head(&self.stream).await?.unwrap_or_default().seq
            }
        };
        while self.document.seq() < end {
            let page = self.live.log.read(&self.stream, self.document.seq(), PAGE).await?;
            let Some(last) = page.last().map(|recorded| recorded.recorded_at) else { break };
            let mut events = Vec::with_capacity(page.len());
            let mut damaged = None;
            for recorded in page {
                let (seq, recorded_at) = (recorded.seq, recorded.recorded_at);
                if let Err(misfit) = self.take_in(&recorded.event, recorded_at) {
                    damaged = Some(Damaged { stream: self.stream.clone(), seq, why: misfit.to_string() });
                    break;
                }
                let event = Arc::new(Committed::from_log(recorded));
                self.presence.edited(&event);
                self.recent.push(Arc::clone(&event));
                // What is remembered of its client ends before it, and must not take it for somebody else's.
                self.clients.forget(&event.client);
                events.push(event);
            }
            self.deliver(&events);
            self.turns.others_wrote();
            self.streams.document.reach(self.document.seq());
            if let Some(damaged) = damaged {
                return Err(damaged.into());
            }
            let lag = u64::try_from(self.live.clock.now().0 - last.0).unwrap_or_default();
            self.live.metrics.taken_in(events.len(), Duration::from_micros(lag));
        }
        self.unsure = false;
        Ok(())
    }

    fn take_in(&mut self, event: &Event, recorded_at: Timestamp) -> Result<(), Misfit> {
        match event {
            Event::Edited(edited) => {
                self.document.apply_edit(&edited.applied, &edited.placed)?;
                self.document.modified_at(recorded_at);
            }
            Event::Commented(commented, _) => self.document.comment(commented)?,
        }
        self.recorded_at = recorded_at;
        Ok(())
    }

    /// What is to be said when the log could not be read. Of one that is erased nobody gets to hear it.
    pub(super) fn unread(&mut self, error: &ReadError) -> &'static str {
        if matches!(error, ReadError::Erased(_)) {
            self.is_erased = true;
            return "the document is erased";
        }
        error!(document = %self.id, %error, "the log could not be read");
        "the log cannot be read now; send it again later"
    }
}
