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
    live::{Goodbye, Item, Outbox},
    protocol::document::{disconnect, document_sync, error},
    telemetry::{Metrics, Sent},
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
            let taken = tokio::select! {
                taken = outbox.take() => taken,
                _ = ping.tick() => {
                    if Box::pin(self.send_all([Message::Ping(Bytes::new())])).await.is_err() {
                        break;
                    }
                    continue;
                }
            };
            self.metrics.outbox_depth(taken.items.len(), taken.bytes);
            // On the heap while it lasts: an idle connection has nothing to send, and should cost nothing for it.
            let sent = Box::pin(self.send_items(taken.items)).await;
            if let Some(goodbye) = taken.goodbye {
                // Also after a failure: what could not be sent in time may have left room for this.
                Box::pin(self.say(&goodbye)).await;
                break;
            }
            if sent.is_err() && !outbox.is_closed() {
                break;
            }
        }
        self.sink
    }

    async fn send_items(&mut self, items: VecDeque<Item>) -> Result<(), Error> {
        let mut messages = Vec::with_capacity(items.len());
        for item in items {
            messages.push(match item {
                Item::Frame(frame) => frame,
                Item::Sync(sync, asked_by) => {
                    let length = sync.length();
                    let encode = move || match &asked_by {
                        Some((client, message)) => document_sync(&sync, (Some(client), message.as_ref())),
                        None => document_sync(&sync, (None, None)),
                    };
                    let encoded = if length < LONG {
                        encode()
                    } else {
                        tokio::task::spawn_blocking(encode).await.map_err(|_| Error::ConnectionClosed)?
                    };
                    Utf8Bytes::from(encoded)
                }
            });
        }
        match self.framing {
            Framing::Single => self.send_all(messages.into_iter().flat_map(in_parts)).await,
            Framing::Batched => self.send_all(messages.chunks(BATCH).map(together).flat_map(in_parts)).await,
        }
    }

    /// Feeds all, then flushes once. A client that does not take them is waited for, but no longer than a
    /// moment once its goodbye is due.
    async fn send_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Error> {
        let sink = &mut self.sink;
        let send = async move {
            for message in messages {
                sink.feed(message).await?;
            }
            sink.flush().await
        };
        let sent = tokio::select! {
            sent = send => sent,
            () = async { drop(self.outbox.closed().await); tokio::time::sleep(GOODBYE_GRACE).await } => {
                Err(Error::ConnectionClosed)
            }
        };
        self.is_interrupted |= sent.is_err();
        sent
    }

    async fn say(&mut self, goodbye: &Goodbye) {
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

fn together(frames: &[Utf8Bytes]) -> Utf8Bytes {
    match frames {
        [one] => one.clone(),
        several => {
            let texts: Vec<&str> = several.iter().map(Utf8Bytes::as_str).collect();
            format!("[{}]", texts.join(",")).into()
        }
    }
}
