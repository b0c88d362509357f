//! Up to where the feed can be read (`docs/adr/0007-the-feed-gives-out-what-is-settled.md`).

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sqlx::{Connection, PgConnection};
use tokio::sync::Semaphore;

use super::open::{Shared, within};
use crate::event_log::{Position, Unavailable, port::Ends, sql::unsigned};

/// What is known of the end of the feed. One looks at a time.
pub(super) struct Horizon {
    settings: Shared,
    turn: Semaphore,
    watch: Mutex<Option<Watch>>,
}

/// A session, and what was learned in it. It ends with the session: a server that has crashed may give positions
/// again that nobody had committed.
struct Watch {
    session: PgConnection,
    known: Known,
}

#[derive(Default)]
struct Known {
    settled: Position,
    waiting: Option<Waiting>,
}

/// A position that is settled as soon as none of these writes any more.
struct Waiting {
    to: Position,
    writers: HashSet<String>,
}

/// The last position that was taken, whoever took it.
const TAKEN: &str = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM events_position_seq";
/// Transactions that may have taken positions: who inserts has locked the table before.
const WRITERS: &str = "SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = 'events'::regclass
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

impl Horizon {
    pub(super) fn new(settings: Shared) -> Self {
        Self { settings, turn: Semaphore::new(1), watch: Mutex::default() }
    }

    pub(super) async fn ends(&self) -> Result<Ends, Unavailable> {
        let _turn = self.turn.acquire().await.map_err(|_| Unavailable::closed())?;
        let known = self.watch_now().take();
        if let Some(watch) = known
            && let Ok(ends) = self.look(watch).await
        {
            return Ok(ends);
        }
        // There was no session yet, or it was lost.
        let session = self.settings.connect().await?;
        self.look(Watch { session, known: Known::default() }).await
    }

    async fn look(&self, mut watch: Watch) -> Result<Ends, Unavailable> {
        let ends = within(self.settings.patience.answer, watch.look()).await?;
        *self.watch_now() = Some(watch);
        Ok(ends)
    }

    pub(super) async fn close(&self) {
        self.turn.close();
        let watch = self.watch_now().take();
        if let Some(Watch { session, .. }) = watch {
            let _gone = within(self.settings.patience.connect, session.close()).await;
        }
    }

    fn watch_now(&self) -> MutexGuard<'_, Option<Watch>> {
        // Nothing here panics between two changes that belong together.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    async fn look(&mut self) -> sqlx::Result<Ends> {
        // In this order: who takes a position after the first question is not to count for it.
        let taken: i64 = sqlx::query_scalar(TAKEN).fetch_one(&mut self.session).await?;
        let writers: Vec<String> = sqlx::query_scalar(WRITERS).fetch_all(&mut self.session).await?;
        Ok(self.known.learn(Position(unsigned(taken)), writers.into_iter().collect()))
    }
}

impl Known {
    /// From the last position that was taken, and those who wrote after it had been.
    fn learn(&mut self, taken: Position, writers: HashSet<String>) -> Ends {
        if writers.is_empty() {
            (self.settled, self.waiting) = (taken, None);
        } else if self.waiting.as_ref().is_none_or(|waiting| waiting.writers.is_disjoint(&writers)) {
            self.settled = self.waiting.take().map_or(self.settled, |waiting| waiting.to);
            self.waiting = Some(Waiting { to: taken, writers });
        }
        Ends { settled: self.settled, taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_settled_when_nobody_writes_any_more_who_wrote_when_it_was_the_last() {
        let mut known = Known::default();
        let mut learn = |taken, writers: &[&str]| {
            known.learn(Position(taken), writers.iter().map(|writer| (*writer).to_owned()).collect()).settled.0
        };
        assert_eq!(learn(5, &[]), 5);
        assert_eq!(learn(7, &["a", "b"]), 5);
        assert_eq!(learn(8, &["b", "c"]), 5, "b may have taken 6");
        assert_eq!(learn(9, &["c", "d"]), 7, "c and d came after 7 had been taken");
        assert_eq!(learn(9, &["c", "d"]), 7);
        assert_eq!(learn(12, &["e"]), 9);
        assert_eq!(learn(12, &["e"]), 9);
        assert_eq!(learn(12, &[]), 12);
    }
}
