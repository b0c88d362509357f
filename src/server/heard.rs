//! Noticing that a peer has gone silent.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// When something was last heard of the peer.
pub(super) struct Heard {
    start: Instant,
    millis: AtomicU64,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), millis: AtomicU64::new(0) }
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
