//! The doorbell by way of NATS, for nodes that `NOTIFY` is too narrow for. Nothing else here names `async_nats`.
//!
//! NATS keeps nothing for one who is not connected, and neither do we: while it is away what is to be told is gathered,
//! and becomes "look at everything" where it grows too long. Whoever connects, at first or again, says that anything
//! may have moved: it may not have been heard, and, hearing its own word come back, knows that it hears from now on.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::{pin, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Bell, OpenError, Ring,
    rings::{Untold, Waiting, read},
};
use crate::telemetry::Metrics;

/// What is gathered for one message, in bytes: about as much as one who listens keeps. A server may allow less.
pub(super) const GATHERED: usize = 128 << 10;
/// After so long without a word the server is asked whether it is still there; after the third time in vain the
/// connection is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two attempts to connect, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(4));
/// For the last words, where the log is closed.
const GOODBYE: Duration = Duration::from_millis(500);
/// What waits inside the client, both ways. Whoever tells waits for what it has told to be on its way, and what was
/// heard is passed on at once.
const WAITING: usize = 256;

/// Where a NATS is, and who one is there.
#[derive(Clone)]
pub(super) struct Address {
    servers: Vec<ServerAddr>,
    login: Option<Login>,
}

#[derive(Clone)]
enum Login {
    Token(String),
    Password(String, String),
}

impl Address {
    /// Reads `nats://user:password@host:4222`, or several of them with commas between.
    pub(super) fn parse(text: &str) -> Result<Self, OpenError> {
        let mut address = Self { servers: Vec::new(), login: None };
        for one in text.split(',') {
            // The error of the parser is not passed on: it may quote the address, password included.
            let (server, login) = server(one.trim()).ok_or_else(|| OpenError::Url {
                url: "nats".to_owned(),
                why: "the address cannot be read; it looks like nats://user:password@host:4222 or tls://token@host:4222",
            })?;
            address.servers.push(server);
            address.login = address.login.or(login);
        }
        Ok(address)
    }
}

/// The place of a server without who one is there: that is never to stand where something may print it.
fn server(text: &str) -> Option<(ServerAddr, Option<Login>)> {
    let mut url = text.parse::<ServerAddr>().ok()?.into_inner();
    if !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    let plain = |text: &str| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (token, None) => Some(Login::Token(plain(token)?)),
        (user, Some(password)) => Some(Login::Password(plain(user)?, plain(password)?)),
    };
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((ServerAddr::from_url(url).ok()?, login))
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.servers.iter().map(ServerAddr::as_url_str)).finish()
    }
}

/// The task that tells, and hears. It ends when nobody is left who appends.
pub(super) struct Nats {
    pub address: Address,
    /// Of this log, and of no other one.
    pub subject: String,
    pub untold: Untold,
    pub waiting: Waiting,
    /// Rings here when it is told.
    pub heard: Bell,
    pub metrics: Metrics,
    /// From now on nothing is waited for.
    pub stop: CancellationToken,
}

impl Nats {
    pub(super) async fn run(mut self) {
        // Only who has something to tell, or wants to hear, costs a connection.
        if !self.untold.wait().await {
            return;
        }
        let (connected, is_connected) = watch::channel(false);
        match self.connect(connected).await {
            Ok((client, told)) => {
                let own = self.waiting.who();
                let heard = self.heard.clone();
                tokio::select! {
                    () = self.tell(&client, is_connected) => (),
                    () = hear(told, own, &heard) => (),
                }
            }
            Err(reason) => tracing::error!(%reason, "there is no doorbell; looking by ourselves"),
        }
    }

    /// Does not wait for the server: it may come later.
    async fn connect(&self, connected: watch::Sender<bool>) -> Result<(Client, Subscriber), async_nats::Error> {
        let (waiting, heard, metrics) = (self.waiting.clone(), self.heard.clone(), self.metrics.clone());
        let state = Arc::new(State { is_well: AtomicBool::new(true), connected, waiting, heard, metrics });
        let note = move |event| {
            state.note(&event);
            std::future::ready(())
        };
        let options = ConnectOptions::new()
            .name("scriptorium")
            .retry_on_initial_connect()
            .reconnect_delay_callback(pause)
            .ping_interval(SILENCE)
            .client_capacity(WAITING)
            .subscription_capacity(WAITING)
            .event_callback(note);
        let options = match self.address.login.clone() {
            None => options,
            Some(Login::Token(token)) => options.token(token),
            Some(Login::Password(user, password)) => options.user_and_password(user, password),
        };
        let client = options.connect(&self.address.servers[..]).await?;
        let told = client.subscribe(self.subject.clone()).await?;
        Ok((client, told))
    }

    async fn tell(&mut self, client: &Client, mut is_connected: watch::Receiver<bool>) {
        let stop = self.stop.clone();
        let over = async {
            stop.cancelled().await;
            sleep(GOODBYE).await;
        };
        pin!(over);
        while self.untold.wait().await {
            tokio::select! {
                said = self.say(client, &mut is_connected) => if let Err(reason) = said {
                    tracing::warn!(%reason, "other nodes could not be told what was appended; they will look by themselves");
                },
                () = &mut over => return,
            }
        }
    }

    /// Says what there is to say now, as soon as there is a connection, and waits until it is on its way.
    async fn say(&self, client: &Client, is_connected: &mut watch::Receiver<bool>) -> Result<(), async_nats::Error> {
        is_connected.wait_for(|is| *is).await?;
        for told in self.untold.take(client.max_payload().min(GATHERED)) {
            client.publish(self.subject.clone(), told.into()).await?;
        }
        Ok(client.flush().await?)
    }
}

async fn hear(mut told: Subscriber, own: u64, heard: &Bell) {
    while let Some(message) = told.next().await {
        match std::str::from_utf8(&message.payload) {
            Ok(told) => read(told, own).for_each(|ring| heard.ring(ring)),
            Err(_) => heard.ring(Ring::Many),
        }
    }
}

/// What is known of the connection.
struct State {
    is_well: AtomicBool,
    connected: watch::Sender<bool>,
    waiting: Waiting,
    heard: Bell,
    metrics: Metrics,
}

impl State {
    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                if !self.is_well.swap(true, Ordering::Relaxed) {
                    tracing::info!("the doorbell is heard again");
                }
                self.metrics.doorbell_heard(true);
                self.waiting.anything();
                self.connected.send_replace(true);
            }
            Event::Disconnected => {
                self.connected.send_replace(false);
                self.unwell(&"the connection has ended");
            }
            Event::ServerError(reason) => self.unwell(reason),
            Event::ClientError(reason) => self.unwell(reason),
            // Something was not kept for us.
            Event::SlowConsumer(_) => self.heard.ring(Ring::Many),
            Event::LameDuckMode | Event::Draining | Event::Closed => (),
        }
    }

    fn unwell(&self, reason: &dyn fmt::Display) {
        self.metrics.doorbell_heard(false);
        if self.is_well.swap(false, Ordering::Relaxed) {
            tracing::warn!(%reason, "the doorbell is not heard; looking by ourselves, and trying on");
        }
    }
}

/// Before an attempt to connect, counted from 1.
fn pause(attempt: usize) -> Duration {
    let (first, longest) = PAUSE;
    match attempt.checked_sub(2) {
        None => Duration::ZERO,
        Some(before) => first.saturating_mul(1 << before.min(10)).min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str) -> Option<(String, Option<String>)> {
        match Address::parse(text).unwrap().login? {
            Login::Token(token) => Some((token, None)),
            Login::Password(user, password) => Some((user, Some(password))),
        }
    }

    #[test]
    fn an_address_says_where_and_who_and_shows_only_where() {
        let address = Address::parse("nats://ann:s%40fe@one:4222, tls://two").unwrap();
        assert_eq!(format!("{address:?}"), r#"["nats://one:4222", "tls://two"]"#);
        assert_eq!(login("nats://ann:s%40fe@one, nats://two"), Some(("ann".to_owned(), Some("s@fe".to_owned()))));
        assert_eq!(login("nats://t%2Fken@one"), Some(("t/ken".to_owned(), None)));
        assert_eq!(login("nats://one"), None);
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_quoted() {
        for odd in ["", "nats://", "nats:one", "http://one", "ws://one", "nats://one,", "nats://ann:secret@one:port"] {
            let refused = Address::parse(odd).unwrap_err().to_string();
            assert!(refused.starts_with("nats: the address cannot be read"), "{odd}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn the_pause_before_an_attempt_grows_to_a_few_seconds() {
        let pauses: Vec<_> = (1..=20).map(|attempt| pause(attempt).as_millis()).collect();
        assert_eq!(pauses[..5], [0, 50, 100, 200, 400]);
        assert_eq!(pauses[19], 4_000);
        assert!(pauses.is_sorted() && pause(usize::MAX) == PAUSE.1);
    }
}
