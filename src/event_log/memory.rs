//! A log in memory: for tests, and for nothing that must last.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::{Bound, Range},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};

use super::{
    Bell, Doorbell, Expected, Head, Life, LifeSign, Outline, Position, Ring, StreamName,
    memory_faults::Faults,
    memory_kept::Shelves,
    memory_nodes::Nodes,
    port::{
        Adapter, Answer, Bodies, Ends, FeedRow, Import, ImportRefusal, ImportRow, ImportStream, Keep, Key, NewRow,
        NewRows, Refusal, Rewritten, Row, Scrub, Scrubbed, SnapshotRow,
    },
};
use crate::domain::{MessageId, NodeId, Seq, Timestamp};

#[derive(Default)]
pub(super) struct Memory {
    streams: Mutex<BTreeMap<StreamName, Stream>>,
    /// What has been appended, in that order; position 1 comes first. Locked after `streams`.
    feed: Mutex<Vec<(StreamName, Seq)>>,
    nodes: Mutex<Nodes>,
    pub(super) shelves: Mutex<Shelves>,
    bell: Bell,
    pub(super) faults: Faults,
}

#[derive(Default)]
pub(super) struct Stream {
    head: Head,
    rows: Vec<Row>,
    /// How many events were trimmed before the first row.
    trimmed: usize,
    by_message: HashMap<MessageId, usize>,
    snapshots: BTreeMap<Seq, SnapshotRow>,
}

impl Stream {
    pub(super) fn can_keep(&self, place: Seq) -> bool {
        !self.head.is_erased && self.head.seq >= place
    }

    fn append(&mut self, new: NewRows) -> Result<Head, Refusal> {
        if !new.expected.admits(self.head) {
            return Err(Refusal::Stale { head: self.head.seq });
        }
        let ids: HashSet<_> = new.rows.iter().map(|row| &row.message_id).collect();
        let repeated = self.find(ids.iter().copied());
        if !repeated.is_empty() || ids.len() < new.rows.len() {
            return Err(Refusal::Repeated(repeated));
        }
        let head = new.head_after(self.head);
        for row in new.rows {
            self.push(row, head.recorded_at);
        }
        self.head = head;
        Ok(head)
    }

    /// Adds an event as it is.
    fn import(&mut self, ImportRow { seq, recorded_at, row, .. }: ImportRow) {
        if self.last_row().next() != seq {
            // It begins here, or its tombstone came alone.
            self.trim(seq);
            self.trimmed = usize::try_from(seq.0.saturating_sub(1)).unwrap_or(usize::MAX);
        }
        self.push(row, recorded_at);
    }

    fn push(&mut self, row: NewRow, recorded_at: Timestamp) {
        let seq = self.last_row().next();
        let message_id = row.message_id.as_str().into();
        self.by_message.insert(row.message_id, self.trimmed + self.rows.len());
        let (body, cause) = (row.body.as_bytes().to_vec(), row.cause.as_bytes().to_vec());
        self.rows.push(Row { seq, version: row.version, message_id, recorded_at, body, cause });
    }

    /// Whether there was anything to end.
    fn end(&mut self, last: &NewRow, at: Timestamp) -> bool {
        let Head { seq, version, recorded_at, is_erased } = self.head;
        if !is_erased {
            self.head = Head { seq: seq.next(), version, recorded_at: recorded_at.max(at), is_erased: true };
            self.push(NewRow { version, ..last.clone() }, self.head.recorded_at);
        }
        !is_erased
    }

    fn last_row(&self) -> Seq {
        Seq((self.trimmed + self.rows.len()) as u64)
    }

    fn find<'a>(&self, ids: impl Iterator<Item = &'a MessageId>) -> Vec<Row> {
        let mut places: Vec<_> = ids.filter_map(|id| self.by_message.get(id).copied()).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.rows[place - self.trimmed].clone()).collect()
    }

    fn page(&self, after: Seq, limit: usize) -> &[Row] {
        let after = if self.head.is_erased { after.max(Seq(self.head.seq.0 - 1)) } else { after };
        let start = self.rows.partition_point(|row| row.seq <= after);
        &self.rows[start..][..limit.min(self.rows.len() - start)]
    }

    fn let_go(&mut self, keep: Keep) {
        let places: Vec<_> = self.snapshots.keys().rev().copied().collect();
        let gone = match keep {
            Keep::All => &[][..],
            Keep::Newest(newest) => places.get(newest as usize..).unwrap_or_default(),
            Keep::Spaced { newest, spacing } => {
                let judged = newest as usize;
                let older = places.get(judged + 1).map_or(0, |seq| seq.0);
                let is_needless = judged > 0 && places.len() > judged && places[judged - 1].0 - older <= spacing;
                if is_needless { &places[judged..=judged] } else { &[] }
            }
        };
        for seq in gone {
            self.snapshots.remove(seq);
        }
    }

    fn rewrite(&mut self, rewritten: Vec<Rewritten>) -> u64 {
        let mut count = 0;
        for Rewritten { seq, body, cause } in rewritten {
            if !self.head.is_erased
                && let Ok(place) = self.rows.binary_search_by_key(&seq, |row| row.seq)
            {
                let row = &mut self.rows[place];
                (row.body, row.cause) = (body.as_bytes().to_vec(), cause.as_bytes().to_vec());
                count += 1;
            }
        }
        count
    }

    fn trim(&mut self, to: Seq) -> u64 {
        let count = self.rows.partition_point(|row| row.seq <= to);
        self.rows.drain(..count);
        self.trimmed += count;
        self.by_message.retain(|_, place| *place >= self.trimmed);
        count as u64
    }
}

impl Memory {
    pub(super) fn with(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    pub(super) fn streams_now(&self) -> MutexGuard<'_, BTreeMap<StreamName, Stream>> {
        // Nothing here panics between two changes that belong together.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn feed_now(&self) -> MutexGuard<'_, Vec<(StreamName, Seq)>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nodes_now(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append_now(&self, new: NewRows) -> Result<Head, Refusal> {
        let (mut streams, name) = (self.streams_now(), new.stream.clone());
        let count = new.rows.len() as u64;
        let head = match streams.get_mut(&name) {
            Some(stream) => stream.append(new),
            None => {
                let mut stream = Stream::default();
                stream.append(new).inspect(|_| drop(streams.insert(name.clone(), stream)))
            }
        }?;
        self.feed_now().extend((head.seq.0 - count + 1..=head.seq.0).map(|seq| (name.clone(), Seq(seq))));
        Ok(head)
    }
}

impl Adapter for Memory {
    fn append(&self, new: NewRows) -> BoxFuture<'_, Result<Head, Refusal>> {
        let stream = new.stream.clone();
        let answer = self.append_as_fated(new);
        ready(answer.inspect(|head| self.bell.ring(Ring::Stream(stream, head.seq)))).boxed()
    }

    fn rows<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Vec<Row>> {
        self.look(stream, |stream| stream.page(after, limit).to_vec())
    }

    fn bodies<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Bodies> {
        self.look(stream, |stream| {
            let mut bodies = Bodies::default();
            stream.page(after, limit).iter().for_each(|row| bodies.push(row.seq, &row.body));
            bodies
        })
    }

    fn find<'a>(&'a self, stream: &'a StreamName, ids: &'a [MessageId]) -> Answer<'a, Vec<Row>> {
        self.look(stream, |stream| stream.find(ids.iter()))
    }

    fn head<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Head>> {
        self.look(stream, |stream| Some(stream.head))
    }

    fn ends(&self) -> Answer<'_, Ends> {
        let last = Position(self.feed_now().len() as u64);
        ready(Ok(Ends { settled: last, taken: last })).boxed()
    }

    fn feed(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<FeedRow>> {
        let (streams, feed) = (self.streams_now(), self.feed_now());
        let found = (1..).map(Position).zip(feed.iter()).filter_map(|(position, (name, seq))| {
            let rows = &streams.get(name)?.rows;
            let row = &rows[rows.binary_search_by_key(seq, |row| row.seq).ok()?];
            (after < position && position <= to).then(|| FeedRow { position, stream: name.clone(), row: row.clone() })
        });
        ready(Ok(found.take(limit).collect())).boxed()
    }

    fn import(&self, import: Import) -> BoxFuture<'_, Result<(), ImportRefusal>> {
        let mut streams = self.streams_now();
        for (index, ImportStream { name, after, .. }) in import.streams.iter().enumerate() {
            let stream = streams.get(name);
            if !Expected::At(*after).admits(stream.map(|stream| stream.head).unwrap_or_default()) {
                return ready(Err(ImportRefusal::Stale)).boxed();
            }
            let ids = import.of(index).map(|new| &new.row.message_id);
            let repeated = stream.and_then(|stream| stream.find(ids).first().map(|row| row.seq));
            if let Some(seq) = repeated {
                return ready(Err(ImportRefusal::Repeated { stream: name.clone(), seq })).boxed();
            }
        }
        for row in import.rows {
            let name = &import.streams[row.stream].name;
            self.feed_now().push((name.clone(), row.seq));
            streams.entry(name.clone()).or_default().import(row);
        }
        for ImportStream { name, head, .. } in import.streams {
            streams.entry(name).or_default().head = head;
        }
        ready(Ok(())).boxed()
    }

    fn outline<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Outline>> {
        self.look(stream, |stream| {
            let place = |row: Option<&Row>| row.map_or(Seq(0), |row| row.seq);
            let (first, last) = (place(stream.rows.first()), place(stream.rows.last()));
            // Positions count the appends, so they are always in order.
            Some(Outline { head: stream.head, events: stream.rows.len() as u64, first, last, out_of_order: None })
        })
    }

    fn heads<'a>(&'a self, streams: &'a [StreamName]) -> Answer<'a, Vec<(StreamName, Head)>> {
        let now = self.streams_now();
        let head = |name: &StreamName| Some((name.clone(), now.get(name)?.head));
        ready(Ok(streams.iter().filter_map(head).collect())).boxed()
    }

    fn doorbell(&self) -> Doorbell {
        self.bell.listen()
    }

    fn last_at_most<'a>(&'a self, stream: &'a StreamName, key: Key, value: i64) -> Answer<'a, Option<Seq>> {
        self.look(stream, |stream| {
            let at_most = |row: &Row| match key {
                Key::Version => i64::try_from(row.version.0).is_ok_and(|version| version <= value),
                Key::RecordedAt => row.recorded_at.0 <= value,
            };
            Some(Seq((stream.trimmed + stream.rows.partition_point(at_most)) as u64))
        })
    }

    fn streams<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<(StreamName, Head)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let streams = self.streams_now();
        let page = streams.range::<StreamName, _>((from, Bound::Unbounded)).take(limit);
        ready(Ok(page.map(|(name, stream)| (name.clone(), stream.head)).collect())).boxed()
    }

    fn save_snapshot<'a>(&'a self, stream: &'a StreamName, snapshot: SnapshotRow, keep: Keep) -> Answer<'a, ()> {
        if let Some(stream) = self.streams_now().get_mut(stream).filter(|stream| !stream.head.is_erased) {
            stream.snapshots.insert(snapshot.seq, snapshot);
            stream.let_go(keep);
        }
        ready(Ok(())).boxed()
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<SnapshotRow>> {
        let snapshots = |stream: &Stream| {
            let newest = stream.snapshots.range(..=at_most).next_back();
            newest.filter(|_| !stream.head.is_erased).map(|(_, row)| row.clone())
        };
        self.look(stream, snapshots)
    }

    fn snapshot_places<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Vec<Seq>> {
        self.look(stream, |stream| stream.snapshots.keys().copied().collect())
    }

    fn drop_snapshots<'a>(&'a self, stream: &'a StreamName, places: Range<Seq>) -> Answer<'a, u64> {
        let dropped = self.streams_now().get_mut(stream).map(|stream| {
            let before = stream.snapshots.len();
            stream.snapshots.retain(|seq, _| !places.contains(seq));
            before - stream.snapshots.len()
        });
        ready(Ok(dropped.unwrap_or_default() as u64)).boxed()
    }

    fn trim<'a>(&'a self, stream: &'a StreamName, to: Seq) -> Answer<'a, u64> {
        let trimmed = self.streams_now().get_mut(stream).map(|stream| stream.trim(to));
        ready(Ok(trimmed.unwrap_or_default())).boxed()
    }

    fn rewrite<'a>(&'a self, stream: &'a StreamName, rows: Vec<Rewritten>) -> Answer<'a, u64> {
        let rewritten = self.streams_now().get_mut(stream).map(|stream| stream.rewrite(rows));
        ready(Ok(rewritten.unwrap_or_default())).boxed()
    }

    fn end<'a>(&'a self, names: &'a [StreamName], last: NewRow, at: Timestamp) -> Answer<'a, ()> {
        let mut streams = self.streams_now();
        for name in names {
            let stream = streams.entry(name.clone()).or_default();
            if stream.end(&last, at) {
                self.feed_now().push((name.clone(), stream.head.seq));
                self.bell.ring(Ring::Stream(name.clone(), stream.head.seq));
            }
        }
        ready(Ok(())).boxed()
    }

    fn unfinished_ends<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<StreamName>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let streams = self.streams_now();
        let is_unfinished =
            |stream: &Stream| stream.head.is_erased && (stream.rows.len() > 1 || !stream.snapshots.is_empty());
        let found = streams.range::<StreamName, _>((from, Bound::Unbounded)).filter(|(_, it)| is_unfinished(it));
        ready(Ok(found.take(limit).map(|(name, _)| name.clone()).collect())).boxed()
    }

    fn scrub(&self, _what: Scrub) -> Answer<'_, Scrubbed> {
        ready(Ok(Scrubbed::Clean)).boxed()
    }

    fn begin_life<'a>(&'a self, node: &'a NodeId, at_least: u64, lease: Duration) -> Answer<'a, u64> {
        ready(Ok(self.nodes_now().begin(node, at_least, lease))).boxed()
    }

    fn beat<'a>(&'a self, life: &'a Life, beats: u64) -> Answer<'a, bool> {
        ready(Ok(self.nodes_now().beat(life, beats))).boxed()
    }

    fn lives(&self) -> Answer<'_, Vec<LifeSign>> {
        ready(Ok(self.nodes_now().lives())).boxed()
    }

    fn end_life<'a>(&'a self, life: &'a Life) -> Answer<'a, ()> {
        self.nodes_now().end(life);
        ready(Ok(())).boxed()
    }

    fn note_people<'a>(&'a self, life: &'a Life, stream: &'a StreamName, are_there: bool) -> Answer<'a, ()> {
        self.nodes_now().note(life, stream, are_there);
        ready(Ok(())).boxed()
    }

    fn streams_of_life<'a>(&'a self, life: &'a Life) -> Answer<'a, Vec<StreamName>> {
        ready(Ok(self.nodes_now().streams(life))).boxed()
    }

    fn check_writable(&self) -> Answer<'_, ()> {
        ready(Ok(())).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}
