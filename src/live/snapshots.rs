//! When to save a snapshot, and saving it beside the document's own work.
//!
//! A snapshot saves the next opening from folding the events since the last one, and costs its own size.
//! So one is due when enough events, or enough bytes of events, have come since, and never before those
//! bytes are a fair part of the document's own: a long document is not written out again and again for a
//! few keystrokes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::Instant;
use tracing::warn;

use crate::{
    domain::Seq,
    event_log::{Snapshot, StreamName},
    projection::Document,
    settings,
    telemetry::Outcome,
    text::{RichText, Utf16},
};

use super::Live;

/// What has been recorded since the last snapshot.
#[derive(Debug)]
pub(super) struct Snapshots {
    last: Seq,
    events: u64,
    bytes: u64,
    saving: Arc<AtomicBool>,
}

/// The stored form of an event is about this much longer than what was sent.
const EVENT_BYTES: u64 = 64;
/// The events since the last snapshot must weigh at least this part of the document.
const FAIR_PART: u64 = 8;

impl Snapshots {
    pub(super) fn new(last: Seq, head: Seq) -> Self {
        let events = head.0 - last.0;
        Self { last, events, bytes: events * EVENT_BYTES, saving: Arc::default() }
    }

    /// Counts an event.
    pub(super) fn recorded(&mut self, received_bytes: usize) {
        self.events += 1;
        self.bytes += EVENT_BYTES + received_bytes as u64;
    }

    pub(super) fn is_due(&self, settings: &settings::Snapshots, content: &RichText) -> bool {
        let enough = self.events >= settings.every_events || self.bytes >= settings.every_bytes as u64;
        enough && self.bytes >= content.length::<Utf16>() as u64 / FAIR_PART
    }

    /// Saves a snapshot of `document` in the background, one at a time.
    pub(super) fn save(&mut self, live: &Arc<Live>, stream: &StreamName, document: &Document) {
        if document.seq() == self.last || self.saving.swap(true, Ordering::AcqRel) {
            return;
        }
        (self.last, self.events, self.bytes) = (document.seq(), 0, 0);
        let (live, stream, document) = (Arc::clone(live), stream.clone(), document.clone());
        let saving = Arc::clone(&self.saving);
        live.tasks.clone().spawn(async move {
            let started = Instant::now();
            let snapshot = Snapshot::of(&document);
            let outcome = match live.log.save_snapshot(&stream, &snapshot).await {
                Ok(()) => Outcome::Ok,
                Err(error) => {
                    warn!(%stream, %error, "a snapshot was not saved; the next opening will take longer");
                    Outcome::Failed
                }
            };
            saving.store(false, Ordering::Release);
            live.metrics.snapshot_saved(document.content().length::<Utf16>(), started.elapsed(), outcome);
        });
    }
}
