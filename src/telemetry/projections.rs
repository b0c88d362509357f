//! What is counted of projections that are kept.

use ::metrics::Gauge;

use super::{
    KeptProjection, Metrics, declarations as declared,
    metrics::{Per, Registry},
};

pub(super) struct Handles {
    behind: Per<KeptProjection, Gauge>,
    documents_left: Per<KeptProjection, Gauge>,
}

impl Handles {
    pub(super) fn new(of: &Registry) -> Self {
        Self {
            behind: of.per(|labels| of.gauge(&declared::PROJECTION_BEHIND, labels)),
            documents_left: of.per(|labels| of.gauge(&declared::PROJECTION_LEFT, labels)),
        }
    }
}

impl Metrics {
    /// A projection is so many positions of the feed behind, and so many documents are still to be gone through by the
    /// generation that is being built.
    pub fn projection(&self, which: KeptProjection, behind: u64, documents_left: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 events are exact")]
        let float = |count: u64| count as f64;
        self.0.projections.behind.of(which).set(float(behind));
        self.0.projections.documents_left.of(which).set(float(documents_left));
    }
}
