//! Looking at what is stored without trusting it.

use std::fmt;

use super::{EventLog, Head, Snapshot, StreamName, Unavailable, port::SnapshotRow, stored};
use crate::{
    domain::{DocumentId, Seq, Version},
    projection::Presence,
};

/// A saved snapshot that may not be readable.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedSnapshot {
    /// The last event folded into it, as far as it says.
    pub seq: Seq,
    /// What it holds, or what is wrong with it.
    pub snapshot: Result<Snapshot, String>,
}

/// The same of a presence stream.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedPresences {
    /// The last event folded into it, as far as it says.
    pub seq: Seq,
    /// The version that the event refers to, as far as it says.
    pub version: Version,
    /// Who was present, or what is wrong with it.
    pub presence: Result<Presence, String>,
}

/// The head of a stream and the places of its events, both read in one statement: what another process writes meanwhile
/// is in both or in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outline {
    /// The stored head.
    pub head: Head,
    /// How many events the stream has.
    pub events: u64,
    /// The place of the first of them; 0 if there is none.
    pub first: Seq,
    /// The place of the last of them; 0 if there is none.
    pub last: Seq,
    /// The first event whose position in the feed is not greater than that of the event before it.
    pub out_of_order: Option<Seq>,
}

/// A contradiction between a stream's head and the places of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Events come after the head.
    BehindHead(Seq),
    /// The head points past the last event.
    BeforeHead {
        /// Where the head is.
        head: Seq,
        /// The last event.
        last: Seq,
    },
    /// So many events are missing between the first and the last.
    Gaps(u64),
    /// This event was written before the one that it follows.
    OutOfOrder(Seq),
}

impl Outline {
    /// Everything that contradicts itself. An erased stream may still have events before its tombstone, which an
    /// interrupted erasure has not removed yet: [`EventLog::unfinished_erasures`] names those.
    pub fn flaws(&self) -> Vec<Flaw> {
        let Self { head, events, first, last, out_of_order } = *self;
        let span = if events == 0 { 0 } else { last.0 - first.0 + 1 };
        let flaws = [
            (last > head.seq).then_some(Flaw::BehindHead(head.seq)),
            (last < head.seq).then_some(Flaw::BeforeHead { head: head.seq, last }),
            (!head.is_erased && span > events).then(|| Flaw::Gaps(span - events)),
            out_of_order.map(Flaw::OutOfOrder),
        ];
        flaws.into_iter().flatten().collect()
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BehindHead(head) => write!(f, "there are events behind the head, which is at {head}"),
            Self::BeforeHead { head, last } => write!(f, "the head is at {head}, but the last event is {last}"),
            Self::Gaps(1) => write!(f, "one event is missing between the first and the last"),
            Self::Gaps(count) => write!(f, "{count} events are missing between the first and the last"),
            Self::OutOfOrder(seq) => write!(f, "event {seq} was written before the one that it follows"),
        }
    }
}

impl EventLog {
    /// How the head and the events of a stream lie; `None` if there is no such stream.
    pub async fn outline(&self, stream: &StreamName) -> Result<Option<Outline>, Unavailable> {
        self.adapter.outline(stream).await
    }

    /// Where the snapshots of a stream are, the oldest first.
    pub async fn snapshot_places(&self, stream: &StreamName) -> Result<Vec<Seq>, Unavailable> {
        self.adapter.snapshot_places(stream).await
    }

    /// The newest snapshot of a stream at or before a place.
    pub async fn saved_snapshot(
        &self,
        stream: &StreamName,
        at_most: Seq,
    ) -> Result<Option<SavedSnapshot>, Unavailable> {
        let Some(row) = self.adapter.snapshot(stream, at_most).await? else { return Ok(None) };
        let SnapshotRow { seq, version, last_modified, content } = row;
        let snapshot = stored::decode_snapshot(content.as_bytes());
        let snapshot = snapshot.map(|(content, comments)| Snapshot { seq, version, last_modified, content, comments });
        Ok(Some(SavedSnapshot { seq, snapshot }))
    }

    /// Every snapshot of a stream, the oldest first.
    pub async fn saved_snapshots(&self, stream: &StreamName) -> Result<Vec<SavedSnapshot>, Unavailable> {
        let mut found = Vec::new();
        for place in self.snapshot_places(stream).await? {
            found.extend(self.saved_snapshot(stream, place).await?);
        }
        Ok(found)
    }

    /// Every snapshot of a document's presence stream, the oldest first.
    pub async fn saved_presences(&self, document: &DocumentId) -> Result<Vec<SavedPresences>, Unavailable> {
        let (stream, mut found) = (StreamName::presence(document), Vec::new());
        for place in self.adapter.snapshot_places(&stream).await? {
            let Some(SnapshotRow { seq, version, content, .. }) = self.adapter.snapshot(&stream, place).await? else {
                continue;
            };
            let presence = stored::decode_presence_snapshot(content.as_bytes());
            found.push(SavedPresences { seq, version, presence });
        }
        Ok(found)
    }
}
