//! What happened, as each of the many who get it: encoded once per way of putting it, however many they are.

use std::{cell::OnceCell, ops::Range, sync::Arc};

use crate::{
    domain::{DocumentId, PositionEncoding},
    protocol::{
        document::{Form, Sending},
        frames::Series,
    },
    telemetry::{Metrics, Sent},
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

/// Committed events on their way to all who have the document open.
///
/// Everybody else's edits between two of one's own are one piece of a buffer that all share. A piece keeps all
/// of the buffer; but nobody waits for one piece who does not wait for nearly all of the others.
pub(super) struct FanOut<'a> {
    document: &'a DocumentId,
    events: Vec<&'a Arc<Committed>>,
    /// Whether acknowledgements are the same in every unit: nearly always.
    has_one_ack: bool,
    has_comments: bool,
    acks: PerVariant<Series>,
    broadcasts: PerVariant<Series>,
    sent: Tally,
}

/// How many of each kind were put.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    acks: u64,
    broadcasts: u64,
    comment_acks: u64,
    comments: u64,
}

impl Tally {
    pub(super) fn count(self, metrics: &Metrics) {
        metrics.messages_sent(Sent::Ack, self.acks);
        metrics.messages_sent(Sent::Broadcast, self.broadcasts);
        metrics.messages_sent(Sent::CommentAck, self.comment_acks);
        metrics.messages_sent(Sent::Comment, self.comments);
    }

    /// One that goes out alone.
    pub(super) fn of(event: &Committed, is_own: bool) -> Self {
        let mut tally = Self::default();
        tally.add(event, is_own);
        tally
    }

    fn add(&mut self, event: &Committed, is_own: bool) {
        match (event.edit().is_some(), is_own) {
            (true, true) => self.acks += 1,
            (true, false) => self.broadcasts += 1,
            (false, is_own) => {
                self.comments += 1;
                self.comment_acks += u64::from(is_own);
            }
        }
    }
}

impl<'a> FanOut<'a> {
    pub(super) fn of(document: &'a DocumentId, events: impl Iterator<Item = &'a Arc<Committed>>) -> Self {
        let events: Vec<_> = events.collect();
        Self {
            document,
            has_one_ack: events.iter().all(|event| event.has_one_ack()),
            has_comments: events.iter().any(|event| event.edit().is_none()),
            events,
            acks: PerVariant::new(),
            broadcasts: PerVariant::new(),
            sent: Tally::default(),
        }
    }

    /// How many events.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Some of the events as one connection gets them: acknowledgements of its own, broadcasts of the others.
    /// What happens to comments is for everybody: their sender gets both.
    pub(super) fn put(&mut self, which: Range<usize>, subscriber: &Subscriber, items: &mut Vec<Item>) {
        let mut from = which.start;
        let is_own = |event: &Committed| subscriber.is_own(event);
        let alike = |a: &&Arc<Committed>, b: &&Arc<Committed>| match (is_own(a), is_own(b)) {
            (false, false) => true,
            (true, true) => a.edit().is_some() && b.edit().is_some(),
            _ => false,
        };
        for run in self.events[which].chunk_by(alike) {
            let which = from..from + run.len();
            from = which.end;
            let is_own = is_own(run[0]);
            match (self.has_comments, is_own) {
                (true, _) => run.iter().for_each(|event| self.sent.add(event, is_own)),
                (false, true) => self.sent.acks += run.len() as u64,
                (false, false) => self.sent.broadcasts += run.len() as u64,
            }
            if is_own {
                items.push(Item::Frames(self.acks(subscriber.variant()).run(which.clone())));
            }
            if !is_own || run[0].edit().is_none() {
                items.push(Item::Frames(self.broadcasts(subscriber.variant()).run(which)));
            }
        }
    }

    /// What was put so far.
    pub(super) fn sent(&self) -> Tally {
        self.sent
    }

    fn acks(&self, variant: Variant) -> &Series {
        let encoding = if self.has_one_ack { PositionEncoding::default() } else { variant.encoding };
        let acks = || Series::of(self.events.iter().map(|event| event.ack(self.document, encoding, Sending::First)));
        self.acks.get(Variant { form: Form::default(), encoding }, acks)
    }

    fn broadcasts(&self, variant: Variant) -> &Series {
        let broadcasts = || Series::of(self.events.iter().map(|event| event.broadcast(self.document, variant)));
        self.broadcasts.get(variant, broadcasts)
    }
}
