//! An open document: one task that owns it, takes its commands in turn, and commits them in batches.
//!
//! All edits and comments that wait are decided together on a working copy and handed to the log as one append. While
//! that commit is under way the next batch gathers in the inbox. Only after it does the working copy become
//! the document, and acknowledgements and broadcasts go out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tracing::error;

use crate::{
    domain::{DocumentId, MessageId, Rejection, Timestamp},
    event_log::{Append, AppendError, Expected, NewEvent, ReadError, StreamName},
    projection::Document,
    telemetry::TailRead,
};

use super::{
    Live,
    batch::{Batch, Outcome, Submission, Undecided},
    behind::Behind,
    clients::Clients,
    command::Command,
    committed::Committed,
    opening::Joined,
    presence::{Aside, Presence},
    recent::Recent,
    rings::Streams,
    snapshots::Snapshots,
    subscriber::Subscriber,
    sync::Newest,
    turns::{self, Turns},
};

/// A batch that only needs to be appended.
struct Decided {
    outcomes: Vec<Outcome>,
    events: Vec<NewEvent>,
    working: Document,
}

/// What a document's task does next.
enum Next {
    Command(Command),
    /// Others have written, or it is time to tell something.
    Look,
    /// Nobody has needed the document for a while.
    Unneeded,
}

pub(super) struct OpenDocument {
    pub(super) live: Arc<Live>,
    pub(super) id: DocumentId,
    pub(super) stream: StreamName,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) document: Document,
    pub(super) recent: Recent,
    pub(super) clients: Clients,
    pub(super) behind: Behind,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) syncs: Newest,
    pub(super) presence: Presence,
    snapshots: Snapshots,
    /// When the last event was recorded.
    pub(super) recorded_at: Timestamp,
    /// Where its streams are said to be.
    pub(super) streams: Streams,
    /// How many commands were taken from the inbox, and how many had come when the end of the stream was
    /// last read.
    pub(super) taken: usize,
    pub(super) covered: usize,
    /// When somebody here last wanted something of it: what other nodes write keeps nothing open.
    used_at: Instant,
    pub(super) turns: Turns,
    /// The last append may or may not have happened: the log has to be read before anything else is done.
    pub(super) unsure: bool,
    /// Its tombstone was found in the log.
    pub(super) is_erased: bool,
    /// It remembers somebody who was erased, and ends; dropped when it has.
    forgetting: Option<oneshot::Sender<()>>,
}

/// Bytes of edits after which a batch takes no further one.
const BATCH_BYTES: usize = 4 << 20;
/// How often a batch is decided again because others appended to the stream, or repeated messages were
/// found in it, before the log is declared unavailable.
const ATTEMPTS: usize = 100;

impl OpenDocument {
    pub(super) async fn load(
        live: Arc<Live>,
        id: DocumentId,
        (inbox, streams): (mpsc::Receiver<Command>, Streams),
    ) -> Result<Self, (mpsc::Receiver<Command>, ReadError)> {
        let stream = StreamName::document(&id);
        let loaded = match super::load::document(&live.log, &stream, &live.metrics).await {
            Ok(loaded) => loaded,
            Err(error) => return Err((inbox, error)),
        };
        let mut open = Self {
            recent: Recent::new((loaded.document.seq(), loaded.document.version()), live.settings.recent_edits),
            snapshots: Snapshots::new(loaded.snapshot_seq, loaded.document.seq()),
            document: loaded.document,
            recorded_at: loaded.recorded_at,
            presence: Presence::new(Arc::clone(&streams.presence), live.metrics.clone()),
            live,
            id,
            stream,
            inbox,
            clients: Clients::default(),
            behind: Behind::default(),
            subscribers: Vec::new(),
            syncs: Newest::default(),
            streams,
            taken: 0,
            covered: 0,
            used_at: Instant::now(),
            turns: Turns::default(),
            unsure: false,
            is_erased: false,
            forgetting: None,
        };
        open.streams.document.reach(open.document.seq());
        match open.load_presence().await {
            Ok(()) => Ok(open),
            Err(error) => Err((open.inbox, error)),
        }
    }

    /// Serves the document until nobody has needed it for a while.
    pub(super) async fn run(mut self) -> mpsc::Receiver<Command> {
        let mut submissions = Vec::new();
        let mut next = None;
        loop {
            self.tell_if_due();
            let step = match next.take() {
                Some(command) => Next::Command(command),
                None => self.next().await,
            };
            self.look().await;
            next = match step {
                Next::Command(command) if self.is_erased => Some(command),
                Next::Command(command) => match self.behind_or(command) {
                    Some(command) => self.carry_out(command, &mut submissions).await,
                    None => None,
                },
                Next::Look => None,
                Next::Unneeded => break,
            };
            if !self.is_erased {
                self.take_turn().await;
            }
            if self.is_erased {
                return self.end_erased(next).await;
            }
            if self.forgetting.is_some() {
                return self.end_forgotten();
            }
        }
        // A connection that was told to go while it came never says that it goes.
        for gone in std::mem::take(&mut self.subscribers) {
            self.exit(&gone);
        }
        self.tell();
        self.inbox
    }

    /// Does what was asked for; answers what came while it was gathered, and is to be done next.
    async fn carry_out(&mut self, command: Command, submissions: &mut Vec<Submission>) -> Option<Command> {
        match command {
            Command::Submit(submission) => {
                self.give_way().await;
                let mut aside = Aside::default();
                let next = self.gather(*submission, submissions, &mut aside);
                self.commit(submissions, aside).await;
                submissions.clear();
                return next;
            }
            Command::Serve(order, reply) => {
                if let Some((order, reply)) = self.behind_or_order(*order, reply) {
                    // Whoever asked may have gone; it is done all the same.
                    let _ = reply.send(self.serve(order).await);
                }
            }
            Command::Join(subscriber, opening, reply) => match self.catch_up().await {
                Ok(()) => self.join(*subscriber, opening, reply),
                Err(error) => {
                    self.unread(&error);
                    let _ = reply.send(Joined::unread(&error));
                }
            },
            Command::Presence(said) => self.hear(*said),
            Command::Alive(connection) => self.take_over(connection),
            Command::EnterAgain => self.enter_again(),
            Command::Forget(erased, done) => self.forgetting = self.remembers(&erased).then_some(done),
            Command::Rename(connection, profile) => self.rename(connection, profile),
            Command::Prepared(prepared) => {
                let (client, context) = *prepared;
                self.prepared(client, context);
            }
            other @ (Command::Sync(..) | Command::Leave(..)) => self.carry_out_at_once(other),
        }
        None
    }

    /// What to do next.
    async fn next(&mut self) -> Next {
        loop {
            let is_in_use = !self.subscribers.is_empty();
            let idle = self.live.settings.idle_unload.saturating_sub(self.used_at.elapsed());
            let idle = if is_in_use { Duration::MAX } else { idle };
            if self.behind.has_turns() {
                // A client that is far behind waits for its turn: take a command if there is one, and do not wait.
                let Ok(command) = self.inbox.try_recv() else { return Next::Look };
                self.taken += 1;
                self.used_at = Instant::now();
                return Next::Command(command);
            }
            if idle.is_zero() && self.live.directory.unlist(&self.id, &self.inbox) {
                return Next::Unneeded;
            }
            let until_due = self.presence.due().map(|due| due.saturating_duration_since(Instant::now()));
            tokio::select! {
                biased;
                command = self.inbox.recv() => {
                    self.taken += 1;
                    self.used_at = Instant::now();
                    return command.map_or(Next::Unneeded, Next::Command);
                }
                () = self.streams.document.told() => return Next::Look,
                () = self.presence.told(self.live.presence.merge_interval) => return Next::Look,
                () = sleep(until_due.map_or(idle, |due| due.min(idle))) => self.tell_if_due(),
            }
        }
    }

    /// Takes what was submitted, up to the first command of another kind. What clients say of themselves in
    /// between is put aside: it must not make batches small.
    fn gather(&mut self, first: Submission, submissions: &mut Vec<Submission>, aside: &mut Aside) -> Option<Command> {
        let mut bytes = 0;
        let mut next = Some(Command::Submit(Box::new(first)));
        loop {
            match next {
                // What a connection sent before another took over, or before it was cut off, may come after
                // that: it was never acknowledged, and its owner sends it again.
                Some(Command::Submit(it)) if self.subscriber(it.connection).is_some() => {
                    if let Some(Command::Submit(it)) = self.behind_or(Command::Submit(it)) {
                        bytes += it.message.received().get().len();
                        submissions.push(*it);
                    }
                }
                Some(Command::Submit(_)) => (),
                Some(Command::Presence(said)) => aside.push(submissions.len(), *said),
                Some(other) => return Some(other),
                None => return None,
            }
            if submissions.len() >= self.live.settings.batch || bytes >= BATCH_BYTES || aside.is_full() {
                return None;
            }
            next = self.inbox.try_recv().ok();
            self.taken += usize::from(next.is_some());
        }
    }

    pub(super) async fn commit(&mut self, submissions: &[Submission], aside: Aside) -> Vec<Outcome> {
        if submissions.is_empty() {
            self.hear_aside(aside, self.document.version(), &[], &[]);
            return Vec::new();
        }
        let before = self.document.version();
        let outcome = match self.try_commit(submissions).await {
            Ok(outcomes) => outcomes,
            Err(why) => {
                self.clients.discard();
                let rejection =
                    || if self.is_erased { Rejection::Erased } else { Rejection::StorageUnavailable { why } };
                submissions.iter().map(|_| Outcome::Rejected(rejection())).collect()
            }
        };
        if self.is_erased {
            return outcome;
        }
        self.answer(submissions, &outcome);
        self.hear_aside(aside, before, submissions, &outcome);
        self.live.metrics.batch_size(submissions.len());
        outcome
    }

    /// Decides and appends, again and again while others are faster.
    async fn try_commit(&mut self, submissions: &[Submission]) -> Result<Vec<Outcome>, &'static str> {
        let mut known = HashMap::new();
        for _ in 0..ATTEMPTS {
            let attempt = Instant::now();
            if self.unsure || self.streams.document.is_behind() {
                let why = if self.unsure { TailRead::Unsure } else { TailRead::LostRace };
                self.read_tail(why).await.map_err(|error| self.unread(&error))?;
            }
            let recorded_at = self.live.clock.now().max(self.recorded_at);
            let Decided { outcomes, events, working } = match self.decide(submissions, &known, recorded_at).await {
                Ok(decided) => decided,
                Err(Undecided::Unread(error)) => return Err(self.unread(&error)),
                Err(Undecided::Behind(seq)) => {
                    self.streams.document.tell(seq);
                    self.clients.discard();
                    continue;
                }
            };
            if events.is_empty() {
                return Ok(outcomes);
            }
            let (stream, expected) = (self.stream.clone(), Expected::At(self.document.seq()));
            let began = Instant::now();
            match self.live.log.append(Append { stream, expected, recorded_at, events }).await {
                Ok(_) => {
                    self.turns.wrote(began.elapsed(), self.streams.document.was_wanted());
                    self.clients.commit();
                    self.committed(working, recorded_at, &outcomes);
                    return Ok(outcomes);
                }
                Err(AppendError::Stale { head }) => {
                    self.unsure = !self.streams.document.tell(head);
                    self.live.log.want(&self.stream, turns::needs(attempt.elapsed()));
                }
                Err(AppendError::Repeated(recorded)) => {
                    for it in &recorded {
                        // What lies beyond the document is answered when it has come there.
                        self.streams.document.tell(it.seq);
                    }
                    let earlier = recorded.into_iter().map(|it| Arc::new(Committed::from_log(it)));
                    known.extend(earlier.map(|it| (it.message_id.clone(), it)));
                }
                Err(why @ (AppendError::Unavailable(_) | AppendError::Damaged(_))) => {
                    error!(document = %self.id, error = %why, "an append failed");
                    return Ok(self.find_out(outcomes).await);
                }
            }
            // What was decided in vain must not be remembered.
            self.clients.discard();
        }
        error!(document = %self.id, attempts = ATTEMPTS, "others always appended first");
        Err("others always wrote first; nothing was recorded, send it again")
    }

    async fn decide(
        &mut self,
        submissions: &[Submission],
        known: &HashMap<MessageId, Arc<Committed>>,
        recorded_at: Timestamp,
    ) -> Result<Decided, Undecided> {
        let mut batch = Batch {
            log: &self.live.log,
            stream: &self.stream,
            recent: &self.recent,
            known,
            working: self.document.clone(),
            reached: self.document.seq(),
            committed: self.document.version(),
            accepted: Vec::with_capacity(submissions.len()),
            by_message: HashMap::with_capacity(submissions.len()),
            recorded_at,
            timestamp: recorded_at.to_string().into(),
            length_limit: self.live.settings.document_length,
            comment_limits: self.live.settings.comments,
        };
        let mut outcomes = Vec::with_capacity(submissions.len());
        for submission in submissions {
            outcomes.push(batch.decide(submission, &mut self.clients).await?);
        }
        Ok(Decided { outcomes, events: batch.events(), working: batch.working })
    }

    /// The log has the batch: the working copy becomes the document.
    fn committed(&mut self, working: Document, recorded_at: Timestamp, outcomes: &[Outcome]) {
        let has_edits = working.version() > self.document.version();
        self.document = working;
        self.recorded_at = recorded_at;
        if has_edits {
            self.document.modified_at(recorded_at);
        }
        self.streams.document.reach(self.document.seq());
        for outcome in outcomes {
            if let Outcome::Accepted(event) = outcome {
                self.snapshots.recorded(event.received().get().len());
                self.presence.edited(event);
                self.recent.push(Arc::clone(event));
            }
        }
        if self.snapshots.is_due(&self.live.snapshots, self.document.content()) {
            self.snapshots.save(&self.live, &self.stream, &self.document);
        }
    }
}
