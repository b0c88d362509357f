//! An edit that the log has, with everything that its receivers may ask of it.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use crate::{
    domain::{Cause, ClientId, DocumentId, Edited, Event, MessageId, PositionEncoding, UserId, Version},
    event_log::{NewEvent, Recorded},
    protocol::{
        document::{Broadcast, Form, Sending, ack, broadcast, position_sent},
        frames::Frames,
    },
    text::{CodePoints, Delta, Footprint, Op, Unit, Utf16},
};

use super::fan_out::Variant;

/// A client instance of a user: who an edit is one's own or somebody else's for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientKey {
    /// The user.
    pub user: UserId,
    /// Their client; unique only per user.
    pub client: ClientId,
}

/// An edit that the log has, or is just getting.
#[derive(Debug)]
pub(super) struct Committed {
    /// The version that it made.
    pub(super) version: Version,
    /// The message that asked for it.
    pub(super) message_id: MessageId,
    /// Who sent it.
    pub(super) client: ClientKey,
    /// The edit.
    pub(super) edit: Edited,
    /// Its shape, to carry others over it.
    pub(super) footprint: Footprint<Utf16>,
    /// When it was recorded, RFC 3339, shared by its batch.
    pub(super) timestamp: Arc<str>,
    encoded: [OnceLock<Frames>; 4],
}

impl Committed {
    /// An edit that is about to be appended.
    pub(super) fn new(
        version: Version,
        message_id: MessageId,
        client: ClientKey,
        edit: Edited,
        timestamp: Arc<str>,
    ) -> Self {
        let footprint = Footprint::of(&edit.applied);
        Self { version, message_id, client, edit, footprint, timestamp, encoded: Default::default() }
    }

    /// An edit read back from the log.
    pub(super) fn from_log(recorded: Recorded) -> Self {
        let Recorded { version, message_id, recorded_at, event: Event::Edited(edit), .. } = recorded;
        let client = ClientKey { user: edit.cause.user.clone(), client: edit.cause.client.clone() };
        Self::new(version, message_id, client, edit, recorded_at.to_rfc3339().into())
    }

    /// What to append.
    pub(super) fn to_event(&self) -> NewEvent {
        let event = Event::Edited(self.edit.clone());
        NewEvent { message_id: self.message_id.clone(), version: self.version, event }
    }

    /// About how many bytes it takes in memory: as sent, as applied, and as encoded for its receivers.
    pub(super) fn weight(&self) -> usize {
        512 + 4 * self.cause().received.get().len()
    }

    /// Who asked for it, and how.
    pub(super) fn cause(&self) -> &Cause {
        &self.edit.cause
    }

    /// Its shape counted in code points.
    pub(super) fn footprint_in_code_points(&self) -> Footprint<CodePoints> {
        Footprint::of(&*self.in_code_points())
    }

    /// The change counted in code points.
    pub(super) fn in_code_points(&self) -> Cow<'_, Delta<CodePoints>> {
        match &self.edit.in_code_points {
            Some(delta) => Cow::Borrowed(delta),
            None => Cow::Owned(self.edit.applied.recount()),
        }
    }

    /// The acknowledgement for its sender.
    pub(super) fn ack(&self, sending: Sending) -> Frames {
        Frames::text(&ack(&self.client.client, &self.message_id, self.version, &self.timestamp, sending))
    }

    /// The broadcast for everybody else, encoded once per form and unit.
    pub(super) fn broadcast(&self, document: &DocumentId, Variant { form, encoding }: Variant) -> Frames {
        let differs = encoding == PositionEncoding::Utf32
            && (self.edit.in_code_points.is_some() || form == Form::Simple && self.inserts_pairs());
        let slot = usize::from(form == Form::Delta) + 2 * usize::from(differs);
        let encode = || {
            if differs {
                self.encode(document, &*self.in_code_points(), form)
            } else {
                self.encode(document, &self.edit.applied, form)
            }
        };
        self.encoded[slot].get_or_init(encode).clone()
    }

    /// Whether it inserts characters outside of the Basic Multilingual Plane. The numbers of a delta do not
    /// count what it inserts, but the positions of simple operations count what those before them inserted.
    fn inserts_pairs(&self) -> bool {
        self.edit.applied.ops().iter().any(|op| match op {
            Op::Insert { content, .. } => content.length::<Utf16>() != content.length::<CodePoints>(),
            Op::Retain { .. } | Op::Delete { .. } => false,
        })
    }

    fn encode<U: Unit>(&self, document: &DocumentId, applied: &Delta<U>, form: Form) -> Frames {
        let message = Broadcast {
            document_id: document,
            author: &self.client.user,
            client_id: &self.client.client,
            message_id: &self.message_id,
            applied,
            version: self.version,
            transformed: self.edit.transformed,
            // Read again from what was sent: rare (only transformed edits), and nothing to keep for the rest.
            original_position: if self.edit.transformed { position_sent(&self.cause().received) } else { None },
            timestamp: &self.timestamp,
        };
        Frames::text(&broadcast(&message, form))
    }
}
