//! Looking at what is stored without trusting it.

use super::{EventLog, Snapshot, StreamName, Unavailable, port::SnapshotRow, stored};
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

impl EventLog {
    /// Every snapshot of a stream, the oldest first.
    pub async fn saved_snapshots(&self, stream: &StreamName) -> Result<Vec<SavedSnapshot>, Unavailable> {
        let read = |row| {
            let SnapshotRow { seq, version, last_modified, content } = row;
            let snapshot = stored::decode_snapshot(content.as_bytes());
            let snapshot =
                snapshot.map(|(content, comments)| Snapshot { seq, version, last_modified, content, comments });
            SavedSnapshot { seq, snapshot }
        };
        Ok(self.snapshot_rows(stream).await?.into_iter().map(read).collect())
    }

    /// Every snapshot of a document's presence stream, the oldest first.
    pub async fn saved_presences(&self, document: &DocumentId) -> Result<Vec<SavedPresences>, Unavailable> {
        let rows = self.snapshot_rows(&StreamName::presence(document)).await?;
        let read = |SnapshotRow { seq, version, content, .. }: SnapshotRow| {
            let presence = stored::decode_presence_snapshot(content.as_bytes());
            SavedPresences { seq, version, presence }
        };
        Ok(rows.into_iter().map(read).collect())
    }

    async fn snapshot_rows(&self, stream: &StreamName) -> Result<Vec<SnapshotRow>, Unavailable> {
        let (mut found, mut at_most) = (Vec::new(), Some(Seq(u64::MAX >> 1)));
        while let Some(place) = at_most {
            let Some(row) = self.adapter.snapshot(stream, place).await? else { break };
            at_most = row.seq.0.checked_sub(1).map(Seq);
            found.push(row);
        }
        found.reverse();
        Ok(found)
    }
}
