//! A wire that a test can hold, cut, or make deaf.

#![allow(clippy::disallowed_methods, reason = "a test is its own root task, and its tasks end with it")]

use std::{net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
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
    /// Keeps them, both ways, until it is opened again.
    Held,
    /// Passes on what is asked, and keeps the answers.
    Deaf,
}

#[derive(Debug, Clone, Copy)]
struct State {
    way: Way,
    /// Connections of an older one are cut.
    generation: u64,
}

/// The wire; it is cut for good when this is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    pub(crate) async fn to(place: Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State { way: Way::Open, generation: 0 });
        tokio::spawn(async move {
            let mut end = seen.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { return };
                        tokio::spawn(carry(client, place.clone(), seen.clone()));
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
        self.state.send_modify(|state| state.way = way);
    }

    /// Ends all connections; new ones may come.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }
}

async fn carry(client: TcpStream, place: Place, seen: watch::Receiver<State>) {
    let generation = seen.borrow().generation;
    let (asks, hears) = client.into_split();
    match place {
        Place::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            let (answers, takes) = server.into_split();
            both((asks, takes), (answers, hears), &seen, generation).await;
        }
        Place::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            let (answers, takes) = server.into_split();
            both((asks, takes), (answers, hears), &seen, generation).await;
        }
    }
}

async fn both(
    (asks, takes): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (answers, hears): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    seen: &watch::Receiver<State>,
    generation: u64,
) {
    // Whichever end goes first takes the other with it.
    tokio::select! {
        () = pump(asks, takes, seen.clone(), generation, &[Way::Open, Way::Deaf]) => (),
        () = pump(answers, hears, seen.clone(), generation, &[Way::Open]) => (),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut seen: watch::Receiver<State>,
    generation: u64,
    passes: &[Way],
) {
    let mut bytes = vec![0; 64 << 10];
    let mut cut = seen.clone();
    loop {
        let count = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _gone = cut.wait_for(|state| state.generation != generation) => 0,
        };
        if count == 0 {
            return;
        }
        let is_cut = match seen.wait_for(|state| state.generation != generation || passes.contains(&state.way)).await {
            Ok(state) => state.generation != generation,
            Err(_) => true,
        };
        if is_cut {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
