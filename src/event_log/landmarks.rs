//! Snapshots along the whole of a stream, so that every place of it is near one.
//!
//! What it costs and what it saves are two sides of one number. Between two of them there are `history_every`
//! events, and for a long document as many as take the room of a snapshot if those are more: so they never take more
//! room than a part of the log itself, and whoever goes to a place folds so many events at most, or reads about as
//! much as the document is long. The setting is `snapshots.history_every`.

use super::{
    EventLog, ReadError, Snapshot, StreamName, Unavailable,
    port::{ALL_PLACES, Keep, SnapshotRow},
    saving::Begun,
    stored, unwritable,
};
use crate::{domain::Seq, projection::Document};

/// What an event takes in a database, with its share of the indexes, is more than this.
pub(super) const EVENT_BYTES: u64 = 128;

impl EventLog {
    /// Saves a snapshot of a stream that has events. Of the others the newest few are kept, and of the older ones those
    /// that keep the way to every place short. Nothing is saved while a person is being erased.
    pub async fn save_snapshot(&self, stream: &StreamName, snapshot: &Snapshot) -> Result<(), Unavailable> {
        if self.saving.is_shut() {
            return Ok(());
        }
        let row = encode_snapshot(snapshot)?;
        let keep = self.keep(&row);
        self.adapter.save_snapshot(stream, row, keep).await
    }

    /// Which of the others to keep with a snapshot.
    pub(super) fn keep(&self, row: &SnapshotRow) -> Keep {
        let newest = self.snapshots_kept;
        match self.spacing(row) {
            Some(spacing) => Keep::Spaced { newest, spacing },
            None => Keep::Newest(newest),
        }
    }

    fn spacing(&self, row: &SnapshotRow) -> Option<u64> {
        Some(self.history_every?.max(row.content.len() as u64 / EVENT_BYTES))
    }

    /// Folds what comes after `document` into it, up to and including `to`, as [`Self::fold`], and where the way is
    /// long saves snapshots on it: of a log that was written without, the next reader has it short. What cannot be saved
    /// is not.
    pub async fn fold_with_landmarks(
        &self,
        stream: &StreamName,
        document: &mut Document,
        to: Seq,
        mut progress: impl FnMut(Seq),
    ) -> Result<(), ReadError> {
        let begun = self.saving.begin();
        while let Some(next) = self.next_landmark(document)
            && next < to
        {
            self.fold(stream, document, next, &mut progress).await?;
            if let Err(error) = self.mark(stream, document, begun).await {
                tracing::warn!(%stream, seq = %document.seq(), %error, "a snapshot on the way was not saved");
            }
        }
        self.fold(stream, document, to, progress).await
    }

    /// Drops the snapshots of a stream and folds them again, those along it and one of its end. What was made before a
    /// failure is right, and what was not reached stays as it was.
    pub async fn rebuild_snapshots(
        &self,
        stream: &StreamName,
        end: Seq,
        mut progress: impl FnMut(Seq),
    ) -> Result<(), ReadError> {
        let (mut document, mut last, begun) = (Document::new(), Seq(0), self.saving.begin());
        loop {
            let next = self.next_landmark(&document).unwrap_or(end).min(end);
            self.fold(stream, &mut document, next, &mut progress).await?;
            self.mark(stream, &document, begun).await?;
            self.adapter.drop_snapshots(stream, last..next).await?;
            last = next.next();
            if next == end {
                break;
            }
        }
        self.adapter.drop_snapshots(stream, last..ALL_PLACES.end).await?;
        Ok(())
    }

    /// Where the next snapshot belongs after the one at this place.
    fn next_landmark(&self, document: &Document) -> Option<Seq> {
        let length = document.content().length::<crate::text::Utf16>() as u64;
        Some(Seq(document.seq().0 + self.history_every?.max(length / EVENT_BYTES)))
    }

    async fn mark(&self, stream: &StreamName, document: &Document, begun: Begun) -> Result<(), Unavailable> {
        if !self.saving.admits(begun) {
            return Ok(());
        }
        self.adapter.save_snapshot(stream, encode_snapshot(&Snapshot::of(document))?, Keep::All).await
    }
}

fn encode_snapshot(snapshot: &Snapshot) -> Result<SnapshotRow, Unavailable> {
    let content = stored::encode_snapshot(&snapshot.content, &snapshot.comments).map_err(unwritable)?.into();
    let Snapshot { seq, version, last_modified, .. } = *snapshot;
    Ok(SnapshotRow { seq, version, last_modified, content })
}
