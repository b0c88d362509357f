//! A connection, as its document sees it.

use std::sync::Arc;

use crate::{
    domain::{DocumentId, PositionEncoding, Profile, Seq, Timestamp, Version},
    protocol::{
        document::{ConnectionAck, Form, Sending, connection_ack},
        frames::Frames,
    },
};

use super::{
    command::ConnectionId,
    committed::{ClientKey, Committed},
    fan_out::Variant,
    outbox::Outbox,
};

/// A connection that gets everything that happens to a document.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// Which connection.
    pub connection: ConnectionId,
    /// Whose.
    pub client: ClientKey,
    /// Who that is for the others.
    pub profile: Arc<Profile>,
    /// What they may do here, by the short names.
    pub permissions: Vec<&'static str>,
    /// In which form it wants operations.
    pub form: Form,
    /// In which unit it counts.
    pub encoding: PositionEncoding,
    /// Where to put what it is to get.
    pub outbox: Arc<Outbox>,
}

/// How a connection wants to begin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// The version that it has already.
    pub since: Option<Version>,
    /// Up to where it has read from the log; then `connection_ack` has been sent: it resumes.
    pub read_to: Option<Seq>,
    /// Whether the log turned out to have more than may be sent event by event.
    pub is_too_far: bool,
}

impl Subscriber {
    /// Whether an edit is its own: those are acknowledged, the others are broadcast to it.
    pub(super) fn is_own(&self, edit: &Committed) -> bool {
        edit.client == self.client
    }

    pub(super) fn variant(&self) -> Variant {
        Variant { form: self.form, encoding: self.encoding }
    }

    /// A committed event as this connection gets it: its own are acknowledged, and those about comments go to
    /// everybody.
    pub(super) fn frames(&self, document: &DocumentId, event: &Committed) -> impl Iterator<Item = Frames> {
        let is_own = self.is_own(event);
        let ack = is_own.then(|| event.ack(document, self.encoding, Sending::First));
        let broadcast = (!is_own || event.edit().is_none()).then(|| event.broadcast(document, self.variant()));
        ack.into_iter().chain(broadcast)
    }

    /// The connection's first frame.
    pub(super) fn connection_ack(&self, version: Version, now: Timestamp, resumed: bool) -> Frames {
        Frames::text(&connection_ack(&ConnectionAck {
            client_id: &self.client.client,
            user_id: &self.client.user,
            permissions: &self.permissions,
            document_version: version,
            server_time: &now.to_string(),
            encoding: self.encoding,
            resumed,
        }))
    }
}
