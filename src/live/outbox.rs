//! What waits to be sent to one connection.
//!
//! Bounded in bytes. When it is full the connection is cut off with `SLOW_CONSUMER`: text is never dropped
//! or merged on its way to a client, and a client that was cut off resumes from where it stands.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    protocol::{ErrorCode, Refusal, frames::Frames},
    telemetry::CloseReason,
};

use super::sync::WaitingSync;

/// Something to send.
#[derive(Debug)]
pub enum Item {
    /// Messages, ready as they are and shared by all their receivers.
    Frames(Frames),
    /// What the WebSocket protocol itself answers, as a pong: one or more whole frames.
    Control(Bytes),
    /// A whole document: cheap to hold, and encoded only when its turn comes.
    Sync(Box<WaitingSync>),
}

impl Item {
    /// A message.
    pub fn text(message: &str) -> Self {
        Self::Frames(Frames::text(message))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.bytes(),
            Self::Control(frames) => frames.len(),
            Self::Sync(sync) => SYNC_BYTES + USER_BYTES * sync.active_users.len(),
        }
    }

    fn messages(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.count(),
            Self::Control(_) => 0,
            Self::Sync(_) => 1,
        }
    }

    fn is_sync(&self) -> bool {
        matches!(self, Self::Sync(_))
    }

    /// Whether it is a document that the client has asked for.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Sync(sync) if sync.is_answer)
    }
}

/// Why and how the server ends a connection.
#[derive(Debug, Clone)]
pub struct Goodbye {
    /// The close code.
    pub code: u16,
    /// The reason beside the code, and in the `disconnect` event before it.
    pub reason: &'static str,
    /// The same for the metrics.
    pub metric: CloseReason,
    /// An error to tell first.
    pub refusal: Option<Box<Refusal>>,
}

impl Goodbye {
    /// A newer connection of the same client took over.
    pub const SUPERSEDED: Self =
        Self { code: 1008, reason: "superseded", metric: CloseReason::Superseded, refusal: None };
    /// The server stops, or restarts.
    pub const RESTARTING: Self =
        Self { code: 1012, reason: "server_restarting", metric: CloseReason::ShuttingDown, refusal: None };
    /// The document is opened anew, and the client is to come back at once.
    pub const REOPENED: Self = Self { metric: CloseReason::Reopened, ..Self::RESTARTING };
    /// Nothing was heard of the client for too long.
    pub const SILENT: Self =
        Self { code: 1008, reason: "heartbeat_timeout", metric: CloseReason::HeartbeatTimeout, refusal: None };
    /// The client is gone; there is nobody left to say it to.
    pub const LOST: Self = Self { code: 1006, reason: "", metric: CloseReason::ClientLost, refusal: None };
    /// Something that must not happen has happened.
    pub const INTERNAL: Self =
        Self { code: 1011, reason: "internal_error", metric: CloseReason::Internal, refusal: None };

    /// There is no such document, or there is none any more.
    pub fn not_found(why: &'static str) -> Self {
        Self { code: 1008, reason: "document_not_found", metric: CloseReason::DocumentNotFound, refusal: None }
            .because(Refusal::new(ErrorCode::DocumentNotFound, why))
    }

    /// With an error to tell first.
    #[must_use]
    pub fn because(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(Box::new(refusal));
        self
    }
}

/// The queue between a document and one connection.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    closed: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    messages: usize,
    /// How many of the items are whole documents.
    syncs: usize,
    goodbye: Option<Goodbye>,
}

impl State {
    fn add(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.messages += item.messages();
        self.syncs += usize::from(item.is_sync());
        self.items.push_back(item);
    }

    /// Forgets that an item waits.
    fn deduct(&mut self, item: &Item) {
        self.bytes -= item.bytes();
        self.messages -= item.messages();
        self.syncs -= usize::from(item.is_sync());
    }

    /// The next document alone, or everything up to it: what waits behind a document can still be replaced.
    fn take(&mut self) -> VecDeque<Item> {
        let next = if self.syncs == 0 { None } else { self.items.iter().position(Item::is_sync) };
        let Some(next) = next else {
            let Self { items, goodbye, .. } = mem::take(self);
            self.goodbye = goodbye;
            return items;
        };
        let taken: VecDeque<_> = self.items.drain(..next.max(1)).collect();
        for item in &taken {
            self.deduct(item);
        }
        taken
    }
}

/// What [`Outbox::take`] found.
#[derive(Debug)]
pub struct Taken {
    /// What waited, in order: a document alone, or everything before the next one.
    pub items: VecDeque<Item>,
    /// How many messages that was.
    pub messages: usize,
    /// How many bytes that was.
    pub bytes: usize,
    /// Say goodbye after the items, and send nothing more; `None` while more waits.
    pub goodbye: Option<Goodbye>,
}

/// A sync is a few pointers while it waits.
const SYNC_BYTES: usize = 256;
/// And a bit for everybody in it.
const USER_BYTES: usize = 128;

impl Outbox {
    /// An empty outbox that holds up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), filled: Notify::new(), emptied: Notify::new(), closed: Notify::new(), limit }
    }

    /// How many bytes of one answer may be added at once: the rest is room for what happens meanwhile.
    pub(super) const fn helping(&self) -> usize {
        self.limit / 2
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.lock().bytes
    }

    /// Adds to the end. Does nothing once the goodbye has been said.
    pub fn push(&self, item: Item) {
        self.push_all([item]);
    }

    /// Adds several to the end, waking the connection once.
    pub fn push_all(&self, items: impl IntoIterator<Item = Item>) {
        let mut state = self.lock();
        if state.goodbye.is_some() {
            return;
        }
        // Judged by what waits already: one who has taken everything is not slow, however much comes now.
        if state.bytes > self.limit {
            drop(state);
            return self.cut_off();
        }
        items.into_iter().for_each(|item| state.add(item));
        drop(state);
        self.filled.notify_one();
    }

    /// Adds a document to the end; says whether it takes the place of an earlier answer. One that a client has asked for
    /// and that still waits is answered by the new one: it comes later, and shows more.
    pub(super) fn push_answer(&self, sync: WaitingSync) -> bool {
        let mut replaced = false;
        if sync.is_answer {
            let mut state = self.lock();
            if state.syncs > 0
                && let Some(at) = state.items.iter().position(Item::is_answer)
                && let Some(earlier) = state.items.remove(at)
            {
                state.deduct(&earlier);
                replaced = true;
            }
        }
        self.push(Item::Sync(Box::new(sync)));
        replaced
    }

    /// Ends the connection of a client that reads too slowly. What waits is lost with the connection: the
    /// client resumes and gets it from the log.
    pub fn cut_off(&self) {
        {
            let mut state = self.lock();
            if state.goodbye.is_none() {
                *state = State { goodbye: Some(slow_consumer(state.bytes)), ..State::default() };
            }
        }
        self.closed.notify_waiters();
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Ends the connection after what waits. The first goodbye counts.
    pub fn close(&self, goodbye: Goodbye) {
        self.lock().goodbye.get_or_insert(goodbye);
        self.closed.notify_waiters();
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Whether the connection is about to end.
    pub fn is_closed(&self) -> bool {
        self.lock().goodbye.is_some()
    }

    /// Why the connection is about to end, if it is.
    pub fn goodbye(&self) -> Option<Goodbye> {
        self.lock().goodbye.clone()
    }

    /// Waits until the connection is about to end, and tells why.
    pub async fn closed(&self) -> Goodbye {
        loop {
            let mut closed = std::pin::pin!(self.closed.notified());
            // Enlisted before the look, so that a goodbye between the two is not missed.
            closed.as_mut().enable();
            if let Some(goodbye) = self.lock().goodbye.clone() {
                return goodbye;
            }
            closed.await;
        }
    }

    /// Waits for something to send. For the connection's one writer.
    pub async fn take(&self) -> Taken {
        loop {
            {
                let mut state = self.lock();
                if !state.items.is_empty() || state.goodbye.is_some() {
                    let (messages, bytes) = (state.messages, state.bytes);
                    let items = state.take();
                    let taken = Taken {
                        items,
                        messages: messages - state.messages,
                        bytes: bytes - state.bytes,
                        goodbye: state.goodbye.clone().filter(|_| state.items.is_empty()),
                    };
                    drop(state);
                    self.emptied.notify_waiters();
                    return taken;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Waits until what is in the outbox has been taken, so that a long answer can be sent in pages.
    pub async fn emptied(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            {
                let state = self.lock();
                if state.items.is_empty() || state.goodbye.is_some() {
                    return;
                }
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slow_consumer(bytes: usize) -> Goodbye {
    let message = "you read too slowly: connect again and resume with `since`";
    Goodbye {
        code: 1008,
        reason: "slow_consumer",
        metric: CloseReason::SlowConsumer,
        refusal: Some(Box::new(Refusal::new(ErrorCode::SlowConsumer, message).with("waiting_bytes", bytes))),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        domain::{ClientId, DocumentId, MessageId, Version},
        live::SharedSync,
        protocol::document::Sync,
        text::RichText,
    };

    fn message(length: usize) -> Item {
        Item::text(&"x".repeat(length))
    }

    #[test]
    fn a_reader_that_takes_what_waits_is_never_cut_off_however_much_comes_at_once() {
        let outbox = Outbox::new(100);
        for _ in 0..10 {
            outbox.push_all((0..50).map(|_| message(10)));
            assert_eq!(outbox.take().now_or_never().unwrap().messages, 50);
        }
        assert!(!outbox.is_closed());
    }

    /// A document, as its text says.
    fn sync(version: u64, message: Option<&str>) -> WaitingSync {
        let client = || ClientId::parse("c").unwrap();
        WaitingSync {
            shared: SharedSync::new(Sync {
                document_id: DocumentId::parse("doc").unwrap(),
                version: Version(version),
                content: RichText::new(),
                last_modified: None,
                comments: None,
            }),
            active_users: Vec::new(),
            is_answer: message.is_some(),
            asked_by: message.map(|message| (client(), MessageId::parse(message).unwrap())),
        }
    }

    /// What is taken until nothing is left, as lists of versions and lengths.
    fn all(outbox: &Outbox) -> Vec<Vec<usize>> {
        let of = |item: &Item| match item {
            Item::Sync(sync) => usize::try_from(sync.shared.sync.version.0).unwrap(),
            Item::Frames(_) | Item::Control(_) => item.bytes(),
        };
        let taken = || outbox.take().now_or_never().map(|taken| taken.items.iter().map(of).collect());
        std::iter::from_fn(taken).collect()
    }

    #[test]
    fn a_document_is_taken_alone_and_only_when_its_turn_comes() {
        let outbox = Outbox::new(10_000);
        assert!(!outbox.push_answer(sync(1, None)));
        outbox.push_all([message(98), message(198)]);
        assert!(!outbox.push_answer(sync(3, Some("a"))));
        outbox.push(message(298));
        assert_eq!(all(&outbox), [vec![1], vec![100, 202], vec![3], vec![302]]);
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn of_the_documents_that_were_asked_for_and_still_wait_only_the_last_is_sent() {
        let outbox = Outbox::new(10_000);
        assert!(!outbox.push_answer(sync(1, None)), "nobody asked for the first");
        for n in 2..1_000 {
            assert_eq!(outbox.push_answer(sync(n, Some("a"))), n > 2);
            outbox.push(message(1));
        }
        let waiting = outbox.waiting();
        assert!(waiting < 2 * SYNC_BYTES + 1_000 * 3, "{waiting}");
        let all = all(&outbox).concat();
        assert_eq!((all[0], all.iter().filter(|it| **it > 3).count()), (1, 1));
        assert_eq!((all.len(), all[all.len() - 2]), (1_000, 999), "only the message after it comes later");
    }

    #[test]
    fn the_goodbye_comes_after_everything_that_waited() {
        let outbox = Outbox::new(10_000);
        outbox.push_answer(sync(1, None));
        outbox.push(message(1));
        outbox.close(Goodbye::RESTARTING);
        let take = || outbox.take().now_or_never().unwrap();
        assert!(take().goodbye.is_none());
        let last = take();
        assert_eq!((last.items.len(), last.messages, last.goodbye.unwrap().code), (1, 1, 1012));
    }

    #[test]
    fn one_that_does_not_is_cut_off_with_the_reason_and_what_waited_is_let_go() {
        let outbox = Outbox::new(100);
        let mut closed = pin!(outbox.closed());
        outbox.push(message(200));
        assert!(closed.as_mut().now_or_never().is_none() && outbox.waiting() > 200);
        outbox.push(message(1));
        let goodbye = closed.now_or_never().unwrap();
        assert_eq!((goodbye.code, goodbye.reason), (1008, "slow_consumer"));
        let refusal = goodbye.refusal.unwrap();
        assert_eq!(refusal.code, ErrorCode::SlowConsumer);
        assert!(refusal.details["waiting_bytes"].as_u64().unwrap() > 200);
        outbox.push(message(1));
        outbox.close(Goodbye::RESTARTING);
        let taken = outbox.take().now_or_never().unwrap();
        assert!(taken.items.is_empty() && outbox.waiting() == 0, "the client resumes and gets it from the log");
        assert_eq!(taken.goodbye.unwrap().code, 1008, "the first goodbye counts");
    }
}
