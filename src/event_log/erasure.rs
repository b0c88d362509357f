//! Erasing a document: its content and all that happened to it go for good, and a tombstone stays.
//!
//! The tombstone is the last event of both of its streams. It comes first, in one transaction that ends them, so that
//! whoever writes them finds out and nothing comes after it; then everything before it is removed, some at a time. So a
//! stream that has ended and has anything else left is an erasure that was interrupted: it says so itself, and whoever
//! sees it finishes it. The tombstone is newer than all that goes: no position is ever used twice.

use std::time::Duration;

use super::{
    EventLog, Head, ReadError, Ring, StreamName, Tombstone, Unavailable, UnavailableKind, damaged,
    port::{ALL_PLACES, NewRow, Row, Scrub, Scrubbed},
    stored,
};
use crate::domain::{DocumentId, MessageId, Seq, Timestamp, Version};

/// What became of a wish to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// When it was erased.
    pub at: Timestamp,
    /// Whether it had been erased before; what was left of it is gone now.
    pub was_erased: bool,
    /// How many events went.
    pub removed: u64,
}

/// Streams that are looked at at a time.
const PAGE: usize = 500;
/// How often those are asked to make room who read what is to go, each time for a moment.
const ATTEMPTS: usize = 20;

impl EventLog {
    /// Erases a document; `None` if there is none. It is gone for every reader as soon as this has begun, and for
    /// good when it returns. What was interrupted is finished by doing it again.
    pub async fn erase_document(
        &self,
        document: &DocumentId,
        now: Timestamp,
        mut progress: impl FnMut(u64),
    ) -> Result<Option<Erasure>, ReadError> {
        let streams = [StreamName::document(document), StreamName::presence(document)];
        let Some(before) = self.head(&streams[0]).await? else { return Ok(None) };
        if !before.is_erased {
            self.adapter.end(&streams, tombstone(now)?, now).await?;
            self.watched.tell(&Ring::Many);
        }
        let mut removed = 0;
        for stream in &streams {
            removed += self.finish(stream, &mut progress).await?;
        }
        self.scrub(Scrub::Journal).await?;
        let at = self.head(&streams[0]).await?.unwrap_or(before).recorded_at;
        Ok(Some(Erasure { at, was_erased: before.is_erased, removed }))
    }

    /// As if the process ended right after that.
    #[cfg(test)]
    pub(super) async fn begin_to_erase(&self, document: &DocumentId, now: Timestamp) {
        let streams = [StreamName::document(document), StreamName::presence(document)];
        self.adapter.end(&streams, tombstone(now).unwrap(), now).await.unwrap();
    }

    /// Finishes all erasures that were interrupted; answers how many streams that were.
    pub async fn finish_erasures(&self) -> Result<u64, Unavailable> {
        let unfinished = self.unfinished_erasures().await?;
        for stream in &unfinished {
            self.finish(stream, |_| ()).await?;
        }
        let finished = unfinished.len() as u64;
        if finished > 0 {
            self.scrub(Scrub::Journal).await?;
        }
        Ok(finished)
    }

    /// The erased streams that have more than their tombstones.
    pub async fn unfinished_erasures(&self) -> Result<Vec<StreamName>, Unavailable> {
        let mut unfinished: Vec<StreamName> = Vec::new();
        loop {
            let page = self.adapter.unfinished_ends(unfinished.last(), PAGE).await?;
            if page.is_empty() {
                return Ok(unfinished);
            }
            unfinished.extend(page);
        }
    }

    /// Leaves nothing of what was ever deleted in the files of the database. All who write wait meanwhile. Somebody who reads
    /// may be in the way of it; they are waited for so long.
    pub async fn scrub_pages(&self, patience: Duration) -> Result<Scrubbed, Unavailable> {
        self.scrub(Scrub::Pages { patience }).await
    }

    /// The head of a stream that is not erased; `None` before its first event.
    pub async fn living_head(&self, stream: &StreamName) -> Result<Option<Head>, ReadError> {
        match self.head(stream).await? {
            Some(head) if head.is_erased => Err(self.tombstone_at(stream, head.seq).await?),
            head => Ok(head),
        }
    }

    /// What stays of a stream; `None` if it is not erased.
    pub async fn tombstone(&self, stream: &StreamName) -> Result<Option<Tombstone>, ReadError> {
        match self.living_head(stream).await {
            Ok(_) => Ok(None),
            Err(ReadError::Erased(tombstone)) => Ok(Some(tombstone)),
            Err(error) => Err(error),
        }
    }

    /// A stream has no gaps: where an event is missing it is erased, or damaged.
    pub(super) async fn without_gaps(
        &self,
        stream: &StreamName,
        after: Seq,
        seqs: impl Iterator<Item = Seq>,
    ) -> Result<(), ReadError> {
        match super::without_gaps(stream, after, seqs) {
            Ok(()) => Ok(()),
            Err(gap) => self.living_head(stream).await.and(Err(gap.into())),
        }
    }

    /// Removes what an ended stream has before its last event, and everything that was folded from it.
    async fn finish(&self, stream: &StreamName, mut progress: impl FnMut(u64)) -> Result<u64, Unavailable> {
        let Some(end) = self.adapter.head(stream).await? else { return Ok(0) };
        let mut removed = 0;
        loop {
            match self.adapter.trim(stream, Seq(end.seq.0.saturating_sub(1))).await? {
                0 => break,
                count => removed += count,
            }
            progress(removed);
        }
        self.adapter.drop_snapshots(stream, ALL_PLACES).await?;
        self.adapter.drop_kept(stream).await?;
        Ok(removed)
    }

    pub(super) async fn scrub(&self, what: Scrub) -> Result<Scrubbed, Unavailable> {
        let mut scrubbed = self.adapter.scrub(what).await?;
        // The pages are written anew, or cannot be; only the journal may be worth another try.
        if self.is_shared() || scrubbed == Scrubbed::Clean {
            return Ok(scrubbed);
        }
        for _ in 1..ATTEMPTS {
            scrubbed = self.adapter.scrub(Scrub::Journal).await?;
            if scrubbed == Scrubbed::Clean {
                return Ok(scrubbed);
            }
        }
        tracing::warn!("a long read keeps what was erased in the write-ahead log; it goes when that is next emptied");
        Ok(scrubbed)
    }

    async fn tombstone_at(&self, stream: &StreamName, seq: Seq) -> Result<ReadError, ReadError> {
        let row = self.adapter.rows(stream, Seq(seq.0.saturating_sub(1)), 1).await?.pop();
        match row.as_ref().and_then(|row| read_tombstone(stream, row)) {
            Some(tombstone) => Ok(tombstone),
            None => Err(damaged(stream, seq, "it is to be a tombstone and is none".to_owned()).into()),
        }
    }
}

/// The error that a tombstone is to its readers; `None` for any other event.
pub(super) fn read_tombstone(stream: &StreamName, row: &Row) -> Option<ReadError> {
    if !stored::erased_v1::is(&row.body) {
        return None;
    }
    let Row { seq, version, recorded_at, .. } = *row;
    Some(match stored::decode_message_id(&row.message_id) {
        Ok(message_id) => {
            ReadError::Erased(Tombstone { stream: stream.clone(), seq, version, message_id, recorded_at })
        }
        Err(why) => damaged(stream, seq, why).into(),
    })
}

/// It names nobody: who asked for it is in the log of the operator.
fn tombstone(now: Timestamp) -> Result<NewRow, Unavailable> {
    let message_id = MessageId::parse(&format!("erased-{}", now.0))
        .map_err(|why| Unavailable::new(UnavailableKind::Failed, why.to_string()))?;
    let stored::Stored { body, cause } = stored::erased_v1::encode();
    Ok(NewRow { version: Version(0), message_id, body: body.into(), cause: cause.into() })
}
