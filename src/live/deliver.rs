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
    batch::{Outcome, Submission},
    committed::Committed,
    document::OpenDocument,
    fan_out::FanOut,
    outbox::Item,
    subscriber::Subscriber,
};

impl OpenDocument {
    /// Answers a batch in order: acknowledgements and refusals to those who sent, broadcasts to the others.
    pub(super) fn answer(&self, submissions: &[Submission], outcomes: &[Outcome]) {
        let metrics = &self.live.metrics;
        for (submission, outcome) in submissions.iter().zip(outcomes) {
            match outcome {
                Outcome::Accepted(_) => metrics.ack_latency(submission.received_at.elapsed()),
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
            for (submission, outcome) in submissions.iter().zip(outcomes) {
                match outcome {
                    Outcome::Accepted(_) => waiting.end += 1,
                    Outcome::Repeated(_) | Outcome::Rejected(_) if submission.connection == subscriber.connection => {
                        accepted.put(waiting.clone(), subscriber, &mut items);
                        waiting.start = waiting.end;
                        items.extend(self.answer_alone(submission, outcome));
                    }
                    Outcome::Repeated(_) | Outcome::Rejected(_) | Outcome::Delivered => (),
                }
            }
            accepted.put(waiting, subscriber, &mut items);
            subscriber.outbox.push_all(items);
        }
        accepted.sent().count(metrics);
    }

    /// What only the sender gets to know.
    fn answer_alone(&self, submission: &Submission, outcome: &Outcome) -> Option<Item> {
        let metrics = &self.live.metrics;
        match outcome {
            Outcome::Repeated(earlier) => {
                let kind = if earlier.edit().is_some() { Sent::Ack } else { Sent::CommentAck };
                metrics.messages_sent(kind, 1);
                let encoding = self.subscriber(submission.connection).map(|it| it.encoding).unwrap_or_default();
                Some(Item::Frames(earlier.ack(&self.id, encoding, Sending::Repeated)))
            }
            Outcome::Rejected(rejection) => {
                let refusal = Refusal::of_rejection(rejection).of(&submission.message_id);
                metrics.messages_sent(Sent::Error, 1);
                metrics.error_sent(refusal.code.as_str());
                let now = self.live.clock.now().to_string();
                Some(Item::text(&error(&refusal, &now, Some(&submission.client.client))))
            }
            Outcome::Accepted(_) | Outcome::Delivered => None,
        }
    }

    /// Sends events that came from elsewhere.
    pub(super) fn deliver(&self, events: &[Arc<Committed>]) {
        self.send(&self.subscribers, events);
    }

    pub(super) fn send_missed(&self, subscriber: &Subscriber, missed: &[Arc<Committed>]) {
        self.send(std::slice::from_ref(subscriber), missed);
    }

    fn send(&self, receivers: &[Subscriber], events: &[Arc<Committed>]) {
        let mut events = FanOut::of(&self.id, events.iter());
        for subscriber in receivers {
            let mut items = Vec::new();
            events.put(0..events.len(), subscriber, &mut items);
            subscriber.outbox.push_all(items);
        }
        events.sent().count(&self.live.metrics);
    }
}
