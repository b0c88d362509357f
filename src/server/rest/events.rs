//! Recorded events: of one document, and of everything.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::{
    domain::{DocumentId, Seq},
    event_log::{EventLog, Position, ReadError, StreamName, Watch, What},
    history::{self, When},
    protocol::{
        history::{EventPageJson, Record, Source as Named, Told, event_as_json},
        schema::EXACT,
    },
    server::problem::{Code, Problem},
};

use super::{
    Ask,
    answer::{self, Answer},
    query::bad,
    stream::{self, Format, Wish},
};

/// Events in a page, and at most.
pub(super) const PAGE: u64 = 100;
pub(super) const LARGEST_PAGE: u64 = 1_000;

/// `GET /v1/documents/{id}/events`
pub(super) async fn of_document(ask: &Ask, id: &DocumentId) -> Answer {
    let place = history::find(&ask.shared.log, id, When::Now).await?;
    events(ask, Source::Document(id.clone(), place.stream), (Some(place.seq.0), place.seq.0)).await
}

/// `GET /v1/events`: of all streams, in the order of their commits.
pub(super) async fn feed(ask: &Ask) -> Answer {
    let taken = ask.shared.log.end_of_feed().await?;
    events(ask, Source::Feed, (None, taken.0)).await
}

/// `end`: where a stream ends that does not follow, if that is to be where the log ends now; `log_end`: where that is.
async fn events(ask: &Ask, source: Source, (end, log_end): (Option<u64>, u64)) -> Answer {
    // Browsers send an empty one before the first event has come.
    let after = match ask.headers.get("last-event-id").filter(|id| !id.is_empty()) {
        Some(id) => {
            let number = id.to_str().ok().and_then(|id| id.parse().ok());
            number.ok_or_else(|| bad("`Last-Event-ID` must be the id of an event of this stream"))?
        }
        None => ask.query.number("after", 0..=u64::MAX)?.unwrap_or_default(),
    };
    // No log gets that far, and what is answered is to be a number that every reader knows exactly.
    let after = after.min(EXACT);
    let follow = ask.query.flag("follow")?;
    let format = wanted(&ask.headers);
    // Waiting for what comes behind it would be waiting in silence, and what comes until then would be lost to this reader.
    if after > log_end {
        if format == Some(Format::EventStream) {
            return Ok(stream::ahead(log_end));
        }
        let detail = format!(
            "the log ends at {log_end}, and {after} is behind that: it is of another log, or of this one before it was \
             restored. Read from 0 again"
        );
        return Err(Problem::new(Code::AheadOfLog, detail));
    }
    let Some(format) = format else {
        if follow == Some(true) {
            return Err(bad("`follow` needs `Accept: application/x-ndjson` or `Accept: text/event-stream`"));
        }
        let limit = ask.query.number("limit", 1..=LARGEST_PAGE)?.unwrap_or(PAGE);
        let page = source.page(&ask.shared.log, after, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
        let next = page.last().map_or(after, |(place, _)| *place);
        let events: Vec<_> = page.into_iter().map(|(_, event)| event).collect();
        return Ok(answer::json(StatusCode::OK, &EventPageJson { events, next }));
    };
    let limit = ask.query.number("limit", 1..=u64::MAX)?;
    // An `EventSource` whose stream ends asks again at once: it may as well stay.
    let follow = follow.unwrap_or(format == Format::EventStream);
    Ok(stream::open(ask, source, Wish { format, after, limit, end: (!follow).then_some(end.unwrap_or(u64::MAX)) }))
}

/// The form that an asker wants a stream in; `None` for a page.
fn wanted(headers: &HeaderMap) -> Option<Format> {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|list| list.split(',')).find_map(|kind| {
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-ndjson" => Some(Some(Format::Lines)),
            "text/event-stream" => Some(Some(Format::EventStream)),
            "application/json" => Some(None),
            _ => None,
        }
    })?
}

/// Where events come from.
pub(super) enum Source {
    Document(DocumentId, StreamName),
    Feed,
}

impl Source {
    /// Waits for more of it.
    pub(super) fn watch(&self, log: &EventLog) -> Watch {
        match self {
            Self::Document(_, stream) => log.watch(Some(stream)),
            Self::Feed => log.watch(None),
        }
    }

    /// Up to `limit` events after a place, each with its own; none only at the end.
    pub(super) async fn page(&self, log: &EventLog, after: u64, limit: usize) -> Result<Vec<(u64, Value)>, Problem> {
        Ok(self.read(log, after, limit).await?)
    }

    async fn read(&self, log: &EventLog, after: u64, limit: usize) -> Result<Vec<(u64, Value)>, ReadError> {
        match self {
            Self::Document(id, stream) => {
                let page = log.read(stream, Seq(after), limit).await?;
                let event = |it: crate::event_log::Recorded| {
                    let stream = Named::Document(id);
                    let record = Record {
                        stream,
                        seq: it.seq,
                        version: it.version,
                        message_id: &it.message_id,
                        recorded_at: it.recorded_at,
                    };
                    (it.seq.0, event_as_json(&record, Told::Event(&it.event)))
                };
                Ok(page.into_iter().map(event).collect())
            }
            Self::Feed => {
                let page = log.read_all(Position(after), limit).await?;
                let event = |it: crate::event_log::Published| {
                    let id = it.stream.document_id();
                    let record = Record {
                        stream: id.as_ref().map_or(Named::Stream(it.stream.as_str()), Named::Document),
                        seq: it.seq,
                        version: it.version,
                        message_id: &it.message_id,
                        recorded_at: it.recorded_at,
                    };
                    let told = match &it.what {
                        What::Event(event) => Told::Event(event),
                        What::Erased => Told::Erased,
                        What::Elsewhere => Told::Elsewhere,
                    };
                    let mut json = event_as_json(&record, told);
                    json["position"] = it.position.0.into();
                    (it.position.0, json)
                };
                Ok(page.into_iter().map(event).collect())
            }
        }
    }
}
