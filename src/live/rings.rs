//! Hearing that others have written to what is open here.
//!
//! One task listens to the doorbell and tells each open document how far its stream has come. It never
//! waits for a document: of two rings the one that says more is kept. And it looks for itself from time to
//! time, because rings may be lost: at the heads of everything that is open, with one query for many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::MissedTickBehavior};
use tracing::warn;

use crate::{
    domain::Seq,
    event_log::{Doorbell, ReadError, Ring, StreamName},
    telemetry::Rung,
};

use super::Live;

/// Between the listener and one open document: where its stream is said to be, and where the document is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    told: AtomicU64,
    reached: AtomicU64,
    behind: Notify,
}

impl Progress {
    /// The stream has come to `seq` at least. Answers whether that is news.
    pub(super) fn tell(&self, seq: Seq) -> bool {
        let is_news = seq.0 > self.reached.load(Ordering::Acquire);
        if is_news {
            self.told.fetch_max(seq.0, Ordering::AcqRel);
            self.behind.notify_one();
        }
        is_news
    }

    /// The document has come to `seq`.
    pub(super) fn reach(&self, seq: Seq) {
        self.reached.store(seq.0, Ordering::Release);
    }

    /// Whether there is something to read.
    pub(super) fn is_behind(&self) -> bool {
        self.told.load(Ordering::Acquire) > self.reached.load(Ordering::Acquire)
    }

    /// Waits until there is something to read that was not waited for before.
    pub(super) async fn told(&self) {
        loop {
            self.behind.notified().await;
            if self.is_behind() {
                return;
            }
        }
    }
}

/// Streams whose heads are asked for at a time.
const HEADS: usize = 1_000;

impl Live {
    /// Listens until the service ends.
    pub async fn listen(self: Arc<Self>, mut doorbell: Doorbell, poll: Duration) {
        let mut look = tokio::time::interval(poll);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_well = true;
        loop {
            let ring = tokio::select! {
                ring = doorbell.next() => Some(ring),
                _ = look.tick() => None,
            };
            match ring {
                Some(Ring::Stream(stream, seq)) => self.ring(&stream, seq, Rung::Stream),
                Some(Ring::Many) | None => {
                    if ring.is_some() {
                        self.metrics.rung(Rung::Many);
                    }
                    let looked = self.look_around().await;
                    if let Err(error) = &looked
                        && is_well
                    {
                        warn!(%error, "the heads of open documents cannot be read; trying on");
                    }
                    is_well = looked.is_ok();
                }
            }
        }
    }

    fn ring(&self, stream: &StreamName, seq: Seq, kind: Rung) {
        let Some(progress) = stream.document_id().and_then(|id| self.directory.progress(&id)) else { return };
        if progress.tell(seq) {
            self.metrics.rung(kind);
        }
    }

    /// Compares everything that is open with the log.
    async fn look_around(&self) -> Result<(), ReadError> {
        let open: Vec<_> = self.directory.open_documents().iter().map(StreamName::document).collect();
        for streams in open.chunks(HEADS) {
            for (stream, head) in self.log.heads(streams).await? {
                self.ring(&stream, head.seq, Rung::Look);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn of_many_rings_the_farthest_is_kept_and_heard_once() {
        let progress = Progress::default();
        for seq in [3, 9, 4] {
            assert!(progress.tell(Seq(seq)));
        }
        assert!(progress.told().now_or_never().is_some());
        assert!(progress.told().now_or_never().is_none(), "once");
        progress.reach(Seq(8));
        assert!(progress.is_behind());
        progress.reach(Seq(9));
        assert!(!progress.is_behind());
    }

    #[test]
    fn a_ring_for_what_one_has_is_no_news() {
        let progress = Progress::default();
        progress.reach(Seq(5));
        assert!(!progress.tell(Seq(5)));
        assert!(progress.told().now_or_never().is_none());
        assert!(progress.tell(Seq(6)), "and one for more is");
        progress.reach(Seq(6));
        assert!(progress.told().now_or_never().is_none(), "unless it has been read meanwhile");
    }

    #[test]
    fn a_document_that_could_not_read_is_rung_again() {
        let progress = Progress::default();
        assert!(progress.tell(Seq(2)) && progress.told().now_or_never().is_some());
        assert!(progress.tell(Seq(2)) && progress.told().now_or_never().is_some());
    }
}
