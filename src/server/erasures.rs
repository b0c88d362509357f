//! People who are being erased: kept out until it is done, and forgotten here when it is.
//!
//! Learnt from the log, whoever erases them. While it lasts nothing is saved that was folded from the log, for that may still
//! know them; when it is done, the open documents that do are closed, and opened again from a log that does not.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{
    auth::nobody,
    clock::Clock,
    domain::{Revoked, Seq, Timestamp, UserId},
    event_log::{EventLog, ReadError, Rewriting, UserErasure},
    live::{Erased, Live},
};

use super::{ending::banned, people::People};

/// Those that are under way, and how far the log has been read for them.
pub(super) struct Erasures {
    log: EventLog,
    clock: Clock,
    live: Arc<Live>,
    people: Arc<People>,
    /// How long it may take until every process that shares the log has heard of one.
    grace: Duration,
    /// One at a time reads on.
    reading: Mutex<()>,
    state: RwLock<State>,
    is_blind: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    under_way: BTreeMap<Seq, UserId>,
    /// The last one that was taken in; `None` before the first look, when nothing is remembered here yet.
    read: Option<Seq>,
}

/// What is said to those who come meanwhile: to come again so much later.
const WHILE: Duration = Duration::from_mins(1);
/// What others who share a log may need besides the time between two looks, to write down what they still have to.
const MARGIN: Duration = Duration::from_secs(1);
/// An erasure that has been under way for so long is taken for interrupted.
const INTERRUPTED: Duration = Duration::from_mins(5);

impl Erasures {
    /// `poll` is how often processes look for new ones.
    pub(super) fn new(log: EventLog, clock: Clock, live: Arc<Live>, people: Arc<People>, poll: Duration) -> Self {
        let grace = if log.is_shared() { 2 * poll + MARGIN } else { MARGIN };
        let (reading, state, is_blind) = Default::default();
        Self { log, clock, live, people, grace, reading, state, is_blind }
    }

    /// Erases a person, here and for all who share the log. What is interrupted is finished by [`Self::finish`].
    pub(super) async fn erase(&self, user: &UserId) -> Result<(UserErasure, Rewriting), ReadError> {
        let erasure = self.log.begin_user_erasure(user, nobody(), self.clock.now()).await?;
        let rewriting = self.complete(&erasure).await?;
        Ok((erasure, rewriting))
    }

    /// Finishes those that were interrupted, by the end of this process or of another one.
    pub(super) async fn finish(&self) {
        let finish = async {
            for erasure in self.log.unfinished_user_erasures().await? {
                if after(erasure.at, INTERRUPTED) <= self.clock.now() {
                    let Rewriting { events, .. } = self.complete(&erasure).await?;
                    info!(erased_as = %erasure.pseudonym, events, "finished erasing a person, which had been interrupted");
                }
            }
            Ok::<_, ReadError>(())
        };
        if let Err(error) = finish.await {
            warn!(%error, "erasing people that was interrupted could not be finished; it will be tried again");
        }
    }

    async fn complete(&self, erasure: &UserErasure) -> Result<Rewriting, ReadError> {
        self.refresh().await?;
        let rewriting = self.log.complete_user_erasure(erasure, (self.clock.now(), self.grace), |_| ()).await?;
        self.refresh().await?;
        Ok(rewriting)
    }

    /// Until when to stay away, for one who is being erased.
    pub(super) fn until(&self, user: &UserId) -> Option<Timestamp> {
        let is_leaving = self.state().under_way.values().any(|it| it == user);
        is_leaving.then(|| after(self.clock.now(), WHILE))
    }

    /// Takes in what is new in the log. May be called at any time, by several at once.
    pub(super) async fn refresh(&self) -> Result<(), ReadError> {
        let _one_at_a_time = self.reading.lock().await;
        loop {
            // What is under way is looked at again: it is written over when it is done.
            let (is_first, mut after) = {
                let state = self.state();
                let before = state.under_way.keys().next().map(|seq| Seq(seq.0 - 1));
                (state.read.is_none(), before.or(state.read).unwrap_or_default())
            };
            let mut done = Vec::new();
            loop {
                let page = self.log.user_erasures(after).await?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                done.extend(page.into_iter().filter_map(|erasure| self.take_in(erasure, is_first)));
            }
            if self.state().read.is_none() {
                self.state_mut().read = Some(Seq(0));
            }
            if done.is_empty() {
                break;
            }
            for erased in done {
                self.live.forget(erased).await;
            }
        }
        self.log.hold_saving(!self.state().under_way.is_empty());
        Ok(())
    }

    /// Answers who is to be forgotten now, if somebody is.
    fn take_in(&self, erasure: UserErasure, is_first: bool) -> Option<Erased> {
        let UserErasure { seq, user, .. } = erasure;
        let mut state = self.state_mut();
        let is_new = state.read.is_none_or(|read| read < seq);
        state.read = state.read.max(Some(seq));
        let Some(user) = user else {
            let passed_unseen = || (is_new && !is_first).then_some(Erased::Somebody);
            return state.under_way.remove(&seq).map(Erased::User).or_else(passed_unseen);
        };
        if is_new {
            // In this order: whoever comes in between finds that they are kept out.
            self.log.hold_saving(true);
            state.under_way.insert(seq, user.clone());
            drop(state);
            self.people.dismiss(&Revoked::User(user), &banned(after(self.clock.now(), WHILE)));
        }
        None
    }

    /// The same for a timer: a failure is told once.
    pub(super) async fn poll(&self) {
        match self.refresh().await {
            Ok(()) => self.is_blind.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_blind.swap(true, Ordering::Relaxed) {
                    warn!(%error, "erasures of people cannot be read; those that are known go on");
                }
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp(moment.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}
