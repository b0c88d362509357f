//! The composition root: puts the parts together, for production and for tests alike.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    auth::{Authenticator, SetupError},
    clock::Clock,
    domain::{CommentLimits, NodeId},
    event_log::{EventLog, OpenError, Options, ReadError},
    live::{DocumentSettings, Keeper, Live, Node},
    server::Shared,
    settings::Settings,
    telemetry::Metrics,
};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The event log could not be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The settings for authentication cannot be used.
    #[error(transparent)]
    Auth(#[from] SetupError),
    /// Nobody knows who is shut out, or being erased.
    #[error("the revocations cannot be read: {0}")]
    Revocations(ReadError),
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        error: io::Error,
    },
}

/// How often is looked for erasures that were interrupted, here or elsewhere.
const FINISH_EVERY: Duration = Duration::from_mins(1);
/// How much of `server.shutdown_grace` is kept for closing the log, at most.
const LOG_GRACE: Duration = Duration::from_secs(2);

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct App;

/// A service that runs.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    grace: Duration,
    listening: [JoinHandle<()>; 2],
    _upkeep: [DropGuard; 6],
}

impl App {
    /// Opens the log, listens, and serves until [`Running::shutdown`].
    pub async fn start(settings: Settings, clock: Clock) -> Result<Running, StartError> {
        let metrics = Metrics::new();
        let authenticator = Authenticator::from_settings(&settings.auth)?;
        if let Some(keys) = authenticator.keys() {
            info!(%keys, "read the keys");
        }
        let database = &settings.database;
        let url = database.url.expose().to_owned();
        let (readers, lanes) = (database.pool, database.lanes);
        let nats = settings.cluster.nats();
        let rings = nats.is_some();
        let log = EventLog::open(Options { url, readers, lanes, nats, metrics: metrics.clone() }).await?;
        if rings && !log.is_shared() {
            warn!("cluster.doorbell is \"nats\", but a log in a file rings for nobody");
        }
        let log = log.keeping_snapshots(settings.snapshots.keep).keeping_history(settings.snapshots.history_every);
        let log = log.keeping_projections(settings.projections.every_events);
        Self::start_on(log, authenticator, settings, (clock, metrics)).await
    }

    /// The same with a log that is open already.
    pub async fn start_on(
        log: EventLog,
        authenticator: Authenticator,
        settings: Settings,
        (clock, metrics): (Clock, Metrics),
    ) -> Result<Running, StartError> {
        let wanted = &settings.server.listen;
        let listen = |error| StartError::Listen { address: wanted.to_string(), error };
        let listener = TcpListener::bind(wanted.addresses()).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let documents = document_settings(&settings);
        let node = Node::new(node_id(&settings), &clock, settings.cluster.lease);
        let kept = (settings.snapshots.clone(), settings.presence.clone());
        let live = Live::new(log.clone(), clock.clone(), (metrics.clone(), node), documents, kept);
        live.settle_in().await;
        let (doorbell, revoking, poll) = (log.doorbell(), log.doorbell(), settings.cluster.poll);
        let listening = Arc::clone(&live).listen(doorbell, poll);
        let (grace, upkeep_every) = (settings.server.shutdown_grace, settings.metrics.upkeep);
        let poll_every = settings.auth.revocations_poll;
        let (trimmed, living) = (Arc::clone(&live), Arc::clone(&live));
        let (keeper, keep_every) = (Arc::new(Keeper::new(log.clone(), metrics.clone())), settings.projections.interval);
        let shared = Shared::new((live, log), authenticator, settings, (clock, metrics));
        // Before anybody is let in.
        shared.refresh_shut_out().await.map_err(StartError::Revocations)?;
        #[expect(clippy::disallowed_methods, reason = "ended with the service, and has nothing to finish")]
        let listening = [tokio::spawn(listening), tokio::spawn(Arc::clone(&shared).listen(revoking))];
        let (samples, tended, erasing) = (shared.metrics.clone(), Arc::clone(&shared), Arc::clone(&shared));
        let upkeep = [
            spawn_every(upkeep_every, move || {
                samples.run_upkeep();
                std::future::ready(())
            }),
            spawn_every(poll_every, move || {
                let tended = Arc::clone(&tended);
                async move { tended.tend().await }
            }),
            spawn_after(Duration::ZERO, FINISH_EVERY, move || {
                let erasing = Arc::clone(&erasing);
                async move { erasing.finish_erasures().await }
            }),
            spawn_every(trimmed.time_between_trims(), move || {
                let trimmed = Arc::clone(&trimmed);
                async move { trimmed.trim_all_presence().await }
            }),
            spawn_every(living.time_between_beats(), move || {
                let living = Arc::clone(&living);
                async move { living.stay_alive().await }
            }),
            spawn_every(keep_every, move || {
                let keeper = Arc::clone(&keeper);
                async move { keeper.keep_up().await }
            }),
        ];
        #[expect(clippy::disallowed_methods, reason = "the root task: everything else is spawned on a tracker")]
        let accepting = tokio::spawn(Arc::clone(&shared).serve(listener));
        info!(%address, "listening");
        Ok(Running { address, shared, accepting, grace, listening, _upkeep: upkeep })
    }
}

impl Running {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Reads the key files again. With bad ones the old keys stay.
    pub fn reload_keys(&self) {
        let authenticator = &self.shared.authenticator;
        match authenticator.reload(&self.shared.settings.auth) {
            Ok(()) => info!(keys = authenticator.keys().as_deref().unwrap_or("none"), "read the keys again"),
            Err(error) => error!(%error, "the keys were not read again; the old ones stay"),
        }
    }

    /// Stops accepting, tells every client, writes and answers what was accepted. Returns whether all that
    /// was done within `server.shutdown_grace`.
    pub async fn shutdown(self) -> bool {
        info!("stopping");
        // A part of the time is kept for the log: what was accepted has to be written, whoever dawdles.
        let for_log = (self.grace / 4).min(LOG_GRACE);
        let stop = async {
            self.shared.stop().await;
            self.shared.live.shutdown().await;
        };
        let everybody = timeout(self.grace.saturating_sub(for_log), stop).await;
        self.accepting.abort();
        self.listening.iter().for_each(JoinHandle::abort);
        let log = timeout(for_log, self.shared.log.close()).await;
        let in_time = everybody.is_ok() && log.is_ok();
        if !in_time {
            warn!(grace_seconds = self.grace.as_secs_f64(), "not everybody was done in time");
        }
        info!("stopped");
        in_time
    }
}

/// The name that the settings give, or one that no other process has.
fn node_id(settings: &Settings) -> NodeId {
    let id = settings.cluster.node_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    NodeId::parse(&id).expect("the settings were checked, and made up names are plain")
}

fn document_settings(settings: &Settings) -> DocumentSettings {
    let (documents, limits) = (&settings.documents, &settings.limits);
    DocumentSettings {
        auto_create: documents.auto_create,
        max_resume_events: documents.max_resume_events as u64,
        recent_edits: documents.recent_edits,
        batch: documents.batch,
        inbox: limits.document_inbox,
        idle_unload: documents.idle_unload,
        patience: settings.heartbeat.timeout,
        document_length: limits.document_length,
        comments: CommentLimits { comments: settings.limits.comments, bytes: settings.limits.comment_bytes },
    }
}

/// Does something again and again until its guard is dropped. For what need not be finished.
fn spawn_every<F: Future<Output = ()> + Send>(every: Duration, act: impl Fn() -> F + Send + 'static) -> DropGuard {
    spawn_after(every, every, act)
}

fn spawn_after<F: Future<Output = ()> + Send>(
    first: Duration,
    every: Duration,
    act: impl Fn() -> F + Send + 'static,
) -> DropGuard {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "ends with its guard, and has nothing to finish")]
    tokio::spawn(async move {
        let mut wait = first;
        while timeout(wait, stopped.cancelled()).await.is_err() {
            act().await;
            wait = every;
        }
    });
    stop.drop_guard()
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the key files again.
pub async fn serve(mut settings: Settings) -> Result<(), StartError> {
    settings.limits.connections = connections_with_files(settings.limits.connections);
    let mut terminate = signal(tokio::signal::unix::SignalKind::terminate());
    let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt());
    let mut hang_up = signal(tokio::signal::unix::SignalKind::hangup());
    let running = App::start(settings, Clock::system()).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => running.reload_keys(),
        }
    }
    running.shutdown().await;
    Ok(())
}

/// Files that are no connections: the database, the log, and who is just being told that there is no room.
const OTHER_FILES: usize = 128;

/// Every connection is an open file, of which many systems allow a process 1,024 until it asks for more. Asks for as many as
/// are needed, and answers how many connections that is enough for: whoever is one too many is to be told so.
fn connections_with_files(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = (wanted + OTHER_FILES) as u64;
    let Some(current) = current.filter(|current| *current < needed) else { return wanted };
    let asked = maximum.map_or(needed, |maximum| maximum.min(needed));
    let files = match setrlimit(Resource::Nofile, Rlimit { current: Some(asked), maximum }) {
        Ok(()) => usize::try_from(asked).unwrap_or(usize::MAX),
        Err(error) => {
            warn!(%error, "no more open files can be had");
            usize::try_from(current).unwrap_or(usize::MAX)
        }
    };
    let connections = files.saturating_sub(OTHER_FILES).max(files / 2).min(wanted);
    if connections < wanted {
        warn!(
            open_files = files,
            connections,
            "the system allows fewer open files than limits.connections needs (ulimit -H -n, LimitNOFILE): no more \
             connections than this are let in"
        );
    }
    connections
}

fn signal(kind: tokio::signal::unix::SignalKind) -> tokio::signal::unix::Signal {
    tokio::signal::unix::signal(kind).expect("signals can be listened to")
}
