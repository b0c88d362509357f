//! What is heard of a peer: how much, and that it has gone silent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// When something was last heard of the peer, and how much in all.
pub(super) struct Heard {
    start: Instant,
    millis: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// The pings of ours that have not been answered yet. The writer pings, the reader hears the pongs.
///
/// Pongs are counted instead of matched by what they carry: several pings may be under way, and a peer may answer the last
/// of them only (RFC 6455, 5.5.3). There are never more answers than pings.
#[derive(Debug, Clone, Default)]
pub(super) struct Pings(Arc<AtomicU64>);

impl Pings {
    /// Notes that a ping goes out.
    pub(super) fn sent(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a pong for the answer to a ping; `false` where every ping has been answered.
    pub(super) fn answered(&self) -> bool {
        let less_one = |unanswered: u64| unanswered.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one).is_ok()
    }
}

/// How much went one way on a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Heard {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { start: Instant::now(), millis: zero(), messages: zero(), bytes: zero() }
    }

    /// Counts a message, or an array of them.
    pub(super) fn count(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn amount(&self) -> Amount {
        Amount { messages: self.messages.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    pub(super) fn note(&self, now: Instant) {
        let millis = now.duration_since(self.start).as_millis();
        self.millis.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until nothing has been heard for so long.
    pub(super) async fn silence(&self, limit: Duration) {
        loop {
            let last = self.millis.load(Ordering::Relaxed);
            sleep_until(self.start + Duration::from_millis(last) + limit).await;
            if self.millis.load(Ordering::Relaxed) == last {
                return;
            }
        }
    }
}
