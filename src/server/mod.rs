//! The HTTP server: routes, WebSocket sessions, health and metrics.

mod accept;
mod caller;
mod comments;
mod connection;
mod describe;
mod ending;
mod erase;
mod erasures;
mod handshake;
mod heard;
mod hosts;
mod limits;
mod peer;
mod people;
mod permission;
mod probes;
mod problem;
mod quota;
mod replay;
mod request;
mod rest;
mod revocations;
mod revoke;
mod routes;
mod session;
mod socket;
mod standing;
mod talk;
mod writer;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Authenticator,
    clock::Clock,
    domain::{Timestamp, TokenId, UserId},
    event_log::{Doorbell, EventLog, ReadError, Ring, StreamName},
    live::{ConnectionId, Encoder, Live},
    settings::Settings,
    telemetry::Metrics,
};

use accept::Slot;
use erasures::Erasures;
use limits::Buckets;
use people::People;
use problem::Problem;
use quota::Quota;
use revocations::Revocations;

/// What every request and every session needs.
pub struct Shared {
    /// Open documents.
    pub live: Arc<Live>,
    /// The event log.
    pub log: EventLog,
    /// Who may come in.
    pub authenticator: Authenticator,
    /// What the operator chose.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    sessions: TaskTracker,
    stopping: CancellationToken,
    open: AtomicUsize,
    last_connection: AtomicU64,
    people: Arc<People>,
    /// Whole documents as bytes, for all connections.
    encoder: Arc<Encoder>,
    revocations: Revocations,
    erasures: Erasures,
    address_connections: Buckets<IpAddr>,
    user_connections: Buckets<UserId>,
    address_requests: Buckets<IpAddr>,
    user_requests: Buckets<UserId>,
    /// Turns for questions that may take long: answering them must not keep everybody else from the log.
    long_questions: Arc<Quota>,
    /// Turns for imports, which may take seconds of a processor each: questions do not wait for them.
    imports: Arc<Quota>,
    /// Bytes of bodies that are under way or in work: of imports, and of all other requests.
    import_bytes: Arc<Quota>,
    body_bytes: Arc<Quota>,
}

/// What a WebSocket has: a connection that counts, its number, and where it comes from.
struct Place {
    _slot: Slot,
    /// Given before the upgrade is answered: of two connections the one that was opened later has the higher.
    connection: ConnectionId,
    /// Where its client is.
    address: IpAddr,
}

/// Questions that may take long and are answered at the same time: of all, and of one user.
const LONG_QUESTIONS: (usize, usize) = (8, 4);
/// Imports at the same time: of all, and of one user.
const IMPORTS: (usize, usize) = (2, 1);

impl Shared {
    /// Puts the parts together.
    pub fn new(
        (live, log): (Arc<Live>, EventLog),
        authenticator: Authenticator,
        settings: Settings,
        (clock, metrics): (Clock, Metrics),
    ) -> Arc<Self> {
        let limits = &settings.limits;
        let people = People::new(limits);
        Arc::new(Self {
            revocations: Revocations::new(log.clone(), (clock.clone(), metrics.clone()), Arc::clone(&people)),
            erasures: Erasures::new(
                log.clone(),
                clock.clone(),
                Arc::clone(&live),
                Arc::clone(&people),
                settings.auth.revocations_poll,
            ),
            people,
            encoder: Arc::new(Encoder::new(limits.sync_bytes, metrics.clone())),
            address_connections: Buckets::new(limits.address_connections),
            user_connections: Buckets::new(limits.user_connections),
            address_requests: Buckets::new(limits.address_requests),
            user_requests: Buckets::new(limits.user_requests),
            long_questions: Quota::new(LONG_QUESTIONS.0, LONG_QUESTIONS.1),
            imports: Quota::new(IMPORTS.0, IMPORTS.1),
            import_bytes: Quota::new(limits.body_bytes / 2, limits.body_bytes / 4),
            body_bytes: Quota::new(limits.body_bytes / 2, limits.body_bytes / 4),
            live,
            log,
            authenticator,
            settings,
            clock,
            metrics,
            sessions: TaskTracker::new(),
            stopping: CancellationToken::new(),
            open: AtomicUsize::new(0),
            last_connection: AtomicU64::new(0),
        })
    }

    /// Takes in who is newly shut out or being erased, and ends their connections.
    pub async fn refresh_shut_out(&self) -> Result<(), ReadError> {
        self.revocations.refresh().await?;
        self.erasures.refresh().await
    }

    /// Until when somebody is shut out, if they are.
    fn shut_out_until(&self, user: &UserId, token: Option<&TokenId>) -> Option<Timestamp> {
        self.revocations.until(user, token).max(self.erasures.until(user))
    }

    /// Finishes erasures of documents and of people that were interrupted.
    pub async fn finish_erasures(&self) {
        self.live.finish_erasures().await;
        self.erasures.finish().await;
    }

    /// Looks who is shut out as soon as it is said that somebody was, until the service ends.
    pub async fn listen(self: Arc<Self>, mut doorbell: Doorbell) {
        let [revocations, erasures] = [StreamName::revocations(), StreamName::erasures()];
        loop {
            match doorbell.next().await {
                Ring::Stream(stream, _) if stream == revocations => self.revocations.poll().await,
                Ring::Stream(stream, _) if stream == erasures => self.erasures.poll().await,
                Ring::Wanted(..) | Ring::Stream(..) => (),
                Ring::Many => {
                    self.revocations.poll().await;
                    self.erasures.poll().await;
                }
            }
        }
    }

    /// What has to be done every now and then; it is no matter when exactly.
    pub async fn tend(&self) {
        self.revocations.poll().await;
        self.erasures.poll().await;
        let now = tokio::time::Instant::now();
        self.address_connections.sweep(now);
        self.user_connections.sweep(now);
        self.address_requests.sweep(now);
        self.user_requests.sweep(now);
    }

    fn place(&self, slot: Slot, address: IpAddr) -> Result<Place, Problem> {
        slot.check()?;
        Ok(Place { _slot: slot, connection: self.next_connection(), address })
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.last_connection.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Stops accepting, tells every client, answers what was accepted, and waits until all have gone.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.sessions.close();
        self.sessions.wait().await;
    }
}
