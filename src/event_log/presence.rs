//! Presence streams: who is in a document, kept for a while.
//!
//! They differ from the streams of documents in three ways. They may begin after a gap, for their oldest
//! events are trimmed; a snapshot before the gap stands for what was there. They are appended to wherever
//! they end. And they refer to versions of a document, but make none.

use tokio::time::Instant;

use super::{
    EventLog, Expected, ReadError, SavedPresences, StreamName, Unavailable, UnavailableKind,
    erasure::read_tombstone,
    port::{Keep, NewRow, NewRows, Refusal, Row, SnapshotRow},
    stored,
};
use crate::{
    domain::{DocumentId, MessageId, PresenceEvent, Seq, Timestamp, Version},
    projection::Presence,
    telemetry::Append as Outcome,
};

/// An event on its way into a presence stream.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPresence {
    /// Its name; once per stream.
    pub id: MessageId,
    /// The version of the document that it refers to.
    pub version: Version,
    /// What happened.
    pub event: PresenceEvent,
}

/// An event in a presence stream.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedPresence {
    /// Its place in the stream.
    pub seq: Seq,
    /// The version of the document that it refers to.
    pub version: Version,
    /// Its name.
    pub id: MessageId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What happened.
    pub event: PresenceEvent,
}

/// Who was present after an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedPresence {
    /// The event; [`Seq`] 0 before the first.
    pub seq: Seq,
    /// The version that it refers to.
    pub version: Version,
    /// Who was present.
    pub presence: Presence,
}

/// Behind every event.
const END: Seq = Seq(u64::MAX >> 1);
/// Events that are folded at a time.
const PAGE: usize = 500;

impl EventLog {
    /// Appends events to a document's presence stream, wherever it ends. Those that are there already stay
    /// where they are. Answers where the stream ends then.
    pub async fn append_presence(
        &self,
        document: &DocumentId,
        recorded_at: Timestamp,
        events: &[NewPresence],
    ) -> Result<Seq, Unavailable> {
        let stream = StreamName::presence(document);
        let mut rows = events.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        loop {
            if rows.is_empty() {
                return Ok(self.adapter.head(&stream).await?.unwrap_or_default().seq);
            }
            let began = Instant::now();
            let new = NewRows { stream: stream.clone(), expected: Expected::Any, recorded_at, rows: rows.clone() };
            let answer = self.append_rows(new).await;
            let outcome = match &answer {
                Ok(_) => Outcome::Committed,
                Err(Refusal::Stale { .. }) => Outcome::Stale,
                Err(Refusal::Repeated(_)) => Outcome::Repeated,
                Err(Refusal::Unavailable(_)) => Outcome::Unavailable,
            };
            self.metrics.log_append(outcome, began.elapsed());
            let there = match answer {
                Ok(head) => return Ok(head.seq),
                Err(Refusal::Unavailable(why)) => return Err(why),
                // It is erased: nobody needs to know who was there.
                Err(Refusal::Stale { head }) => return Ok(head),
                Err(Refusal::Repeated(there)) => there,
            };
            let before = rows.len();
            rows.retain(|row| there.iter().all(|it| it.message_id != row.message_id.as_str().as_bytes()));
            if rows.len() == before {
                return Err(failed("an append names an event twice".into()));
            }
        }
    }

    /// Up to `limit` events of a document's presence stream after a place; none only at the end. Where the
    /// place has been trimmed away they begin with the oldest there is.
    pub async fn read_presence(
        &self,
        document: &DocumentId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<RecordedPresence>, ReadError> {
        let stream = StreamName::presence(document);
        let rows = self.adapter.rows(&stream, after, limit).await?;
        let before_first = rows.first().map_or(after, |row| Seq(row.seq.0 - 1));
        if let Some(erased) = rows.last().and_then(|row| read_tombstone(&stream, row)) {
            return Err(erased);
        }
        self.without_gaps(&stream, before_first, rows.iter().map(|row| row.seq)).await?;
        let read = |row: Row| {
            let seq = row.seq;
            decode(&row).map_err(|why| super::damaged(&stream, seq, why))
        };
        Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Who is present as of the end of a document's presence stream, and where that is.
    pub async fn presence(&self, document: &DocumentId) -> Result<SavedPresence, ReadError> {
        self.presence_as_of(document, END).await
    }

    /// Who was present as of a place of a document's presence stream, or of its end if that comes first. What was
    /// trimmed away is known as of its end only.
    pub async fn presence_as_of(&self, document: &DocumentId, to: Seq) -> Result<SavedPresence, ReadError> {
        let saved = self.saved_presence(document, to).await?.unwrap_or_default();
        self.fold_presence(document, saved, to).await
    }

    /// Folds what comes after `saved` into it, up to a place.
    pub(super) async fn fold_presence(
        &self,
        document: &DocumentId,
        mut saved: SavedPresence,
        to: Seq,
    ) -> Result<SavedPresence, ReadError> {
        loop {
            let page = self.read_presence(document, saved.seq, PAGE).await?;
            if let Some(first) = page.first().filter(|first| first.seq > saved.seq.next()) {
                // Trimmed away meanwhile: a newer snapshot stands for it.
                let newer = self.saved_presence(document, to.max(Seq(first.seq.0 - 1))).await?;
                if let Some(newer) = newer.filter(|newer| newer.seq > saved.seq) {
                    saved = newer;
                    continue;
                }
            }
            let before = saved.seq;
            for recorded in page.into_iter().take_while(|recorded| recorded.seq <= to) {
                (saved.seq, saved.version) = (recorded.seq, recorded.version);
                saved.presence.fold(recorded.version, &recorded.event);
            }
            if saved.seq == before {
                return Ok(saved);
            }
        }
    }

    /// The place in a document's presence stream as of a moment; `None` where that has been trimmed away.
    pub async fn presence_place(&self, document: &DocumentId, moment: Timestamp) -> Result<Option<Seq>, ReadError> {
        let stream = StreamName::presence(document);
        let place = self.seq_at(&stream, moment).await?.unwrap_or_default();
        let oldest = self.adapter.rows(&stream, Seq(0), 1).await?.pop();
        let is_trimmed = oldest.is_some_and(|oldest| oldest.seq > Seq(1) && moment < oldest.recorded_at);
        Ok((!is_trimmed).then_some(place))
    }

    /// The newest readable snapshot of a presence stream at or before a place.
    pub async fn saved_presence(
        &self,
        document: &DocumentId,
        at_most: Seq,
    ) -> Result<Option<SavedPresence>, Unavailable> {
        let (stream, mut at_most) = (StreamName::presence(document), Some(at_most));
        while let Some(place) = at_most {
            let Some(row) = self.adapter.snapshot(&stream, place).await? else { break };
            match stored::decode_presence_snapshot(row.content.as_bytes()) {
                Ok(presence) => return Ok(Some(SavedPresence { seq: row.seq, version: row.version, presence })),
                Err(why) => tracing::warn!(%stream, seq = %row.seq, why, "a damaged snapshot was passed over"),
            }
            at_most = row.seq.0.checked_sub(1).map(Seq);
        }
        Ok(None)
    }

    /// Saves a snapshot of a presence stream.
    pub async fn save_presence(&self, document: &DocumentId, saved: &SavedPresence) -> Result<(), Unavailable> {
        if self.saving.is_shut() {
            return Ok(());
        }
        let row = presence_row(saved)?;
        let keep = self.keep(&row);
        self.adapter.save_snapshot(&StreamName::presence(document), row, keep).await
    }

    /// Folds a document's presence stream anew and puts that in the place of its snapshots. Where its beginning has
    /// been trimmed away folding begins with the oldest good snapshot that stands for it.
    pub async fn rebuild_presence(&self, document: &DocumentId) -> Result<(), ReadError> {
        let stream = StreamName::presence(document);
        let (Some(oldest), Some(head)) =
            (self.adapter.rows(&stream, Seq(0), 1).await?.pop(), self.head(&stream).await?.filter(|it| !it.is_erased))
        else {
            return Ok(());
        };
        let saved = self.saved_presences(document).await?;
        let is_ahead = saved.iter().any(|it| it.seq > head.seq);
        let begins = |it: &SavedPresences| oldest.seq > Seq(1) && it.seq.next() >= oldest.seq && it.seq <= head.seq;
        let begin = saved.into_iter().filter(begins).find_map(|SavedPresences { seq, version, presence }| {
            Some(SavedPresence { seq, version, presence: presence.ok()? })
        });
        let folded = self.fold_presence(document, begin.unwrap_or_default(), END).await?;
        if is_ahead {
            self.drop_snapshots(&stream).await?;
        }
        // Together with saving the new one the others go: there is no moment without any.
        Ok(self.adapter.save_snapshot(&stream, presence_row(&folded)?, Keep::Newest(1)).await?)
    }

    /// Up to `limit` documents that have a presence stream, by their ids, after one.
    pub async fn presence_documents(
        &self,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, Unavailable> {
        let after = after.map_or_else(StreamName::before_presence, StreamName::presence);
        let page = self.adapter.streams(Some(&after), limit).await?;
        Ok(page.iter().map_while(|(name, _)| name.presence_id()).collect())
    }

    /// Removes what was recorded before a moment from a presence stream, with a snapshot to stand for it;
    /// answers how many events went.
    pub async fn trim_presence(&self, document: &DocumentId, before: Timestamp) -> Result<u64, ReadError> {
        let stream = StreamName::presence(document);
        let (Some(oldest), Some(head)) =
            (self.adapter.rows(&stream, Seq(0), 1).await?.pop(), self.head(&stream).await?.filter(|it| !it.is_erased))
        else {
            return Ok(0);
        };
        let to = self.seq_at(&stream, Timestamp(before.0.saturating_sub(1))).await?.unwrap_or_default();
        // The newest stays: SQLite would give its position in the feed to the next event of all.
        let to = to.min(Seq(head.seq.0.saturating_sub(1)));
        if oldest.seq > to {
            return Ok(0);
        }
        if self.saving.is_shut() {
            return Ok(0);
        }
        // Before anything goes: whoever folds the rest, or any part of it, begins here.
        let begin = presence_row(&self.presence_as_of(document, to).await?)?;
        self.adapter.save_snapshot(&stream, begin, Keep::All).await?;
        let mut trimmed = 0;
        loop {
            match self.adapter.trim(&stream, to).await? {
                0 => break,
                count => trimmed += count,
            }
        }
        self.adapter.drop_snapshots(&stream, Seq(0)..to).await?;
        Ok(trimmed)
    }
}

fn presence_row(saved: &SavedPresence) -> Result<SnapshotRow, Unavailable> {
    let content = stored::encode_presence_snapshot(&saved.presence).map_err(failed)?.into();
    Ok(SnapshotRow { seq: saved.seq, version: saved.version, last_modified: None, content })
}

fn encode(new: &NewPresence) -> Result<NewRow, Unavailable> {
    let stored::Stored { body, cause } = stored::encode_presence(&new.event).map_err(failed)?;
    Ok(NewRow { version: new.version, message_id: new.id.clone(), body: body.into(), cause: cause.into() })
}

fn decode(row: &Row) -> Result<RecordedPresence, stored::Why> {
    Ok(RecordedPresence {
        seq: row.seq,
        version: row.version,
        id: stored::decode_message_id(&row.message_id)?,
        recorded_at: row.recorded_at,
        event: stored::decode_presence(&row.body)?,
    })
}

fn failed(why: stored::Why) -> Unavailable {
    Unavailable::new(UnavailableKind::Failed, why)
}
