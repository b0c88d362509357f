//! Those who are shut out: learnt from the log, whoever wrote it there, and kept as long as it holds.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use tracing::{info, warn};

use crate::{
    auth::Bans,
    clock::Clock,
    domain::{MessageId, Revocation, Seq, Timestamp, TokenId, UserId},
    event_log::{EventLog, ReadError, Unavailable},
    telemetry::Metrics,
};

use super::{ending::banned, people::People};

/// The revocations in force.
pub(super) struct Revocations {
    log: EventLog,
    clock: Clock,
    metrics: Metrics,
    people: Arc<People>,
    state: RwLock<State>,
    is_blind: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    bans: Bans,
    /// The last one that was taken in.
    read: Seq,
}

impl Revocations {
    pub(super) fn new(log: EventLog, (clock, metrics): (Clock, Metrics), people: Arc<People>) -> Self {
        Self { log, clock, metrics, people, state: RwLock::default(), is_blind: AtomicBool::new(false) }
    }

    /// Takes in what is new in the log, ends the connections that it is about, and forgets what has run out. Cheap
    /// when there is nothing new; may be called at any time, by several at once.
    pub(super) async fn refresh(&self) -> Result<(), ReadError> {
        loop {
            let page = self.log.revocations(self.read()).await?;
            if page.is_empty() {
                break;
            }
            for (seq, revocation) in page {
                self.take_in(seq, &revocation);
            }
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.bans.forget_past(self.clock.now());
        self.metrics.revocations(state.bans.len());
        Ok(())
    }

    /// The same for a timer: a failure is told once, and so is its end.
    pub(super) async fn poll(&self) {
        match self.refresh().await {
            Ok(()) => {
                if self.is_blind.swap(false, Ordering::Relaxed) {
                    info!("revocations can be read again");
                }
            }
            Err(error) => {
                if !self.is_blind.swap(true, Ordering::Relaxed) {
                    warn!(%error, "revocations cannot be read; those that are known stay in force");
                }
            }
        }
    }

    /// Records a revocation; it is in force here when this returns, and elsewhere as soon as the others have read it.
    pub(super) async fn record(&self, id: MessageId, revocation: &Revocation) -> Result<(), Unavailable> {
        self.log.append_revocation(id, revocation, self.clock.now()).await?;
        // It is in the log; if that cannot be read now, the next poll takes it in.
        self.poll().await;
        Ok(())
    }

    /// Until when somebody is shut out, if they are.
    pub(super) fn until(&self, user: &UserId, token: Option<&TokenId>) -> Option<Timestamp> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.bans.until(user, token, self.clock.now())
    }

    fn read(&self) -> Seq {
        self.state.read().unwrap_or_else(PoisonError::into_inner).read
    }

    fn take_in(&self, seq: Seq, revocation: &Revocation) {
        let now = self.clock.now();
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have read the same page.
            if seq != state.read.next() {
                return;
            }
            state.read = seq;
            state.bans.apply(revocation, now);
        }
        // After the ban is there: whoever comes in between finds it.
        if revocation.until > now {
            self.people.dismiss(&revocation.revoked, &banned(revocation.until));
        }
    }
}
