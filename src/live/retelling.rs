//! What the log has, as those get it who watch a document being written once more: as if it happened now, to somebody
//! who does nothing themselves.

use crate::{
    domain::{DocumentId, PositionEncoding},
    event_log::Recorded,
    projection::Document,
    protocol::document::{Form, Sync},
    telemetry::{Metrics, Sent},
};

use super::{
    comments::whole,
    committed::Committed,
    fan_out::{Tally, Variant},
    outbox::Item,
};

/// Tells documents and events of the log.
#[derive(Debug, Clone)]
pub struct Retelling {
    /// The document.
    pub document: DocumentId,
    /// In which form operations are told.
    pub form: Form,
    /// What positions count.
    pub encoding: PositionEncoding,
    /// Where is counted what was told.
    pub metrics: Metrics,
}

impl Retelling {
    /// An event.
    pub fn event(&self, recorded: Recorded) -> Item {
        let event = Committed::from_log(recorded);
        Tally::of(&event, false).count(&self.metrics);
        let Self { form, encoding, .. } = *self;
        Item::Frames(event.broadcast(&self.document, Variant { form, encoding }))
    }

    /// The document as it was, with nobody in it.
    pub fn document(&self, document: &Document) -> Sync {
        self.metrics.messages_sent(Sent::Sync, 1);
        whole(&self.document, document, self.encoding)
    }
}
