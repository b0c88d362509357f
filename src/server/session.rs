//! One connection of the document dialect, from its upgrade to its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncReadExt,
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{Role, frame::coding::CloseCode},
};
use tracing::{debug, info};
use uuid::Uuid;

use crate::{
    auth::{Identity, Permission, PermissionSet},
    domain::{MessageId, Timestamp},
    live::{ClientKey, Command, Goodbye, Handle, Item, Joined, Outbox, Subscriber, WaitingEdit},
    protocol::{
        ErrorCode, Refusal,
        document::{ActiveUser, ClientEvent, ClientMessage, EditLimits, Reader, error, pong},
    },
    telemetry::{CloseReason, Dialect, Received, Sent},
};

use super::{
    Shared,
    ending::{End, broken, insufficient, no_read, not_found, token_expired, unauthorized, unavailable},
    handshake,
    request::OpenRequest,
    writer::{Framing, GOODBYE_GRACE, Socket, Writer},
};

/// Serves a connection once its upgrade is through.
pub(super) async fn run(shared: Arc<Shared>, upgrade: OnUpgrade, request: OpenRequest) {
    let io = match upgrade.await {
        Ok(io) => TokioIo::new(io),
        Err(error) => return debug!(%error, "an upgrade came to nothing"),
    };
    let config = handshake::config(shared.settings.limits.message_bytes);
    let socket = Socket::from_raw_socket(io, Role::Server, Some(config)).await;
    let started = Instant::now();
    shared.metrics.connection_opened(Dialect::Document);
    let (sink, stream) = socket.split();
    let outbox = Arc::new(Outbox::new(shared.settings.limits.outbox_bytes));
    let writer = Writer {
        sink,
        outbox: Arc::clone(&outbox),
        framing: if request.batch { Framing::Batched } else { Framing::Single },
        ping_every: shared.settings.heartbeat.interval,
        clock: shared.clock.clone(),
        metrics: shared.metrics.clone(),
        is_interrupted: false,
    };
    let writer = shared.sessions.spawn(writer.run());
    let mut stream = stream;
    let document = request.document_id.clone();
    let client = request.client_id.clone();
    let end = converse(&shared, &mut stream, &outbox, request).await;
    let (code, metric) = match end {
        End::Server(goodbye) => {
            outbox.close(goodbye.clone());
            (goodbye.code, goodbye.metric)
        }
        End::Client { code, metric } => {
            outbox.close(Goodbye { code: CloseCode::Normal.into(), reason: "", metric, refusal: None });
            (code, metric)
        }
    };
    if let Ok(sink) = writer.await {
        linger(sink, stream, metric).await;
    }
    let lasted = started.elapsed();
    if metric == CloseReason::SlowConsumer {
        shared.metrics.slow_consumer();
    }
    shared.metrics.connection_closed(Dialect::Document, code, metric, lasted);
    let seconds = lasted.as_secs_f64();
    info!(%document, %client, code, reason = ?metric, seconds, "connection closed");
}

/// Reads away what the peer still sends after our goodbye: closing a socket with unread data resets it, and
/// the peer would never see why.
async fn linger(sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>, metric: CloseReason) {
    if matches!(metric, CloseReason::ClientClosed | CloseReason::ClientLost) {
        return;
    }
    let Ok(mut socket) = stream.reunite(sink) else { return };
    let drain = async {
        let mut rest = [0; 4096];
        while matches!(socket.get_mut().read(&mut rest).await, Ok(read) if read > 0) {}
    };
    let _ = timeout(GOODBYE_GRACE, drain).await;
}

async fn converse(
    shared: &Arc<Shared>,
    stream: &mut SplitStream<Socket>,
    outbox: &Arc<Outbox>,
    request: OpenRequest,
) -> End {
    let now = shared.clock.now();
    let identity = match shared.authenticator.authenticate(request.token.as_deref(), request.guest.clone(), now) {
        Ok(identity) => identity,
        Err(denied) => return End::Server(unauthorized(denied)),
    };
    let permissions = identity.permissions.on(&request.document_id);
    if !permissions.allows(Permission::Read) {
        return End::Server(no_read(permissions));
    }
    let subscriber = subscriber(shared, outbox, &request, &identity, permissions);
    let joined = shared.live.join_and_catch_up(&request.document_id, &subscriber, request.since).await;
    let handle = match joined {
        Ok((Joined::Subscribed, handle)) => handle,
        Ok((Joined::NotFound, _)) => return End::Server(not_found()),
        Ok((Joined::Unavailable | Joined::CatchUp(_), _)) | Err(_) => return End::Server(unavailable()),
    };
    info!(document = %request.document_id, client = %request.client_id, user = %identity.user_id, "connection opened");
    let limits = &shared.settings.limits;
    let mut session = Session {
        reader: Reader {
            document_id: request.document_id,
            client_id: request.client_id,
            encoding: request.encoding,
            limits: EditLimits {
                components: limits.edit_components,
                attributes: limits.attributes,
                attribute_bytes: limits.attribute_bytes,
            },
        },
        heard: Heard::new(),
        shared,
        outbox,
        handle,
        subscriber,
        permissions,
    };
    let end = session.listen(stream, identity.expires_at).await;
    session.leave().await;
    end
}

fn subscriber(
    shared: &Shared,
    outbox: &Arc<Outbox>,
    request: &OpenRequest,
    identity: &Identity,
    permissions: PermissionSet,
) -> Subscriber {
    Subscriber {
        connection: shared.next_connection(),
        client: ClientKey { user: identity.user_id.clone(), client: request.client_id.clone() },
        user: ActiveUser {
            user_id: identity.user_id.clone(),
            cursor_position: 0,
            name: identity.name.clone(),
            avatar_url: identity.avatar_url.clone(),
            color: identity.color.clone(),
        },
        permissions: permissions.iter().map(Permission::short).collect(),
        form: request.form,
        encoding: request.encoding,
        outbox: Arc::clone(outbox),
    }
}

/// When something was last heard of the peer.
struct Heard {
    start: Instant,
    millis: AtomicU64,
}

impl Heard {
    fn new() -> Self {
        Self { start: Instant::now(), millis: AtomicU64::new(0) }
    }

    fn note(&self, now: Instant) {
        let millis = now.duration_since(self.start).as_millis();
        self.millis.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until nothing has been heard for so long.
    async fn silence(&self, limit: Duration) {
        loop {
            let last = self.millis.load(Ordering::Relaxed);
            sleep_until(self.start + Duration::from_millis(last) + limit).await;
            if self.millis.load(Ordering::Relaxed) == last {
                return;
            }
        }
    }
}

struct Session<'a> {
    shared: &'a Arc<Shared>,
    outbox: &'a Arc<Outbox>,
    handle: Handle,
    subscriber: Subscriber,
    permissions: PermissionSet,
    reader: Reader,
    heard: Heard,
}

impl Session<'_> {
    /// Reads frames until somebody ends the conversation.
    async fn listen(&mut self, stream: &mut SplitStream<Socket>, expires_at: Option<Timestamp>) -> End {
        let shared = self.shared;
        let this = &*self;
        let stop = async {
            tokio::select! {
                () = shared.stopping.cancelled() => Goodbye::RESTARTING,
                () = this.heard.silence(shared.settings.heartbeat.timeout) => {
                    shared.metrics.heartbeat_timeout();
                    Goodbye::SILENT
                }
                () = expiry(shared, expires_at) => token_expired(),
                goodbye = this.outbox.closed() => goodbye,
            }
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            let frame = tokio::select! {
                biased;
                goodbye = stop.as_mut() => return End::Server(goodbye),
                frame = stream.next() => frame,
            };
            let now = Instant::now();
            this.heard.note(now);
            match frame {
                Some(Ok(Message::Text(text))) => {
                    if this.receive(&text, now).await.is_err() {
                        return End::Server(unavailable());
                    }
                }
                Some(Ok(Message::Binary(_))) => {
                    this.shared.metrics.message_received(Received::Invalid);
                    this.refuse(&Refusal::invalid("message", "a text frame; this one is binary"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => (),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return End::Client { code, metric: CloseReason::ClientClosed };
                }
                Some(Err(error)) => return broken(&error, shared.settings.limits.message_bytes),
                None => return End::Client { code: 1006, metric: CloseReason::ClientLost },
            }
        }
    }

    /// Handles a text frame. An error means that the document is gone.
    async fn receive(&self, text: &str, now: Instant) -> Result<(), Gone> {
        let messages = match self.reader.read_frame(text) {
            Ok(messages) => messages,
            Err(refusal) => {
                self.shared.metrics.message_received(Received::Invalid);
                self.refuse(&refusal);
                return Ok(());
            }
        };
        for message in messages {
            match message {
                Ok(message) => self.handle(message, now).await?,
                Err(refusal) => {
                    let is_unknown = refusal.code == ErrorCode::UnknownEvent;
                    let kind = if is_unknown { Received::Unknown } else { Received::Invalid };
                    self.shared.metrics.message_received(kind);
                    self.refuse(&refusal);
                }
            }
        }
        Ok(())
    }

    async fn handle(&self, ClientMessage { message_id, event }: ClientMessage, now: Instant) -> Result<(), Gone> {
        let metrics = &self.shared.metrics;
        let connection = self.subscriber.connection;
        match event {
            ClientEvent::Edit(message) => {
                metrics.message_received(Received::DocumentEdit);
                let message_id = message_id.unwrap_or_else(made_up);
                if !self.permissions.allows(Permission::Write) {
                    self.refuse(&insufficient(Permission::Write, self.permissions).of(&message_id));
                    return Ok(());
                }
                let client = self.subscriber.client.clone();
                self.command(Command::Edit(WaitingEdit { connection, client, message_id, message, received_at: now }))
                    .await
            }
            ClientEvent::Sync { since } => {
                metrics.message_received(Received::DocumentSync);
                self.command(Command::Sync(connection, since, message_id)).await
            }
            ClientEvent::Ping { timestamp } => {
                metrics.message_received(Received::Ping);
                let server_time = self.shared.clock.now().millis();
                let frame = pong(&timestamp, server_time, &self.subscriber.client.client, message_id.as_ref());
                self.outbox.push(Item::Frame(frame.into()));
                metrics.messages_sent(Sent::Pong, 1);
                Ok(())
            }
        }
    }

    /// Hands a command to the document. When its inbox is full this waits, and with it the connection is no
    /// longer read: that is how a client that sends too fast is slowed down.
    async fn command(&self, command: Command) -> Result<(), Gone> {
        self.handle.send(command).await.map_err(|_| Gone)
    }

    fn refuse(&self, refusal: &Refusal) {
        self.shared.metrics.error_sent(refusal.code.as_str());
        self.shared.metrics.messages_sent(Sent::Error, 1);
        let now = self.shared.clock.now().to_rfc3339();
        self.outbox.push(Item::Frame(error(refusal, &now, Some(&self.subscriber.client.client)).into()));
    }

    /// Leaves the document, once everything that was sent to it has been answered.
    async fn leave(&self) {
        let (reply, left) = oneshot::channel();
        if self.command(Command::Leave(self.subscriber.connection, reply)).await.is_ok() {
            // A document that is gone has answered all that it was going to.
            let _ = left.await;
        }
    }
}

/// The document's task has ended under us, which happens only after a failure.
struct Gone;

/// A name for a message that came without one.
fn made_up() -> MessageId {
    MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is 36 plain characters")
}

async fn expiry(shared: &Shared, expires_at: Option<Timestamp>) {
    let Some(at) = expires_at else { return std::future::pending().await };
    loop {
        // Asked again after each wait: the clock of the day may be set while the other one runs on.
        let left = at.0.saturating_sub(shared.clock.now().0);
        match u64::try_from(left) {
            Ok(micros) if micros > 0 => sleep(Duration::from_micros(micros)).await,
            _ => return,
        }
    }
}
