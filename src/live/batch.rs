//! Deciding a batch of edits on a working copy of the document, before the log has seen any of them.

use std::{collections::HashMap, sync::Arc};

use crate::{
    domain::{Cause, Context, Edited, MessageId, Rejection, Seq, Version},
    event_log::{EventLog, NewEvent, ReadError, StreamName},
    projection::Document,
    protocol::document::{EditMessage, SentOperation, is_same_json},
    text::{CodePoints, Delta, EditError, Utf16},
};

use super::{
    committed::{ClientKey, Committed},
    context::{ClientContext, Counted, Edits, InBothUnits},
    document::ConnectionId,
    recent::Recent,
};

/// An edit that waits to be decided.
#[derive(Debug, Clone)]
pub struct WaitingEdit {
    /// Who waits for the answer.
    pub connection: ConnectionId,
    /// Whose edit it is.
    pub client: ClientKey,
    /// The message.
    pub message_id: MessageId,
    /// The edit as sent.
    pub message: EditMessage,
    /// When it was received.
    pub received_at: tokio::time::Instant,
}

/// What became of an edit.
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

/// What is known of the clients whose edits are being decided.
#[derive(Debug, Default)]
pub(super) struct Clients(HashMap<ClientKey, Client>);

#[derive(Debug)]
struct Client {
    context: ClientContext,
    /// Its last committed edit, in case the next one names it as its predecessor.
    last: Option<MessageId>,
}

impl Clients {
    /// Forgets one: it has edited elsewhere.
    pub(super) fn forget(&mut self, client: &ClientKey) {
        self.0.remove(client);
    }
}

/// How many clients' contexts a document keeps; the others can be rebuilt.
const CLIENTS: usize = 1_000;

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
    pub(super) timestamp: Arc<str>,
    pub(super) length_limit: usize,
}

/// Why an edit could not be decided.
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

/// Why an edit was not accepted, or that it could not be decided.
enum Refused {
    Rejected(Rejection),
    Unread(ReadError),
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
        Self::Unread(error)
    }
}

impl Batch<'_> {
    /// Decides one edit, after all before it.
    pub(super) async fn decide(&mut self, edit: &WaitingEdit, clients: &mut Clients) -> Result<Outcome, Undecided> {
        if let Some(earlier) = self.find_in_memory(&edit.message_id) {
            return Ok(repeated_or_conflict(earlier, edit));
        }
        let rejection = match self.accept(edit, clients).await {
            Ok(committed) => return Ok(Outcome::Accepted(committed)),
            Err(Refused::Unread(error)) => return Err(error.into()),
            Err(Refused::Rejected(rejection)) => rejection,
        };
        // A repeated edit cannot be judged by today's document, which has it already. Whether it is one is
        // looked up only now: new edits, nearly all there are, are held against the log by their append.
        Ok(match self.log.find(self.stream, &edit.message_id).await? {
            Some(recorded) if recorded.seq > self.reached => return Err(Undecided::Behind(recorded.seq)),
            Some(recorded) => repeated_or_conflict(Arc::new(Committed::from_log(recorded)), edit),
            None => Outcome::Rejected(rejection),
        })
    }

    async fn accept(&mut self, edit: &WaitingEdit, clients: &mut Clients) -> Result<Arc<Committed>, Refused> {
        let (base, current) = (edit.message.base, self.committed);
        if base > current {
            return Err(Rejection::VersionAhead { base, current }.into());
        }
        self.check_predecessor(edit, clients).await?;
        match edit.message.operation.clone() {
            SentOperation::Utf16(sent) => self.accept_in(edit, sent, clients).await,
            SentOperation::CodePoints(sent) => self.accept_in(edit, sent, clients).await,
        }
    }

    async fn accept_in<U: Counted>(
        &mut self,
        edit: &WaitingEdit,
        sent: Delta<U>,
        clients: &mut Clients,
    ) -> Result<Arc<Committed>, Refused> {
        // Taken out, and put back only when all went well: what a refused edit did to it must not stay.
        let context = clients.0.remove(&edit.client).and_then(|client| U::unwrap(client.context));
        let (context, origin, settled) = self.carry(edit, sent, context).await?;
        let committed = Arc::new(self.apply(edit, origin, settled)?);
        if clients.0.len() >= CLIENTS {
            clients.0.clear();
        }
        let client = Client { context: U::wrap(context), last: Some(edit.message_id.clone()) };
        clients.0.insert(edit.client.clone(), client);
        self.by_message.insert(edit.message_id.clone(), Arc::clone(&committed));
        self.accepted.push(Arc::clone(&committed));
        Ok(committed)
    }

    /// Carries an edit from its client's context to the end of the batch.
    async fn carry<U: Counted>(
        &self,
        edit: &WaitingEdit,
        sent: Delta<U>,
        context: Option<Context<U>>,
    ) -> Result<(Context<U>, Version, (InBothUnits, bool)), Refused> {
        let base = edit.message.base;
        let Self { log, stream, recent, reached, accepted, .. } = self;
        let edits = Edits { log, stream, recent, reached: *reached, batch: accepted };
        let mut context = match context {
            Some(context) => context,
            None => edits.context::<U>(&edit.client, base).await?,
        };
        context.received(base);
        edits.catch_up(&mut context).await?;
        let content = self.working.content();
        let length = content.length::<U>().saturating_add_signed(-context.length_change());
        let end = edit.message.end;
        if end > length {
            return Err(Rejection::OutOfBounds { end, length }.into());
        }
        let origin = context.origin();
        let (carried, transformed) = context.carry(sent);
        context.committed();
        Ok((context, origin, (U::settle(carried, content)?, transformed)))
    }

    fn apply(
        &mut self,
        edit: &WaitingEdit,
        origin: Version,
        ((applied, in_code_points), transformed): (InBothUnits, bool),
    ) -> Result<Committed, Refused> {
        let length = self.working.content().length::<Utf16>().saturating_add_signed(applied.length_change());
        if applied.length_change() > 0 && length > self.length_limit {
            return Err(Rejection::DocumentTooLarge { length, limit: self.length_limit }.into());
        }
        self.working.edit(&applied)?;
        let cause = Cause {
            user: edit.client.user.clone(),
            client: edit.client.client.clone(),
            base: edit.message.base,
            origin,
            after: edit.message.after.clone(),
            encoding: match edit.message.operation {
                SentOperation::Utf16(_) => Utf16::ENCODING,
                SentOperation::CodePoints(_) => CodePoints::ENCODING,
            },
            received: Arc::clone(&edit.message.received),
        };
        let edited = Edited { applied, in_code_points, transformed, cause: Arc::new(cause) };
        let (message, client) = (edit.message_id.clone(), edit.client.clone());
        Ok(Committed::new(self.working.version(), message, client, edited, Arc::clone(&self.timestamp)))
    }

    async fn check_predecessor(&self, edit: &WaitingEdit, clients: &Clients) -> Result<(), Refused> {
        let Some(after) = &edit.message.after else { return Ok(()) };
        if clients.0.get(&edit.client).is_some_and(|client| client.last.as_ref() == Some(after)) {
            return Ok(());
        }
        let by = match self.find_in_memory(after) {
            Some(earlier) => Some(earlier.client.clone()),
            None => self.log.find(self.stream, after).await?.map(|it| Committed::from_log(it).client),
        };
        if by.as_ref() == Some(&edit.client) {
            return Ok(());
        }
        Err(Rejection::PredecessorRefused { after: after.clone() }.into())
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

fn repeated_or_conflict(earlier: Arc<Committed>, edit: &WaitingEdit) -> Outcome {
    if earlier.client == edit.client && is_same_json(&earlier.cause().received, &edit.message.received) {
        Outcome::Repeated(earlier)
    } else {
        Outcome::Rejected(Rejection::MessageIdConflict)
    }
}
