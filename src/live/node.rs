//! Which process this is, and what becomes of the people of those that are no more.
//!
//! Every life of a process is in the log, with the documents where it has people. One that ended without a
//! goodbye leaves them there; whoever notices records that they have left. On a SQLite file that is the next process that
//! starts or looks around, for the system tells which ones have ended. On Postgres it is the same process when it starts again, or
//! another one when the lease has run out. To do so twice changes nothing.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    domain::{ConnectionName, DocumentId, Left, MessageId, NodeId, PresenceEvent},
    event_log::{Known, Life, LifeSign, NewPresence, ReadError, StreamName, Unavailable},
    telemetry::Rung,
};

use super::{
    Live,
    command::{Command, ConnectionId},
};

/// This process among those that share a log, in this life of it.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    life: AtomicU64,
    events: AtomicU64,
    beats: AtomicU64,
    /// Whether the log knows of this life, and whether earlier ones have been cleared up after.
    is_known: AtomicBool,
    is_clear: AtomicBool,
    lease: Duration,
    /// What was seen of others, and when it was new.
    seen: Mutex<HashMap<Life, (u64, Instant)>>,
}

/// The most characters of a node's id that its events' names begin with.
const PREFIX: usize = 64;
/// A life beats so often within its lease: one beat may be lost.
const BEATS: u32 = 3;

impl Node {
    /// A life that is about to begin.
    pub fn new(id: NodeId, clock: &Clock, lease: Duration) -> Self {
        Self {
            id,
            // Until the log has given it a number, the time is one.
            life: AtomicU64::new(u64::try_from(clock.now().0).unwrap_or_default()),
            events: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            is_known: AtomicBool::new(false),
            is_clear: AtomicBool::new(false),
            lease,
            seen: Mutex::default(),
        }
    }

    /// The life that this is.
    pub(super) fn life(&self) -> Life {
        Life { node: self.id.clone(), incarnation: self.life.load(Ordering::Acquire) }
    }

    /// The full name of a connection of this process.
    pub(super) fn connection(&self, connection: ConnectionId) -> ConnectionName {
        let Life { node, incarnation } = self.life();
        ConnectionName { node, incarnation, number: connection.0 }
    }

    /// Whether a connection is one of this process, in this life of it.
    pub(super) fn is_own(&self, connection: &ConnectionName) -> bool {
        connection.node == self.id && connection.incarnation == self.life.load(Ordering::Acquire)
    }

    /// Whether a connection is one of this process, in an earlier life of it.
    pub(super) fn was_own(&self, connection: &ConnectionName) -> bool {
        connection.node == self.id && !self.is_own(connection)
    }

    /// A name that no other event in any presence stream has.
    pub(super) fn next_event(&self) -> MessageId {
        let number = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("{}{number}", self.prefix());
        MessageId::parse(&text).expect("plain characters, and not many")
    }

    /// Whether this process gave an event its name, in this life.
    pub(super) fn named(&self, event: &MessageId) -> bool {
        event.as_str().starts_with(&self.prefix())
    }

    fn prefix(&self) -> String {
        let node: String = self.id.as_str().chars().take(PREFIX).collect();
        format!("{node}.{}.", self.life.load(Ordering::Acquire))
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Life, (u64, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these are over: those that the log knows to be gone. Where it knows nothing: earlier ones of this process, and
    /// those that have not beaten for as long as their leases say, counted from when this process first saw their last
    /// beat.
    fn over(&self, signs: Vec<LifeSign>) -> Vec<LifeSign> {
        let (own, now) = (self.life(), Instant::now());
        let mut seen = self.seen();
        seen.retain(|life, _| signs.iter().any(|sign| sign.life == *life));
        let is_over = |sign: &LifeSign| {
            match sign.known {
                Known::Alive => return false,
                Known::Gone => return sign.life != own,
                Known::Nothing => (),
            }
            if sign.life.node == own.node {
                return sign.life.incarnation < own.incarnation;
            }
            let (beats, since) = seen.entry(sign.life.clone()).or_insert((sign.beats, now));
            if *beats != sign.beats {
                (*beats, *since) = (sign.beats, now);
            }
            now.duration_since(*since) >= sign.lease
        };
        signs.into_iter().filter(is_over).collect()
    }
}

/// The name of the event that a connection of a life that is over has left: the same whoever records it.
pub(super) fn ghost(connection: &ConnectionName) -> MessageId {
    let ConnectionName { node, incarnation, number } = connection;
    let node: String = node.as_str().chars().take(PREFIX).collect();
    MessageId::parse(&format!("left.{node}.{incarnation}.{number}")).expect("plain characters, and not many")
}

impl Live {
    /// Begins this life, and clears up after earlier ones. To be done before anybody is let in; what the log
    /// does not allow now is done later.
    pub async fn settle_in(&self) {
        if let Err(error) = self.try_to_settle_in().await {
            warn!(%error, "who was here before could not be looked up yet");
        }
    }

    async fn try_to_settle_in(&self) -> Result<(), ReadError> {
        if !self.node.is_known.load(Ordering::Acquire) {
            self.begin_again().await?;
        }
        if !self.node.is_clear.load(Ordering::Acquire) {
            self.clear_up().await?;
            self.node.is_clear.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Records that the people of all lives that are over have left.
    async fn clear_up(&self) -> Result<(), ReadError> {
        for sign in self.node.over(self.log.lives().await?) {
            self.clear(&sign).await?;
        }
        Ok(())
    }

    /// Ends this life, if all who were here are known to have left: else whoever comes next clears up.
    pub(super) async fn end_life(&self) {
        let life = self.node.life();
        let ended = match self.log.documents_of_life(&life).await {
            Ok(documents) if documents.is_empty() => self.log.end_life(&life).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            warn!(%error, "this node's end was not recorded; it will be cleared up after");
        }
    }

    /// How long to wait between two rounds of [`Self::stay_alive`].
    pub fn time_between_beats(&self) -> Duration {
        self.node.lease / BEATS
    }

    /// Beats, and clears up after those that no longer do.
    pub async fn stay_alive(&self) {
        let is_settled = self.node.is_known.load(Ordering::Acquire) && self.node.is_clear.load(Ordering::Acquire);
        if !is_settled {
            return self.settle_in().await;
        }
        if !self.log.is_shared() {
            // The lock of this process says that it is alive.
            if let Err(error) = self.clear_up().await {
                warn!(%error, "other processes that have ended could not be looked up");
            }
        } else if let Err(error) = self.beat().await {
            warn!(%error, "this node could not renew its lease");
        }
    }

    /// One beat, and a look at the others.
    pub(super) async fn beat(&self) -> Result<(), ReadError> {
        let (life, beats) = (self.node.life(), self.node.beats.load(Ordering::Acquire));
        if self.log.beat(&life, beats).await? {
            self.node.beats.store(beats + 1, Ordering::Release);
        } else if self.log.lives().await?.iter().any(|sign| sign.life == life && sign.beats == beats + 1) {
            // A beat of ours whose answer was lost, or somebody who has just claimed this life: the next beat tells.
            self.node.beats.store(beats + 1, Ordering::Release);
        } else {
            warn!("this node's lease had run out: others took it for dead, and its people come again");
            self.begin_again().await?;
        }
        self.clear_up().await
    }

    /// Begins a life. Whoever is here already comes again in it.
    async fn begin_again(&self) -> Result<(), Unavailable> {
        let life = self.log.begin_life(&self.node.id, self.clock.now(), self.node.lease).await?;
        self.node.beats.store(0, Ordering::Release);
        self.node.life.store(life.incarnation, Ordering::Release);
        self.node.is_known.store(true, Ordering::Release);
        for handle in self.directory.all() {
            // A document that has just been closed has nobody in it.
            let _ = handle.send(Command::EnterAgain).await;
        }
        Ok(())
    }

    /// Records that all people of a life that is over have left, unless somebody else is at it.
    async fn clear(&self, sign: &LifeSign) -> Result<(), ReadError> {
        let LifeSign { life, beats, .. } = sign;
        if !self.log.beat(life, *beats).await? {
            return Ok(());
        }
        let documents = self.log.documents_of_life(life).await?;
        for document in &documents {
            match self.clear_in(life, document).await {
                // Of what is erased nobody needs to know who was there.
                Ok(()) | Err(ReadError::Erased(_)) => (),
                // It is only presence: a stream that cannot be read holds up nobody.
                Err(ReadError::Damaged(error)) => warn!(%document, %error, "who was here cannot be read"),
                Err(error @ ReadError::Unavailable(_)) => return Err(error),
            }
        }
        self.log.end_life(life).await?;
        let Life { node, incarnation } = life;
        info!(%node, incarnation, documents = documents.len(), "cleared up after a node that ended without a goodbye");
        Ok(())
    }

    async fn clear_in(&self, life: &Life, document: &DocumentId) -> Result<(), ReadError> {
        let saved = self.log.presence(document).await?;
        let mut gone = Vec::new();
        for (user, present) in saved.presence.users() {
            let ghosts = present.connections.keys();
            for ghost in ghosts.filter(|it| it.node == life.node && it.incarnation == life.incarnation) {
                let event = PresenceEvent::Left(Left { connection: ghost.clone(), user: user.clone() });
                gone.push(NewPresence { id: self::ghost(ghost), version: saved.version, event });
            }
        }
        let end = self.log.append_presence(document, self.clock.now(), &gone).await?;
        self.ring(&StreamName::presence(document), end, Rung::Stream);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;
    use crate::{
        domain::{ClientId, CommentLimits, Joined, Profile, Timestamp, UserId, Version},
        event_log::{EventLog, SavedPresence},
        live::DocumentSettings,
        settings::Settings,
        telemetry::Metrics,
    };

    const LEASE: Duration = Duration::from_secs(30);

    fn live(log: &EventLog, node: &str, clock: &Clock) -> Arc<Live> {
        let documents = DocumentSettings {
            auto_create: true,
            max_resume_events: 100,
            recent_edits: 100,
            batch: 10,
            inbox: 10,
            idle_unload: LEASE,
            patience: LEASE,
            document_length: 1_000,
            comments: CommentLimits { comments: 10, bytes: 1_000 },
        };
        let settings = Settings::default();
        let node = Node::new(NodeId::parse(node).unwrap(), clock, LEASE);
        let kept = (settings.snapshots, settings.presence);
        Live::new(log.clone(), clock.clone(), (Metrics::new(), node), documents, kept)
    }

    fn document() -> DocumentId {
        DocumentId::parse("d").unwrap()
    }

    /// Somebody comes in at a node, past all but the log.
    async fn joins(live: &Live, log: &EventLog, user: &str, number: u64) {
        let event = PresenceEvent::Joined(Joined {
            connection: live.node.connection(ConnectionId(number)),
            user: UserId::parse(user).unwrap(),
            client: ClientId::parse("c").unwrap(),
            profile: Arc::new(Profile::default()),
        });
        log.note_people(&live.node.life(), &document(), true).await.unwrap();
        let new = NewPresence { id: live.node.next_event(), version: Version(0), event };
        log.append_presence(&document(), Timestamp(1), &[new]).await.unwrap();
    }

    async fn here(log: &EventLog) -> Vec<String> {
        let SavedPresence { presence, .. } = log.presence(&document()).await.unwrap();
        presence.users().map(|(id, _)| id.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_people_of_a_node_whose_lease_has_run_out_have_left() {
        let (log, clock) = (EventLog::memory(), Clock::manual(Timestamp(5)));
        let (sleeper, other) = (live(&log, "sleeper", &clock), live(&log, "other", &clock));
        sleeper.begin_again().await.unwrap();
        other.begin_again().await.unwrap();
        let pass = async || {
            clock.advance(LEASE / 2);
            advance(LEASE / 2).await;
        };
        joins(&sleeper, &log, "ann", 1).await;
        joins(&sleeper, &log, "ben", 2).await;
        joins(&other, &log, "eve", 1).await;
        for _ in 0..5 {
            pass().await;
            sleeper.beat().await.unwrap();
            other.beat().await.unwrap();
        }
        assert_eq!(here(&log).await, ["ann", "ben", "eve"], "as long as it beats");
        pass().await;
        other.beat().await.unwrap();
        assert_eq!(here(&log).await, ["ann", "ben", "eve"], "and a while longer");
        pass().await;
        other.beat().await.unwrap();
        assert_eq!(here(&log).await, ["eve"]);
        assert_eq!(log.lives().await.unwrap().len(), 1);
        // It was only asleep: it finds out, and begins a life of its own.
        let before = sleeper.node.life();
        sleeper.beat().await.unwrap();
        assert!(sleeper.node.life().incarnation > before.incarnation);
        assert_eq!(log.lives().await.unwrap().len(), 2);
        other.beat().await.unwrap();
        sleeper.beat().await.unwrap();
        assert_eq!(here(&log).await, ["eve"]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_clears_up_and_a_second_time_changes_nothing() {
        let (log, clock) = (EventLog::memory(), Clock::manual(Timestamp(5)));
        let dead = live(&log, "dead", &clock);
        dead.settle_in().await;
        joins(&dead, &log, "ann", 1).await;
        let (one, two) = (live(&log, "one", &clock), live(&log, "two", &clock));
        one.begin_again().await.unwrap();
        two.begin_again().await.unwrap();
        let sign = log.lives().await.unwrap().into_iter().find(|sign| sign.life == dead.node.life()).unwrap();
        one.clear_in(&sign.life, &document()).await.unwrap();
        // It dies before it has finished; another one begins at the same place, and a third comes too late.
        one.clear_in(&sign.life, &document()).await.unwrap();
        two.clear(&sign).await.unwrap();
        one.clear(&sign).await.unwrap();
        assert!(here(&log).await.is_empty());
        assert_eq!(log.read_presence(&document(), crate::domain::Seq(0), 10).await.unwrap().len(), 2);
        assert_eq!(log.lives().await.unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_comes_back_clears_up_after_itself_at_once() {
        let (log, clock) = (EventLog::memory(), Clock::manual(Timestamp(5)));
        let before = live(&log, "node", &clock);
        before.settle_in().await;
        joins(&before, &log, "ann", 1).await;
        let again = live(&log, "node", &clock);
        again.settle_in().await;
        assert!(here(&log).await.is_empty());
        joins(&again, &log, "ann", 1).await;
        assert_eq!(here(&log).await, ["ann"], "the same user with the same number, in another life");
        again.end_life().await;
        assert_eq!(log.lives().await.unwrap().len(), 1, "she has not left: somebody has to clear up");
        log.note_people(&again.node.life(), &document(), false).await.unwrap();
        again.end_life().await;
        assert!(log.lives().await.unwrap().is_empty());
    }
}
