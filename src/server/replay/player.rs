//! Sends a document and then what happened to it, at its pace.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    domain::{ClientId, MessageId, Timestamp, UserId, Version},
    event_log::{Damaged, EventLog, ReadError, Recorded},
    history::{self, Place as InPast, When},
    live::{Goodbye, Item, Outbox, Retelling, SharedSync, WaitingSync},
    protocol::document::{ReplayState, Sought, Speed, replay_state},
    server::{
        ending::{ended, throttled},
        quota::{PATIENCE, Quota},
    },
    telemetry::Sent,
};

use super::{goodbye, pace::Pace};

/// Something that a watcher wants to be otherwise.
pub(super) struct Ask {
    pub(super) change: Change,
    pub(super) message_id: Option<MessageId>,
}

pub(super) enum Change {
    Seek(Sought),
    Speed(Speed),
    Pause(bool),
}

/// Events that are read at a time.
const PAGE: usize = 100;
/// With more bytes than this waiting for the watcher, nothing more is sent.
const ENOUGH: usize = 64 * 1024;

/// What makes a replay go on.
pub(super) struct Player {
    pub(super) log: EventLog,
    pub(super) retelling: Retelling,
    pub(super) outbox: Arc<Outbox>,
    /// Turns for what may take long.
    pub(super) turns: Arc<Quota>,
    /// How long a watcher may take nothing.
    pub(super) patience: Duration,
    pub(super) user: UserId,
    pub(super) client: ClientId,
    pub(super) asked: mpsc::Receiver<Ask>,
    pub(super) pace: Pace,
    /// What was sent last.
    pub(super) at: InPast,
    pub(super) version: Version,
    /// The moment that is shown; `None` before the first event.
    pub(super) shown: Option<Timestamp>,
    /// The last event, and its version.
    pub(super) to: InPast,
    pub(super) until: Version,
    /// What comes next.
    pub(super) page: VecDeque<Recorded>,
}

impl Player {
    /// Plays to the end, or until it cannot go on.
    pub(super) async fn run(mut self) -> Goodbye {
        match self.play().await {
            Ok(never) => match never {},
            Err(goodbye) => goodbye,
        }
    }

    async fn play(&mut self) -> Result<Infallible, Goodbye> {
        self.jump(self.at.clone(), None).await?;
        self.tell(None);
        loop {
            self.read_on().await?;
            let due = match self.page.front() {
                Some(next) => self.pace.due(self.gap_before(next)),
                None if self.pace.is_paused() => None,
                None => return Err(ended()),
            };
            let ask = match due {
                Some(due) if due <= Instant::now() => match self.asked.try_recv() {
                    Ok(ask) => Some(ask),
                    Err(mpsc::error::TryRecvError::Empty) => {
                        self.send_next(due).await?;
                        continue;
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                },
                due => tokio::select! {
                    ask = self.asked.recv() => ask,
                    () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => continue,
                },
            };
            // Nobody asks any more when nobody listens.
            self.change(ask.ok_or(Goodbye::LOST)?).await?;
        }
    }

    async fn change(&mut self, Ask { change, message_id }: Ask) -> Result<(), Goodbye> {
        let now = Instant::now();
        match change {
            Change::Speed(speed) => self.pace.set_speed(speed, now),
            Change::Pause(is_paused) => self.pace.set_paused(is_paused, now),
            Change::Seek(sought) => {
                let when = match sought {
                    Sought::Version(version) => When::Version(version),
                    Sought::Moment(moment) => When::Moment(moment),
                };
                let mut place = history::find(&self.log, &self.retelling.document, when).await.map_err(goodbye)?;
                place.seq = place.seq.min(self.to.seq);
                self.jump(place, message_id.as_ref()).await?;
                if let Sought::Moment(moment) = sought {
                    // Before the first event there is nothing to wait for.
                    self.shown = self.shown.map(|shown| shown.max(moment));
                }
            }
        }
        self.tell(message_id.as_ref());
        Ok(())
    }

    /// Shows the document as it was at a place, and goes on from there.
    async fn jump(&mut self, place: InPast, asked_by: Option<&MessageId>) -> Result<(), Goodbye> {
        // A document may be long. One is on its way at most.
        self.wait_for_room(0).await?;
        let _turn = self.turns.turn(&self.user).await.ok_or_else(|| throttled(PATIENCE))?;
        let document = history::document(&self.log, &place, |_| ()).await?;
        self.shown = history::recorded_at(&self.log, &place).await?;
        (self.at, self.version) = (place, document.version());
        self.page.clear();
        let asked_by = asked_by.map(|message| (self.client.clone(), message.clone()));
        let shared = SharedSync::new(self.retelling.document(&document));
        self.outbox.push(Item::Sync(Box::new(WaitingSync {
            shared,
            active_users: Vec::new(),
            is_answer: false,
            asked_by,
        })));
        self.pace.begin(Instant::now());
        Ok(())
    }

    /// Reads what comes next, where that is not known.
    async fn read_on(&mut self) -> Result<(), ReadError> {
        if !self.page.is_empty() || self.at.seq >= self.to.seq {
            return Ok(());
        }
        let stream = &self.at.stream;
        let left = usize::try_from(self.to.seq.0 - self.at.seq.0).unwrap_or(PAGE);
        self.page = self.log.read(stream, self.at.seq, left.min(PAGE)).await?.into();
        if self.page.is_empty() {
            let (stream, seq, why) = (stream.clone(), self.at.seq.next(), "it is missing".to_owned());
            return Err(Damaged { stream, seq, why }.into());
        }
        // At once and from memory this would be all that its thread does.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// How long after what is shown an event was recorded.
    fn gap_before(&self, next: &Recorded) -> Duration {
        let micros = self.shown.map_or(0, |shown| next.recorded_at.0.saturating_sub(shown.0));
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    }

    async fn send_next(&mut self, due: Instant) -> Result<(), Goodbye> {
        // Who reads slowly makes it slow: what was late is not made good for.
        let began = if self.wait_for_room(ENOUGH).await? { Instant::now() } else { due };
        let Some(next) = self.page.pop_front() else { return Ok(()) };
        (self.at.seq, self.version, self.shown) = (next.seq, next.version, Some(next.recorded_at));
        self.outbox.push(self.retelling.event(next));
        self.pace.begin(began);
        Ok(())
    }

    /// Waits while more than this waits for the watcher; whether that took time.
    async fn wait_for_room(&self, enough: usize) -> Result<bool, Goodbye> {
        let must_wait = self.outbox.waiting() > enough;
        if must_wait && timeout(self.patience, self.outbox.emptied()).await.is_err() {
            self.outbox.cut_off();
        }
        self.outbox.goodbye().map_or(Ok(must_wait), Err)
    }

    /// Tells where it is.
    fn tell(&self, asked_by: Option<&MessageId>) {
        let state = ReplayState {
            version: self.version,
            time: self.shown.map(|shown| shown.to_string()),
            speed: self.pace.speed(),
            paused: self.pace.is_paused(),
            to: self.until,
        };
        let client = asked_by.map(|_| &self.client);
        self.outbox.push(Item::text(&replay_state(&state, (client, asked_by))));
        self.retelling.metrics.messages_sent(Sent::Other, 1);
    }
}
