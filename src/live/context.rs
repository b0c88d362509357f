//! The contexts of clients' edits: kept while their document is open, rebuilt from the log when not.

use std::sync::Arc;

use crate::{
    domain::{Context, PositionEncoding, Seq, Version},
    event_log::{EventLog, ReadError, StreamName},
    protocol::document::{SentOperation, read_sent},
    text::{CodePoints, Delta, EditError, Footprint, RichText, Unit, Utf16},
};

use super::{
    committed::{ClientKey, Committed, CommittedEdit},
    recent::Recent,
};

/// A unit that clients may count in.
pub(super) trait Counted: Unit {
    /// The unit's name.
    const ENCODING: PositionEncoding;
    /// This unit's context, if it is that, to look at.
    fn peek(context: &ClientContext) -> Option<&Context<Self>>;
    /// The same, to be brought up to date.
    fn peek_mut(context: &mut ClientContext) -> Option<&mut Context<Self>>;
    /// A context of this unit as one of any unit.
    fn wrap(context: Context<Self>) -> ClientContext;
    /// The shape of an edit.
    fn footprint(edit: &CommittedEdit) -> Footprint<Self>;
    /// The change as it was applied.
    fn applied(edit: &CommittedEdit) -> Delta<Self>;
    /// The change as it was sent.
    fn sent(operation: SentOperation) -> Option<Delta<Self>>;
    /// The change in both units; `None` in code points where the numbers are the same.
    fn settle(edit: Delta<Self>, document: &RichText) -> Result<InBothUnits, EditError>;
}

/// A change in UTF-16 units, and in code points where the numbers differ.
pub(super) type InBothUnits = (Delta<Utf16>, Option<Delta<CodePoints>>);

impl Counted for Utf16 {
    const ENCODING: PositionEncoding = PositionEncoding::Utf16;

    fn peek(context: &ClientContext) -> Option<&Context<Self>> {
        match context {
            ClientContext::Utf16(context) => Some(context),
            ClientContext::CodePoints(_) => None,
        }
    }

    fn peek_mut(context: &mut ClientContext) -> Option<&mut Context<Self>> {
        match context {
            ClientContext::Utf16(context) => Some(context),
            ClientContext::CodePoints(_) => None,
        }
    }

    fn wrap(context: Context<Self>) -> ClientContext {
        ClientContext::Utf16(context)
    }

    fn footprint(edit: &CommittedEdit) -> Footprint<Self> {
        edit.footprint.clone()
    }

    fn applied(edit: &CommittedEdit) -> Delta<Self> {
        edit.edit.applied.clone()
    }

    fn sent(operation: SentOperation) -> Option<Delta<Self>> {
        match operation {
            SentOperation::Utf16(delta) => Some(delta),
            SentOperation::CodePoints(_) => None,
        }
    }

    fn settle(edit: Delta<Self>, document: &RichText) -> Result<InBothUnits, EditError> {
        if document.length::<Utf16>() == document.length::<CodePoints>() {
            return Ok((edit, None));
        }
        document.check(&edit)?;
        let points = document.to_code_points(&edit);
        let differs = points != edit.recount();
        Ok((edit, differs.then_some(points)))
    }
}

impl Counted for CodePoints {
    const ENCODING: PositionEncoding = PositionEncoding::Utf32;

    fn peek(context: &ClientContext) -> Option<&Context<Self>> {
        match context {
            ClientContext::CodePoints(context) => Some(context),
            ClientContext::Utf16(_) => None,
        }
    }

    fn peek_mut(context: &mut ClientContext) -> Option<&mut Context<Self>> {
        match context {
            ClientContext::CodePoints(context) => Some(context),
            ClientContext::Utf16(_) => None,
        }
    }

    fn wrap(context: Context<Self>) -> ClientContext {
        ClientContext::CodePoints(context)
    }

    fn footprint(edit: &CommittedEdit) -> Footprint<Self> {
        edit.footprint_in_code_points()
    }

    fn applied(edit: &CommittedEdit) -> Delta<Self> {
        edit.in_code_points().into_owned()
    }

    fn sent(operation: SentOperation) -> Option<Delta<Self>> {
        match operation {
            SentOperation::Utf16(_) => None,
            SentOperation::CodePoints(delta) => Some(delta),
        }
    }

    fn settle(edit: Delta<Self>, document: &RichText) -> Result<InBothUnits, EditError> {
        let in_utf16 = document.to_utf16(&edit)?;
        let differs = edit != in_utf16.recount();
        Ok((in_utf16, differs.then_some(edit)))
    }
}

/// The edits of a document, oldest first: in the log, in memory, and in the batch that is being made.
#[derive(Clone, Copy)]
pub(super) struct Edits<'a> {
    pub(super) log: &'a EventLog,
    pub(super) stream: &'a StreamName,
    /// Those in memory, if there are any.
    pub(super) recent: Option<&'a Recent>,
    /// Where the document is in its stream; what others have put into the log beyond is not part of it yet.
    pub(super) reached: Seq,
    pub(super) batch: &'a [Arc<Committed>],
}

/// Edits read from the log at a time.
const PAGE: usize = 500;

impl Edits<'_> {
    /// Brings `context` up to the end of the batch: everything after its reach is somebody else's.
    pub(super) async fn catch_up<U: Counted>(&self, context: &mut Context<U>) -> Result<(), ReadError> {
        self.after(context.reach(), |it, edit| context.take_in(it.version, U::footprint(edit))).await
    }

    /// Makes the context of `client` as of its version `base` from what is recorded.
    pub(super) async fn context<U: Counted>(&self, client: &ClientKey, base: Version) -> Result<Context<U>, ReadError> {
        let (mut origin, mut context) = (None, Context::at(base));
        self.after(base, |it, edit| {
            if it.client == *client && origin.is_none() {
                origin = Some(edit.cause().origin);
            } else if origin.is_none() {
                context.take_in(it.version, U::footprint(edit));
            }
        })
        .await?;
        // Nothing of its own after its version: nothing was in flight, and the rest is other people's.
        let Some(origin) = origin else { return Ok(context) };
        let mut context = Context::at(origin);
        let replay = |it: &Committed, edit: &CommittedEdit| {
            if it.client == *client {
                context.received(edit.cause().base);
                context.carry(sent_as::<U>(edit));
                context.committed();
            } else {
                context.take_in(it.version, U::footprint(edit));
            }
        };
        self.after(origin, replay).await?;
        Ok(context)
    }

    pub(super) async fn after(
        &self,
        version: Version,
        mut each: impl FnMut(&Committed, &CommittedEdit),
    ) -> Result<(), ReadError> {
        let mut edit = |it: &Committed| {
            if let Some(edit) = it.edit() {
                each(it, edit);
            }
        };
        if let Some(recent) = self.recent.and_then(|recent| recent.edits_after(version)) {
            recent.for_each(|it| edit(it));
        } else {
            // Older than what is in memory. A document has this done beside itself, see `behind`.
            let mut seq = self.log.seq_of_version(self.stream, version).await?.unwrap_or_default();
            loop {
                let page = self.log.read(self.stream, seq, PAGE).await?;
                let Some(last) = page.last() else { break };
                seq = last.seq;
                let known = page.into_iter().take_while(|recorded| recorded.seq <= self.reached);
                known.map(Committed::from_log).for_each(|it| edit(&it));
                if seq >= self.reached {
                    break;
                }
            }
        }
        self.batch.iter().filter(|it| it.version > version).for_each(|it| edit(it));
        Ok(())
    }
}

/// An edit as its client sent it. Where that cannot be told in `U` (the client has changed its unit between
/// two connections, with edits in flight, which it must not) the applied form stands in.
pub(super) fn sent_as<U: Counted>(edit: &CommittedEdit) -> Delta<U> {
    if !edit.edit.transformed {
        return U::applied(edit);
    }
    let cause = edit.cause();
    read_sent(&cause.received, cause.encoding).and_then(U::sent).unwrap_or_else(|| U::applied(edit))
}

/// The context of a client in the unit that it counts in.
#[derive(Debug)]
pub enum ClientContext {
    /// UTF-16 code units.
    Utf16(Context<Utf16>),
    /// Code points.
    CodePoints(Context<CodePoints>),
}

impl ClientContext {
    /// Everything up to here has been taken in.
    pub(super) const fn reach(&self) -> Version {
        match self {
            Self::Utf16(context) => context.reach(),
            Self::CodePoints(context) => context.reach(),
        }
    }

    /// The last version that its client is known to have received.
    pub(super) const fn base(&self) -> Version {
        match self {
            Self::Utf16(context) => context.base(),
            Self::CodePoints(context) => context.base(),
        }
    }

    /// How many edits of others it holds: what it costs to carry something over them.
    pub(super) fn others(&self) -> usize {
        match self {
            Self::Utf16(context) => context.others().len(),
            Self::CodePoints(context) => context.others().len(),
        }
    }
}
