//! Building a projection from old events, and keeping it up with new ones.
//!
//! A **generation** begins at a position of the feed. First all documents are gone through by name, each folded to where
//! it is; then the feed is followed from that position. Once its end has been reached the generation is put in use, and
//! the one before it is thrown away. How far it has come is in the database: whoever goes on, after a restart or on
//! another node, goes on from there, and two who do the same at once do some of it twice and nothing wrong.

use super::{Effort, Form, Generation, Projection};
use crate::{
    domain::Seq,
    event_log::{Damaged, EventLog, Head, Position, ReadError, StreamName, Unavailable, landmarks::EVENT_BYTES},
    projection::{Blame, Contributions},
};

/// Streams that are listed at a time.
const STREAMS: usize = 100;
/// Events of the feed that are looked at at a time.
const EVENTS: usize = 5_000;

/// What a step of work on a projection has come to.
#[derive(Debug, Default)]
pub struct Tended {
    /// Whether all is done: one generation, in use, at the end of the feed.
    pub is_done: bool,
    /// Whether a generation was put in use.
    pub has_swapped: bool,
    /// Positions of the feed that the generation in use, or else the one being built, is behind.
    pub behind: u64,
    /// Documents that have not been gone through by the one being built.
    pub documents_left: u64,
    /// Events that could not be folded; their streams are passed over.
    pub damaged: Vec<Damaged>,
}

impl EventLog {
    /// Begins to build a projection anew, beside the one in use. If one is being built already, that one stays.
    pub async fn begin_rebuild(&self, projection: Projection) -> Result<(), Unavailable> {
        let position = self.adapter.ends().await?.settled;
        self.adapter.begin_generation(projection.form(), position).await
    }

    /// Does a bounded piece of work on a projection: begins it if it is not there, builds what is being built, follows
    /// the feed, throws away what is no longer needed.
    pub async fn tend(&self, projection: Projection, effort: &mut Effort<'_>) -> Result<Tended, ReadError> {
        let mut generations = self.adapter.generations(projection.form()).await?;
        if generations.is_empty() {
            self.begin_rebuild(projection).await?;
            generations = self.adapter.generations(projection.form()).await?;
        }
        let mut tended = Tended { is_done: true, ..Tended::default() };
        let newest = generations.iter().rposition(|it| it.is_in_use).unwrap_or(0);
        for old in generations.drain(..newest) {
            tended.is_done &= self.adapter.forget_generation(old.id).await? == 0;
        }
        for generation in generations {
            match &generation.building {
                Some(to) => self.go_through(projection, &generation, to, (effort, &mut tended)).await?,
                None => self.follow_feed(projection, &generation, (effort, &mut tended)).await?,
            }
        }
        Ok(tended)
    }

    async fn go_through(
        &self,
        projection: Projection,
        generation: &Generation,
        after: &str,
        (effort, tended): (&mut Effort<'_>, &mut Tended),
    ) -> Result<(), ReadError> {
        tended.is_done = false;
        let after = StreamName::document_after("").max(StreamName::recorded(after));
        let page = self.streams(Some(&after), STREAMS).await?;
        let documents = page.iter().take_while(|(name, _)| name.document_id().is_some());
        let mut gone_through = 0;
        for (stream, head) in documents {
            self.keep_up(projection, generation.id, (stream, *head), (effort, tended)).await?;
            self.adapter.note_gone_through(generation.id, Some(stream)).await?;
            gone_through += 1;
        }
        if gone_through < STREAMS {
            self.adapter.note_gone_through(generation.id, None).await?;
        } else if let Some((last, _)) = page.last() {
            tended.documents_left = self.adapter.documents_after(last.as_str()).await?;
        }
        Ok(())
    }

    async fn follow_feed(
        &self,
        projection: Projection,
        generation: &Generation,
        (effort, tended): (&mut Effort<'_>, &mut Tended),
    ) -> Result<(), ReadError> {
        let ends = self.adapter.ends().await?;
        let moved = self.adapter.moved(generation.position, ends.settled, EVENTS).await?;
        let events: u64 = moved.iter().map(|moved| moved.events).sum();
        let last = moved.iter().map(|moved| moved.position).max();
        let documents = moved.into_iter().filter(|moved| moved.stream.document_id().is_some());
        let documents: Vec<_> = documents.map(|moved| moved.stream).collect();
        // As far as they have come by now: what they did meanwhile need not be looked at again.
        for (stream, head) in self.adapter.heads(&documents).await? {
            self.keep_up(projection, generation.id, (&stream, head), (effort, tended)).await?;
        }
        // What is trimmed off presence streams leaves nothing at the end of a page, but no event can come there either.
        let is_at_end = events < EVENTS as u64;
        let to = if is_at_end { ends.settled } else { last.unwrap_or(ends.settled) };
        if to > generation.position {
            self.adapter.note_followed(generation.id, to).await?;
        }
        if is_at_end && !generation.is_in_use {
            self.adapter.put_in_use(generation.id).await?;
            tended.has_swapped = true;
        }
        tended.is_done &= is_at_end && generation.is_in_use;
        let behind = |position: Position| ends.taken.0.saturating_sub(position.0);
        tended.behind = tended.behind.max(behind(to));
        Ok(())
    }

    /// Folds what is kept of a stream on, if it is too far behind.
    async fn keep_up(
        &self,
        projection: Projection,
        generation: u64,
        (stream, head): (&StreamName, Head),
        (effort, tended): (&mut Effort<'_>, &mut Tended),
    ) -> Result<(), ReadError> {
        if head.is_erased {
            return Ok(());
        }
        let outcome = match projection {
            Projection::Blame => self.bring_up::<Blame>(generation, stream, head.seq, effort).await,
            Projection::Contributions => self.bring_up::<Contributions>(generation, stream, head.seq, effort).await,
        };
        match outcome {
            Err(ReadError::Damaged(damaged)) => {
                tended.damaged.push(damaged);
                Ok(())
            }
            Err(ReadError::Erased(_)) => Ok(()),
            other => other,
        }
    }

    async fn bring_up<P: Form>(
        &self,
        generation: u64,
        stream: &StreamName,
        to: Seq,
        effort: &mut Effort<'_>,
    ) -> Result<(), ReadError> {
        if to.0 < self.kept_every {
            return Ok(());
        }
        // Looked at just now: another node may have done it.
        let newest = self.adapter.kept_places(generation, stream).await?.pop().unwrap_or_default();
        let behind = to.0.saturating_sub(newest.seq.0);
        if behind < self.kept_every.max(newest.size / EVENT_BYTES) {
            return Ok(());
        }
        let begun = self.saving.begin();
        let state: P = self.kept_in(Some(generation), stream, to, effort).await?;
        self.save_kept(generation, stream, &state, begun).await?;
        Ok(())
    }

    /// Throws away what is kept of one document and folds it anew, to an event that is in the log.
    pub async fn rebuild_kept(&self, stream: &StreamName, to: Seq, effort: &mut Effort<'_>) -> Result<(), ReadError> {
        self.adapter.drop_kept(stream).await?;
        for projection in Projection::ALL {
            for generation in self.adapter.generations(projection.form()).await? {
                match projection {
                    Projection::Blame => self.bring_up::<Blame>(generation.id, stream, to, effort).await?,
                    Projection::Contributions => {
                        self.bring_up::<Contributions>(generation.id, stream, to, effort).await?;
                    }
                }
            }
        }
        Ok(())
    }
}
