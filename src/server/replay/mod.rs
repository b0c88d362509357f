//! A document is watched while it is written once more: `GET /v1/ws/documents/{document_id}/replay`.
//!
//! A connection like all others, in the same dialect; only that it has no document open. Its task reads the log in
//! pages, and sends what is due when the watcher has taken what was sent before: nothing is kept but one page.

mod pace;
mod player;
#[cfg(test)]
mod tests;
mod wish;

use std::{collections::VecDeque, sync::Arc};

use hyper::upgrade::OnUpgrade;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    auth::Permission,
    domain::{DocumentId, MessageId, Version},
    event_log::EventLog,
    history::{self, Place as InPast, Untold, When},
    live::{Goodbye, Retelling},
    protocol::{
        ErrorCode, Refusal,
        document::{ClientMessage, ConnectionAck, Sought, WatcherEvent, connection_ack},
    },
    telemetry::{Dialect, Received, Sent},
};

use super::{
    Place, Shared,
    connection::Connection,
    ending::{End, ended, not_found, unavailable, version_ahead},
    heard::Amount,
    request::OpenRequest,
    talk::{Subject, Talk, listen},
    writer::Framing,
};
use pace::Pace;
use player::{Ask, Change, Player};
pub(super) use wish::Wish;

/// What a watcher has asked for and what was not done yet; then the connection is not read.
const WAITING: usize = 16;

/// Serves a watcher once the upgrade is through.
pub(super) fn run(
    shared: Arc<Shared>,
    upgrade: OnUpgrade,
    (request, wish): (OpenRequest, Wish),
    place: Place,
) -> impl Future<Output = ()> + Send {
    Box::pin(async move {
        let framing = if request.batch { Framing::Batched } else { Framing::Single };
        let dialect = (shared, Dialect::Replay);
        let Some(mut connection) = Connection::establish(dialect, upgrade, framing, place.connection).await else {
            return;
        };
        let (document, client) = (request.document_id.clone(), request.client_id.clone());
        let (end, received) = match begin(&mut connection, request, wish, &place).await {
            Ok((watching, player)) => {
                let end = tokio::select! {
                    end = listen(&watching, &mut connection.incoming) => end,
                    goodbye = player.run() => End::Server(goodbye),
                };
                (end, watching.talk.heard.amount())
            }
            Err(goodbye) => (End::Server(goodbye), Amount::default()),
        };
        connection.finish(end, received, (&document, &client, place.address)).await;
    })
}

/// Lets a watcher in, and finds what they want to see.
async fn begin(
    connection: &mut Connection,
    request: OpenRequest,
    wish: Wish,
    place: &Place,
) -> Result<(Watching, Player), Goodbye> {
    let admitted = connection.admit(&request, place)?;
    let shared = Arc::clone(&connection.shared);
    let found = tokio::select! {
        found = find(&shared.log, &request.document_id, wish) => found?,
        () = shared.stopping.cancelled() => return Err(Goodbye::RESTARTING),
    };
    let permissions: Vec<_> = admitted.permissions.iter().map(Permission::short).collect();
    let retelling = Retelling {
        document: request.document_id.clone(),
        form: request.form,
        encoding: request.encoding,
        metrics: shared.metrics.clone(),
    };
    let talk = connection.talk(request, admitted, place);
    let ack = ConnectionAck {
        client_id: &talk.client.client,
        user_id: &talk.client.user,
        permissions: &permissions,
        document_version: found.to.head.version,
        server_time: &shared.clock.now().to_string(),
        encoding: retelling.encoding,
        resumed: false,
    };
    talk.send(&connection_ack(&ack), Sent::Other);
    let (asks, asked) = mpsc::channel(WAITING);
    let player = Player {
        log: shared.log.clone(),
        retelling,
        outbox: Arc::clone(&talk.outbox),
        turns: Arc::clone(&shared.long_questions),
        patience: shared.settings.heartbeat.timeout,
        user: talk.client.user.clone(),
        client: talk.client.client.clone(),
        asked,
        pace: Pace::new(wish.speed, wish.max_pause, wish.paused),
        at: found.from,
        version: wish.from,
        shown: None,
        to: found.to,
        until: found.until,
        page: VecDeque::new(),
    };
    Ok((Watching { talk, until: player.until, asks }, player))
}

/// What there is to see.
pub(super) struct Found {
    /// The state at the beginning.
    from: InPast,
    /// The last event.
    to: InPast,
    /// Its version.
    until: Version,
}

async fn find(log: &EventLog, id: &DocumentId, wish: Wish) -> Result<Found, Goodbye> {
    let when = wish.to.map_or(When::Now, When::Version);
    let to = history::find(log, id, when).await.map_err(goodbye)?;
    let until = wish.to.unwrap_or(to.head.version);
    if wish.from > until {
        return Err(goodbye(Untold::Ahead { wanted: wish.from, current: until }));
    }
    let mut from = history::find(log, id, When::Version(wish.from)).await.map_err(goodbye)?;
    // More may have happened in between.
    from.seq = from.seq.min(to.seq);
    Ok(Found { from, to, until })
}

fn goodbye(why: Untold) -> Goodbye {
    match why {
        Untold::NoDocument => not_found(),
        Untold::Ahead { wanted, current } => version_ahead(ahead(wanted, current)),
        // Said of who was there, for whom nobody asks.
        Untold::Forgotten { .. } => unavailable(),
        Untold::Unread(error) => error.into(),
    }
}

fn ahead(wanted: Version, current: Version) -> Refusal {
    let message = Untold::Ahead { wanted, current }.to_string();
    Refusal::new(ErrorCode::VersionAhead, message).with("version", wanted.0).with("document_version", current.0)
}

/// What a watcher says.
struct Watching {
    talk: Talk,
    /// Behind this there is nothing to see.
    until: Version,
    asks: mpsc::Sender<Ask>,
}

impl Subject for Watching {
    type Event = WatcherEvent;
    type Command = Ask;

    fn talk(&self) -> &Talk {
        &self.talk
    }

    fn read<'a>(
        &'a self,
        text: &'a str,
    ) -> Result<impl Iterator<Item = Result<ClientMessage<WatcherEvent>, Refusal>>, Refusal> {
        self.talk.reader.read_watchers_frame(text)
    }

    fn take(&self, message: ClientMessage<WatcherEvent>, now: Instant) -> Result<Option<Ask>, Goodbye> {
        let ClientMessage { message_id, event } = message;
        self.talk.shared.metrics.message_received(kind_of(&event));
        if !self.talk.pace(message_id.as_ref().map(MessageId::as_str), now)? {
            return Ok(None);
        }
        let change = match event {
            WatcherEvent::Seek(Sought::Version(version)) if version > self.until => {
                let refusal = ahead(version, self.until);
                self.talk.refuse(&refusal.of_raw(message_id.as_ref().map(MessageId::as_str)));
                return Ok(None);
            }
            WatcherEvent::Seek(sought) => Change::Seek(sought),
            WatcherEvent::Speed(speed) => Change::Speed(speed),
            WatcherEvent::Pause => Change::Pause(true),
            WatcherEvent::Resume => Change::Pause(false),
            WatcherEvent::Ping { timestamp } => {
                self.talk.pong(&timestamp, message_id.as_ref());
                return Ok(None);
            }
            // What the new token calls them nobody sees.
            WatcherEvent::Authenticate { token } => {
                return self.talk.renew(&token, message_id.as_ref()).map(|_| None);
            }
        };
        Ok(Some(Ask { change, message_id }))
    }

    fn alive(&self) -> Option<Ask> {
        None
    }

    async fn pass_on(&self, ask: Ask) -> Result<(), Goodbye> {
        self.asks.send(ask).await.map_err(|_| ended())
    }
}

const fn kind_of(event: &WatcherEvent) -> Received {
    match event {
        WatcherEvent::Seek(_) | WatcherEvent::Speed(_) | WatcherEvent::Pause | WatcherEvent::Resume => Received::Replay,
        WatcherEvent::Ping { .. } => Received::Ping,
        WatcherEvent::Authenticate { .. } => Received::Authenticate,
    }
}
