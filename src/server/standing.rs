//! What the holder of a connection may do there, and until when. A new token replaces it while the connection goes on.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use crate::{
    auth::{Permission, PermissionSet},
    clock::Clock,
    domain::Timestamp,
};

/// How long before the end of its token a client is told.
const NOTICE: i64 = 60_000_000;
/// The clock of the day is asked again at least this often: it may be set while the timers run on.
const LONGEST_WAIT: i64 = 60_000_000;

/// The standing of a connection.
pub(super) struct Standing {
    state: Mutex<State>,
    replaced: Notify,
}

#[derive(Clone, Copy)]
struct State {
    permissions: PermissionSet,
    /// `None` for a guest.
    expires_at: Option<Timestamp>,
    was_told: bool,
}

impl Standing {
    pub(super) fn new(permissions: PermissionSet, expires_at: Option<Timestamp>) -> Self {
        Self { state: Mutex::new(State { permissions, expires_at, was_told: false }), replaced: Notify::new() }
    }

    pub(super) fn permissions(&self) -> PermissionSet {
        self.state().permissions
    }

    /// `Err` with what there is instead, where `needed` is not among it.
    pub(super) fn check(&self, needed: Permission) -> Result<(), PermissionSet> {
        let has = self.permissions();
        if has.allows(needed) { Ok(()) } else { Err(has) }
    }

    /// Whether the token is over. Judged anew for everything that comes: a timer may be late.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.state().expires_at.is_some_and(|end| now >= end)
    }

    /// Takes the place of what was there, at once.
    pub(super) fn replace(&self, permissions: PermissionSet, expires_at: Option<Timestamp>) {
        *self.state() = State { permissions, expires_at, was_told: false };
        self.replaced.notify_one();
    }

    /// Waits until the token is over; shortly before that, once per token, `tell` hears when it will be.
    pub(super) async fn over(&self, clock: &Clock, tell: impl Fn(Timestamp)) {
        loop {
            let now = clock.now();
            let wait = match self.due(now) {
                Due::Never => None,
                Due::Over => return,
                Due::Notice(end) => {
                    tell(end);
                    continue;
                }
                Due::In(micros) => Some(Duration::from_micros(micros)),
            };
            tokio::select! {
                () = self.replaced.notified() => (),
                () = async { sleep(wait.unwrap_or_default()).await }, if wait.is_some() => (),
            }
        }
    }

    fn due(&self, now: Timestamp) -> Due {
        let mut state = self.state();
        let Some(end) = state.expires_at else { return Due::Never };
        let left = end.0.saturating_sub(now.0);
        let until_next = if state.was_told { left } else { left - NOTICE };
        if left <= 0 {
            Due::Over
        } else if until_next <= 0 {
            state.was_told = true;
            Due::Notice(end)
        } else {
            Due::In(until_next.min(LONGEST_WAIT).unsigned_abs())
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes next for a token.
enum Due {
    Never,
    Over,
    Notice(Timestamp),
    In(u64),
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Moves both clocks on, and gives whoever waits a chance.
    async fn pass(clock: &Clock, seconds: u64) {
        clock.advance(Duration::from_secs(seconds));
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_announced_once_a_minute_before_its_end() {
        let clock = Clock::manual(Timestamp(0));
        let standing = Standing::new(PermissionSet::ALL, Some(Timestamp(100 * SECOND)));
        let told = RefCell::new(Vec::new());
        let mut over = std::pin::pin!(standing.over(&clock, |end| told.borrow_mut().push(end)));
        let mut is_over = || over.as_mut().now_or_never().is_some();
        assert!(!is_over());
        pass(&clock, 39).await;
        assert!(!is_over() && told.borrow().is_empty());
        pass(&clock, 1).await;
        assert!(!is_over());
        assert_eq!(*told.borrow(), [Timestamp(100 * SECOND)]);
        pass(&clock, 59).await;
        assert!(!is_over() && !standing.is_over(clock.now()));
        pass(&clock, 1).await;
        assert!(standing.is_over(clock.now()) && is_over());
        assert_eq!(told.borrow().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_counts_at_once_and_is_announced_too() {
        let clock = Clock::manual(Timestamp(0));
        let standing = Standing::new(PermissionSet::ALL, Some(Timestamp(10 * SECOND)));
        let told = RefCell::new(Vec::new());
        let mut over = std::pin::pin!(standing.over(&clock, |end| told.borrow_mut().push(end.0 / SECOND)));
        assert!(over.as_mut().now_or_never().is_none());
        assert_eq!(*told.borrow(), [10], "one that has less than a minute is announced at once");
        standing.replace(PermissionSet::NONE, Some(Timestamp(200 * SECOND)));
        assert_eq!(standing.check(Permission::Read), Err(PermissionSet::NONE));
        pass(&clock, 100).await;
        assert!(over.as_mut().now_or_never().is_none(), "the old token does not count any more");
        pass(&clock, 45).await;
        assert!(over.as_mut().now_or_never().is_none());
        assert_eq!(*told.borrow(), [10, 200]);
        pass(&clock, 60).await;
        assert!(over.as_mut().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_within_a_minute() {
        let clock = Clock::manual(Timestamp(0));
        let standing = Standing::new(PermissionSet::ALL, Some(Timestamp(86_400 * SECOND)));
        let mut over = std::pin::pin!(standing.over(&clock, |_| ()));
        assert!(over.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_hours(24));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(over.as_mut().now_or_never().is_some());
    }
}
