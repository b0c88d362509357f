//! Looking at what is stored without trusting it.

use super::{EventLog, Snapshot, StreamName, Unavailable, port::SnapshotRow, stored};
use crate::domain::Seq;

/// A saved snapshot that may not be readable.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedSnapshot {
    /// The last event folded into it, as far as it says.
    pub seq: Seq,
    /// What it holds, or what is wrong with it.
    pub snapshot: Result<Snapshot, String>,
}

impl EventLog {
    /// Every snapshot of a stream, the oldest first.
    pub async fn saved_snapshots(&self, stream: &StreamName) -> Result<Vec<SavedSnapshot>, Unavailable> {
        let (mut found, mut at_most) = (Vec::new(), Some(Seq(u64::MAX >> 1)));
        while let Some(place) = at_most {
            let Some(row) = self.adapter.snapshot(stream, place).await? else { break };
            let SnapshotRow { seq, version, last_modified, content } = row;
            let snapshot = stored::decode_snapshot(content.as_bytes());
            let snapshot =
                snapshot.map(|(content, comments)| Snapshot { seq, version, last_modified, content, comments });
            found.push(SavedSnapshot { seq, snapshot });
            at_most = seq.0.checked_sub(1).map(Seq);
        }
        found.reverse();
        Ok(found)
    }
}
