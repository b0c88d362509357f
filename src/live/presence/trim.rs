//! Presence is kept for a while only.

use std::time::Duration;

use tracing::warn;

use crate::{domain::Timestamp, event_log::ReadError};

use super::super::Live;

/// Documents that are listed at a time.
const PAGE: usize = 500;
/// The longest and the shortest time between two rounds.
const SELDOM: Duration = Duration::from_hours(1);
const OFTEN: Duration = Duration::from_millis(250);

impl Live {
    /// How long to wait between two rounds of [`Self::trim_all_presence`].
    pub fn time_between_trims(&self) -> Duration {
        (self.presence.retention / 8).clamp(OFTEN, SELDOM)
    }

    /// Trims all presence streams.
    pub async fn trim_all_presence(&self) {
        if let Err(error) = self.trim_presence().await {
            warn!(%error, "old presence could not be removed; it will be tried again");
        }
    }

    /// Removes what is older than `presence.retention`; answers how many events that were.
    async fn trim_presence(&self) -> Result<u64, ReadError> {
        let retention = i64::try_from(self.presence.retention.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp(self.clock.now().0.saturating_sub(retention));
        let (mut after, mut trimmed) = (None, 0);
        loop {
            let page = self.log.presence_documents(after.as_ref(), PAGE).await?;
            for document in &page {
                trimmed += self.log.trim_presence(document, before).await?;
            }
            match page.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(trimmed),
            }
        }
    }
}
