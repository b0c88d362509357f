//! The writing half of a connection: what is in the outbox goes out, as much as there is with one flush.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    clock::Clock,
    live::{Encoder, Goodbye, Item, Outbox, WaitingSync},
    protocol::{
        document::{disconnect, error},
        frames::{self, Frames},
    },
    telemetry::{CloseReason, Metrics, Sent},
};

use super::{
    heard::{Amount, Pings},
    limits::Bucket,
    socket::{Outgoing, Unsent},
};

/// How long a client may take for the last frames before the connection is dropped.
pub(super) const GOODBYE_GRACE: Duration = Duration::from_secs(2);
/// Bytes a second of a document that a client takes at least, on average: else it would be held for as long as it likes.
const SLOWEST: usize = 16 * 1024;
/// A document that a client asks for counts as one message for each so many bytes.
const CHARGED: usize = 64 * 1024;
/// With `batch=true`: events in one array at most.
const BATCH: usize = 256;
/// With `batch=true`: bytes after which an array takes no further event.
const BATCH_BYTES: usize = 32 * 1024;

/// Whether several events may come in one frame, as a JSON array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Single,
    Batched,
}

pub(super) struct Writer {
    pub(super) socket: Outgoing,
    pub(super) outbox: Arc<Outbox>,
    pub(super) framing: Framing,
    pub(super) ping: Interval,
    /// How long the client may take nothing of what waits for it.
    pub(super) patience: Duration,
    pub(super) pings: Pings,
    pub(super) encoder: Arc<Encoder>,
    /// Where documents that the client has asked for are charged.
    pub(super) syncs: Arc<Bucket>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    /// What the last attempt to write has left behind.
    pub(super) unsent: Unsent,
    /// How many messages were taken out of the outbox.
    pub(super) messages: u64,
}

impl Writer {
    /// When to ping.
    pub(super) fn ping(every: Duration) -> Interval {
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping
    }

    /// Writes until the goodbye has been said or the connection breaks. Gives the socket back, so that it can
    /// be hung up and the rest of what the peer sends be read away; and how much was written.
    pub(super) async fn run(mut self) -> (Outgoing, Amount) {
        let outbox = Arc::clone(&self.outbox);
        let is_interrupted = loop {
            let (items, is_last) = tokio::select! {
                taken = outbox.take() => {
                    self.metrics.outbox_depth(taken.messages, taken.bytes);
                    self.messages += taken.messages as u64;
                    (taken.items, taken.goodbye.is_some())
                }
                _ = self.ping.tick() => {
                    self.add_ping();
                    (VecDeque::new(), false)
                }
            };
            // On the heap while it lasts: an idle connection has nothing to send, and should cost nothing for it.
            let sent = Box::pin(self.send(items)).await;
            if sent.is_err() || is_last {
                break sent.is_err();
            }
        };
        match outbox.goodbye() {
            Some(goodbye) => Box::pin(self.say(&goodbye, is_interrupted)).await,
            // Nobody else would notice: whoever waits for room in the outbox must not wait for ever.
            None => outbox.close(Goodbye::LOST),
        }
        (self.socket, Amount { messages: self.messages, bytes: self.unsent.written() })
    }

    /// Writes all items. A client that does not take them is waited for, but no longer than a moment once its
    /// goodbye is due.
    async fn send(&mut self, items: VecDeque<Item>) -> io::Result<()> {
        let outbox = Arc::clone(&self.outbox);
        let send = async {
            let mut gathered = Gathered::default();
            for item in items {
                match (item, self.framing) {
                    (Item::Frames(frames), Framing::Single) => self.unsent.add(frames.into_bytes()),
                    (Item::Frames(frames), Framing::Batched) => {
                        frames.texts().for_each(|text| gathered.add(&text, &mut self.unsent));
                    }
                    (Item::Control(frames), _) => {
                        gathered.take(&mut self.unsent);
                        self.unsent.add(frames);
                    }
                    (Item::Sync(sync), _) => {
                        gathered.take(&mut self.unsent);
                        self.write_sync(*sync).await?;
                    }
                }
            }
            gathered.take(&mut self.unsent);
            self.write().await?;
            self.socket.flush().await
        };
        let sent = tokio::select! {
            sent = send => sent,
            () = async { drop(outbox.closed().await); tokio::time::sleep(GOODBYE_GRACE).await } => {
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        if sent.is_ok() {
            // Room for what was sent is not kept for what may never come.
            self.unsent.clear();
        }
        sent
    }

    /// Writes a document: encodes it only when all before it has gone out, and writes it in parts. While this takes its
    /// time the client is pinged all the same.
    async fn write_sync(&mut self, sync: WaitingSync) -> io::Result<()> {
        self.write().await?;
        let encoder = Arc::clone(&self.encoder);
        let mut encoding = std::pin::pin!(encoder.encode(&sync.shared));
        let encoded = loop {
            tokio::select! {
                encoded = &mut encoding => break encoded?,
                _ = self.ping.tick() => self.add_ping(),
            }
            self.write().await?;
        };
        let end = sync.end();
        let bytes = encoded.bytes().len() + end.len();
        let allowed = self.patience + Duration::from_secs((bytes / SLOWEST) as u64);
        // Before it has gone: the client may ask for the next as soon as it has this one.
        if sync.is_answer {
            self.syncs.charge(u32::try_from(bytes / CHARGED).unwrap_or(u32::MAX), Instant::now());
        }
        let parts = async {
            for part in frames::of_two(encoded.bytes(), &end) {
                self.unsent.add(part);
                if self.ping.tick().now_or_never().is_some() {
                    self.add_ping();
                }
                self.write().await?;
            }
            Ok::<_, io::Error>(())
        };
        let written = timeout(allowed, parts).await;
        written.unwrap_or_else(|_| {
            self.outbox.cut_off();
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    fn add_ping(&mut self) {
        self.pings.sent();
        self.unsent.add(Bytes::from_static(frames::PING));
    }

    async fn write(&mut self) -> io::Result<()> {
        write(&mut self.socket, &mut self.unsent, (&self.outbox, self.patience)).await
    }

    /// What is said after an interruption cannot be a message, which may come in the middle of another: only a
    /// close frame can follow, once the frame that was begun is through.
    async fn say(&mut self, goodbye: &Goodbye, is_interrupted: bool) {
        if matches!(goodbye.metric, CloseReason::ClientClosed | CloseReason::ClientLost) {
            // The answer to the client's own goodbye, if it said one, was the last in the outbox.
            return;
        }
        self.unsent.finish_frame();
        if let Some(refusal) = goodbye.refusal.as_ref().filter(|_| !is_interrupted) {
            self.metrics.error_sent(refusal.code.as_str());
            self.metrics.messages_sent(Sent::Error, 1);
            let refusal = error(refusal, &self.clock.now().to_string(), None);
            self.unsent.add(Frames::text(&refusal).into_bytes());
        }
        if !is_interrupted {
            self.metrics.messages_sent(Sent::Other, 1);
            self.unsent.add(Frames::text(&disconnect(goodbye.reason, goodbye.code)).into_bytes());
        }
        self.unsent.add(frames::close(goodbye.code, goodbye.reason));
        // The peer may be gone already; there is nobody left to tell.
        let _ = timeout(GOODBYE_GRACE, self.socket.write_all_buf(&mut self.unsent)).await;
    }
}

/// Writes all there is. A client that takes no byte of it for so long is cut off, whatever it sends meanwhile: what
/// waits for it is held as long as it waits.
async fn write(
    socket: &mut (impl AsyncWrite + Unpin),
    unsent: &mut Unsent,
    (outbox, patience): (&Outbox, Duration),
) -> io::Result<()> {
    while unsent.has_remaining() {
        let Ok(written) = timeout(patience, socket.write_buf(unsent)).await else {
            outbox.cut_off();
            return Err(io::ErrorKind::TimedOut.into());
        };
        if written? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// With `batch=true`: events that go out as one array.
#[derive(Default)]
struct Gathered {
    /// The array without its last bracket.
    array: Vec<u8>,
    events: usize,
}

impl Gathered {
    /// Adds an event; passes an array on when there is enough for one.
    fn add(&mut self, event: &[u8], unsent: &mut Unsent) {
        self.array.push(if self.events == 0 { b'[' } else { b',' });
        self.array.extend_from_slice(event);
        self.events += 1;
        if self.events >= BATCH || self.array.len() >= BATCH_BYTES {
            self.take(unsent);
        }
    }

    /// Passes on what there is; one event alone goes as it is.
    fn take(&mut self, unsent: &mut Unsent) {
        let mut array = std::mem::take(&mut self.array);
        match std::mem::take(&mut self.events) {
            0 => return,
            1 => drop(array.remove(0)),
            _ => array.push(b']'),
        }
        frames::in_parts(array).for_each(|part| unsent.add(part));
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, duplex},
        time::{advance, sleep},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(75);
    const ALMOST: Duration = Duration::from_millis(74_999);

    fn message() -> Unsent {
        let mut unsent = Unsent::default();
        unsent.add(Frames::text(&"x".repeat(100)).into_bytes());
        unsent
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_byte_now_and_then_is_waited_for() {
        let (mut near, mut far) = duplex(1);
        let (outbox, mut unsent) = (Outbox::new(1_000), message());
        let read = async {
            for _ in 0..102 {
                sleep(ALMOST).await;
                far.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(write(&mut near, &mut unsent, (&outbox, PATIENCE)), read);
        assert!(written.is_ok() && !outbox.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off_as_a_slow_one() {
        let (mut near, _far) = duplex(10);
        let (outbox, mut unsent) = (Outbox::new(1_000), message());
        let mut writing = Box::pin(write(&mut near, &mut unsent, (&outbox, PATIENCE)));
        assert!(futures_util::poll!(&mut writing).is_pending());
        advance(ALMOST).await;
        assert!(futures_util::poll!(&mut writing).is_pending() && !outbox.is_closed());
        advance(Duration::from_millis(2)).await;
        assert_eq!(writing.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(outbox.goodbye().unwrap().metric, CloseReason::SlowConsumer);
    }
}
