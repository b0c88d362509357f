//! Moving events from one log to another as they are stored, to the letter, without reading what they say.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Damaged, EventLog, Head, Position, ReadError, StreamName, Unavailable, UnavailableKind, damaged,
    port::{FeedRow, Import, ImportRefusal, ImportRow, ImportStream, NewRow, Row},
    stored,
};
use crate::domain::{MessageId, Seq, Timestamp, Version};

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the feed of the log that it comes from.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub seq: Seq,
    /// Whether the log that it comes from has no earlier event of the stream: it is the first one, or those before
    /// it have been trimmed.
    pub begins: bool,
    /// The version of the document after it.
    pub version: Version,
    /// The message that caused it.
    pub message_id: MessageId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What a fold reads of it.
    pub body: Arc<str>,
    /// Everything else.
    pub cause: Arc<str>,
}

/// Events that are read at a time.
const PAGE: usize = 5_000;
/// How often a batch is tried that finds its streams longer than they were a moment ago.
const ATTEMPTS: usize = 10;

/// Reads everything between two positions.
pub struct Exporter {
    log: EventLog,
    after: Position,
    to: Position,
    seen: HashSet<StreamName>,
}

impl EventLog {
    /// Reads the log as it is now, from a position on.
    pub async fn export(&self, after: Position) -> Result<Exporter, Unavailable> {
        let to = self.settled_up_to_now().await?.max(after);
        Ok(Exporter { log: self.clone(), after, to, seen: HashSet::new() })
    }

    /// Takes events of another log in. They have to come in the order in which an [`Exporter`] gives them.
    pub fn import(&self, purpose: Purpose) -> Importer {
        Importer { log: self.clone(), purpose, streams: HashMap::new() }
    }
}

impl Exporter {
    /// Where the export ends. What is committed meanwhile comes after it.
    pub const fn to(&self) -> Position {
        self.to
    }

    /// The next events, in the order of their commits; none only at the end.
    pub async fn next(&mut self) -> Result<Vec<StoredEvent>, ReadError> {
        loop {
            let rows = self.log.feed_rows(self.after, self.to, PAGE).await?;
            let is_end = rows.is_empty();
            let events = self.events(rows).await?;
            if is_end || !events.is_empty() {
                return Ok(events);
            }
        }
    }

    async fn events(&mut self, rows: Vec<FeedRow>) -> Result<Vec<StoredEvent>, ReadError> {
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            self.after = row.position;
            let mut event = stored_event(row)?;
            if !self.seen.contains(&event.stream) {
                let first = self.log.adapter.rows(&event.stream, Seq(0), 1).await?.pop();
                if first.as_ref().is_some_and(|first| first.seq > event.seq) {
                    // It is erased, and only not removed yet.
                    continue;
                }
                event.begins = first.is_some_and(|first| first.seq == event.seq);
                self.seen.insert(event.stream.clone());
            }
            events.push(event);
        }
        Ok(events)
    }
}

fn stored_event(FeedRow { position, stream, row }: FeedRow) -> Result<StoredEvent, Damaged> {
    let Row { seq, version, recorded_at, message_id, body, cause } = row;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map(Arc::from).map_err(|why| why.to_string());
    let read =
        || -> Result<_, stored::Why> { Ok((stored::decode_message_id(&message_id)?, text(body)?, text(cause)?)) };
    let (message_id, body, cause) = read().map_err(|why| damaged(&stream, seq, why))?;
    Ok(StoredEvent { position, stream, seq, begins: false, version, message_id, recorded_at, body, cause })
}

/// What becomes of events that are not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are appended.
    Append,
    /// Nothing: it is only to be known whether all of them could be.
    Check,
}

/// What was done with events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Events that were appended.
    pub appended: u64,
    /// Events that were there already.
    pub present: u64,
}

/// Why events were not taken in. Nothing of their batch was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// This log says something else.
    #[error("event {seq} of {stream} {why}")]
    Refused {
        /// The stream.
        stream: StreamName,
        /// The place of the event in it.
        seq: Seq,
        /// What is wrong.
        why: String,
    },
    /// It could not look, or could not write.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Takes events in, batch by batch.
pub struct Importer {
    log: EventLog,
    purpose: Purpose,
    streams: HashMap<StreamName, Stream>,
}

/// A stream that events come into.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// Where it ends here; `None` where it has not begun.
    head: Option<Head>,
    /// The last event of it that came.
    last: Option<Head>,
}

/// The events of one stream in a batch.
type Part<'a> = (&'a StreamName, Vec<&'a StoredEvent>);

impl Importer {
    /// Takes a batch in, as a whole or not at all. Events that are there already have to be the same; those that are
    /// to be there but have been trimmed or erased here stay away.
    pub async fn add(&mut self, events: &[StoredEvent]) -> Result<Imported, ImportError> {
        let parts = by_stream(events);
        for _ in 0..ATTEMPTS {
            let (mut import, mut after, mut new) = (Import::default(), Vec::new(), HashMap::new());
            for (name, part) in &parts {
                let (stream, to_append) = self.examine(name, part).await?;
                after.push(((*name).clone(), stream));
                if let Some((first, to_append)) = to_append {
                    new.insert(*name, (import.streams.len(), first));
                    import.streams.push(to_append);
                }
            }
            let is_new = |event: &StoredEvent| {
                new.get(&event.stream).filter(|(_, first)| event.seq >= *first).map(|(stream, _)| *stream)
            };
            import.rows = events.iter().filter_map(|event| Some(import_row(is_new(event)?, event))).collect();
            let appended = import.rows.len() as u64;
            match self.append(import).await {
                Ok(()) => {
                    self.streams.extend(after);
                    return Ok(Imported { appended, present: events.len() as u64 - appended });
                }
                Err(ImportRefusal::Stale) => self.look_again(&parts).await?,
                Err(ImportRefusal::Repeated { stream, seq }) => {
                    let why = "was caused by a message that the export has at another place".to_owned();
                    return Err(ImportError::Refused { stream, seq, why });
                }
                Err(ImportRefusal::Unavailable(reason)) => return Err(reason.into()),
            }
        }
        Err(Unavailable::new(UnavailableKind::Busy, "the streams are being written by somebody else").into())
    }

    /// Somebody else has written.
    async fn look_again(&mut self, parts: &[Part<'_>]) -> Result<(), Unavailable> {
        for (name, _) in parts {
            let head = self.log.adapter.head(name).await?;
            self.streams.entry((*name).clone()).or_default().head = head;
        }
        Ok(())
    }

    async fn append(&self, import: Import) -> Result<(), ImportRefusal> {
        if let Some(refusal) = import.repeated() {
            return Err(refusal);
        }
        match self.purpose {
            Purpose::Append if !import.rows.is_empty() => self.log.adapter.import(import).await,
            Purpose::Append | Purpose::Check => Ok(()),
        }
    }

    /// Compares what is there, and answers how the stream will stand, and from which event on it is to be appended to.
    async fn examine(
        &self,
        name: &StreamName,
        part: &[&StoredEvent],
    ) -> Result<(Stream, Option<(Seq, ImportStream)>), ImportError> {
        let mut stream = match self.streams.get(name) {
            Some(known) => *known,
            None => Stream { head: self.log.adapter.head(name).await?, last: None },
        };
        for event in part {
            stream.last = Some(if stream.last.is_some() { event.follows(stream.last)? } else { event.head() });
        }
        let end = stream.head.unwrap_or_default().seq;
        let (there, new) = part.split_at(part.partition_point(|event| event.seq <= end));
        if stream.head.is_some_and(|head| head.is_erased) {
            // What was erased here is not to come back.
            return Ok((stream, None));
        }
        self.compare(name, there).await?;
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok((stream, None)) };
        first.follows(stream.head)?;
        stream.head = Some(last.head());
        Ok((stream, Some((first.seq, ImportStream { name: name.clone(), after: end, head: last.head() }))))
    }

    async fn compare(&self, name: &StreamName, events: &[&StoredEvent]) -> Result<(), ImportError> {
        let Some(first) = events.first() else { return Ok(()) };
        let rows = self.log.adapter.rows(name, Seq(first.seq.0 - 1), events.len()).await?;
        for event in events {
            // What comes before the first that is left was trimmed or erased here, and is not to come back.
            let Some(front) = rows.first().filter(|front| front.seq <= event.seq) else { continue };
            let row = rows.get(usize::try_from(event.seq.0 - front.seq.0).unwrap_or(usize::MAX));
            match row.map(|row| difference(row, event)) {
                Some(None) => (),
                Some(Some(what)) => return Err(event.refused(format!("is another one here: it has another {what}"))),
                None => return Err(event.refused("is missing here".to_owned())),
            }
        }
        Ok(())
    }
}

impl StoredEvent {
    fn head(&self) -> Head {
        let is_erased = self.is_tombstone();
        Head { seq: self.seq, version: self.version, recorded_at: self.recorded_at, is_erased }
    }

    fn is_tombstone(&self) -> bool {
        stored::erased_v1::is(self.body.as_bytes())
    }

    /// Its own head, if it can come right after `before`, and without one at the beginning of its stream.
    fn follows(&self, before: Option<Head>) -> Result<Head, ImportError> {
        let Some(before) = before else {
            let why = "is not the first of its stream, and the log has none before it";
            return if self.begins { Ok(self.head()) } else { Err(self.refused(why.to_owned())) };
        };
        // What was erased there need not have come here before it was.
        let is_next = self.seq == before.seq.next() || (self.is_tombstone() && self.seq > before.seq);
        if !is_next {
            Err(self.refused(format!("cannot follow event {}", before.seq)))
        } else if self.recorded_at < before.recorded_at {
            Err(self.refused("was recorded before the one before it".to_owned()))
        } else {
            Ok(self.head())
        }
    }

    fn refused(&self, why: String) -> ImportError {
        ImportError::Refused { stream: self.stream.clone(), seq: self.seq, why }
    }
}

/// The events of each stream, the streams in the order in which they come first.
fn by_stream(events: &[StoredEvent]) -> Vec<Part<'_>> {
    let (mut parts, mut places) = (Vec::<Part<'_>>::new(), HashMap::new());
    for event in events {
        let place = *places.entry(&event.stream).or_insert_with(|| {
            parts.push((&event.stream, Vec::new()));
            parts.len() - 1
        });
        parts[place].1.push(event);
    }
    parts
}

/// What of a stored row is not as in an event at its place.
fn difference(row: &Row, event: &StoredEvent) -> Option<&'static str> {
    let StoredEvent { version, message_id, recorded_at, body, cause, .. } = event;
    let same = [
        ("message id", row.message_id == message_id.as_str().as_bytes()),
        ("body", row.body == body.as_bytes()),
        ("cause", row.cause == cause.as_bytes()),
        ("version", row.version == *version),
        ("time", row.recorded_at == *recorded_at),
    ];
    same.into_iter().find_map(|(what, same)| (!same).then_some(what))
}

fn import_row(stream: usize, event: &StoredEvent) -> ImportRow {
    let StoredEvent { seq, version, recorded_at, message_id, body, cause, .. } = event;
    let (body, cause) = (Arc::clone(body), Arc::clone(cause));
    let row = NewRow { version: *version, message_id: message_id.clone(), body, cause };
    ImportRow { stream, seq: *seq, recorded_at: *recorded_at, row }
}
