//! Deciding a batch of edits and comments on a working copy of the document, before the log has seen any of them.

use std::{collections::HashMap, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    domain::{Cause, CommentLimits, Context, Edited, Event, MessageId, Rejection, Seq, Timestamp, Version},
    event_log::{EventLog, NewEvent, ReadError, StreamName},
    projection::Document,
    protocol::document::{EditMessage, SentOperation, is_same_json},
    text::{CodePoints, Delta, EditError, Utf16},
};

use super::{
    clients::Clients,
    command::ConnectionId,
    comments::WaitingComment,
    committed::{ClientKey, Committed, Happened},
    context::{Counted, Edits, InBothUnits},
    recent::Recent,
    serving::Order,
};

/// Something that waits to be decided.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who waits for the answer.
    pub connection: ConnectionId,
    /// Whose it is.
    pub client: ClientKey,
    /// The message.
    pub message_id: MessageId,
    /// What it says.
    pub message: Message,
    /// When it was received.
    pub received_at: tokio::time::Instant,
}

/// What may be submitted to a document.
#[derive(Debug, Clone)]
pub enum Message {
    /// An edit.
    Edit(EditMessage),
    /// Something about a comment.
    Comment(Box<WaitingComment>),
    /// What a server wants to be done.
    Order(Box<Order>),
}

impl Message {
    /// `data` as it came.
    pub(super) fn received(&self) -> &RawValue {
        match self {
            Self::Edit(edit) => &edit.received,
            Self::Comment(comment) => &comment.message.received,
            Self::Order(order) => &order.received,
        }
    }
}

/// What became of a submission.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is a new version, once the log has it.
    Accepted(Arc<Committed>),
    /// It was accepted before, or earlier in this batch.
    Repeated(Arc<Committed>),
    /// It is in the log, and its acknowledgement on the way, although its append seemed to have failed.
    Delivered,
    /// It cannot be.
    Rejected(Rejection),
}

/// A batch in the making.
pub(super) struct Batch<'a> {
    pub(super) log: &'a EventLog,
    pub(super) stream: &'a StreamName,
    pub(super) recent: &'a Recent,
    /// Messages that the log was found to have, beyond the recent ones.
    pub(super) known: &'a HashMap<MessageId, Arc<Committed>>,
    pub(super) working: Document,
    /// Where the document is in its stream.
    pub(super) reached: Seq,
    /// The version that clients can know of: what is in the batch so far has not happened yet.
    pub(super) committed: Version,
    pub(super) accepted: Vec<Arc<Committed>>,
    pub(super) by_message: HashMap<MessageId, Arc<Committed>>,
    /// When it will have been recorded, and the same as RFC 3339.
    pub(super) recorded_at: Timestamp,
    pub(super) timestamp: Arc<str>,
    pub(super) length_limit: usize,
    pub(super) comment_limits: CommentLimits,
}

/// An edit as it is to be applied, whether it had to change for that, its context with it, and from where that is rebuilt.
type Carried<U> = (Context<U>, Version, (InBothUnits, bool));

/// Why something could not be decided.
#[derive(Debug)]
pub(super) enum Undecided {
    /// The log could not be read.
    Unread(ReadError),
    /// It is in the log, at this place, beyond what has been read: what lies between comes first.
    Behind(Seq),
}

impl From<ReadError> for Undecided {
    fn from(error: ReadError) -> Self {
        Self::Unread(error)
    }
}

/// Why something was not accepted, or that it could not be decided.
pub(super) enum Refused {
    Rejected(Rejection),
    Undecided(Undecided),
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<EditError> for Refused {
    fn from(error: EditError) -> Self {
        Self::Rejected(error.into())
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        Self::Undecided(error.into())
    }
}

impl Batch<'_> {
    /// Decides one submission, after all before it.
    pub(super) async fn decide(&mut self, it: &Submission, clients: &mut Clients) -> Result<Outcome, Undecided> {
        if let Some(earlier) = self.find_in_memory(&it.message_id) {
            return Ok(repeated_or_conflict(earlier, it));
        }
        let accepted = match &it.message {
            Message::Edit(edit) => self.accept(it, edit, clients).await,
            Message::Comment(comment) => self.accept_comment(it, comment, clients).await,
            Message::Order(order) => self.accept_order(it, order).await,
        };
        let rejection = match accepted {
            Ok(committed) => return Ok(Outcome::Accepted(committed)),
            Err(Refused::Undecided(why)) => return Err(why),
            Err(Refused::Rejected(rejection)) => rejection,
        };
        // A repeated message cannot be judged by today's document, which has it already. Whether it is one is
        // looked up only now: new ones, nearly all there are, are held against the log by their append.
        Ok(match self.log.find(self.stream, &it.message_id).await? {
            Some(recorded) if recorded.seq > self.reached => return Err(Undecided::Behind(recorded.seq)),
            Some(recorded) => repeated_or_conflict(Arc::new(Committed::from_log(recorded)), it),
            None => Outcome::Rejected(rejection),
        })
    }

    async fn accept(
        &mut self,
        it: &Submission,
        edit: &EditMessage,
        clients: &mut Clients,
    ) -> Result<Arc<Committed>, Refused> {
        let (base, current) = (edit.base, self.committed);
        if base > current {
            return Err(Rejection::VersionAhead { base, current }.into());
        }
        self.check_predecessor(it, edit, clients).await?;
        match edit.operation.clone() {
            SentOperation::Utf16(sent) => self.accept_in((it, edit), sent, clients).await,
            SentOperation::CodePoints(sent) => self.accept_in((it, edit), sent, clients).await,
        }
    }

    async fn accept_in<U: Counted>(
        &mut self,
        (it, edit): (&Submission, &EditMessage),
        sent: Delta<U>,
        clients: &mut Clients,
    ) -> Result<Arc<Committed>, Refused> {
        let context = self.view(&it.client, edit.base, clients).await?;
        let (context, origin, settled) = self.carry(edit, sent, context)?;
        let event = self.apply((it, edit), origin, settled)?;
        clients.accept(&it.client, U::wrap(context), it.message_id.clone());
        Ok(self.add(it, event))
    }

    /// Adds what the working copy has taken in.
    pub(super) fn add(&mut self, it: &Submission, event: Event) -> Arc<Committed> {
        let place = (self.working.seq(), self.working.version());
        let (message, client) = (it.message_id.clone(), it.client.clone());
        let committed = Arc::new(Committed::new(place, message, client, event, Arc::clone(&self.timestamp)));
        self.by_message.insert(it.message_id.clone(), Arc::clone(&committed));
        self.accepted.push(Arc::clone(&committed));
        committed
    }

    /// A copy of the client's context, brought up to the end of the batch. The caller may change it.
    pub(super) async fn view<U: Counted>(
        &self,
        client: &ClientKey,
        base: Version,
        clients: &mut Clients,
    ) -> Result<Context<U>, ReadError> {
        let edits = self.edits();
        let mut context = match clients.decided::<U>(client) {
            Some(context) => context.clone(),
            None => {
                // Edits of this batch are not committed yet, and may never be: a context that is kept must not hold them.
                let committed = Edits { batch: &[], ..edits };
                if let Some(kept) = clients.kept::<U>(client, base) {
                    committed.catch_up(kept).await?;
                    kept.clone()
                } else {
                    let context = committed.context::<U>(client, base).await?;
                    clients.keep(client, U::wrap(context.clone()));
                    context
                }
            }
        };
        context.received(base);
        edits.catch_up(&mut context).await?;
        Ok(context)
    }

    /// Carries an edit from its client's context to the end of the batch.
    fn carry<U: Counted>(
        &self,
        edit: &EditMessage,
        sent: Delta<U>,
        mut context: Context<U>,
    ) -> Result<Carried<U>, Refused> {
        let content = self.working.content();
        let length = content.length::<U>().saturating_add_signed(-context.length_change());
        let end = edit.end;
        if end > length {
            return Err(Rejection::OutOfBounds { end, length }.into());
        }
        let origin = context.origin();
        let (carried, transformed) = context.carry(sent);
        context.committed();
        Ok((context, origin, (U::settle(carried, content)?, transformed)))
    }

    pub(super) fn apply(
        &mut self,
        (it, edit): (&Submission, &EditMessage),
        origin: Version,
        ((applied, in_code_points), transformed): (InBothUnits, bool),
    ) -> Result<Event, Refused> {
        let length = self.working.content().length::<Utf16>().saturating_add_signed(applied.length_change());
        if applied.length_change() > 0 && length > self.length_limit {
            return Err(Rejection::DocumentTooLarge { length, limit: self.length_limit }.into());
        }
        let placed = self.working.edit(&applied)?;
        let cause = Cause {
            user: it.client.user.clone(),
            client: it.client.client.clone(),
            base: edit.base,
            origin,
            after: edit.after.clone(),
            encoding: match edit.operation {
                SentOperation::Utf16(_) => Utf16::ENCODING,
                SentOperation::CodePoints(_) => CodePoints::ENCODING,
            },
            received: Arc::clone(&edit.received),
        };
        Ok(Event::Edited(Edited { applied, in_code_points, transformed, placed, cause: Arc::new(cause) }))
    }

    async fn check_predecessor(&self, it: &Submission, edit: &EditMessage, clients: &Clients) -> Result<(), Refused> {
        let Some(after) = &edit.after else { return Ok(()) };
        if clients.last(&it.client) == Some(after) {
            return Ok(());
        }
        let earlier = match self.find_in_memory(after) {
            Some(earlier) => Some(earlier),
            None => match self.log.find(self.stream, after).await? {
                // It was called not recorded, or came over another node: this edit stands on it, and waits for it.
                Some(recorded) if recorded.seq > self.reached => {
                    return Err(Refused::Undecided(Undecided::Behind(recorded.seq)));
                }
                earlier => earlier.map(|it| Arc::new(Committed::from_log(it))),
            },
        };
        if earlier.is_some_and(|earlier| earlier.client == it.client && earlier.edit().is_some()) {
            return Ok(());
        }
        Err(Rejection::PredecessorRefused { after: after.clone() }.into())
    }

    /// All edits that the working copy has.
    pub(super) fn edits(&self) -> Edits<'_> {
        let Self { log, stream, recent, reached, accepted, .. } = self;
        Edits { log, stream, recent: Some(recent), reached: *reached, batch: accepted }
    }

    fn find_in_memory(&self, message: &MessageId) -> Option<Arc<Committed>> {
        let in_batch = || self.by_message.get(message);
        self.known.get(message).or_else(|| self.recent.find(message)).or_else(in_batch).cloned()
    }

    /// What to append.
    pub(super) fn events(&self) -> Vec<NewEvent> {
        self.accepted.iter().map(|edit| edit.to_event()).collect()
    }
}

fn repeated_or_conflict(earlier: Arc<Committed>, it: &Submission) -> Outcome {
    let is_same_event = match (&earlier.what, &it.message) {
        (Happened::Edited(_), Message::Edit(_) | Message::Order(_)) => true,
        (Happened::Commented(commented, _), Message::Comment(comment)) => comment.is_same_event(&commented.change),
        (Happened::Edited(_) | Happened::Commented(..), _) => false,
    };
    if is_same_event && earlier.client == it.client && is_same_json(earlier.received(), it.message.received()) {
        Outcome::Repeated(earlier)
    } else {
        Outcome::Rejected(Rejection::MessageIdConflict)
    }
}
