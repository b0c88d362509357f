//! One connection of the document dialect, from its upgrade to its end; those of writers and of watchers alike.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use futures_util::SinkExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::protocol::{Role, frame::coding::CloseCode};
use tracing::{debug, info};

use crate::{
    auth::{Identity, Permission, PermissionSet},
    domain::{ClientId, DocumentId, Profile, UserId},
    event_log::ReadError,
    live::{ClientKey, ConnectionId, Goodbye, Joined, Outbox, Subscriber},
    protocol::document::{EditLimits, Reader},
    telemetry::{CloseReason, Dialect, Label},
};

use super::{
    Place, Shared,
    ending::{
        End, banned, damaged, failed, no_read, not_found, throttled, too_many_connections, unauthorized, unavailable,
    },
    handshake,
    heard::{Amount, Heard, Pings},
    limits::Bucket,
    people::Seat,
    request::OpenRequest,
    session::{Session, make_id, shown_name},
    socket::{Incoming, Outgoing, Reading, Unsent},
    standing::Standing,
    talk::{Talk, listen},
    writer::{Framing, GOODBYE_GRACE, Writer},
};

/// Serves a connection once its upgrade is through.
///
/// Thousands of connections are idle, and each keeps the largest state that its task ever has. So what only the
/// beginning and the end need is a future of its own, on the heap while it runs.
pub(super) fn run(
    shared: Arc<Shared>,
    upgrade: OnUpgrade,
    request: OpenRequest,
    place: Place,
) -> impl Future<Output = ()> + Send {
    let beginning = Box::pin(begin(shared, upgrade, request, place));
    async move {
        let Some(mut conversation) = beginning.await else { return };
        let end = listen(&conversation.session, &mut conversation.connection.incoming).await;
        Box::pin(conversation.end(end)).await;
    }
}

/// Opens the document, or says why not.
async fn begin(
    shared: Arc<Shared>,
    upgrade: OnUpgrade,
    request: OpenRequest,
    place: Place,
) -> Option<Box<Conversation>> {
    let framing = if request.batch { Framing::Batched } else { Framing::Single };
    let mut connection = Connection::establish((shared, Dialect::Document), upgrade, framing, place.connection).await?;
    let (document, client) = (request.document_id.clone(), request.client_id.clone());
    match connection.open(request, &place).await {
        Ok(session) => Some(Box::new(Conversation { session, connection, place })),
        Err(goodbye) => {
            connection.finish(End::Server(goodbye), Amount::default(), (&document, &client, place.address)).await;
            None
        }
    }
}

/// A connection that has its document open.
struct Conversation {
    session: Session,
    connection: Connection,
    place: Place,
}

impl Conversation {
    async fn end(self: Box<Self>, end: End) {
        let Self { session, connection, place } = *self;
        session.leave().await;
        let Reader { document_id, client_id, .. } = &session.talk.reader;
        connection.finish(end, session.talk.heard.amount(), (document_id, client_id, place.address)).await;
    }
}

/// A socket with its writer.
pub(super) struct Connection {
    id: ConnectionId,
    pub(super) shared: Arc<Shared>,
    dialect: Dialect,
    pub(super) incoming: Incoming,
    pub(super) outbox: Arc<Outbox>,
    writer: JoinHandle<(Outgoing, Amount)>,
    pings: Pings,
    syncs: Arc<Bucket>,
    started: Instant,
    /// Who it is, once that is known.
    user: Option<UserId>,
    _last_word: LastWord,
}

impl Connection {
    pub(super) async fn establish(
        (shared, dialect): (Arc<Shared>, Dialect),
        upgrade: OnUpgrade,
        framing: Framing,
        id: ConnectionId,
    ) -> Option<Self> {
        let io = match upgrade.await {
            Ok(io) => TokioIo::new(io),
            Err(error) => {
                debug!(%error, "an upgrade came to nothing");
                return None;
            }
        };
        let config = handshake::config(shared.settings.limits.message_bytes);
        let outbox = Arc::new(Outbox::new(shared.settings.limits.outbox_bytes));
        let (half, socket) = tokio::io::split(io);
        let reading = Reading { half, outbox: Arc::clone(&outbox) };
        let incoming = Incoming::from_raw_socket(reading, Role::Server, Some(config)).await;
        shared.metrics.connection_opened(dialect);
        let pings = Pings::default();
        let syncs = Arc::new(Bucket::new(shared.settings.limits.messages));
        let writer = Writer {
            socket,
            outbox: Arc::clone(&outbox),
            framing,
            ping: Writer::ping(shared.settings.heartbeat.interval),
            patience: shared.settings.heartbeat.timeout,
            pings: pings.clone(),
            encoder: Arc::clone(&shared.encoder),
            syncs: Arc::clone(&syncs),
            clock: shared.clock.clone(),
            metrics: shared.metrics.clone(),
            unsent: Unsent::default(),
            messages: 0,
        };
        let last_word = LastWord(Arc::clone(&outbox));
        let writer = shared.sessions.spawn(writer.run());
        let started = Instant::now();
        Some(Self {
            id,
            shared,
            dialect,
            incoming,
            outbox,
            writer,
            pings,
            syncs,
            started,
            user: None,
            _last_word: last_word,
        })
    }

    /// Finds out who it is, and whether they may read the document.
    pub(super) fn admit(&mut self, request: &OpenRequest, place: &Place) -> Result<Admitted, Goodbye> {
        let (shared, now) = (&self.shared, self.shared.clock.now());
        let identity = shared
            .authenticator
            .authenticate(request.token.as_deref(), request.guest.clone(), now)
            .map_err(unauthorized)?;
        self.user = Some(identity.user_id.clone());
        if let Some(until) = shared.shut_out_until(&identity.user_id, identity.token_id.as_ref()) {
            return Err(banned(until));
        }
        shared.user_connections.take(identity.user_id.clone(), Instant::now()).map_err(throttled)?;
        let permissions = identity.permissions.on(&request.document_id);
        if !permissions.allows(Permission::Read) {
            return Err(no_read(permissions));
        }
        let who = (identity.user_id.clone(), identity.token_id.clone());
        let seat = shared.people.enter(self.id, who, place.address, Arc::clone(&self.outbox));
        let seat = seat.ok_or_else(|| too_many_connections(shared.settings.limits.connections_per_user))?;
        // Again: whoever was shut out in between was not among those who are dismissed.
        if let Some(until) = shared.shut_out_until(&identity.user_id, identity.token_id.as_ref()) {
            return Err(banned(until));
        }
        Ok(Admitted { identity, permissions, seat })
    }

    /// The conversation with somebody who was admitted.
    pub(super) fn talk(&self, request: OpenRequest, admitted: Admitted, place: &Place) -> Talk {
        let Admitted { identity, permissions, seat } = admitted;
        let (document_id, client_id, user) = (request.document_id, request.client_id, identity.user_id);
        let (document, client, address) = (&document_id, &client_id, place.address);
        info!(connection = self.id.0, %document, %client, %user, %address, "connection opened");
        let limits = &self.shared.settings.limits;
        let edit_limits = EditLimits {
            components: limits.edit_components,
            attributes: limits.attributes,
            attribute_bytes: limits.attribute_bytes,
        };
        Talk {
            client: ClientKey { user, client: client_id.clone() },
            reader: Reader { document_id, client_id, encoding: request.encoding, limits: edit_limits, make_id },
            heard: Heard::new(),
            pings: self.pings.clone(),
            shared: Arc::clone(&self.shared),
            outbox: Arc::clone(&self.outbox),
            standing: Standing::new(permissions, identity.expires_at),
            seat,
            messages: Bucket::new(limits.messages),
            syncs: Arc::clone(&self.syncs),
            refusals: Bucket::new(limits.refusals),
        }
    }

    /// Finds out who it is and opens the document.
    async fn open(&mut self, request: OpenRequest, place: &Place) -> Result<Session, Goodbye> {
        let admitted = self.admit(&request, place)?;
        let subscriber = subscriber(self.id, &self.outbox, &request, &admitted);
        let shared = &self.shared;
        let joined = tokio::select! {
            joined = shared.live.join_and_catch_up(&request.document_id, &subscriber, request.since) => joined,
            () = shared.stopping.cancelled() => return Err(Goodbye::RESTARTING),
        };
        let handle = match joined {
            Ok((Joined::Subscribed, handle)) => handle,
            Ok((Joined::NotFound, _)) | Err(ReadError::Erased(_)) => return Err(not_found()),
            Ok((Joined::Damaged, _)) | Err(ReadError::Damaged(_)) => return Err(damaged()),
            Ok((Joined::Unavailable | Joined::CatchUp(..), _)) | Err(ReadError::Unavailable(_)) => {
                return Err(unavailable());
            }
        };
        Ok(Session {
            talk: self.talk(request, admitted, place),
            connection: subscriber.connection,
            name: Mutex::new(shown_name(&subscriber.profile)),
            handle,
        })
    }

    /// Says goodbye and counts.
    pub(super) async fn finish(
        mut self,
        end: End,
        received: Amount,
        (document, client, address): (&DocumentId, &ClientId, IpAddr),
    ) {
        let (code, reason) = match &end {
            End::Server(goodbye) => (goodbye.code, goodbye.metric),
            End::Client { code, metric } => (*code, *metric),
        };
        // The answer to the client's own goodbye, if it said one: tungstenite has it ready.
        let _ = self.incoming.flush().await;
        self.outbox.close(match end {
            End::Server(goodbye) => goodbye,
            End::Client { metric, .. } => Goodbye { code: CloseCode::Normal.into(), reason: "", metric, refusal: None },
        });
        let mut sent = Amount::default();
        if let Ok((outgoing, amount)) = self.writer.await {
            sent = amount;
            if !matches!(reason, CloseReason::ClientClosed | CloseReason::ClientLost) {
                linger(outgoing, self.incoming).await;
            }
        }
        let lasted = self.started.elapsed();
        if reason == CloseReason::SlowConsumer {
            self.shared.metrics.slow_consumer();
        }
        self.shared.metrics.connection_closed(self.dialect, code, reason, lasted);
        info!(
            connection = self.id.0,
            %document,
            %client,
            user = self.user.as_ref().map(UserId::as_str),
            %address,
            code,
            reason = reason.value(),
            seconds = lasted.as_secs_f64(),
            received_messages = received.messages,
            received_bytes = received.bytes,
            sent_messages = sent.messages,
            sent_bytes = sent.bytes,
            "connection closed"
        );
    }
}

/// Somebody who may read the document.
pub(super) struct Admitted {
    identity: Identity,
    pub(super) permissions: PermissionSet,
    seat: Seat,
}

/// Ends the connection should its task end without a goodbye, as after a panic: the writer would hold it open.
struct LastWord(Arc<Outbox>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.close(failed());
    }
}

/// Hangs up, and reads away what the peer still sends after our goodbye: closing a socket with unread data
/// resets it, and the peer would never see why. The end of our side comes first: a peer that keeps to the
/// protocol waits for it (RFC 6455, 7.1.1).
async fn linger(mut outgoing: Outgoing, mut incoming: Incoming) {
    let drain = async {
        let _ = outgoing.shutdown().await;
        let mut rest = [0; 4096];
        while matches!(incoming.get_mut().half.read(&mut rest).await, Ok(read) if read > 0) {}
    };
    // A peer that goes on sending has had its chance.
    let _ = timeout(GOODBYE_GRACE, drain).await;
}

fn subscriber(
    connection: ConnectionId,
    outbox: &Arc<Outbox>,
    request: &OpenRequest,
    Admitted { identity, permissions, .. }: &Admitted,
) -> Subscriber {
    Subscriber {
        connection,
        client: ClientKey { user: identity.user_id.clone(), client: request.client_id.clone() },
        profile: Arc::new(profile(identity)),
        permissions: permissions.iter().map(Permission::short).collect(),
        form: request.form,
        encoding: request.encoding,
        outbox: Arc::clone(outbox),
    }
}

/// Who somebody is to the others.
pub(super) fn profile(identity: &Identity) -> Profile {
    let Identity { name, avatar_url, color, .. } = identity;
    Profile { name: name.clone(), avatar_url: avatar_url.clone(), color: color.clone() }
}
