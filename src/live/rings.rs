//! Hearing that others have written to what is open here.
//!
//! One task listens to the doorbell and tells each open document how far its stream has come. It never
//! waits for a document: of two rings the one that says more is kept. And it looks for itself from time to
//! time, because rings may be lost: at the heads of everything that is open, with one query for many.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};
use tracing::warn;

use crate::{
    domain::Seq,
    event_log::{Doorbell, ReadError, Ring, StreamName},
    telemetry::Rung,
};

use super::Live;

/// Between the listener and one open document: where a stream of it is said to be, and how far it has been read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    told: AtomicU64,
    reached: AtomicU64,
    /// Until when others who wait to write to it would have to be left alone.
    wanted: Mutex<Option<Instant>>,
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
        self.reached.fetch_max(seq.0, Ordering::AcqRel);
    }

    /// The document knows what lies between these places: there is no need to read that, if it has read all before.
    pub(super) fn skip(&self, from: Seq, to: Seq) {
        let _read_first = self.reached.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Others wait to write, which takes them so long.
    fn want(&self, needs: Duration) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + needs);
    }

    /// Whether others have said since the last time that they wait to write, and what is left of the time that takes.
    pub(super) fn was_wanted(&self) -> Option<Duration> {
        let until = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// How far the document has come.
    pub(super) fn reached(&self) -> Seq {
        Seq(self.reached.load(Ordering::Acquire))
    }

    /// Where the stream is said to be.
    pub(super) fn said(&self) -> Seq {
        Seq(self.told.load(Ordering::Acquire))
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

/// The streams of an open document.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    /// What happened to it.
    pub(super) document: Arc<Progress>,
    /// Who is there, and where.
    pub(super) presence: Arc<Progress>,
}

/// After how long one looks again who could not look, at most.
const AGAIN: Duration = Duration::from_secs(1);
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
            if let Some(ring) = &ring {
                self.log.heard(ring);
            }
            match ring {
                Some(Ring::Stream(stream, seq)) => self.ring(&stream, seq, Rung::Stream),
                Some(Ring::Wanted(stream, needs)) => {
                    if let Some(streams) = stream.document_id().and_then(|id| self.directory.streams(&id)) {
                        self.metrics.rung(Rung::Wanted);
                        streams.document.want(needs);
                    }
                }
                Some(Ring::Many) | None => {
                    if ring.is_some() {
                        self.metrics.rung(Rung::Many);
                    }
                    let looked = self.look_around().await;
                    if looked.is_err() {
                        // Whoever could not be asked now may be asked again soon: nothing else may ring.
                        look.reset_after(poll.min(AGAIN));
                    }
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

    /// A stream has come to `seq` at least: who has its document open here is to hear of it.
    pub(super) fn ring(&self, stream: &StreamName, seq: Seq, kind: Rung) {
        let (document, of_presence) = match (stream.document_id(), stream.presence_id()) {
            (Some(document), _) => (document, false),
            // In a log of its own a process knows who is there.
            (None, Some(document)) if self.log.is_shared() => (document, true),
            (None, _) => return,
        };
        let Some(streams) = self.directory.streams(&document) else { return };
        let progress = if of_presence { &streams.presence } else { &streams.document };
        if progress.tell(seq) {
            self.metrics.rung(kind);
        }
    }

    /// Compares everything that is open with the log.
    async fn look_around(&self) -> Result<(), ReadError> {
        let documents = self.directory.open_documents();
        let mut open: Vec<_> = documents.iter().map(StreamName::document).collect();
        if self.log.is_shared() {
            open.extend(documents.iter().map(StreamName::presence));
        }
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
    fn what_one_has_written_oneself_is_skipped_only_where_all_before_is_known() {
        let progress = Progress::default();
        progress.reach(Seq(5));
        progress.skip(Seq(5), Seq(7));
        assert_eq!(progress.reached(), Seq(7));
        progress.skip(Seq(8), Seq(9));
        assert_eq!(progress.reached(), Seq(7), "somebody else wrote the eighth");
    }

    #[test]
    fn a_document_that_could_not_read_is_rung_again() {
        let progress = Progress::default();
        assert!(progress.tell(Seq(2)) && progress.told().now_or_never().is_some());
        assert!(progress.tell(Seq(2)) && progress.told().now_or_never().is_some());
    }
}
