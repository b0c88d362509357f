//! What goes out of a document: answers to those who sent, and everything to everybody else.

use std::sync::Arc;

use crate::{
    domain::DocumentId,
    protocol::{
        Refusal,
        document::{Sending, error},
    },
    telemetry::{Metrics, Sent},
};

use super::{
    batch::{Outcome, WaitingEdit},
    committed::Committed,
    document::OpenDocument,
    outbox::Item,
    subscriber::Subscriber,
};

impl OpenDocument {
    /// Answers a batch in order: acknowledgements and refusals to those who sent, broadcasts to the others.
    pub(super) fn answer(&self, edits: &[WaitingEdit], outcomes: &[Outcome]) {
        let metrics = &self.live.metrics;
        for (edit, outcome) in edits.iter().zip(outcomes) {
            match outcome {
                Outcome::Accepted(_) => metrics.ack_latency(edit.received_at.elapsed()),
                Outcome::Repeated(_) => metrics.duplicate(),
                Outcome::Rejected(_) | Outcome::Delivered => (),
            }
        }
        let mut sent = Tally::default();
        let now = self.live.clock.now();
        for subscriber in &self.subscribers {
            let is_sender = |edit: &WaitingEdit| edit.connection == subscriber.connection;
            subscriber.outbox.push_all(edits.iter().zip(outcomes).filter_map(|(edit, outcome)| match outcome {
                Outcome::Accepted(committed) => Some(sent.frame(subscriber, &self.id, committed)),
                Outcome::Repeated(earlier) if is_sender(edit) => {
                    sent.acks += 1;
                    Some(Item::Frame(earlier.ack(Sending::Repeated)))
                }
                Outcome::Rejected(rejection) if is_sender(edit) => {
                    let refusal = Refusal::of_rejection(rejection).of(&edit.message_id);
                    metrics.messages_sent(Sent::Error, 1);
                    metrics.error_sent(refusal.code.as_str());
                    Some(Item::Frame(error(&refusal, &now.to_rfc3339(), Some(&edit.client.client)).into()))
                }
                Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => None,
            }));
        }
        sent.count(metrics);
    }

    /// Sends edits that came from elsewhere.
    pub(super) fn deliver(&self, edits: &[Arc<Committed>]) {
        let mut sent = Tally::default();
        for subscriber in &self.subscribers {
            let frames = edits.iter().map(|edit| sent.frame(subscriber, &self.id, edit));
            subscriber.outbox.push_all(frames);
        }
        sent.count(&self.live.metrics);
    }

    pub(super) fn send_missed(&self, subscriber: &Subscriber, missed: &[Arc<Committed>]) {
        let mut sent = Tally::default();
        let frames = missed.iter().map(|edit| sent.frame(subscriber, &self.id, edit));
        subscriber.outbox.push_all(frames);
        sent.count(&self.live.metrics);
    }
}

/// Counts what one round of deliveries sent.
#[derive(Default)]
struct Tally {
    acks: u64,
    broadcasts: u64,
}

impl Tally {
    fn frame(&mut self, subscriber: &Subscriber, document: &DocumentId, edit: &Committed) -> Item {
        let is_own = edit.client == subscriber.client;
        *(if is_own { &mut self.acks } else { &mut self.broadcasts }) += 1;
        Item::Frame(subscriber.frame(document, edit))
    }

    fn count(&self, metrics: &Metrics) {
        metrics.messages_sent(Sent::Ack, self.acks);
        metrics.messages_sent(Sent::Broadcast, self.broadcasts);
    }
}
