//! The tasks that append.
//!
//! Each lane owns a connection, and each stream belongs to one lane, so that documents on different lanes commit
//! side by side. Everything that waits in a lane's queue when a commit has ended goes into the next one; there is
//! no timer. The queue is bounded, and whoever finds it full waits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    group::{Verdict, commit},
    open::{Session, Shared},
    readers::Idle,
    trouble::Trouble,
};
use crate::{
    event_log::{Head, Unavailable, UnavailableKind, port::NewRows, port::Refusal, rings::Ringing, sql},
    telemetry::Metrics,
};

/// What a lane is asked to do, and whom to tell.
pub(super) enum Command {
    Append(NewRows, oneshot::Sender<Result<Head, Refusal>>),
    /// Write anything.
    Check(oneshot::Sender<Result<(), Unavailable>>),
    /// Do what was asked before, and end.
    Close,
}

/// How many commands wait at most; further callers wait for room.
pub(super) const QUEUE: usize = 1_024;
/// A statement with this many events, or bytes of them, takes no further append.
const GROUP_EVENTS: usize = 4_096;
const GROUP_BYTES: usize = 16 << 20;

pub(super) struct Lane {
    settings: Shared,
    /// `None` after a failure that may have left it useless.
    idle: Option<Idle>,
    /// With which to tell others what was appended.
    ringing: Ringing,
    doubt: Doubt,
    metrics: Metrics,
}

/// Whether an append of any lane has failed since the last check found room. A disk may have room for the little that a
/// check writes, and for no edit.
pub(super) type Doubt = Arc<AtomicBool>;

/// As much as an edit may need, in the tables where it goes. It is rolled back.
const MUCH: &str = "INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
    SELECT id, -1, 0, 'check', 0, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 4096)), ''
    FROM streams ORDER BY id LIMIT 1";

#[derive(Default)]
struct Group {
    appends: Vec<NewRows>,
    answers: Vec<oneshot::Sender<Result<Head, Refusal>>>,
    events: usize,
    bytes: usize,
}

impl Group {
    fn push(&mut self, append: NewRows, answer: oneshot::Sender<Result<Head, Refusal>>) {
        self.events += append.rows.len();
        self.bytes += append.rows.iter().map(|row| row.body.len() + row.cause.len()).sum::<usize>();
        self.appends.push(append);
        self.answers.push(answer);
    }

    fn is_full(&self) -> bool {
        self.events >= GROUP_EVENTS || self.bytes >= GROUP_BYTES
    }
}

impl Lane {
    pub(super) fn new(settings: Shared, ringing: Ringing, doubt: Doubt, metrics: Metrics) -> Self {
        Self { settings, idle: None, ringing, doubt, metrics }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut waiting = Vec::with_capacity(QUEUE);
        while queue.recv_many(&mut waiting, QUEUE).await > 0 {
            let mut group = Group::default();
            for command in waiting.drain(..) {
                match command {
                    Command::Append(append, answer) => {
                        group.push(append, answer);
                        if group.is_full() {
                            self.commit(std::mem::take(&mut group)).await;
                        }
                    }
                    Command::Check(answer) => {
                        // Behind the appends that were asked for before it.
                        self.commit(std::mem::take(&mut group)).await;
                        let _gone = answer.send(self.check().await);
                    }
                    Command::Close => queue.close(),
                }
            }
            self.commit(group).await;
        }
        if let Some(idle) = self.idle {
            idle.close(self.settings.patience.connect).await;
        }
    }

    async fn commit(&mut self, group: Group) {
        let Group { appends, answers, events, .. } = group;
        if appends.is_empty() {
            return;
        }
        let began = Instant::now();
        let mut verdicts: Vec<Option<Verdict>> = appends.iter().map(|_| None).collect();
        let outcome = self.try_commit(&appends, &mut verdicts).await;
        let reason = match outcome {
            Ok(()) => {
                self.metrics.log_commit(appends.len(), events, began.elapsed());
                // Every append has its verdict then.
                Unavailable::new(UnavailableKind::Failed, "an append was left without an answer")
            }
            Err(reason) => {
                self.doubt.store(true, Ordering::Relaxed);
                tracing::error!(%reason, appends = appends.len(), "events could not be written");
                reason
            }
        };
        self.ringing.ring(appends.iter().zip(&verdicts).filter_map(|(append, verdict)| match verdict {
            Some(Ok(head)) => Some((&append.stream, head.seq)),
            _ => None,
        }));
        for (to, verdict) in answers.into_iter().zip(verdicts) {
            // A caller that has gone away misses the answer; what it asked for is done all the same.
            let _gone = to.send(verdict.unwrap_or_else(|| Err(reason.clone().into())));
        }
    }

    async fn try_commit(&mut self, appends: &[NewRows], verdicts: &mut [Option<Verdict>]) -> Result<(), Unavailable> {
        let mut session = self.session().await?;
        // If it fails the session is closed: nobody knows what it is in the middle of.
        commit(&mut session, appends, verdicts).await?;
        self.idle = Some(Idle::now(session.connection));
        Ok(())
    }

    async fn check(&mut self) -> Result<(), Unavailable> {
        let mut session = self.session().await?;
        match self.try_check(&mut session).await {
            Ok(()) => {
                self.idle = Some(Idle::now(session.connection));
                Ok(())
            }
            Err(Trouble::Unavailable(reason)) => Err(reason),
            Err(Trouble::Conflict | Trouble::Again) => {
                Err(Unavailable::new(UnavailableKind::Busy, "others always write first"))
            }
        }
    }

    async fn try_check(&self, session: &mut Session) -> Result<(), Trouble> {
        session.fetch_all(sqlx::query(sql::CHECK)).await?;
        if self.doubt.load(Ordering::Relaxed) {
            for sql in ["BEGIN", MUCH, "ROLLBACK"] {
                session.fetch_all(sqlx::query(sql)).await?;
            }
            self.doubt.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The session, opened again if the last one was lost.
    async fn session(&mut self) -> Result<Session, Unavailable> {
        let patience = self.settings.patience;
        let alive = match self.idle.take() {
            Some(idle) => idle.wake(&patience).await,
            None => None,
        };
        let connection = match alive {
            Some(connection) => connection,
            None => self.settings.connect().await?,
        };
        Ok(Session { connection, patience: patience.answer })
    }
}
