//! What a node says on a doorbell to the others, whichever way it goes: where streams have come to, and who waits.
//!
//! It is gathered here while the last is being said, and nobody who writes ever waits for it: what has become too
//! much to say becomes "look at everything".

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{Ring, StreamName};
use crate::domain::Seq;

/// What is said when there is too much to say: look at everything.
const MANY: &str = "*";
/// Before the number of one who waits for a turn, and before the milliseconds that it needs.
const WANTED: char = '?';
const NEEDS: char = '/';
/// What a word has beside its name at most: the two longest numbers, and four signs.
const NUMBERS: usize = 44;

/// Where streams end, as far as nobody has been told yet.
#[derive(Default)]
struct Moved {
    heads: HashMap<StreamName, Seq>,
    wanted: HashMap<StreamName, Duration>,
    /// Of both, written out.
    length: usize,
    many: bool,
}

impl Moved {
    fn push(&mut self, stream: &StreamName, head: Seq, most: usize) {
        if self.many {
            return;
        }
        if self.heads.insert(stream.clone(), head).is_none() {
            self.lengthen(stream, most);
        }
    }

    fn want(&mut self, stream: &StreamName, needs: Duration, most: usize) {
        if !self.many && self.wanted.insert(stream.clone(), needs).is_none() {
            self.lengthen(stream, most);
        }
    }

    fn lengthen(&mut self, stream: &StreamName, most: usize) {
        self.length += stream.as_str().len() + NUMBERS;
        if self.length > most {
            *self = Self { many: true, ..Self::default() };
        }
    }

    /// `document:a=12 document:b=3 document:c=?WHO/40`, in pieces of so many bytes at most; none if there is nothing to
    /// tell.
    fn told(self, who: u64, most: usize) -> Vec<String> {
        if self.many {
            return vec![MANY.to_owned()];
        }
        let mut pieces: Vec<String> = Vec::new();
        let heads = self.heads.iter().map(|(stream, seq)| format!("{stream}={seq}"));
        let wanted = self.wanted.iter().map(|(stream, needs)| {
            let needs = needs.as_millis();
            format!("{stream}={WANTED}{who}{NEEDS}{needs}")
        });
        for word in heads.chain(wanted) {
            match pieces.last_mut() {
                Some(piece) if piece.len() + 1 + word.len() <= most => {
                    piece.push(' ');
                    piece.push_str(&word);
                }
                _ if word.len() <= most => pieces.push(word),
                _ => return vec![MANY.to_owned()],
            }
        }
        pieces
    }
}

/// Reads `name=seq name=?WHO/MILLISECONDS`, but for what one has said oneself that one waits; whatever else it is means that
/// anything may have moved.
pub(super) fn read(told: &str, own: u64) -> impl Iterator<Item = Ring> + '_ {
    told.split(' ').filter_map(move |word| {
        let Some((name, said)) = word.rsplit_once('=') else { return Some(Ring::Many) };
        let stream = StreamName::recorded(name);
        if let Some((who, needs)) = said.strip_prefix(WANTED).and_then(read_wanted) {
            return (who != own).then_some(Ring::Wanted(stream, needs));
        }
        Some(said.parse().map_or(Ring::Many, |seq| Ring::Stream(stream, Seq(seq))))
    })
}

fn read_wanted(said: &str) -> Option<(u64, Duration)> {
    let (who, needs) = said.split_once(NEEDS)?;
    Some((who.parse().ok()?, Duration::from_millis(needs.parse().ok()?)))
}

/// What all ends share.
struct Shared {
    moved: Mutex<Moved>,
    /// Of what is gathered, in bytes.
    most: usize,
    /// The number of this process, by which it knows its own words: any that another process does not have.
    who: u64,
}

impl Shared {
    fn moved(&self) -> MutexGuard<'_, Moved> {
        // Nothing here panics between two changes that belong together.
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With which a lane says what it has committed.
#[derive(Clone)]
pub(super) struct Ringing {
    shared: Arc<Shared>,
    wake: mpsc::Sender<()>,
}

/// With which is said anything else; keeps nobody at work.
#[derive(Clone)]
pub(super) struct Waiting {
    shared: Arc<Shared>,
    wake: mpsc::WeakSender<()>,
}

/// What nobody has been told yet, for the task that tells it.
pub(super) struct Untold {
    shared: Arc<Shared>,
    woken: mpsc::Receiver<()>,
}

/// The ends of one bell. Up to `most` bytes are gathered; more become "look at everything".
pub(super) fn gathering(most: usize) -> (Ringing, Untold) {
    let who = RandomState::new().hash_one(most);
    let shared = Arc::new(Shared { moved: Mutex::default(), most, who });
    let (wake, woken) = mpsc::channel(1);
    (Ringing { shared: Arc::clone(&shared), wake }, Untold { shared, woken })
}

impl Ringing {
    pub(super) fn ring<'a>(&self, heads: impl Iterator<Item = (&'a StreamName, Seq)>) {
        let mut moved = self.shared.moved();
        heads.for_each(|(stream, head)| moved.push(stream, head, self.shared.most));
        // If it is full, somebody has rung and nobody has come yet: this will be told as well.
        let _rung = self.wake.try_send(());
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting { shared: Arc::clone(&self.shared), wake: self.wake.downgrade() }
    }
}

impl Waiting {
    /// The number of this process, by which it knows its own words.
    pub(super) fn who(&self) -> u64 {
        self.shared.who
    }

    /// Tells how far a stream has come.
    pub(super) fn ring(&self, stream: &StreamName, head: Seq) {
        self.shared.moved().push(stream, head, self.shared.most);
        self.wake();
    }

    /// Tells that one waits to write to a stream, and how long that takes.
    pub(super) fn want(&self, stream: &StreamName, needs: Duration) {
        self.shared.moved().want(stream, needs, self.shared.most);
        self.wake();
    }

    /// Anything may have moved: it is not known what was heard.
    pub(super) fn anything(&self) {
        *self.shared.moved() = Moved { many: true, ..Moved::default() };
        self.wake();
    }

    /// Wakes the task that tells, though there may be nothing to tell.
    pub(super) fn wake(&self) {
        let _rung = self.wake.upgrade().map(|wake| wake.try_send(()));
    }
}

impl Untold {
    /// Waits until there may be something to tell; `false` when there never will be again.
    pub(super) async fn wait(&mut self) -> bool {
        self.woken.recv().await.is_some()
    }

    /// What is to be told now, in pieces of so many bytes at most.
    pub(super) fn take(&self, most: usize) -> Vec<String> {
        std::mem::take(&mut *self.shared.moved()).told(self.shared.who, most)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event_log::suite::stream;

    #[test]
    fn a_ring_names_streams_and_places_or_means_any() {
        let ring = |name, seq| Ring::Stream(StreamName::recorded(name), Seq(seq));
        let heard: Vec<_> = read("document:a/b=12 presence:c=3", 7).collect();
        assert_eq!(heard, [ring("document:a/b", 12), ring("presence:c", 3)]);
        for odd in
            ["*", "", "document:a", "document:a=", "document:a=-1", "document:a=?", "document:a=?7", "document:a=?7/x"]
        {
            assert_eq!(read(odd, 7).collect::<Vec<_>>(), [Ring::Many], "{odd}");
        }
    }

    #[test]
    fn who_waits_is_heard_by_all_others() {
        let told = "document:a=?7/40 document:b=2";
        let wanted = Ring::Wanted(StreamName::recorded("document:a"), Duration::from_millis(40));
        let moved = Ring::Stream(StreamName::recorded("document:b"), Seq(2));
        assert_eq!(read(told, 8).collect::<Vec<_>>(), [wanted, moved.clone()]);
        assert_eq!(read(told, 7).collect::<Vec<_>>(), [moved]);
    }

    /// Rings for so many streams, and what is told of them.
    fn told(streams: u64, gathered: usize, most: usize) -> Vec<String> {
        let (ringing, untold) = gathering(gathered);
        let names: Vec<_> = (0..streams).map(|n| stream(&format!("d{n}"))).collect();
        ringing.ring(names.iter().zip((1..).map(Seq)));
        untold.take(most)
    }

    #[test]
    fn what_is_too_long_for_one_message_is_told_in_several_and_whole() {
        let pieces = told(500, 1 << 20, 100);
        assert!(pieces.len() > 50 && pieces.iter().all(|piece| piece.len() <= 100), "{}", pieces.len());
        let heard: BTreeSet<_> = pieces
            .iter()
            .flat_map(|piece| read(piece, 7))
            .map(|ring| match ring {
                Ring::Stream(name, seq) => (seq, name),
                other @ (Ring::Wanted(..) | Ring::Many) => panic!("{other:?}"),
            })
            .collect();
        let all = (0..500).map(|n| (Seq(n + 1), stream(&format!("d{n}"))));
        assert_eq!(heard, all.collect());
    }

    #[test]
    fn what_is_too_much_to_gather_or_too_long_to_say_means_any() {
        assert_eq!(told(500, 1_000, 1_000), ["*"]);
        assert_eq!(told(1, 1_000, 10), ["*"], "a name that no message has room for");
        assert!(told(0, 1_000, 1_000).is_empty());
    }

    #[tokio::test]
    async fn what_is_said_while_nobody_listens_waits_and_is_told_once() {
        let (ringing, mut untold) = gathering(1_000);
        let waiting = ringing.waiting();
        for seq in 1..=3 {
            ringing.ring([(&stream("d"), Seq(seq))].into_iter());
        }
        assert!(untold.wait().await);
        assert_eq!(untold.take(1_000), ["document:d=3"], "the farthest place is enough");
        assert!(untold.take(1_000).is_empty());
        waiting.anything();
        ringing.ring([(&stream("d"), Seq(4))].into_iter());
        assert!(untold.wait().await);
        assert_eq!(untold.take(1_000), ["*"]);
        drop(ringing);
        waiting.want(&stream("d"), Duration::ZERO);
        assert!(!untold.wait().await, "who only waits to write keeps nobody at work");
    }
}
