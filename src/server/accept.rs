//! TCP connections: accepted, counted, served. Every one counts towards `limits.connections` from the moment it is accepted,
//! and none is kept that stands still: headers and bodies have to come and answers have to be taken within
//! `server.io_timeout`, which every step forward extends, and not much slower than 8 KiB a second. WebSockets have deadlines of their own (`heartbeat.timeout`).

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
    time::{Instant, Sleep, sleep, timeout},
};
use tracing::{debug, warn};

use crate::telemetry::Refusal;

use super::{
    Shared, hosts,
    peer::Peer,
    problem::{Code, Problem},
    rest::{self, SLOWEST},
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
        let stream = Impatient::new(stream, patience, Arc::clone(&is_upgraded));
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

/// A stream that fails, until it becomes a WebSocket, when the other side is too slow to take what is written: when it takes
/// nothing for a while, or when all the waiting for it is longer than what it has taken so far allows.
struct Impatient<S> {
    stream: S,
    patience: Duration,
    is_upgraded: Arc<AtomicBool>,
    /// Since when something waits to be taken, and until when some of it has to be.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// How long it has waited before, in all.
    waited: Duration,
    /// Bytes that were taken.
    taken: usize,
}

impl<S> Impatient<S> {
    const fn new(stream: S, patience: Duration, is_upgraded: Arc<AtomicBool>) -> Self {
        Self { stream, patience, is_upgraded, waiting: None, waited: Duration::ZERO, taken: 0 }
    }

    fn judge(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.is_upgraded.load(Ordering::Relaxed) {
            self.waiting = None;
            return written;
        }
        if let Poll::Ready(taken) = written {
            self.waited += self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            self.taken += taken.as_ref().copied().unwrap_or_default();
            return Poll::Ready(taken);
        }
        let (patience, waited) = (self.patience, self.waited);
        let allowed = patience + Duration::from_secs((self.taken / SLOWEST) as u64);
        let (_, limit) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience.min(allowed.saturating_sub(waited))))));
        ready!(limit.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was taken too slowly")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Writes without end to a reader that takes so many bytes every so many seconds; after how many seconds it is given up.
    async fn given_up_after(bytes: usize, every: u64) -> u64 {
        let (ours, mut theirs) = duplex(1_000);
        let mut ours = Impatient::new(ours, Duration::from_secs(20), Arc::default());
        let began = Instant::now();
        let read = async {
            let mut taken = vec![0; bytes];
            loop {
                sleep(Duration::from_secs(every)).await;
                let mut left = &mut taken[..];
                while !left.is_empty() {
                    let length = theirs.read(left).await.unwrap();
                    left = &mut left[length..];
                }
            }
        };
        let write = async {
            loop {
                if let Err(error) = ours.write_all(&[0; 100]).await {
                    return error.kind();
                }
            }
        };
        let kind = tokio::select! {
            kind = write => kind,
            () = read => unreachable!("it reads for ever"),
            () = sleep(Duration::from_secs(1_000)) => return 1_000,
        };
        assert_eq!(kind, io::ErrorKind::TimedOut);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_or_trickles_is_given_up_and_a_slow_one_is_not() {
        assert_eq!(given_up_after(1, 100_000).await, 20, "it takes nothing");
        assert_eq!(given_up_after(1, 19).await, 20, "it takes hardly anything");
        let half = given_up_after(SLOWEST / 2, 1).await;
        assert!((35..=45).contains(&half), "half as fast as it must be: {half}");
        assert_eq!(given_up_after(SLOWEST + 1_000, 1).await, 1_000, "slow, but fast enough");
    }
}
