//! A place in a document's past, and the document there.

use crate::{
    domain::{DocumentId, Seq, Timestamp, Version},
    event_log::{EventLog, Head, ReadError, StreamName},
    projection::Document,
};

use super::Untold;

/// How somebody names a place in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The end.
    Now,
    /// With everything that was said about it before the next version.
    Version(Version),
    /// With everything that had been recorded by then.
    Moment(Timestamp),
}

/// A place in a document's stream.
#[derive(Debug, Clone)]
pub struct Place {
    /// The stream.
    pub stream: StreamName,
    /// The last event at or before it; [`Seq`] 0 stands before the first.
    pub seq: Seq,
    /// Where the stream ended when it was looked for.
    pub head: Head,
}

/// Finds a place.
pub async fn find(log: &EventLog, id: &DocumentId, when: When) -> Result<Place, Untold> {
    let stream = StreamName::document(id);
    let head = log.living_head(&stream).await?.ok_or(Untold::NoDocument)?;
    let seq = match when {
        When::Now => head.seq,
        When::Version(wanted) if wanted > head.version => {
            return Err(Untold::Ahead { wanted, current: head.version });
        }
        // The head that was looked at is the end, also of what is asked for: it may be moving.
        When::Version(version) if version == head.version => head.seq,
        When::Version(version) => log.seq_of_version(&stream, version).await?.unwrap_or_default(),
        When::Moment(moment) if moment >= head.recorded_at => head.seq,
        When::Moment(moment) => log.seq_at(&stream, moment).await?.unwrap_or_default(),
    };
    Ok(Place { stream, seq: seq.min(head.seq), head })
}

/// The document at a place. `progress` hears of places on the way.
pub async fn document(log: &EventLog, place: &Place, progress: impl FnMut(Seq)) -> Result<Document, ReadError> {
    let mut document = log.restore(&place.stream, place.seq).await?;
    log.fold_with_landmarks(&place.stream, &mut document, place.seq, progress).await?;
    Ok(document)
}

/// When the last event at or before a place was recorded; `None` before the first.
pub async fn recorded_at(log: &EventLog, place: &Place) -> Result<Option<Timestamp>, ReadError> {
    let Some(before) = place.seq.0.checked_sub(1) else { return Ok(None) };
    let event = log.read(&place.stream, Seq(before), 1).await?.pop();
    Ok(event.map(|event| event.recorded_at))
}
