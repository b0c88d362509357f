//! A wire that a test can slow down, hold, cut, make deaf, or lose.

#![allow(clippy::disallowed_methods, reason = "a test is its own root task, and its tasks end with it")]
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// What is at the other end.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// What the wire does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Passes them on.
    Open,
    /// Passes them on, [`LATE`].
    Slow,
    /// Keeps them, both ways, until it is opened again: a network that is away for a while.
    Held,
    /// Passes on what is asked, and keeps the answers.
    Deaf,
    /// They vanish, and nobody is told. Connections that were there stay, and are silent for ever, also when the way is
    /// open again: a network that has forgotten them. Only then does one end learn that the other has gone.
    Lost,
    /// Connections end, and new ones are refused.
    Cut,
}

/// How far away what is slow is.
const LATE: Duration = Duration::from_millis(60);

#[derive(Debug, Clone)]
struct State {
    way: Way,
    /// New connections lead there.
    place: Place,
    /// Counts what happens to connections; each remembers when it came.
    now: u64,
    /// Older connections are cut, or lost.
    cut: u64,
    lost: u64,
}

/// The wire; it is cut for good when this is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    pub(crate) async fn to(place: Place) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), place).await
    }

    /// One that is reached at this address of this machine.
    pub(crate) async fn at(address: IpAddr, place: Place) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State { way: Way::Open, place, now: 0, cut: 0, lost: 0 });
        tokio::spawn(async move {
            let mut end = seen.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { return };
                        tokio::spawn(carry(client, seen.clone()));
                    }
                    gone = end.changed() => if gone.is_err() { return },
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, way: Way) {
        self.state.send_modify(|state| {
            state.now += 1;
            if way == Way::Cut {
                state.cut = state.now;
            }
            // Those that came while it was lost have said something by now, and it is not found again.
            if way == Way::Lost || state.way == Way::Lost {
                state.lost = state.now;
            }
            state.way = way;
        });
    }

    /// Ends all connections; new ones may come.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| {
            state.now += 1;
            state.cut = state.now;
        });
    }

    /// New connections lead there from now on.
    pub(crate) fn lead_to(&self, place: Place) {
        self.state.send_modify(|state| state.place = place);
    }
}

async fn carry(client: TcpStream, seen: watch::Receiver<State>) {
    let State { way, place, now, .. } = seen.borrow().clone();
    if way == Way::Cut {
        return;
    }
    match place {
        Place::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            both(client.into_split(), server.into_split(), &seen, now).await;
        }
        Place::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            both(client.into_split(), server.into_split(), &seen, now).await;
        }
    }
}

async fn both(
    (asks, hears): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (answers, takes): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    seen: &watch::Receiver<State>,
    came: u64,
) {
    let mut cut = seen.clone();
    // Whichever end goes first takes the other with it.
    tokio::select! {
        () = pump(asks, takes, seen.clone(), came, &[Way::Open, Way::Slow, Way::Deaf]) => (),
        () = pump(answers, hears, seen.clone(), came, &[Way::Open, Way::Slow]) => (),
        _cut_or_over = cut.wait_for(|state| came < state.cut) => (),
    }
}

/// What is on the way, and since when; nothing where an end has gone.
type Chunk = (Vec<u8>, Instant);

/// So much is on the way at most: a way that is far is no narrower for it.
const ON_THE_WAY: usize = 16;

async fn pump(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    seen: watch::Receiver<State>,
    came: u64,
    passes: &[Way],
) {
    let (sender, chunks) = mpsc::channel(ON_THE_WAY);
    // What has been taken is still to be given; who cannot give any more need not take.
    tokio::select! {
        () = give(to, chunks, seen, came, passes) => (),
        () = async {
            take(from, sender).await;
            std::future::pending::<()>().await;
        } => (),
    }
}

async fn take(mut from: impl AsyncRead + Unpin, chunks: mpsc::Sender<Chunk>) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if chunks.send((bytes[..count].to_vec(), Instant::now())).await.is_err() || count == 0 {
            return;
        }
    }
}

async fn give(
    mut to: impl AsyncWrite + Unpin,
    mut chunks: mpsc::Receiver<Chunk>,
    mut seen: watch::Receiver<State>,
    came: u64,
    passes: &[Way],
) {
    while let Some((bytes, since)) = chunks.recv().await {
        let is_lost = |state: &State| !bytes.is_empty() && (state.way == Way::Lost || came < state.lost);
        let Ok(is_lost) =
            seen.wait_for(|state| is_lost(state) || passes.contains(&state.way)).await.map(|state| is_lost(&state))
        else {
            return;
        };
        if seen.borrow().way == Way::Slow {
            sleep_until(since + LATE).await;
        }
        // An end that has gone is noticed when the way is open.
        if bytes.is_empty() || !is_lost && to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
