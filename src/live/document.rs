//! An open document: one task that owns it, takes its commands in turn, and commits them in batches.
//!
//! All edits and comments that wait are decided together on a working copy and handed to the log as one append. While
//! that commit is under way the next batch gathers in the inbox. Only after it does the working copy become
//! the document, and acknowledgements and broadcasts go out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tracing::error;

use crate::{
    domain::{DocumentId, Event, MessageId, Rejection, Seq, Timestamp, Version},
    event_log::{Append, AppendError, Damaged, Expected, ReadError, StreamName},
    projection::{Document, Misfit},
};

use super::{
    Live,
    batch::{Batch, Clients, Outcome, Submission},
    committed::Committed,
    presence::{Aside, Presence, WaitingPresence},
    recent::Recent,
    serving::{Done, Order},
    snapshots::Snapshots,
    subscriber::{Opening, Subscriber},
};

/// Names a connection within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What a document is asked to do.
#[derive(Debug)]
pub enum Command {
    /// A connection opens the document.
    Join(Box<Subscriber>, Opening, oneshot::Sender<Joined>),
    /// An edit, or something about a comment.
    Submit(Box<Submission>),
    /// A client says something of itself.
    Presence(Box<WaitingPresence>),
    /// A connection asks for the document again, or for what came after a version.
    Sync(ConnectionId, Option<Version>, Option<MessageId>),
    /// An edit that comes from a server. Answered once the log has it.
    Serve(Box<Order>, oneshot::Sender<Result<Done, Rejection>>),
    /// Other processes may have recorded who comes, goes, and is where.
    ReadPresence,
    /// This process has begun a new life in the middle of things.
    EnterAgain,
    /// A connection ends. Answered when everything that it sent before has been answered.
    Leave(ConnectionId, oneshot::Sender<()>),
}

/// How an opening went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The connection gets everything from here on.
    Subscribed,
    /// What was missed is not in memory: read it from the log up to this place, which is of this version, then come
    /// again.
    CatchUp(Seq, Version),
    /// There is no such document, and it may not be made.
    NotFound,
    /// The log could not be read.
    Unavailable,
}

pub(super) struct OpenDocument {
    pub(super) live: Arc<Live>,
    pub(super) id: DocumentId,
    stream: StreamName,
    inbox: mpsc::Receiver<Command>,
    pub(super) document: Document,
    pub(super) recent: Recent,
    clients: Clients,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) presence: Presence,
    snapshots: Snapshots,
    /// When the last event was recorded.
    recorded_at: Timestamp,
    /// The last append may or may not have happened: the log has to be read before anything else is done.
    unsure: bool,
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
        inbox: mpsc::Receiver<Command>,
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
            presence: Presence::new(live.metrics.clone()),
            live,
            id,
            stream,
            inbox,
            clients: Clients::default(),
            subscribers: Vec::new(),
            unsure: false,
        };
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
            let command = match next.take() {
                Some(command) => command,
                None => match self.next_command().await {
                    Some(command) => command,
                    None => break,
                },
            };
            if self.unsure
                && let Err(error) = self.read_tail().await
            {
                self.unread(&error);
            }
            match command {
                Command::Submit(submission) => {
                    let mut aside = Aside::default();
                    next = self.gather(*submission, &mut submissions, &mut aside);
                    self.commit(&submissions, aside).await;
                    submissions.clear();
                }
                Command::Serve(order, reply) => self.serve(*order, reply).await,
                Command::Join(subscriber, opening, reply) => self.join(*subscriber, opening, reply),
                Command::Presence(said) => self.hear(*said),
                Command::ReadPresence => {
                    if let Err(error) = self.read_presence().await {
                        self.unread(&error);
                    }
                }
                Command::EnterAgain => self.enter_again(),
                Command::Sync(connection, since, message) => self.sync(connection, since, message),
                Command::Leave(connection, reply) => {
                    if let Some(at) = self.subscribers.iter().position(|it| it.connection == connection) {
                        let gone = self.subscribers.remove(at);
                        self.exit(&gone);
                    }
                    // Nobody waits for the answer if the connection is gone altogether.
                    let _ = reply.send(());
                }
            }
        }
        // A connection that was told to go while it came never says that it goes.
        for gone in std::mem::take(&mut self.subscribers) {
            self.exit(&gone);
        }
        self.tell();
        self.inbox
    }

    /// The next command, or `None` when the document can be unloaded.
    async fn next_command(&mut self) -> Option<Command> {
        loop {
            let idle = self.live.settings.idle_unload;
            let idle = if self.subscribers.is_empty() { idle } else { Duration::MAX };
            let until_due = self.presence.due().map(|due| due.saturating_duration_since(Instant::now()));
            match timeout(until_due.map_or(idle, |due| due.min(idle)), self.inbox.recv()).await {
                Ok(command) => return command,
                Err(_) if until_due.is_some() => self.tell_if_due(),
                Err(_) if self.live.directory.unlist(&self.id, &self.inbox) => return None,
                Err(_) => (),
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
                    bytes += it.message.received().get().len();
                    submissions.push(*it);
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
                self.clients = Clients::default();
                let unavailable = || Outcome::Rejected(Rejection::StorageUnavailable { why });
                submissions.iter().map(|_| unavailable()).collect()
            }
        };
        self.answer(submissions, &outcome);
        self.hear_aside(aside, before, submissions, &outcome);
        self.live.metrics.batch_size(submissions.len());
        outcome
    }

    /// Decides and appends, again and again while others are faster.
    async fn try_commit(&mut self, submissions: &[Submission]) -> Result<Vec<Outcome>, &'static str> {
        let mut known = HashMap::new();
        for _ in 0..ATTEMPTS {
            if self.unsure {
                self.read_tail().await.map_err(|error| self.unread(&error))?;
            }
            let recorded_at = self.live.clock.now().max(self.recorded_at);
            let (outcomes, events, working) = {
                let mut batch = Batch {
                    log: &self.live.log,
                    stream: &self.stream,
                    recent: &self.recent,
                    known: &known,
                    working: self.document.clone(),
                    committed: self.document.version(),
                    accepted: Vec::with_capacity(submissions.len()),
                    by_message: HashMap::with_capacity(submissions.len()),
                    recorded_at,
                    timestamp: recorded_at.to_rfc3339().into(),
                    length_limit: self.live.settings.document_length,
                    comment_limits: self.live.settings.comments,
                };
                let mut outcomes = Vec::with_capacity(submissions.len());
                for submission in submissions {
                    let outcome = batch.decide(submission, &mut self.clients).await;
                    outcomes.push(outcome.map_err(|error| unread(&self.id, &error))?);
                }
                (outcomes, batch.events(), batch.working)
            };
            if events.is_empty() {
                return Ok(outcomes);
            }
            let (stream, expected) = (self.stream.clone(), Expected::At(self.document.seq()));
            match self.live.log.append(Append { stream, expected, recorded_at, events }).await {
                Ok(_) => {
                    self.committed(working, recorded_at, &outcomes);
                    return Ok(outcomes);
                }
                Err(AppendError::Stale { .. }) => self.unsure = true,
                Err(AppendError::Repeated(recorded)) => {
                    let earlier = recorded.into_iter().map(|it| Arc::new(Committed::from_log(it)));
                    known.extend(earlier.map(|it| (it.message_id.clone(), it)));
                }
                Err(why @ (AppendError::Unavailable(_) | AppendError::Damaged(_))) => {
                    error!(document = %self.id, error = %why, "an append failed");
                    return Ok(self.find_out(outcomes).await);
                }
            }
            // What was decided in vain must not be remembered.
            self.clients = Clients::default();
        }
        error!(document = %self.id, attempts = ATTEMPTS, "others always appended first");
        Err("others always wrote first; nothing was recorded, send it again")
    }

    /// After an append that may or may not have happened: looks into the log before anything is said.
    async fn find_out(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        (self.unsure, self.clients) = (true, Clients::default());
        let why = match self.read_tail().await {
            Ok(()) => "the log cannot be written now; nothing was recorded, send it again later",
            Err(error) => {
                self.unread(&error);
                "the log cannot be written now; whether it was recorded is not known, send it again as it is"
            }
        };
        let find_out = |outcome| match outcome {
            // It happened after all, and has been delivered to everybody with the rest of the tail.
            Outcome::Accepted(it) if self.recent.find(&it.message_id).is_some() => Outcome::Delivered,
            Outcome::Accepted(_) => Outcome::Rejected(Rejection::StorageUnavailable { why }),
            Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => outcome,
        };
        outcomes.into_iter().map(find_out).collect()
    }

    /// The log has the batch: the working copy becomes the document.
    fn committed(&mut self, working: Document, recorded_at: Timestamp, outcomes: &[Outcome]) {
        let has_edits = working.version() > self.document.version();
        self.document = working;
        self.recorded_at = recorded_at;
        if has_edits {
            self.document.modified_at(recorded_at);
        }
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

    /// Takes in what others have appended, or what an append of unknown outcome has left in the log.
    pub(super) async fn read_tail(&mut self) -> Result<(), ReadError> {
        const PAGE: usize = 500;
        loop {
            let page = self.live.log.read(&self.stream, self.document.seq(), PAGE).await?;
            if page.is_empty() {
                self.unsure = false;
                return Ok(());
            }
            for recorded in page {
                let (seq, recorded_at) = (recorded.seq, recorded.recorded_at);
                if let Err(why) = self.take_in(&recorded.event, recorded_at) {
                    let stream = self.stream.clone();
                    return Err(Damaged { stream, seq, why: why.to_string() }.into());
                }
                let event = Arc::new(Committed::from_log(recorded));
                self.presence.edited(&event);
                self.recent.push(Arc::clone(&event));
                self.deliver(&[event]);
            }
        }
    }

    fn take_in(&mut self, event: &Event, recorded_at: Timestamp) -> Result<(), Misfit> {
        match event {
            Event::Edited(edited) => {
                self.document.apply_edit(&edited.applied, &edited.placed)?;
                self.document.modified_at(recorded_at);
            }
            Event::Commented(commented, _) => self.document.comment(commented)?,
        }
        self.recorded_at = recorded_at;
        Ok(())
    }

    fn unread(&self, error: &ReadError) -> &'static str {
        unread(&self.id, error)
    }
}

fn unread(document: &DocumentId, why: &ReadError) -> &'static str {
    error!(%document, error = %why, "the log could not be read");
    "the log cannot be read now; send it again later"
}
