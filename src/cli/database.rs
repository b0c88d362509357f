//! The log of the configured database, for the commands that look into it.

use crate::{
    domain::{DocumentId, Seq},
    event_log::{EventLog, Head, Options, StreamName},
    settings::{Database, Settings},
    telemetry::Metrics,
};

use super::Failure;

/// Streams that are listed at a time.
const PAGE: usize = 1_000;

/// Opens the log. There must be one: who wants to look at something has mistyped its name more likely than not.
pub(super) async fn open(settings: &Settings) -> Result<EventLog, Failure> {
    let url = &settings.database.url;
    if url.file().is_some_and(|file| !file.exists()) {
        let hint = "`scriptorium migrate` and `scriptorium serve` make one";
        return Err(Failure::failed(format!("there is no database at {url}; {hint}")));
    }
    open_or_make(settings).await
}

/// Opens the log, and makes it where there is none.
pub(super) async fn open_or_make(settings: &Settings) -> Result<EventLog, Failure> {
    let Database { url, pool, lanes } = &settings.database;
    let (url, nats) = (url.expose().to_owned(), settings.cluster.nats());
    let options = Options { url, readers: *pool, lanes: *lanes, nats, metrics: Metrics::new() };
    let log = EventLog::open(options).await.map_err(Failure::failed)?;
    let log = log.keeping_snapshots(settings.snapshots.keep).keeping_history(settings.snapshots.history_every);
    Ok(log.keeping_projections(settings.projections.every_events))
}

/// Reads an argument that names a document.
pub(super) fn document_id(text: &str) -> Result<DocumentId, String> {
    DocumentId::parse(text).map_err(|error| error.to_string())
}

/// The head of a stream that has events.
pub(super) async fn head(log: &EventLog, stream: &StreamName) -> Result<Head, Failure> {
    let head = log.head(stream).await.map_err(Failure::failed)?;
    head.ok_or_else(|| {
        let what = if stream.document_id().is_some() { "document " } else { "" };
        Failure::failed(format!("{what}{} has no events", shown(stream)))
    })
}

/// The stream of one document, which must have events, or those of all documents, with their heads.
pub(super) async fn streams(log: &EventLog, only: Option<&DocumentId>) -> Result<Vec<(StreamName, Head)>, Failure> {
    if let Some(document) = only {
        let stream = StreamName::document(document);
        let head = head(log, &stream).await?;
        return Ok(vec![(stream, head)]);
    }
    let all = all_streams(log).await?.into_iter();
    Ok(all.filter(|(name, _)| name.document_id().is_some()).collect())
}

/// The presence streams of all documents, with their heads.
pub(super) async fn presence_streams(log: &EventLog) -> Result<Vec<(DocumentId, Head)>, Failure> {
    let all = all_streams(log).await?.into_iter();
    Ok(all.filter_map(|(name, head)| Some((name.presence_id()?, head))).collect())
}

/// Every stream, of whatever kind, with its head.
pub(super) async fn all_streams(log: &EventLog) -> Result<Vec<(StreamName, Head)>, Failure> {
    let (mut all, mut last): (Vec<(StreamName, Head)>, Option<StreamName>) = (Vec::new(), None);
    loop {
        let page = log.streams(last.as_ref(), PAGE).await.map_err(Failure::failed)?;
        let is_last = page.len() < PAGE;
        last = page.last().map(|(name, _)| name.clone());
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// How a stream is named to a person: a document by its id.
pub(super) fn shown(stream: &StreamName) -> String {
    stream.document_id().map_or_else(|| stream.to_string(), |id| id.to_string())
}

/// All events of all these streams.
pub(super) fn events_in(streams: &[(StreamName, Head)]) -> u64 {
    streams.iter().map(|(_, Head { seq: Seq(seq), .. })| seq).sum()
}
