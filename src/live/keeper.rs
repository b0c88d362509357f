//! Keeps projections up with the log, in the background.
//!
//! It takes its time: after each piece of work it rests several times as long, so that edits go first. Several nodes on
//! one database each have one; how far a projection has come is in the database, and what one has done the others see.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tracing::{info, warn};

use crate::{
    event_log::{Effort, EventLog, Projection, ReadError},
    telemetry::{KeptProjection, Metrics},
};

/// It works for a quarter of the time.
const REST: u32 = 3;
/// Between two pieces of work.
const BREATH: Duration = Duration::from_millis(5);

/// Who keeps projections up with the log.
pub struct Keeper {
    log: EventLog,
    metrics: Metrics,
    /// The last time it could not be done.
    is_in_trouble: AtomicBool,
}

impl Keeper {
    /// Of the projections of this log.
    pub const fn new(log: EventLog, metrics: Metrics) -> Self {
        Self { log, metrics, is_in_trouble: AtomicBool::new(false) }
    }

    /// Does what there is to do. What fails is tried again the next time.
    pub async fn keep_up(&self) {
        match self.work().await {
            Ok(()) => self.is_in_trouble.store(false, Ordering::Relaxed),
            Err(error) => {
                // Said once: the database will have been complained about by others.
                if !self.is_in_trouble.swap(true, Ordering::Relaxed) {
                    warn!(%error, "projections are not kept up; whoever asks folds more");
                }
            }
        }
    }

    async fn work(&self) -> Result<(), ReadError> {
        loop {
            let mut is_done = true;
            for projection in Projection::ALL {
                let mut progress = |_| ();
                let tended = self.log.tend(projection, &mut Effort::resting(REST, &mut progress)).await?;
                self.metrics.projection(label(projection), tended.behind, tended.documents_left);
                if tended.has_swapped {
                    info!(projection = projection.name(), "a projection was built and is in use");
                }
                for damaged in tended.damaged {
                    warn!(projection = projection.name(), %damaged, "a projection of a stream cannot be kept");
                }
                is_done &= tended.is_done;
            }
            if is_done {
                return Ok(());
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

const fn label(projection: Projection) -> KeptProjection {
    match projection {
        Projection::Blame => KeptProjection::Blame,
        Projection::Contributions => KeptProjection::Contributions,
    }
}
