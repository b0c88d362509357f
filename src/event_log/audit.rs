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
