//! An event that the log has, with everything that its receivers may ask of it.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use serde_json::value::RawValue;

use crate::{
    domain::{
        Cause, ClientId, CommentCause, Commented, DocumentId, Edited, Event, MessageId, PositionEncoding, Seq, UserId,
        Version,
    },
    event_log::{NewEvent, Recorded},
    protocol::{
        document::{
            AnchorsJson, Broadcast, CommentAck, Form, Sending, ack, broadcast, comment_ack, comment_event,
            position_sent,
        },
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

/// An event that the log has, or is just getting.
#[derive(Debug)]
pub(super) struct Committed {
    /// Its place in the stream.
    pub(super) seq: Seq,
    /// The version of the document after it.
    pub(super) version: Version,
    /// The message that asked for it.
    pub(super) message_id: MessageId,
    /// Who sent it.
    pub(super) client: ClientKey,
    /// What happened.
    pub(super) what: Happened,
    /// When it was recorded, RFC 3339, shared by its batch.
    pub(super) timestamp: Arc<str>,
    encoded: [OnceLock<Frames>; 4],
}

/// What can happen in a document's stream.
#[derive(Debug)]
pub(super) enum Happened {
    /// An edit.
    Edited(CommittedEdit),
    /// Something about a comment.
    Commented(Commented, Arc<CommentCause>),
}

/// An edit, and what others need to be carried over it.
#[derive(Debug)]
pub(super) struct CommittedEdit {
    /// The edit.
    pub(super) edit: Edited,
    /// Its shape, to carry others over it.
    pub(super) footprint: Footprint<Utf16>,
}

impl Committed {
    /// An event that is about to be appended.
    pub(super) fn new(
        (seq, version): (Seq, Version),
        message_id: MessageId,
        client: ClientKey,
        event: Event,
        timestamp: Arc<str>,
    ) -> Self {
        let what = match event {
            Event::Edited(edit) => Happened::Edited(CommittedEdit { footprint: Footprint::of(&edit.applied), edit }),
            Event::Commented(commented, cause) => Happened::Commented(commented, cause),
        };
        Self { seq, version, message_id, client, what, timestamp, encoded: Default::default() }
    }

    /// An event read back from the log.
    pub(super) fn from_log(recorded: Recorded) -> Self {
        let Recorded { seq, version, message_id, recorded_at, event } = recorded;
        let (user, client) = match &event {
            Event::Edited(edit) => (edit.cause.user.clone(), edit.cause.client.clone()),
            Event::Commented(commented, cause) => (commented.by.clone(), cause.client.clone()),
        };
        let client = ClientKey { user, client };
        Self::new((seq, version), message_id, client, event, recorded_at.to_string().into())
    }

    /// What to append.
    pub(super) fn to_event(&self) -> NewEvent {
        let event = match &self.what {
            Happened::Edited(it) => Event::Edited(it.edit.clone()),
            Happened::Commented(commented, cause) => Event::Commented(commented.clone(), Arc::clone(cause)),
        };
        NewEvent { message_id: self.message_id.clone(), version: self.version, event }
    }

    /// The edit, if it is one.
    pub(super) const fn edit(&self) -> Option<&CommittedEdit> {
        match &self.what {
            Happened::Edited(edit) => Some(edit),
            Happened::Commented(..) => None,
        }
    }

    /// What was sent, JSON.
    pub(super) fn received(&self) -> &RawValue {
        match &self.what {
            Happened::Edited(it) => &it.edit.cause.received,
            Happened::Commented(_, cause) => &cause.received,
        }
    }

    /// About how many bytes it takes in memory: as sent, as applied, and as encoded for its receivers.
    pub(super) fn weight(&self) -> usize {
        512 + 4 * self.received().get().len()
    }

    /// The acknowledgement for its sender.
    pub(super) fn ack(&self, document: &DocumentId, encoding: PositionEncoding, sending: Sending) -> Frames {
        Frames::text(&match &self.what {
            Happened::Edited(it) => {
                let placed = AnchorsJson(&it.edit.placed, encoding);
                let cause = (&self.client.client, &self.message_id);
                ack(cause, (self.version, &self.timestamp), placed, sending)
            }
            Happened::Commented(commented, _) => comment_ack(&self.about(document), &commented.change, sending),
        })
    }

    /// Whether its acknowledgement is the same in every unit.
    pub(super) fn has_one_ack(&self) -> bool {
        self.edit().is_none_or(|it| it.edit.placed.is_empty())
    }

    /// What everybody else gets, and of a comment the sender too; encoded once per form and unit.
    pub(super) fn broadcast(&self, document: &DocumentId, variant: Variant) -> Frames {
        match &self.what {
            Happened::Edited(it) => self.broadcast_edit(it, document, variant),
            Happened::Commented(commented, _) => {
                let slot = 2 * usize::from(variant.encoding == PositionEncoding::Utf32);
                let encode = || Frames::text(&comment_event(&self.about(document), commented, variant.encoding));
                self.encoded[slot].get_or_init(encode).clone()
            }
        }
    }

    fn about<'a>(&'a self, document_id: &'a DocumentId) -> CommentAck<'a> {
        let (message_id, client_id) = (&self.message_id, &self.client.client);
        CommentAck { document_id, version: self.version, message_id, client_id, timestamp: &self.timestamp }
    }

    fn broadcast_edit(&self, it: &CommittedEdit, document: &DocumentId, Variant { form, encoding }: Variant) -> Frames {
        let differs = encoding == PositionEncoding::Utf32
            && (it.edit.in_code_points.is_some()
                || it.edit.transformed
                || !it.edit.placed.is_empty()
                || form == Form::Simple && it.inserts_pairs());
        let slot = usize::from(form == Form::Delta) + 2 * usize::from(differs);
        let encode = || {
            if differs {
                self.encode(it, document, &*it.in_code_points(), Variant { form, encoding })
            } else {
                self.encode(it, document, &it.edit.applied, Variant { form, encoding: PositionEncoding::Utf16 })
            }
        };
        self.encoded[slot].get_or_init(encode).clone()
    }

    /// The position that was sent, for receivers of the unit it was sent in: it is a place in the sender's text, which nobody
    /// has any more who could count it in another unit. Read again from what was sent: rare (only transformed edits), and
    /// nothing to keep for the rest.
    fn original_position(&self, it: &CommittedEdit, encoding: PositionEncoding) -> Option<u64> {
        let is_told = it.edit.transformed && it.edit.cause.encoding == encoding;
        is_told.then(|| position_sent(self.received())).flatten()
    }

    fn encode<U: Unit>(
        &self,
        it: &CommittedEdit,
        document: &DocumentId,
        applied: &Delta<U>,
        Variant { form, encoding }: Variant,
    ) -> Frames {
        let message = Broadcast {
            document_id: document,
            author: &self.client.user,
            client_id: &self.client.client,
            message_id: &self.message_id,
            applied,
            version: self.version,
            transformed: it.edit.transformed,
            original_position: self.original_position(it, encoding),
            timestamp: &self.timestamp,
            anchors: AnchorsJson(&it.edit.placed, encoding),
        };
        Frames::text(&broadcast(&message, form))
    }
}

impl CommittedEdit {
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

    /// Whether it inserts characters outside of the Basic Multilingual Plane. The numbers of a delta do not
    /// count what it inserts, but the positions of simple operations count what those before them inserted.
    fn inserts_pairs(&self) -> bool {
        self.edit.applied.ops().iter().any(|op| match op {
            Op::Insert { content, .. } => content.length::<Utf16>() != content.length::<CodePoints>(),
            Op::Retain { .. } | Op::Delete { .. } => false,
        })
    }
}
