//! What happened, as each of the many who get it: encoded once per way of putting it, however many they are.

use std::{cell::OnceCell, ops::Range, sync::Arc};

use crate::{
    domain::{DocumentId, PositionEncoding},
    protocol::{
        document::{Form, Sending},
        frames::Series,
    },
};

use super::{committed::Committed, outbox::Item, subscriber::Subscriber};

/// What makes two connections get different bytes for the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    /// In which form operations come.
    pub(super) form: Form,
    /// In which unit positions are counted.
    pub(super) encoding: PositionEncoding,
}

/// One value for each variant, made when it is first asked for.
#[derive(Debug)]
pub(super) struct PerVariant<T>([OnceCell<T>; 4]);

impl<T> PerVariant<T> {
    pub(super) fn new() -> Self {
        Self(Default::default())
    }

    pub(super) fn get(&self, variant: Variant, make: impl FnOnce() -> T) -> &T {
        let at =
            usize::from(variant.form == Form::Delta) + 2 * usize::from(variant.encoding == PositionEncoding::Utf32);
        self.0[at].get_or_init(make)
    }
}

/// Committed edits on their way to all who have the document open.
///
/// Everybody else's edits between two of one's own are one piece of a buffer that all share. A piece keeps all
/// of the buffer; but nobody waits for one piece who does not wait for nearly all of the others.
pub(super) struct FanOut<'a> {
    document: &'a DocumentId,
    edits: Vec<&'a Arc<Committed>>,
    acks: OnceCell<Series>,
    broadcasts: PerVariant<Series>,
    sent_acks: u64,
    sent_broadcasts: u64,
}

impl<'a> FanOut<'a> {
    pub(super) fn of(document: &'a DocumentId, edits: impl Iterator<Item = &'a Arc<Committed>>) -> Self {
        Self {
            document,
            edits: edits.collect(),
            acks: OnceCell::new(),
            broadcasts: PerVariant::new(),
            sent_acks: 0,
            sent_broadcasts: 0,
        }
    }

    /// How many edits.
    pub(super) fn len(&self) -> usize {
        self.edits.len()
    }

    /// Some of the edits as one connection gets them: acknowledgements of its own, broadcasts of the others.
    pub(super) fn put(&mut self, which: Range<usize>, subscriber: &Subscriber, items: &mut Vec<Item>) {
        let mut from = which.start;
        for run in self.edits[which].chunk_by(|a, b| subscriber.is_own(a) == subscriber.is_own(b)) {
            let which = from..from + run.len();
            from = which.end;
            items.push(Item::Frames(if subscriber.is_own(run[0]) {
                self.sent_acks += run.len() as u64;
                self.acks().run(which)
            } else {
                self.sent_broadcasts += run.len() as u64;
                self.broadcasts(subscriber.variant()).run(which)
            }));
        }
    }

    /// How many acknowledgements and how many broadcasts were put so far.
    pub(super) fn sent(&self) -> (u64, u64) {
        (self.sent_acks, self.sent_broadcasts)
    }

    fn acks(&self) -> &Series {
        self.acks.get_or_init(|| Series::of(self.edits.iter().map(|edit| edit.ack(Sending::First))))
    }

    fn broadcasts(&self, variant: Variant) -> &Series {
        let broadcasts = || Series::of(self.edits.iter().map(|edit| edit.broadcast(self.document, variant)));
        self.broadcasts.get(variant, broadcasts)
    }
}
