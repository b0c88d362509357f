//! What is heard of a peer: how much, and that it has gone silent.

use std::{
    sync::atomic::{AtomicU64, Ordering},
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
