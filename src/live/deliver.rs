//! What goes out of a document: answers to those who sent, and everything to everybody else.

use std::sync::Arc;

use crate::{
    protocol::{
        Refusal,
        document::{Sending, error},
    },
    telemetry::Sent,
};

use super::{
    batch::{Outcome, WaitingEdit},
    committed::Committed,
    document::OpenDocument,
    fan_out::FanOut,
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
        let accepted = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Accepted(committed) => Some(committed),
            Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => None,
        });
        let mut accepted = FanOut::of(&self.id, accepted);
        for subscriber in &self.subscribers {
            let mut items = Vec::new();
            // What is for all, and has not been put yet because nothing for this one alone came in between.
            let mut waiting = 0..0;
            for (edit, outcome) in edits.iter().zip(outcomes) {
                match outcome {
                    Outcome::Accepted(_) => waiting.end += 1,
                    Outcome::Repeated(_) | Outcome::Rejected(_) if edit.connection == subscriber.connection => {
                        accepted.put(waiting.clone(), subscriber, &mut items);
                        waiting.start = waiting.end;
                        items.extend(self.answer_alone(edit, outcome));
                    }
                    Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => (),
                }
            }
            accepted.put(waiting, subscriber, &mut items);
            subscriber.outbox.push_all(items);
        }
        self.count(&accepted);
    }

    /// What only the sender of an edit gets to know.
    fn answer_alone(&self, edit: &WaitingEdit, outcome: &Outcome) -> Option<Item> {
        let metrics = &self.live.metrics;
        match outcome {
            Outcome::Repeated(earlier) => {
                metrics.messages_sent(Sent::Ack, 1);
                Some(Item::Frames(earlier.ack(Sending::Repeated)))
            }
            Outcome::Rejected(rejection) => {
                let refusal = Refusal::of_rejection(rejection).of(&edit.message_id);
                metrics.messages_sent(Sent::Error, 1);
                metrics.error_sent(refusal.code.as_str());
                let now = self.live.clock.now().to_rfc3339();
                Some(Item::text(&error(&refusal, &now, Some(&edit.client.client))))
            }
            Outcome::Accepted(_) | Outcome::Delivered => None,
        }
    }

    /// Sends edits that came from elsewhere.
    pub(super) fn deliver(&self, edits: &[Arc<Committed>]) {
        self.send(&self.subscribers, edits);
    }

    pub(super) fn send_missed(&self, subscriber: &Subscriber, missed: &[Arc<Committed>]) {
        self.send(std::slice::from_ref(subscriber), missed);
    }

    fn send(&self, receivers: &[Subscriber], edits: &[Arc<Committed>]) {
        let mut edits = FanOut::of(&self.id, edits.iter());
        for subscriber in receivers {
            let mut items = Vec::new();
            edits.put(0..edits.len(), subscriber, &mut items);
            subscriber.outbox.push_all(items);
        }
        self.count(&edits);
    }

    fn count(&self, edits: &FanOut<'_>) {
        let (acks, broadcasts) = edits.sent();
        self.live.metrics.messages_sent(Sent::Ack, acks);
        self.live.metrics.messages_sent(Sent::Broadcast, broadcasts);
    }
}
