//! The way of one node to its database, in the hands of the test.

use std::{net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch::{self, Receiver, Sender},
};

/// Where the database listens.
#[derive(Clone)]
pub(crate) enum Place {
    Tcp(String),
    Socket(PathBuf),
}

/// What the way does with what is sent on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing arrives, and nobody is told.
    Held,
    /// Connections end, and new ones are refused.
    Cut,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: Sender<Way>,
    place: Sender<Place>,
}

impl Proxy {
    pub(crate) async fn to(place: Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let (place, leads_to) = watch::channel(place);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *seen.borrow() != Way::Cut {
                    tokio::spawn(carry(client, leads_to.borrow().clone(), seen.clone()));
                }
            }
        });
        Self { address, way, place }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// New connections lead there from now on.
    pub(crate) fn lead_to(&self, place: Place) {
        self.place.send_replace(place);
    }
}

async fn carry(client: TcpStream, place: Place, way: Receiver<Way>) {
    match place {
        Place::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            both(client.into_split(), server.into_split(), way).await;
        }
        Place::Socket(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            both(client.into_split(), server.into_split(), way).await;
        }
    }
}

async fn both(
    (asks, hears): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (answers, takes): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut way: Receiver<Way>,
) {
    let (there, back) = (way.clone(), way.clone());
    tokio::select! {
        () = pump(asks, takes, there) => (),
        () = pump(answers, hears, back) => (),
        _cut_or_over = way.wait_for(|way| *way == Way::Cut) => (),
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut way: Receiver<Way>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if way.wait_for(|way| *way == Way::Open).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
