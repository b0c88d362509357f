//! A document out of the log: the newest snapshot, and the events after it.

use tokio::time::Instant;

use crate::{
    domain::{Seq, Timestamp},
    event_log::{EventLog, ReadError, StreamName},
    projection::Document,
    telemetry::Metrics,
};

/// A document as of the end of its stream.
pub(super) struct Loaded {
    pub(super) document: Document,
    /// Where the snapshot stands that it was loaded from.
    pub(super) snapshot_seq: Seq,
    /// When the last event was recorded.
    pub(super) recorded_at: Timestamp,
}

/// Loads a document; one without events is empty.
pub(super) async fn document(log: &EventLog, stream: &StreamName, metrics: &Metrics) -> Result<Loaded, ReadError> {
    let started = Instant::now();
    let Some(head) = log.living_head(stream).await? else {
        return Ok(Loaded { document: Document::new(), snapshot_seq: Seq(0), recorded_at: Timestamp::default() });
    };
    let mut document = log.restore(stream, head.seq).await?;
    let snapshot_seq = document.seq();
    log.fold(stream, &mut document, head.seq, |_| ()).await?;
    metrics.document_loaded(started.elapsed(), document.seq().0 - snapshot_seq.0);
    Ok(Loaded { document, snapshot_seq, recorded_at: head.recorded_at })
}
