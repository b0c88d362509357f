//! The feed: the events of all streams in the order of their commits.
//!
//! A position is a place in it, and whoever keeps the last one that it has dealt with can go on from there, after
//! any restart. An adapter gives out only what is settled, so that nothing is stepped over: on a database where
//! several transactions commit at once, an event may get its position before another one and be committed after it
//! (`docs/adr/0007-the-feed-gives-out-what-is-settled.md`).

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::{
    Damaged, EventLog, PART_BYTES, Position, ReadError, StreamName, Unavailable, UnavailableKind, damaged, decode,
    port::{Ends, FeedRow, Row},
    stored,
};
use crate::domain::{Event, MessageId, Seq, Timestamp, Version};

/// An event with its place among those of all streams.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its place in the feed.
    pub position: Position,
    /// The stream that it is in.
    pub stream: StreamName,
    /// Its place in the stream.
    pub seq: Seq,
    /// The version of the document after it.
    pub version: Version,
    /// The message that caused it.
    pub message_id: MessageId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What happened.
    pub what: What,
}

/// What happened, as far as the feed tells it.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub enum What {
    /// This, in the stream of a document.
    Event(Event),
    /// The stream was erased: this is its tombstone, and nothing comes after it.
    Erased,
    /// Something in a stream of a kind that has readers of its own.
    Elsewhere,
}

/// How many rows the first query of a page asks for; each next one asks for twice as many.
const FIRST_PART: usize = 128;
/// How often a feed that has come to the end asks for more. Whoever writes may be another process, and does not ring.
const POLL: Duration = Duration::from_millis(100);
/// How long commits that are under way are waited for at the end of the feed, and how often it is looked again.
const MOMENT: Duration = Duration::from_millis(5);
const MOMENTS: usize = 100;
/// After so many such whiles a commit is no longer waited for.
const LONG: usize = 60;
/// Events that a feed reads at a time.
const PAGE: usize = 1_000;

impl EventLog {
    /// Up to `limit` events of all streams after a position, in the order of their commits; fewer when they are long,
    /// none only at the end. An event that cannot be read ends a page, and is the error of the page that begins with
    /// it.
    pub async fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Published>, ReadError> {
        let to = self.settled_after(after).await?;
        let mut published = Vec::new();
        for FeedRow { position, stream, row } in self.feed_rows(after, to, limit).await? {
            match publish(position, stream, &row) {
                Ok(event) => published.push(event),
                Err(damaged) if published.is_empty() => return Err(damaged.into()),
                Err(_) => break,
            }
        }
        Ok(published)
    }

    /// The last position that was taken, maybe by an event that is not committed yet. Nobody has read further.
    pub async fn end_of_feed(&self) -> Result<Position, ReadError> {
        Ok(self.adapter.ends().await?.taken)
    }

    /// Up to where the feed can be read by one who stands at `after`. Waits a moment if it cannot be yet, for
    /// commits that are under way.
    async fn settled_after(&self, after: Position) -> Result<Position, Unavailable> {
        for _ in 0..MOMENTS {
            let Ends { settled, taken } = self.adapter.ends().await?;
            if settled > after || taken <= after {
                return Ok(settled);
            }
            sleep(MOMENT).await;
        }
        Ok(after)
    }

    /// A position up to which the feed can be read, and behind which there is nothing that was committed before the
    /// call.
    pub(super) async fn settled_up_to_now(&self) -> Result<Position, Unavailable> {
        let goal = self.adapter.ends().await?.taken;
        for _ in 0..LONG {
            if self.settled_after(Position(goal.0.saturating_sub(1))).await? >= goal {
                return Ok(goal);
            }
        }
        let says = "somebody has been writing events for too long without committing them";
        Err(Unavailable::new(UnavailableKind::Busy, says))
    }

    /// The feed from a position on, which waits at its end.
    pub fn follow(&self, after: Position) -> Feed {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Feed { log: self.clone(), position: after, poll }
    }

    /// A page of rows; it costs memory by what it holds. None only at the end.
    pub(super) async fn feed_rows(
        &self,
        after: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<FeedRow>, Unavailable> {
        let (mut rows, mut part, mut total): (Vec<FeedRow>, _, _) = (Vec::new(), FIRST_PART, 0);
        while rows.len() < limit && total < PART_BYTES {
            let wanted = part.min(limit - rows.len());
            let from = rows.last().map_or(after, |row| row.position);
            if from >= to {
                break;
            }
            let more = self.adapter.feed(from, to, wanted).await?;
            let is_end = more.len() < wanted;
            total += more.iter().map(|more| more.row.body.len() + more.row.cause.len()).sum::<usize>();
            rows.extend(more);
            if is_end {
                break;
            }
            part *= 2;
        }
        Ok(rows)
    }
}

fn publish(position: Position, stream: StreamName, row: &Row) -> Result<Published, Damaged> {
    let Row { seq, version, recorded_at, .. } = *row;
    let message_id = stored::decode_message_id(&row.message_id).map_err(|why| damaged(&stream, seq, why))?;
    let what = if stored::erased_v1::is(&row.body) {
        What::Erased
    } else if stream.document_id().is_some() {
        What::Event(decode(&stream, row)?.event)
    } else {
        What::Elsewhere
    };
    Ok(Published { position, stream, seq, version, message_id, recorded_at, what })
}

/// The feed as it grows.
pub struct Feed {
    log: EventLog,
    position: Position,
    poll: Interval,
}

impl Feed {
    /// The next events: at once if there are any, else as soon as they are committed. Dropping the future loses none.
    pub async fn next(&mut self) -> Result<Vec<Published>, ReadError> {
        loop {
            let page = self.log.read_all(self.position, PAGE).await?;
            if let Some(last) = page.last() {
                self.position = last.position;
                return Ok(page);
            }
            self.poll.tick().await;
        }
    }

    /// The last event given out: where to go on after a restart.
    pub const fn position(&self) -> Position {
        self.position
    }
}
