//! An open document: one task that owns it, takes its commands in turn, and commits them in batches.
//!
//! All edits that wait are decided together on a working copy and handed to the log as one append. While
//! that commit is under way the next batch gathers in the inbox. Only after it does the working copy become
//! the document, and acknowledgements and broadcasts go out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tracing::error;

use crate::{
    domain::{DocumentId, MessageId, Rejection, Timestamp, Version},
    event_log::{Append, AppendError, Damaged, Expected, NewEvent, ReadError, StreamName},
    projection::Document,
    telemetry::TailRead,
};

use super::{
    Live,
    batch::{Batch, Clients, Outcome, Undecided, WaitingEdit},
    committed::Committed,
    presence::{Aside, Presence, WaitingPresence},
    recent::Recent,
    rings::Progress,
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
    /// An edit.
    Edit(Box<WaitingEdit>),
    /// A client says something of itself.
    Presence(Box<WaitingPresence>),
    /// A connection asks for the document again, or for what came after a version.
    Sync(ConnectionId, Option<Version>, Option<MessageId>),
    /// A connection ends. Answered when everything that it sent before has been answered.
    Leave(ConnectionId, oneshot::Sender<()>),
}

/// How an opening went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The connection gets everything from here on.
    Subscribed,
    /// What was missed is not in memory: read it from the log up to this version, then come again.
    CatchUp(Version),
    /// There is no such document, and it may not be made.
    NotFound,
    /// The log could not be read.
    Unavailable,
}

/// A batch of edits that only needs to be appended.
struct Decided {
    outcomes: Vec<Outcome>,
    events: Vec<NewEvent>,
    working: Document,
}

/// What a document's task does next.
enum Next {
    Command(Command),
    /// Others have written.
    Told,
    /// Nobody has needed the document for a while.
    Unneeded,
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
    progress: Arc<Progress>,
    /// How many commands were taken from the inbox, and how many had come when the end of the stream was
    /// last read.
    taken: usize,
    covered: usize,
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
        (inbox, progress): (mpsc::Receiver<Command>, Arc<Progress>),
    ) -> Result<Self, (mpsc::Receiver<Command>, ReadError)> {
        let stream = StreamName::document(&id);
        match super::load::document(&live.log, &stream, &live.metrics).await {
            Err(error) => Err((inbox, error)),
            Ok(loaded) => Ok(Self {
                recent: Recent::new(loaded.document.version(), live.settings.recent_edits),
                snapshots: Snapshots::new(loaded.snapshot_seq, loaded.document.seq()),
                document: loaded.document,
                presence: Presence::new(live.metrics.clone()),
                live,
                id,
                stream,
                inbox,
                clients: Clients::default(),
                subscribers: Vec::new(),
                progress,
                taken: 0,
                covered: 0,
                unsure: false,
            }),
        }
    }

    /// Serves the document until nobody has needed it for a while.
    pub(super) async fn run(mut self) -> mpsc::Receiver<Command> {
        self.progress.reach(self.document.seq());
        let mut edits = Vec::new();
        let mut next = None;
        loop {
            self.tell_if_due();
            let command = match next.take() {
                Some(command) => Next::Command(command),
                None => self.next().await,
            };
            if (self.unsure || self.progress.is_behind())
                && let Err(error) = self.read_tail(if self.unsure { TailRead::Unsure } else { TailRead::Rung }).await
            {
                self.unread(&error);
            }
            match command {
                Next::Command(Command::Edit(edit)) => {
                    let mut aside = Aside::default();
                    next = self.gather(*edit, &mut edits, &mut aside);
                    self.commit(&edits, aside).await;
                    edits.clear();
                }
                Next::Command(Command::Join(subscriber, opening, reply)) => match self.catch_up().await {
                    Ok(()) => self.join(*subscriber, opening, reply),
                    Err(error) => {
                        self.unread(&error);
                        let _ = reply.send(Joined::Unavailable);
                    }
                },
                Next::Command(Command::Presence(said)) => self.hear(*said),
                Next::Command(Command::Sync(connection, since, message)) => self.sync(connection, since, message),
                Next::Command(Command::Leave(connection, reply)) => {
                    if let Some(at) = self.subscribers.iter().position(|it| it.connection == connection) {
                        let gone = self.subscribers.remove(at);
                        self.exit(&gone);
                    }
                    // Nobody waits for the answer if the connection is gone altogether.
                    let _ = reply.send(());
                }
                Next::Told => (),
                Next::Unneeded => {
                    self.tell();
                    return self.inbox;
                }
            }
        }
    }

    /// What to do next.
    async fn next(&mut self) -> Next {
        loop {
            let idle = self.live.settings.idle_unload;
            let idle = if self.subscribers.is_empty() { idle } else { Duration::MAX };
            let until_due = self.presence.due().map(|due| due.saturating_duration_since(Instant::now()));
            tokio::select! {
                biased;
                command = self.inbox.recv() => {
                    self.taken += 1;
                    return command.map_or(Next::Unneeded, Next::Command);
                }
                () = self.progress.told() => return Next::Told,
                () = sleep(until_due.map_or(idle, |due| due.min(idle))) => match until_due {
                    Some(_) => self.tell_if_due(),
                    None if self.live.directory.unlist(&self.id, &self.inbox) => return Next::Unneeded,
                    None => (),
                },
            }
        }
    }

    /// Reads what others may have written before somebody comes here who has perhaps just been there: what
    /// they know already must not be news to this node. Those who came while it read need not wait for
    /// another time.
    async fn catch_up(&mut self) -> Result<(), ReadError> {
        if self.taken <= self.covered {
            return Ok(());
        }
        let covered = self.taken + self.inbox.len();
        self.read_tail(TailRead::Opening).await?;
        self.covered = covered;
        Ok(())
    }

    /// Takes the edits that wait, up to the first command of another kind. What clients say of themselves in
    /// between is put aside: it must not make batches small.
    fn gather(&mut self, first: WaitingEdit, edits: &mut Vec<WaitingEdit>, aside: &mut Aside) -> Option<Command> {
        let mut bytes = 0;
        let mut next = Some(Command::Edit(Box::new(first)));
        loop {
            match next {
                // What a connection sent before another took over, or before it was cut off, may come after
                // that: it was never acknowledged, and its owner sends it again.
                Some(Command::Edit(edit)) if self.subscriber(edit.connection).is_some() => {
                    bytes += edit.message.received.get().len();
                    edits.push(*edit);
                }
                Some(Command::Edit(_)) => (),
                Some(Command::Presence(said)) => aside.push(edits.len(), *said),
                Some(other @ (Command::Join(..) | Command::Sync(..) | Command::Leave(..))) => return Some(other),
                None => return None,
            }
            if edits.len() >= self.live.settings.batch || bytes >= BATCH_BYTES || aside.is_full() {
                return None;
            }
            next = self.inbox.try_recv().ok();
            self.taken += usize::from(next.is_some());
        }
    }

    async fn commit(&mut self, edits: &[WaitingEdit], aside: Aside) {
        if edits.is_empty() {
            return self.hear_aside(aside, self.document.version(), &[], &[]);
        }
        let before = self.document.version();
        let outcome = match self.try_commit(edits).await {
            Ok(outcomes) => outcomes,
            Err(why) => {
                self.clients = Clients::default();
                let unavailable = || Outcome::Rejected(Rejection::StorageUnavailable { why });
                edits.iter().map(|_| unavailable()).collect()
            }
        };
        self.answer(edits, &outcome);
        self.hear_aside(aside, before, edits, &outcome);
        self.live.metrics.batch_size(edits.len());
    }

    /// Decides and appends, again and again while others are faster.
    async fn try_commit(&mut self, edits: &[WaitingEdit]) -> Result<Vec<Outcome>, &'static str> {
        let mut known = HashMap::new();
        for _ in 0..ATTEMPTS {
            if self.unsure || self.progress.is_behind() {
                let why = if self.unsure { TailRead::Unsure } else { TailRead::LostRace };
                self.read_tail(why).await.map_err(|error| self.unread(&error))?;
            }
            let recorded_at = self.live.clock.now().max(self.document.last_modified().unwrap_or_default());
            let Decided { outcomes, events, working } = match self.decide(edits, &known, recorded_at).await {
                Ok(decided) => decided,
                Err(Undecided::Unread(error)) => return Err(self.unread(&error)),
                Err(Undecided::Behind(seq)) => {
                    self.progress.tell(seq);
                    self.clients = Clients::default();
                    continue;
                }
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
                Err(AppendError::Stale { head }) => self.unsure = !self.progress.tell(head),
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

    async fn decide(
        &mut self,
        edits: &[WaitingEdit],
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
            accepted: Vec::with_capacity(edits.len()),
            by_message: HashMap::with_capacity(edits.len()),
            timestamp: recorded_at.to_rfc3339().into(),
            length_limit: self.live.settings.document_length,
        };
        let mut outcomes = Vec::with_capacity(edits.len());
        for edit in edits {
            outcomes.push(batch.decide(edit, &mut self.clients).await?);
        }
        Ok(Decided { outcomes, events: batch.events(), working: batch.working })
    }

    /// After an append that may or may not have happened: looks into the log before anything is said.
    async fn find_out(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        (self.unsure, self.clients) = (true, Clients::default());
        let why = match self.read_tail(TailRead::Unsure).await {
            Ok(()) => "the log cannot be written now; nothing was recorded, send it again later",
            Err(error) => {
                self.unread(&error);
                "the log cannot be written now; whether it was recorded is not known, send it again as it is"
            }
        };
        let find_out = |outcome| match outcome {
            // It happened after all, and has been delivered to everybody with the rest of the tail.
            Outcome::Accepted(edit) if self.recent.find(&edit.message_id).is_some() => Outcome::Delivered,
            Outcome::Accepted(_) => Outcome::Rejected(Rejection::StorageUnavailable { why }),
            Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => outcome,
        };
        outcomes.into_iter().map(find_out).collect()
    }

    /// The log has the batch: the working copy becomes the document.
    fn committed(&mut self, working: Document, recorded_at: Timestamp, outcomes: &[Outcome]) {
        self.document = working;
        self.document.modified_at(recorded_at);
        self.progress.reach(self.document.seq());
        for outcome in outcomes {
            if let Outcome::Accepted(edit) = outcome {
                self.snapshots.recorded(edit.cause().received.get().len());
                self.presence.edited(edit);
                self.recent.push(Arc::clone(edit));
            }
        }
        if self.snapshots.is_due(&self.live.snapshots, self.document.content()) {
            self.snapshots.save(&self.live, &self.stream, &self.document);
        }
    }

    /// Takes in what others have appended, or what an append of unknown outcome has left in the log.
    async fn read_tail(&mut self, why: TailRead) -> Result<(), ReadError> {
        const PAGE: usize = 500;
        self.live.metrics.tail_read(why);
        loop {
            let page = self.live.log.read(&self.stream, self.document.seq(), PAGE).await?;
            let Some(last) = page.last().map(|recorded| recorded.recorded_at) else { break };
            let mut edits = Vec::with_capacity(page.len());
            for recorded in page {
                let (seq, recorded_at) = (recorded.seq, recorded.recorded_at);
                let edit = Arc::new(Committed::from_log(recorded));
                if let Err(reason) = self.document.edit(&edit.edit.applied) {
                    let stream = self.stream.clone();
                    return Err(Damaged { stream, seq, why: reason.to_string() }.into());
                }
                self.document.modified_at(recorded_at);
                self.presence.edited(&edit);
                self.recent.push(Arc::clone(&edit));
                // What is remembered of its client ends before it, and must not take it for somebody else's.
                self.clients.forget(&edit.client);
                edits.push(edit);
            }
            self.deliver(&edits);
            self.progress.reach(self.document.seq());
            let lag = u64::try_from(self.live.clock.now().0 - last.0).unwrap_or_default();
            self.live.metrics.taken_in(edits.len(), Duration::from_micros(lag));
            // Who knows what they were looking for need not find the end.
            if matches!(why, TailRead::Rung | TailRead::LostRace) && !self.progress.is_behind() {
                break;
            }
        }
        self.unsure = false;
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
