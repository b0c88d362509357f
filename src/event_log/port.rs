//! What a database has to be able to do. Small on purpose: encoding, upcasting, paging by bytes and
//! metrics sit above it, once for all databases.

use std::{collections::HashSet, ops::Range, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use super::{Doorbell, Expected, Head, Life, LifeSign, Outline, Position, StreamName, Unavailable, kept::Shelf};
use crate::domain::{MessageId, NodeId, Seq, Timestamp, Version};

/// An event in its stored form, not yet in a stream.
#[derive(Debug, Clone)]
pub(super) struct NewRow {
    pub version: Version,
    pub message_id: MessageId,
    /// What a fold reads; JSON on one line.
    pub body: Arc<str>,
    /// Everything else; JSON.
    pub cause: Arc<str>,
}

/// An [`super::Append`] in its stored form.
#[derive(Debug, Clone)]
pub(super) struct NewRows {
    pub stream: StreamName,
    pub expected: Expected,
    pub recorded_at: Timestamp,
    pub rows: Vec<NewRow>,
}

impl NewRows {
    /// Where the stream ends after these, given where it ended before.
    pub(super) fn head_after(&self, before: Head) -> Head {
        Head {
            seq: Seq(before.seq.0 + self.rows.len() as u64),
            version: self.rows.last().map_or(before.version, |row| row.version),
            recorded_at: self.recorded_at.max(before.recorded_at),
            is_erased: false,
        }
    }
}

/// What an event is to say from now on, at its place.
#[derive(Debug, Clone)]
pub(super) struct Rewritten {
    pub seq: Seq,
    pub body: Arc<str>,
    pub cause: Arc<str>,
}

/// An event as it is stored. The texts are bytes: a damaged database may hold anything.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub seq: Seq,
    pub version: Version,
    pub message_id: Vec<u8>,
    pub recorded_at: Timestamp,
    pub body: Vec<u8>,
    pub cause: Vec<u8>,
}

/// An event of any stream, as it is stored.
#[derive(Debug, Clone)]
pub(super) struct FeedRow {
    pub position: Position,
    pub stream: StreamName,
    pub row: Row,
}

/// Where the feed ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// The greatest position known up to which no event can come any more: whatever is not there now never will be.
    pub settled: Position,
    /// The last position that was taken, maybe by an event that is not committed yet.
    pub taken: Position,
}

/// Events as another log has recorded them; at least one of each of its streams.
#[derive(Debug, Clone, Default)]
pub(super) struct Import {
    /// Each stream once.
    pub streams: Vec<ImportStream>,
    /// In the order of their commits.
    pub rows: Vec<ImportRow>,
}

/// A stream that events come into.
#[derive(Debug, Clone)]
pub(super) struct ImportStream {
    pub name: StreamName,
    /// Where it ends before them.
    pub after: Seq,
    /// Where it ends after them; erased if the last one is a tombstone.
    pub head: Head,
}

/// An event with the place and the time that it has in another log.
#[derive(Debug, Clone)]
pub(super) struct ImportRow {
    /// Which of the streams.
    pub stream: usize,
    pub seq: Seq,
    pub recorded_at: Timestamp,
    pub row: NewRow,
}

impl Import {
    /// A message that would happen twice in one of the streams.
    pub(super) fn repeated(&self) -> Option<ImportRefusal> {
        let mut ids = HashSet::new();
        let twice = self.rows.iter().find(|row| !ids.insert((row.stream, &row.row.message_id)))?;
        Some(ImportRefusal::Repeated { stream: self.streams[twice.stream].name.clone(), seq: twice.seq })
    }

    /// The events of one of the streams.
    pub(super) fn of(&self, stream: usize) -> impl Iterator<Item = &ImportRow> {
        self.rows.iter().filter(move |row| row.stream == stream)
    }
}

/// Why nothing was imported.
#[derive(Debug, Clone)]
pub(super) enum ImportRefusal {
    /// The stream ends elsewhere.
    Stale,
    /// A message of it is in the stream already, at another place.
    Repeated {
        stream: StreamName,
        seq: Seq,
    },
    Unavailable(Unavailable),
}

impl From<Unavailable> for ImportRefusal {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

/// A page of bodies of one stream, in order.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// The place of each, ascending.
    pub seqs: Vec<Seq>,
    /// All bodies in one piece; body `i` ends at `ends[i]` and the next one begins where it ends.
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
}

impl Bodies {
    pub(super) fn push(&mut self, seq: Seq, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        self.seqs.push(seq);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Seq, &[u8])> {
        let starts = std::iter::once(&0).chain(&self.ends);
        self.seqs.iter().zip(starts.zip(&self.ends)).map(|(seq, (start, end))| (*seq, &self.bytes[*start..*end]))
    }
}

/// A [`super::Snapshot`] in its stored form.
#[derive(Debug, Clone)]
pub(super) struct SnapshotRow {
    pub seq: Seq,
    pub version: Version,
    pub last_modified: Option<Timestamp>,
    pub content: Arc<str>,
}

/// Why rows were not appended.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    Stale { head: Seq },
    Repeated(Vec<Row>),
    Unavailable(Unavailable),
}

impl From<Unavailable> for Refusal {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, Unavailable>>;

/// So much is read at a time: a page costs memory by what it holds.
pub(super) const PART_BYTES: usize = 1 << 20;
/// Of whole events, each of which may be as long as a message, the first query asks for so many, each next one for twice as
/// many.
const FIRST_ROWS: usize = 16;
const MOST_ROWS: usize = 256;

/// A database of events.
pub(super) trait Adapter: Shelf {
    /// Appends all rows or none; durable once it returns `Ok`, with the head after. Refuses as stale before it looks for repeats.
    fn append(&self, rows: NewRows) -> BoxFuture<'_, Result<Head, Refusal>>;
    /// Up to `limit` events after a place; of a stream that has ended its last one only.
    fn rows<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Vec<Row>>;
    /// The same, but no more when they come to [`PART_BYTES`]; none only at the end. This is for a database to which the way
    /// is short.
    fn page<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Vec<Row>> {
        async move {
            let (mut page, mut part, mut bytes) = (Vec::new(), FIRST_ROWS, 0);
            while page.len() < limit && bytes < PART_BYTES {
                let wanted = part.min(limit - page.len());
                let rows = self.rows(stream, page.last().map_or(after, |row: &Row| row.seq), wanted).await?;
                let is_end = rows.len() < wanted;
                bytes += rows.iter().map(|row| row.body.len() + row.cause.len()).sum::<usize>();
                page.extend(rows);
                if is_end {
                    break;
                }
                part = MOST_ROWS.min(part * 2);
            }
            Ok(page)
        }
        .boxed()
    }
    /// Up to `limit` bodies after a place, of the same events; fewer only at the end of the stream.
    fn bodies<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Bodies>;
    /// The events that these messages caused, in the order of the stream.
    fn find<'a>(&'a self, stream: &'a StreamName, ids: &'a [MessageId]) -> Answer<'a, Vec<Row>>;
    fn head<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Head>>;
    fn ends(&self) -> Answer<'_, Ends>;
    /// Up to `limit` events of all streams after a position, up to and including a settled one, by position.
    fn feed(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<FeedRow>>;
    /// Adds events as they are, all or none; durable once it returns `Ok`.
    fn import(&self, import: Import) -> BoxFuture<'_, Result<(), ImportRefusal>>;
    /// The head of a stream and the places of its events, read in one statement.
    fn outline<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Outline>>;
    /// The ends of those of the streams that are there.
    fn heads<'a>(&'a self, streams: &'a [StreamName]) -> Answer<'a, Vec<(StreamName, Head)>>;
    /// Rings when a stream moves, if the database can tell.
    fn doorbell(&self) -> Doorbell {
        Doorbell::silent()
    }
    /// Tells the others who hear the doorbell that one waits to write to a stream, and how long that takes.
    fn want(&self, _stream: &StreamName, _needs: Duration) {}
    /// The last place whose `key` is at most `value`, where what was trimmed counts as that; 0 when there is
    /// none, `None` without a stream.
    fn last_at_most<'a>(&'a self, stream: &'a StreamName, key: Key, value: i64) -> Answer<'a, Option<Seq>>;
    /// Up to `limit` streams by name, after one.
    fn streams<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<(StreamName, Head)>>;
    /// Saves a snapshot and lets go of those of its stream that need not be kept with it; nothing of an ended stream.
    fn save_snapshot<'a>(&'a self, stream: &'a StreamName, snapshot: SnapshotRow, keep: Keep) -> Answer<'a, ()>;
    /// The newest snapshot at or before a place; none of a stream that has ended.
    fn snapshot<'a>(&'a self, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<SnapshotRow>>;
    /// Where the snapshots of a stream are, the oldest first.
    fn snapshot_places<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Vec<Seq>>;
    /// Throws away the snapshots of a stream in a range of places; answers how many there were.
    fn drop_snapshots<'a>(&'a self, stream: &'a StreamName, places: Range<Seq>) -> Answer<'a, u64>;
    /// Removes some of the oldest events of a stream, none behind `to`; answers how many. Called until it is 0.
    fn trim<'a>(&'a self, stream: &'a StreamName, to: Seq) -> Answer<'a, u64>;
    /// Writes other texts over those of events, all or none; of those that are not there, and of an ended stream, nothing.
    /// Answers how many there were.
    fn rewrite<'a>(&'a self, stream: &'a StreamName, rows: Vec<Rewritten>) -> Answer<'a, u64>;
    /// Ends streams with an event that is the last of each, of the version that it is at; one that has not begun
    /// begins with it, and one that has ended stays as it is. All of them or none; durable once it returns `Ok`.
    fn end<'a>(&'a self, streams: &'a [StreamName], last: NewRow, at: Timestamp) -> Answer<'a, ()>;
    /// Up to `limit` ended streams that have events before their last, or snapshots, by name, after one.
    fn unfinished_ends<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<StreamName>>;
    /// Leaves nothing of what was deleted in the files of the database, if nobody is in the way of it.
    fn scrub(&self, what: Scrub) -> Answer<'_, Scrubbed>;
    /// Whether other processes write here as their ordinary work.
    fn is_shared(&self) -> bool {
        false
    }
    /// Begins a life of a process; its incarnation, at least this and higher than any before.
    fn begin_life<'a>(&'a self, node: &'a NodeId, at_least: u64, lease: Duration) -> Answer<'a, u64>;
    /// One beat more if there were exactly so many; whether there were.
    fn beat<'a>(&'a self, life: &'a Life, beats: u64) -> Answer<'a, bool>;
    /// Every life that has not ended.
    fn lives(&self) -> Answer<'_, Vec<LifeSign>>;
    /// Forgets a life and where it has people.
    fn end_life<'a>(&'a self, life: &'a Life) -> Answer<'a, ()>;
    /// Notes whether a life has people; nothing of one that has ended.
    fn note_people<'a>(&'a self, life: &'a Life, stream: &'a StreamName, are_there: bool) -> Answer<'a, ()>;
    /// Where a life has people, by name.
    fn streams_of_life<'a>(&'a self, life: &'a Life) -> Answer<'a, Vec<StreamName>>;
    /// Writes something and commits it.
    fn check_writable(&self) -> Answer<'_, ()>;
    /// Writes what was accepted and ends.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What grows along a stream besides its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Version,
    RecordedAt,
}

/// Where what was deleted may be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scrub {
    /// The write-ahead log, where that can be emptied without making anybody wait for long.
    Journal,
    /// Everywhere. All who write wait meanwhile.
    Pages {
        /// How long transactions are waited for that may still see what was deleted.
        patience: Duration,
    },
}

/// The outcome of a scrub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scrubbed {
    /// Nothing is left of what was deleted.
    Clean,
    /// Something may be: this was in the way.
    InTheWay(String),
}

/// Which snapshots of a stream are kept when another one is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Every one.
    All,
    /// So many, the newest.
    Newest(u32),
    /// So many, the newest; and of the others those without which two would be further apart than `spacing` events.
    /// Each save judges the one that has just ceased to be among the newest; the beginning counts as a snapshot.
    Spaced { newest: u32, spacing: u64 },
}

/// Every place that a snapshot may have.
pub(super) const ALL_PLACES: Range<Seq> = Seq(0)..Seq(u64::MAX >> 1);

/// How many snapshots of a stream are kept when nobody says: the newest, and one in case it is damaged.
pub(super) const SNAPSHOTS_KEPT: u32 = 2;
