//! The HTTP server: routes, WebSocket sessions, health and metrics.

mod connection;
mod ending;
mod handshake;
mod heard;
mod permission;
mod problem;
mod request;
mod routes;
mod session;
mod socket;
mod standing;
mod writer;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    auth::Authenticator,
    clock::Clock,
    event_log::EventLog,
    live::{ConnectionId, Live},
    settings::Settings,
    telemetry::Metrics,
};

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
}

/// A place among `limits.connections`, given back when dropped, and the number of the connection that has it.
struct Place {
    shared: Arc<Shared>,
    /// Given before the upgrade is answered: of two connections the one that was opened later has the higher.
    connection: ConnectionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Headers must have come within this time: a connection that says nothing takes no place for long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a plain HTTP connection may take to end when the server stops.
const HTTP_GRACE: Duration = Duration::from_secs(1);
/// After a failure to accept (out of file descriptors), a pause instead of a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Shared {
    /// Puts the parts together.
    pub fn new(
        (live, log): (Arc<Live>, EventLog),
        authenticator: Authenticator,
        settings: Settings,
        (clock, metrics): (Clock, Metrics),
    ) -> Arc<Self> {
        Arc::new(Self {
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

    fn place(self: &Arc<Self>) -> Option<Place> {
        let place = Place { shared: Arc::clone(self), connection: self.next_connection() };
        (self.open.fetch_add(1, Ordering::AcqRel) < self.settings.limits.connections).then_some(place)
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.last_connection.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Accepts connections until [`Self::stop`].
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let routes = routes::all(&self);
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Without this, small frames would wait for the acknowledgement of the ones before.
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%peer, %error, "TCP_NODELAY could not be set");
                    }
                    let shared = Arc::clone(&self);
                    self.sessions.spawn(shared.serve_connection(stream, peer, routes.clone()));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    if !is_of_the_peer(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, routes: routes::Routes) {
        let service = TowerToHyperService::new(warp::service(routes));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                // One who has not even finished asking is not waited for.
                timeout(HTTP_GRACE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "an HTTP connection ended early");
        }
    }

    /// Stops accepting, tells every client, answers what was accepted, and waits until all have gone.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.sessions.close();
        self.sessions.wait().await;
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
