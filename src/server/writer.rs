//! The writing half of a connection: what is in the outbox goes out, as much as there is with one flush.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, stream::SplitSink};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::{
    clock::Clock,
    domain::{ClientId, MessageId},
    live::{Goodbye, Item, Outbox},
    protocol::document::{Sync, disconnect, document_sync, error},
    telemetry::{CloseReason, Metrics, Sent},
};

/// A WebSocket of ours.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How long a client may take for the last frames before the connection is dropped.
pub(super) const GOODBYE_GRACE: Duration = Duration::from_secs(2);
/// A document longer than this is encoded on a thread of its own, not among the connections.
const LONG: usize = 256 * 1024;
/// Bytes of a message that go into one frame.
const PART: usize = 32 * 1024;
/// With `batch=true`: frames in one array at most.
const BATCH: usize = 256;

/// Whether several events may come in one frame, as a JSON array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Single,
    Batched,
}

pub(super) struct Writer {
    pub(super) sink: SplitSink<Socket, Message>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) framing: Framing,
    pub(super) ping_every: Duration,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    /// A message may have been left half sent: only a close frame can follow.
    pub(super) is_interrupted: bool,
}

impl Writer {
    /// Writes until the goodbye has been said or the connection breaks. Gives the sink back, so that the
    /// two halves can be joined again and the rest of what the peer sends be read away.
    pub(super) async fn run(mut self) -> SplitSink<Socket, Message> {
        let mut ping = tokio::time::interval_at(Instant::now() + self.ping_every, self.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outbox = Arc::clone(&self.outbox);
        loop {
            let (items, is_last) = tokio::select! {
                taken = outbox.take() => {
                    self.metrics.outbox_depth(taken.items.len(), taken.bytes);
                    (Some(taken.items), taken.goodbye.is_some())
                }
                _ = ping.tick() => (None, false),
            };
            // On the heap while it lasts: an idle connection has nothing to send, and should cost nothing for it.
            let sent = Box::pin(self.send(items)).await;
            if sent.is_err() || is_last {
                self.is_interrupted = sent.is_err();
                break;
            }
        }
        match outbox.goodbye() {
            Some(goodbye) => Box::pin(self.say(&goodbye)).await,
            // Nobody else would notice: whoever waits for room in the outbox must not wait for ever.
            None => outbox.close(Goodbye::LOST),
        }
        self.sink
    }

    /// Feeds all items, or a ping instead of them, then flushes once. A client that does not take them is
    /// waited for, but no longer than a moment once its goodbye is due.
    async fn send(&mut self, items: Option<VecDeque<Item>>) -> Result<(), Error> {
        let (sink, framing) = (&mut self.sink, self.framing);
        let send = async move {
            if items.is_none() {
                sink.feed(Message::Ping(Bytes::new())).await?;
            }
            let mut gathered = Gathered::default();
            for item in items.into_iter().flatten() {
                // One at a time: a document is encoded only when the one before it has gone out.
                let text = match item {
                    Item::Frame(frame) => frame,
                    Item::Sync(sync, asked_by) => encode(sync, asked_by).await?,
                };
                let message = match framing {
                    Framing::Single => Some(text),
                    Framing::Batched => gathered.add(text),
                };
                for part in message.into_iter().flat_map(in_parts) {
                    sink.feed(part).await?;
                }
            }
            for part in gathered.take().into_iter().flat_map(in_parts) {
                sink.feed(part).await?;
            }
            sink.flush().await
        };
        tokio::select! {
            sent = send => sent,
            () = async { drop(self.outbox.closed().await); tokio::time::sleep(GOODBYE_GRACE).await } => {
                Err(Error::ConnectionClosed)
            }
        }
    }

    async fn say(&mut self, goodbye: &Goodbye) {
        if matches!(goodbye.metric, CloseReason::ClientClosed | CloseReason::ClientLost) {
            // Sends the answer to the client's own goodbye, if it said one.
            let _ = tokio::time::timeout(GOODBYE_GRACE, self.sink.close()).await;
            return;
        }
        let mut last = Vec::new();
        if let Some(refusal) = goodbye.refusal.as_ref().filter(|_| !self.is_interrupted) {
            self.metrics.error_sent(refusal.code.as_str());
            self.metrics.messages_sent(Sent::Error, 1);
            last.push(error(refusal, &self.clock.now().to_rfc3339(), None));
        }
        if goodbye.code != u16::from(CloseCode::Normal) && !self.is_interrupted {
            self.metrics.messages_sent(Sent::Other, 1);
            last.push(disconnect(goodbye.reason, goodbye.code));
        }
        let frame = CloseFrame { code: goodbye.code.into(), reason: Utf8Bytes::from_static(goodbye.reason) };
        let last = last.into_iter().map(|text| Message::Text(text.into()));
        // The peer may be gone already; there is nobody left to tell.
        let _ = tokio::time::timeout(GOODBYE_GRACE, async {
            for message in last.chain([Message::Close(Some(frame))]) {
                self.sink.feed(message).await?;
            }
            self.sink.flush().await
        })
        .await;
    }
}

/// A long message as several frames: the buffer that a connection writes through keeps the size of the
/// largest frame that ever went through it.
fn in_parts(message: Utf8Bytes) -> impl Iterator<Item = Message> {
    let length = message.len();
    let whole = (length <= PART).then(|| Message::Text(message.clone()));
    let bytes = Bytes::from(message);
    let parts = (0..if whole.is_some() { 0 } else { length }).step_by(PART).map(move |start| {
        let end = (start + PART).min(length);
        let kind = if start == 0 { Data::Text } else { Data::Continue };
        Message::Frame(Frame::message(bytes.slice(start..end), OpCode::Data(kind), end == length))
    });
    whole.into_iter().chain(parts)
}

/// With `batch=true`: events that go out as one array.
#[derive(Default)]
struct Gathered {
    events: Vec<Utf8Bytes>,
    bytes: usize,
}

impl Gathered {
    /// Adds an event; gives an array when there is enough for one.
    fn add(&mut self, event: Utf8Bytes) -> Option<Utf8Bytes> {
        self.bytes += event.len();
        self.events.push(event);
        if self.events.len() >= BATCH || self.bytes >= PART { self.take() } else { None }
    }

    fn take(&mut self) -> Option<Utf8Bytes> {
        self.bytes = 0;
        match self.events.len() {
            0 | 1 => self.events.pop(),
            _ => {
                let texts: Vec<&str> = self.events.iter().map(Utf8Bytes::as_str).collect();
                let array = format!("[{}]", texts.join(","));
                self.events.clear();
                Some(array.into())
            }
        }
    }
}

async fn encode(sync: Box<Sync>, asked_by: Option<(ClientId, Option<MessageId>)>) -> Result<Utf8Bytes, Error> {
    let is_long = sync.length() >= LONG;
    let encode = move || match &asked_by {
        Some((client, message)) => document_sync(&sync, (Some(client), message.as_ref())),
        None => document_sync(&sync, (None, None)),
    };
    if !is_long {
        return Ok(encode().into());
    }
    let encoded = tokio::task::spawn_blocking(encode).await;
    encoded.map(Utf8Bytes::from).map_err(|_| Error::ConnectionClosed)
}
