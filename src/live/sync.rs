//! Whole documents on their way to clients: encoded once for all who read the same version in the same unit at the same
//! time, however many they are.
//!
//! A document is a few pointers until a connection's writer has come to it. The encoded bytes live as long as somebody
//! writes them. [`Encoder`] bounds how many documents are encoded at a time, and how many encoded bytes there are.

use std::{
    fmt, io,
    sync::{Arc, Weak},
    thread::available_parallelism,
};

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    domain::{ClientId, MessageId, PositionEncoding, Seq},
    protocol::document::{ActiveUser, Sync, document_sync_begin, document_sync_end},
    telemetry::Metrics,
};

/// A document as of one place of its stream, in one unit, for all who get it.
#[derive(Debug)]
pub struct SharedSync {
    /// The document.
    pub sync: Sync,
    /// What it was encoded to, while somebody writes that.
    encoded: Mutex<Weak<Encoded>>,
}

impl SharedSync {
    /// Not encoded yet.
    pub fn new(sync: Sync) -> Arc<Self> {
        Arc::new(Self { sync, encoded: Mutex::default() })
    }
}

/// A document for one connection.
#[derive(Debug)]
pub struct WaitingSync {
    /// What others get too.
    pub shared: Arc<SharedSync>,
    /// Everybody present, the reader included.
    pub active_users: Vec<ActiveUser>,
    /// Whether the client has asked for it on a connection that has the document already.
    pub is_answer: bool,
    /// The client, and the message of it that asked, where that has a name.
    pub asked_by: Option<(ClientId, MessageId)>,
}

impl WaitingSync {
    /// What comes after the bytes that it shares with others.
    pub fn end(&self) -> String {
        let (client, message) = match &self.asked_by {
            Some((client, message)) => (Some(client), Some(message)),
            None => (None, None),
        };
        document_sync_end(&self.active_users, (client, message))
    }
}

/// The newest sync of an open document in each unit, while somebody still waits for it.
#[derive(Debug, Default)]
pub(super) struct Newest([(Seq, Weak<SharedSync>); 2]);

impl Newest {
    /// The document as of this place: the one that somebody waits for, or another one.
    pub(super) fn get(&mut self, at: Seq, encoding: PositionEncoding, make: impl FnOnce() -> Sync) -> Arc<SharedSync> {
        let newest = &mut self.0[usize::from(encoding == PositionEncoding::Utf32)];
        match newest.1.upgrade().filter(|_| newest.0 == at) {
            Some(shared) => shared,
            None => {
                let shared = SharedSync::new(make());
                *newest = (at, Arc::downgrade(&shared));
                shared
            }
        }
    }
}

/// A document as bytes, but for its end.
#[derive(Debug)]
pub struct Encoded {
    bytes: Bytes,
    _room: Option<Room>,
}

impl Encoded {
    /// The bytes. They are to be let go no later than this.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A part of the bytes that may be encoded in all.
struct Room {
    _held: OwnedSemaphorePermit,
    bytes: usize,
    metrics: Metrics,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.metrics.sync_let_go(self.bytes);
    }
}

/// Encodes documents for all connections.
pub struct Encoder {
    /// Turns to encode.
    turns: Arc<Semaphore>,
    /// Room for encoded documents, in units of [`UNIT`].
    room: Arc<Semaphore>,
    /// How much room there is in all.
    units: u32,
    metrics: Metrics,
}

/// Encoded documents up to this many bytes are made at once and not counted: each connection has one at most, and to wait
/// for others would take longer than to make it.
const SHORT: usize = 64 * 1024;
/// A document with more comments is not short: they are gathered before they are encoded.
const FEW_COMMENTS: usize = 256;
/// Bytes in which room is counted.
const UNIT: usize = 1024;

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Encoder {
    /// With room for this many encoded bytes. A document that is longer than all of it takes all of it.
    pub fn new(bytes: usize, metrics: Metrics) -> Self {
        // Half of the processors are left to everything else.
        let turns = available_parallelism().map_or(1, |count| count.get().div_ceil(2));
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).clamp(1, u32::MAX / 8);
        let semaphore = |count| Arc::new(Semaphore::new(count));
        Self { turns: semaphore(turns), room: semaphore(units as usize), units, metrics }
    }

    /// The bytes of a document: those that somebody writes just now, or else new ones, for which this waits until there
    /// is a turn and room.
    ///
    /// # Errors
    /// If the process ends, or encoding panics.
    pub async fn encode(&self, shared: &Arc<SharedSync>) -> io::Result<Arc<Encoded>> {
        if let Some(bytes) = encode_short(&shared.sync) {
            return Ok(Arc::new(Encoded { bytes, _room: None }));
        }
        // Held while it is encoded: whoever comes meanwhile waits for the same bytes.
        let mut newest = shared.encoded.lock().await;
        if let Some(encoded) = newest.upgrade() {
            return Ok(encoded);
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(io::Error::other)?;
        let (to_encode, metrics) = (Arc::clone(shared), self.metrics.clone());
        let (bytes, _turn) = tokio::task::spawn_blocking(move || {
            let bytes = document_sync_begin(&to_encode.sync, usize::MAX).unwrap_or_default();
            metrics.sync_encoded();
            // The turn is the work's: it goes on where the client has gone.
            (Bytes::from(bytes), turn)
        })
        .await?;
        // With the turn still held: so there is no more than the room, and one document for each turn.
        let units = u32::try_from(bytes.len().div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        let held = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(io::Error::other)?;
        self.metrics.sync_held(bytes.len());
        let room = Room { _held: held, bytes: bytes.len(), metrics: self.metrics.clone() };
        let encoded = Arc::new(Encoded { bytes, _room: Some(room) });
        *newest = Arc::downgrade(&encoded);
        Ok(encoded)
    }
}

/// The bytes, if it is known soon that they are few.
fn encode_short(sync: &Sync) -> Option<Bytes> {
    let may_be = sync.length() <= SHORT && sync.comments.as_ref().is_none_or(|list| list.count() <= FEW_COMMENTS);
    may_be.then(|| document_sync_begin(sync, SHORT)).flatten().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        domain::{CommentId, DocumentId, Stretch, ThreadId, Timestamp, UserId, Version},
        protocol::document::{CommentList, ListedComment},
        text::{Attributes, Delta, RichText, Utf16},
    };

    fn document(length: usize) -> Sync {
        let delta = Delta::<Utf16>::default().insert("x".repeat(length), Attributes::default());
        Sync {
            document_id: DocumentId::parse("doc").unwrap(),
            version: Version(1),
            content: RichText::from_delta(&delta).unwrap(),
            last_modified: None,
            comments: None,
        }
    }

    #[tokio::test]
    async fn all_who_read_at_the_same_time_share_the_bytes_and_they_go_with_the_last() {
        let encoder = Encoder::new(10 << 20, Metrics::new());
        let shared = SharedSync::new(document(100_000));
        let (first, second) = tokio::join!(encoder.encode(&shared), encoder.encode(&shared));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        let used = || encoder.units as usize - encoder.room.available_permits();
        assert_eq!(used(), first.bytes().len().div_ceil(UNIT));
        drop(first);
        assert!(used() > 0);
        drop(second);
        assert_eq!(used(), 0);
    }

    #[tokio::test]
    async fn a_document_that_finds_no_room_waits_and_a_short_one_does_not() {
        let metrics = Metrics::new();
        // Each takes two thirds of it.
        let encoder = Encoder::new(300 << 10, metrics.clone());
        let held = encoder.encode(&SharedSync::new(document(100_000))).await.unwrap();
        let is_free = std::cell::Cell::new(false);
        let next = async {
            encoder.encode(&SharedSync::new(document(100_000))).await.unwrap();
            assert!(is_free.get(), "there is room for one");
        };
        let free = async {
            while !metrics.render().contains("scriptorium_syncs_encoded_total 2") {
                tokio::task::yield_now().await;
            }
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(encoder.encode(&SharedSync::new(document(100))).now_or_never().is_some());
            is_free.set(true);
            drop(held);
        };
        tokio::join!(next, free);
    }

    #[derive(Debug)]
    struct LongComment;

    impl CommentList for LongComment {
        fn list(&self) -> Vec<ListedComment> {
            vec![ListedComment {
                id: CommentId::parse("c").unwrap(),
                thread_id: ThreadId::parse("t").unwrap(),
                author_id: UserId::parse("ann").unwrap(),
                author_name: None,
                content: "x".repeat(SHORT).into(),
                position: Stretch { start: 0, end: 0 },
                quote: "".into(),
                resolved: None,
                created_at: Timestamp(0),
                updated: None,
            }]
        }

        fn count(&self) -> usize {
            1
        }
    }

    #[tokio::test]
    async fn comments_and_formatting_make_a_short_text_a_long_document() {
        let encoder = Encoder::new(10 << 20, Metrics::new());
        let commented = Sync { comments: Some(Arc::new(LongComment)), ..document(1) };
        let attributes = |n: usize| Attributes::from_iter([("link".into(), "x".repeat(n).into())]);
        let delta = (0..100).fold(Delta::<Utf16>::default(), |delta, n| delta.insert("x", attributes(900 + n)));
        let formatted = Sync { content: RichText::from_delta(&delta).unwrap(), ..document(1) };
        for sync in [commented, formatted] {
            let encoded = encoder.encode(&SharedSync::new(sync)).await.unwrap();
            assert!(encoder.room.available_permits() < encoder.units as usize);
            drop(encoded);
        }
    }

    #[tokio::test]
    async fn a_document_beyond_all_room_takes_all_of_it() {
        let encoder = Encoder::new(UNIT, Metrics::new());
        let encoded = encoder.encode(&SharedSync::new(document(100_000))).await.unwrap();
        assert_eq!(encoder.room.available_permits(), 0);
        drop(encoded);
        assert_eq!(encoder.room.available_permits(), 1);
    }

    #[test]
    fn readers_of_one_place_in_one_unit_get_the_same_while_one_of_them_waits() {
        let mut newest = Newest::default();
        let mut get = |seq, encoding| newest.get(Seq(seq), encoding, || document(1));
        let first = get(1, PositionEncoding::Utf16);
        assert!(Arc::ptr_eq(&first, &get(1, PositionEncoding::Utf16)));
        assert!(!Arc::ptr_eq(&first, &get(1, PositionEncoding::Utf32)));
        assert!(!Arc::ptr_eq(&first, &get(2, PositionEncoding::Utf16)));
    }
}
