//! The event log: every event of every stream, in order, on disk before anybody hears of it.
//!
//! [`EventLog`] is what the rest of the program sees. Encoding, upcasting, paging and metrics live here,
//! once; below is a small port (`port.rs`) with an adapter for each database. Events and the head of
//! their stream are committed in one transaction, which checks the head that the writer expects. Two unique
//! indexes check the events: (stream, seq) and (stream, message).

mod address;
#[cfg(test)]
mod append_laws;
mod audit;
#[cfg(test)]
mod comment_laws;
mod documents;
mod doorbell;
#[cfg(test)]
mod doorbell_laws;
mod erasure;
#[cfg(test)]
mod erasure_laws;
mod error;
mod feed;
#[cfg(test)]
mod feed_laws;
mod fold;
mod kept;
mod landmarks;
mod memory;
mod memory_faults;
mod memory_kept;
mod memory_nodes;
mod migrations;
mod nats;
mod nodes;
mod port;
mod postgres;
mod presence;
mod pseudonym;
mod revocations;
mod rings;
mod saving;
#[cfg(test)]
mod sharing_laws;
#[cfg(test)]
mod snapshot_laws;
mod sql;
mod sqlite;
mod stored;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod suite_presence;
mod transfer;
mod types;
mod user_erasure;
#[cfg(test)]
mod user_erasure_laws;
mod watching;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub use audit::{Flaw, Outline, SavedPresences, SavedSnapshot};
pub use doorbell::{Bell, Doorbell, Ring};
pub use erasure::Erasure;
pub use error::{AppendError, Damaged, OpenError, ReadError, Unavailable, UnavailableKind};
pub use feed::{Feed, Published, What};
pub use kept::{Effort, Form, Projection, Tended};
pub use memory_faults::{Asked, Fate};
pub use nodes::{Known, Life, LifeSign};
pub use port::Scrubbed;
pub use presence::{NewPresence, RecordedPresence, SavedPresence};
pub use transfer::{Exporter, ImportError, Imported, Importer, Purpose, StoredEvent};
pub use types::{
    Append, AppliedMigration, Change, Expected, Head, NewEvent, Position, Recorded, Snapshot, StreamName, Tombstone,
};
pub use user_erasure::{Rewriting, UserErasure};
pub use watching::Watch;

use address::Database;
use port::{Adapter, Key, NewRow, NewRows, PART_BYTES, Refusal, Row, SnapshotRow};

use crate::{
    domain::{MessageId, Seq, Timestamp, Version},
    telemetry::{Append as Outcome, Metrics},
};

/// How many rows the first query of a page of changes asks for; each next one asks for twice as many, as
/// long as a query yields less than [`PART_BYTES`]. So a page costs memory by what it holds.
const FIRST_PART: usize = 128;

/// Where the log is and how it is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address of the database: `sqlite://path/to/file` or `postgres://user:password@host:port/database`.
    pub url: String,
    /// Connections for reading.
    pub readers: u32,
    /// Connections that append at the same time. SQLite has one, whatever this says.
    pub lanes: u32,
    /// The address of a NATS by which nodes on one Postgres ring for each other; `None`: Postgres itself tells them.
    pub nats: Option<String>,
    /// Where to count what happens.
    pub metrics: Metrics,
}

/// The log. Clones are handles to the same one.
#[derive(Clone)]
pub struct EventLog {
    adapter: Arc<dyn Adapter>,
    metrics: Metrics,
    snapshots_kept: u32,
    history_every: Option<u64>,
    kept_every: u64,
    saving: Arc<saving::Saving>,
    watched: Arc<watching::Watched>,
}

impl EventLog {
    /// A log in memory, which ends with its last handle.
    pub fn memory() -> Self {
        Self::on(Arc::new(memory::Memory::default()), Metrics::new())
    }

    /// The same, which fails as it is decided each time it is asked for a stream: for tests.
    pub fn memory_that_fails(decide: impl FnMut(&StreamName, Asked) -> Fate + Send + 'static) -> Self {
        Self::on(Arc::new(memory::Memory::with(memory_faults::Faults::decided_by(decide))), Metrics::new())
    }

    /// Opens a log; makes its database where there is none, and brings it up to date.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let Options { url, readers, lanes, nats, metrics } = options;
        match Database::of(&url)? {
            Database::Sqlite(path) => {
                Self::sqlite(sqlite::Settings { readers, ..sqlite::Settings::new(path) }, metrics).await
            }
            Database::Postgres(mut settings) => {
                (settings.readers, settings.lanes) = (readers, lanes);
                if let Some(nats) = nats {
                    settings.rings = postgres::Way::Nats(nats::Address::parse(&nats)?);
                }
                Self::postgres(*settings, metrics).await
            }
        }
    }

    /// Brings the database of a log up to date and answers what that took.
    pub async fn migrate(url: &str) -> Result<Vec<AppliedMigration>, OpenError> {
        match Database::of(url)? {
            Database::Sqlite(path) => sqlite::Sqlite::migrate(&sqlite::Settings::new(path)).await,
            Database::Postgres(settings) => postgres::Postgres::migrate(&settings).await,
        }
    }

    async fn sqlite(settings: sqlite::Settings, metrics: Metrics) -> Result<Self, OpenError> {
        Ok(Self::on(Arc::new(sqlite::Sqlite::open(settings, metrics.clone()).await?), metrics))
    }

    async fn postgres(settings: postgres::Settings, metrics: Metrics) -> Result<Self, OpenError> {
        Ok(Self::on(Arc::new(postgres::Postgres::open(settings, metrics.clone()).await?), metrics))
    }

    fn on(adapter: Arc<dyn Adapter>, metrics: Metrics) -> Self {
        let (snapshots_kept, saving, watched) = (port::SNAPSHOTS_KEPT, Arc::default(), Arc::default());
        Self { adapter, metrics, snapshots_kept, history_every: None, kept_every: 1_000, saving, watched }
    }

    /// Keeps so many snapshots per stream from now on, one at least.
    #[must_use]
    pub fn keeping_snapshots(self, count: u32) -> Self {
        Self { snapshots_kept: count.max(1), ..self }
    }

    /// Of the older snapshots keeps from now on as many as it takes that so many events, or as many as take the room of
    /// a snapshot if those are more, lie between two; 0 keeps none of them.
    #[must_use]
    pub fn keeping_history(self, every: u64) -> Self {
        Self { history_every: (every > 0).then_some(every), ..self }
    }

    /// Appends all the events or none. They are durable once it returns the new head.
    ///
    /// Dropping the future does not take the append back.
    pub async fn append(&self, append: Append) -> Result<Head, AppendError> {
        let began = Instant::now();
        let answer = self.append_uncounted(append).await;
        let outcome = match &answer {
            Ok(_) => Outcome::Committed,
            Err(AppendError::Stale { .. }) => Outcome::Stale,
            Err(AppendError::Repeated(_) | AppendError::Damaged(_)) => Outcome::Repeated,
            Err(AppendError::Unavailable(_)) => Outcome::Unavailable,
        };
        self.metrics.log_append(outcome, began.elapsed());
        answer
    }

    async fn append_uncounted(&self, append: Append) -> Result<Head, AppendError> {
        let Append { stream, expected, recorded_at, events } = append;
        if events.is_empty() {
            let head = self.adapter.head(&stream).await?.unwrap_or_default();
            return if expected.admits(head) { Ok(head) } else { Err(AppendError::Stale { head: head.seq }) };
        }
        let rows = events.into_iter().map(encode).collect::<Result<_, _>>()?;
        let rows = NewRows { stream: stream.clone(), expected, recorded_at, rows };
        match self.append_rows(rows).await {
            Ok(head) => Ok(head),
            Err(Refusal::Stale { head }) => Err(AppendError::Stale { head }),
            Err(Refusal::Unavailable(reason)) => Err(reason.into()),
            Err(Refusal::Repeated(rows)) => Err(match decode_all(&stream, &rows) {
                Ok(recorded) => AppendError::Repeated(recorded),
                Err(ReadError::Damaged(damaged)) => AppendError::Damaged(damaged),
                Err(ReadError::Unavailable(reason)) => reason.into(),
                Err(ReadError::Erased(Tombstone { seq: head, .. })) => AppendError::Stale { head },
            }),
        }
    }

    async fn append_rows(&self, rows: NewRows) -> Result<Head, Refusal> {
        let stream = rows.stream.clone();
        let head = self.adapter.append(rows).await?;
        self.watched.tell(&Ring::Stream(stream, head.seq));
        Ok(head)
    }

    /// Up to `limit` events after a place. Fewer at the end of the stream, or when they are long; none only at
    /// the end.
    pub async fn read(&self, stream: &StreamName, after: Seq, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let rows = self.adapter.page(stream, after, limit).await?;
        // A tombstone says more than the gap before it.
        let recorded = decode_all(stream, &rows)?;
        self.without_gaps(stream, after, rows.iter().map(|row| row.seq)).await?;
        Ok(recorded)
    }

    /// Up to `limit` changes after a place: what a fold needs. Fewer only at the end of the stream.
    pub async fn changes(&self, stream: &StreamName, after: Seq, limit: usize) -> Result<Vec<Change>, ReadError> {
        let mut changes = Vec::new();
        let mut part = FIRST_PART;
        while changes.len() < limit {
            let wanted = part.min(limit - changes.len());
            let from = changes.last().map_or(after, |change: &Change| change.seq);
            let bodies = self.adapter.bodies(stream, from, wanted).await?;
            self.without_gaps(stream, from, bodies.seqs.iter().copied()).await?;
            for (seq, body) in bodies.iter() {
                if stored::erased_v1::is(body) {
                    self.living_head(stream).await?;
                }
                let effect = stored::decode_body(body).map_err(|why| damaged(stream, seq, why))?;
                changes.push(Change { seq, effect });
            }
            if bodies.seqs.len() < wanted {
                break;
            }
            part = if bodies.bytes.len() < PART_BYTES { part * 2 } else { (part / 2).max(1) };
        }
        Ok(changes)
    }

    /// The end of a stream; `None` before its first event.
    pub async fn head(&self, stream: &StreamName) -> Result<Option<Head>, ReadError> {
        Ok(self.adapter.head(stream).await?)
    }

    /// The ends of those of the streams that have events, in no order.
    pub async fn heads(&self, streams: &[StreamName]) -> Result<Vec<(StreamName, Head)>, ReadError> {
        Ok(self.adapter.heads(streams).await?)
    }

    /// Tells which streams move, whoever moves them, where the database can tell. Rings may be lost.
    pub fn doorbell(&self) -> Doorbell {
        self.adapter.doorbell()
    }

    /// Waits for what is appended or erased, in one stream or in any: by this process, and by others as far as they are
    /// [heard](Self::heard). Of what is imported nobody is told.
    pub fn watch(&self, stream: Option<&StreamName>) -> Watch {
        self.watched.watch(stream)
    }

    /// Tells those who wait what the [doorbell](Self::doorbell) has rung for.
    pub fn heard(&self, ring: &Ring) {
        self.watched.tell(ring);
    }

    /// Tells other nodes that this one waits to write to a stream and came too late, and how long they would have to
    /// leave it alone. They may not hear it.
    pub fn want(&self, stream: &StreamName, needs: Duration) {
        self.adapter.want(stream, needs);
    }

    /// The event that a message caused.
    pub async fn find(&self, stream: &StreamName, id: &MessageId) -> Result<Option<Recorded>, ReadError> {
        Ok(self.find_all(stream, std::slice::from_ref(id)).await?.pop())
    }

    /// The events that any of these messages caused, in the order of the stream.
    pub async fn find_all(&self, stream: &StreamName, ids: &[MessageId]) -> Result<Vec<Recorded>, ReadError> {
        decode_all(stream, &self.adapter.find(stream, ids).await?)
    }

    /// The last place with at most this version; 0 before the first, `None` without a stream.
    pub async fn seq_of_version(&self, stream: &StreamName, version: Version) -> Result<Option<Seq>, ReadError> {
        let value = i64::try_from(version.0).unwrap_or(i64::MAX);
        Ok(self.adapter.last_at_most(stream, Key::Version, value).await?)
    }

    /// The last place recorded at or before a moment; 0 before the first, `None` without a stream.
    pub async fn seq_at(&self, stream: &StreamName, moment: Timestamp) -> Result<Option<Seq>, ReadError> {
        Ok(self.adapter.last_at_most(stream, Key::RecordedAt, moment.0).await?)
    }

    /// The newest readable snapshot at or before a place. A damaged one is passed over with a warning, for
    /// whatever it says can be folded again.
    pub async fn snapshot(&self, stream: &StreamName, at_most: Seq) -> Result<Option<Snapshot>, ReadError> {
        let mut at_most = at_most;
        while let Some(row) = self.adapter.snapshot(stream, at_most).await? {
            let SnapshotRow { seq, version, last_modified, content } = row;
            match stored::decode_snapshot(content.as_bytes()) {
                Ok((content, comments)) => {
                    return Ok(Some(Snapshot { seq, version, last_modified, content, comments }));
                }
                Err(why) => tracing::warn!(%stream, %seq, why, "a damaged snapshot was passed over"),
            }
            let Some(before) = seq.0.checked_sub(1) else { break };
            at_most = Seq(before);
        }
        Ok(None)
    }

    /// Throws away all snapshots of a stream; answers how many there were.
    pub async fn drop_snapshots(&self, stream: &StreamName) -> Result<u64, Unavailable> {
        self.adapter.drop_snapshots(stream, port::ALL_PLACES).await
    }

    /// Up to `limit` streams with their heads, by name, after one.
    pub async fn streams(
        &self,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<(StreamName, Head)>, ReadError> {
        Ok(self.adapter.streams(after, limit).await?)
    }

    /// Whether an append would be durable now: commits a small write.
    pub async fn check_writable(&self) -> Result<(), Unavailable> {
        self.adapter.check_writable().await
    }

    /// Writes what was accepted and ends. Later appends are refused as unavailable.
    pub async fn close(&self) {
        self.adapter.close().await;
    }
}

fn encode(new: NewEvent) -> Result<NewRow, Unavailable> {
    let stored::Stored { body, cause } = stored::encode(&new.event).map_err(unwritable)?;
    Ok(NewRow { version: new.version, message_id: new.message_id, body: body.into(), cause: cause.into() })
}

fn unwritable(why: stored::Why) -> Unavailable {
    Unavailable::new(UnavailableKind::Failed, why)
}

/// Nothing of a stream is given out that has a tombstone at its end.
fn decode_all(stream: &StreamName, rows: &[Row]) -> Result<Vec<Recorded>, ReadError> {
    if let Some(erased) = rows.last().and_then(|row| erasure::read_tombstone(stream, row)) {
        return Err(erased);
    }
    rows.iter().map(|row| Ok(decode(stream, row)?)).collect()
}

fn decode(stream: &StreamName, row: &Row) -> Result<Recorded, Damaged> {
    let read = || -> Result<Recorded, stored::Why> {
        Ok(Recorded {
            seq: row.seq,
            version: row.version,
            message_id: stored::decode_message_id(&row.message_id)?,
            recorded_at: row.recorded_at,
            event: stored::decode(&row.body, &row.cause)?,
        })
    };
    read().map_err(|why| damaged(stream, row.seq, why))
}

/// A stream has no gaps: a missing event is damage, never the end.
fn without_gaps(stream: &StreamName, after: Seq, seqs: impl Iterator<Item = Seq>) -> Result<(), Damaged> {
    let mut last = after;
    for seq in seqs {
        if seq != last.next() {
            return Err(damaged(stream, last.next(), "it is missing".into()));
        }
        last = seq;
    }
    Ok(())
}

fn damaged(stream: &StreamName, seq: Seq, why: String) -> Damaged {
    Damaged { stream: stream.clone(), seq, why }
}
