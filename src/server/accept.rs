//! TCP connections: accepted, counted, served. Every one counts towards `limits.connections` from the moment it is accepted,
//! and none is kept that stands still: headers and bodies have to come and answers have to be taken within
//! `server.io_timeout`, which every step forward extends. WebSockets have deadlines of their own (`heartbeat.timeout`).

use std::{
    convert::Infallible,
    future::ready,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::Either;
use http::{HeaderValue, StatusCode, header};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep, timeout},
};
use tracing::{debug, warn};

use crate::telemetry::Refusal;

use super::{
    Shared, hosts,
    peer::Peer,
    problem::{Code, Problem},
    rest,
    routes::{self, Routes},
};

/// Connections beyond `limits.connections` that are told so, and may ask how the service is. Still more are closed at once.
const SURPLUS: usize = 64;
/// How long a plain HTTP connection may take to end when the server stops.
const HTTP_GRACE: Duration = Duration::from_secs(1);
/// After a failure to accept (out of file descriptors), a pause instead of a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection among those that are open, until the last that goes on over it has ended.
#[derive(Clone)]
pub(super) struct Slot(Arc<Counted>);

struct Counted {
    shared: Arc<Shared>,
    /// How many were open with it when it was accepted.
    number: usize,
}

impl Slot {
    fn take(shared: &Arc<Shared>) -> Self {
        let number = shared.open.fetch_add(1, Ordering::AcqRel) + 1;
        Self(Arc::new(Counted { shared: Arc::clone(shared), number }))
    }

    /// Whether it is one of `limits.connections`.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.0.number <= self.0.shared.settings.limits.connections {
            return Ok(());
        }
        Err(Problem::new(Code::TooManyConnections, "too many connections; try again later"))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
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
                    let slot = Slot::take(&self);
                    if slot.0.number > self.settings.limits.connections + SURPLUS {
                        self.metrics.handshake_refused(Refusal::TooManyConnections);
                        continue;
                    }
                    // Without this, small frames would wait for the acknowledgement of the ones before.
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%peer, %error, "TCP_NODELAY could not be set");
                    }
                    let shared = Arc::clone(&self);
                    self.sessions.spawn(shared.serve_connection((stream, peer), slot, routes.clone()));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    if !is_of_the_peer(&error) {
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn serve_connection(self: Arc<Self>, (stream, peer): (TcpStream, SocketAddr), slot: Slot, routes: Routes) {
        let (patience, is_upgraded) = (self.settings.server.io_timeout, Arc::new(AtomicBool::new(false)));
        let stream = Impatient { stream, patience, is_upgraded: Arc::clone(&is_upgraded), waiting: None };
        let routes = TowerToHyperService::new(warp::service(routes));
        let shared = Arc::clone(&self);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let host = hosts::check(request.uri(), request.version(), request.headers(), &shared.settings);
            let answer = if let Err(problem) = host {
                Either::Left(ready(Ok(rest::refused(&shared.metrics, request.method(), &problem))))
            } else {
                request.extensions_mut().insert(Peer(peer.ip()));
                request.extensions_mut().insert(slot.clone());
                Either::Right(routes.call(request))
            };
            let (slot, is_upgraded) = (slot.clone(), Arc::clone(&is_upgraded));
            async move {
                let mut response = answer.await?;
                is_upgraded.fetch_or(response.status() == StatusCode::SWITCHING_PROTOCOLS, Ordering::Relaxed);
                if slot.check().is_err() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of the request before, so it holds for a connection that is idle as well.
            .header_read_timeout(patience)
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
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A stream that fails when the other side takes nothing of what is written for too long, until it becomes a WebSocket.
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    is_upgraded: Arc<AtomicBool>,
    /// Until when something has to be taken, while something waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() || self.is_upgraded.load(Ordering::Relaxed) {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was taken for server.io_timeout")))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
