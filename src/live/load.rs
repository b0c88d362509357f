//! A document out of the log: the newest snapshot, and the events after it.

use tokio::time::Instant;

use crate::{
    domain::Seq,
    event_log::{Damaged, EventLog, ReadError, StreamName},
    projection::Document,
    telemetry::Metrics,
    text::{EditError, RichText},
};

/// A document as of the end of its stream.
pub(super) struct Loaded {
    pub(super) document: Document,
    /// Where the snapshot stands that it was loaded from.
    pub(super) snapshot_seq: Seq,
}

/// Events read from the log at a time.
const PAGE: usize = 5_000;

/// Loads a document; one without events is empty.
pub(super) async fn document(log: &EventLog, stream: &StreamName, metrics: &Metrics) -> Result<Loaded, ReadError> {
    let started = Instant::now();
    let Some(head) = log.head(stream).await? else {
        return Ok(Loaded { document: Document::new(), snapshot_seq: Seq(0) });
    };
    let mut document = match log.snapshot(stream, head.seq).await? {
        Some(saved) => {
            let content = RichText::from_delta(&saved.content).map_err(|why| damaged(stream, saved.seq, why))?;
            Document::restore(content, saved.version, saved.seq, saved.last_modified)
        }
        None => Document::new(),
    };
    let snapshot_seq = document.seq();
    loop {
        let page = log.changes(stream, document.seq(), PAGE).await?;
        if page.is_empty() {
            break;
        }
        for change in page {
            document.edit(&change.applied).map_err(|why| damaged(stream, change.seq, why))?;
        }
    }
    // The head may have moved since; then its time is the better one of two that are both right.
    document.modified_at(log.head(stream).await?.unwrap_or(head).recorded_at);
    metrics.document_loaded(started.elapsed(), document.seq().0 - snapshot_seq.0);
    Ok(Loaded { document, snapshot_seq })
}

fn damaged(stream: &StreamName, seq: Seq, why: EditError) -> Damaged {
    Damaged { stream: stream.clone(), seq, why: why.to_string() }
}
