//! What is counted of several nodes on one database.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};

use super::{
    Metrics, Rung, TailRead, declarations as declared,
    metrics::{Per, Registry},
};

pub(super) struct Handles {
    rings: Per<Rung, Counter>,
    tail_reads: Per<TailRead, Counter>,
    tail_events: Counter,
    delivery_lag: Histogram,
    turns_left: Histogram,
    doorbell_heard: Gauge,
}

impl Handles {
    pub(super) fn new(of: &Registry) -> Self {
        Self {
            rings: of.per(|labels| of.counter(&declared::RINGS, labels)),
            tail_reads: of.per(|labels| of.counter(&declared::TAIL_READS, labels)),
            tail_events: of.counter(&declared::TAIL_EVENTS, vec![]),
            turns_left: of.histogram(&declared::TURNS_LEFT, vec![]),
            doorbell_heard: of.gauge(&declared::DOORBELL_HEARD, vec![]),
            delivery_lag: of.histogram(&declared::DELIVERY_LAG, vec![]),
        }
    }
}

impl Metrics {
    /// There was a sign that others may have written.
    pub fn rung(&self, kind: Rung) {
        self.0.cluster.rings.of(kind).increment(1);
    }

    /// Whether the doorbell is heard now.
    pub fn doorbell_heard(&self, is_heard: bool) {
        self.0.cluster.doorbell_heard.set(f64::from(u8::from(is_heard)));
    }

    /// The end of a document is read from the log.
    pub fn tail_read(&self, why: TailRead) {
        self.0.cluster.tail_reads.of(why).increment(1);
    }

    /// A document waited so long for another node to write first.
    pub fn gave_way(&self, waited: Duration) {
        self.0.cluster.turns_left.record(waited);
    }

    /// Events of others were found in the log and delivered; the last one was recorded `lag` ago.
    pub fn taken_in(&self, events: usize, lag: Duration) {
        self.0.cluster.tail_events.increment(events as u64);
        self.0.cluster.delivery_lag.record(lag);
    }
}
