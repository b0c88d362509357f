//! Edits that come from a server and not over a connection: an operation, the first text of a document, a version that
//! is brought back.
//!
//! They go through the document's own task as everybody's edits do, so that all who are connected see them at once, in
//! order. Unlike those of a client each stands for itself: its positions refer to the version that it names, and to
//! nothing that the same user has in flight elsewhere.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::{
    domain::{
        Cause, ClientId, Context, DocumentId, Edited, Event, MessageId, PositionEncoding, Rejection, Seq, UserId,
        Version,
    },
    projection::Document,
    protocol::document::{EditMessage, SentOperation},
    text::{Delta, EditError, Utf16},
};

use super::{
    Live,
    batch::{Batch, Message, Outcome, Refused, Submission},
    command::{Command, ConnectionId},
    committed::{ClientKey, Committed},
    context::Counted,
    directory::ATTEMPTS,
    document::OpenDocument,
    presence::Aside,
};

/// What a server wants of a document.
#[derive(Debug, Clone)]
pub struct Order {
    /// In whose name.
    pub user: UserId,
    /// The message.
    pub message_id: MessageId,
    /// What is to be done.
    pub task: Task,
    /// What was sent, JSON: who orders the same again gets the same answer.
    pub received: Arc<RawValue>,
}

/// What is to be done to a document.
#[derive(Debug, Clone)]
pub enum Task {
    /// This is its first edit; it has none yet.
    Create(EditMessage),
    /// An edit of a document that there is.
    Edit(EditMessage),
    /// The same with what others have done since its version, as far as that was read from the log beforehand.
    Prepared(EditMessage, Arc<Context<Utf16>>),
    /// A version is to come back.
    Restore(Box<Restore>),
}

/// A version that is to come back.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The document as it was.
    pub then: Document,
    /// What has changed since,
    pub since: Delta<Utf16>,
    /// up to this version.
    pub until: Version,
}

/// What became of an order.
#[derive(Debug, Clone)]
pub struct Done {
    /// The version that it made.
    pub version: Version,
    /// The place of its event.
    pub seq: Seq,
    /// When it was recorded, RFC 3339.
    pub timestamp: Arc<str>,
    /// The change as it was applied.
    pub applied: Delta<Utf16>,
    /// Whether that differs from what was sent.
    pub transformed: bool,
    /// Whether it had been done before; nothing happened this time.
    pub was_repeated: bool,
}

/// Whose edits these are, beside the user's: the id of no client.
pub const SERVERS: &str = "server";
/// Nobody's: connections are counted from 1.
const NO_CONNECTION: ConnectionId = ConnectionId(0);

impl Live {
    /// Has something done to a document. It is in the log once this is answered.
    pub async fn serve(self: &Arc<Self>, id: &DocumentId, order: Order) -> Result<Done, Rejection> {
        for _ in 0..ATTEMPTS {
            let (reply, done) = oneshot::channel();
            let handle = self.open(id);
            // As with a connection: the document may just be being unloaded. What happened in spite of it is found by
            // its message.
            if handle.send(Command::Serve(Box::new(order.clone()), reply)).await.is_ok()
                && let Ok(done) = done.await
            {
                return done;
            }
        }
        tracing::error!(document = %id, "a document ends as soon as it is opened");
        Err(unavailable())
    }
}

pub(super) fn unavailable() -> Rejection {
    Rejection::StorageUnavailable { why: "the document cannot be read now; try again later" }
}

impl OpenDocument {
    pub(super) async fn serve(&mut self, order: Order) -> Result<Done, Rejection> {
        self.give_way().await;
        if let Err(error) = self.catch_up().await {
            self.unread(&error);
            return Err(if self.is_erased { Rejection::Erased } else { unavailable() });
        }
        let client = ClientKey { user: order.user.clone(), client: client_id() };
        let submission = Submission {
            connection: NO_CONNECTION,
            client,
            message_id: order.message_id.clone(),
            message: Message::Order(Box::new(order)),
            received_at: tokio::time::Instant::now(),
        };
        let mut outcomes = self.commit(std::slice::from_ref(&submission), Aside::default()).await;
        match outcomes.pop() {
            Some(Outcome::Accepted(done)) => Ok(as_done(&done, false)),
            Some(Outcome::Repeated(done)) => Ok(as_done(&done, true)),
            Some(Outcome::Rejected(rejection)) => Err(rejection),
            // It happened although it did not seem so.
            Some(Outcome::Delivered) => {
                self.recent.find(&submission.message_id).map(|done| as_done(done, false)).ok_or_else(unavailable)
            }
            None => Err(unavailable()),
        }
    }
}

fn client_id() -> ClientId {
    ClientId::parse(SERVERS).expect("a plain word")
}

fn as_done(done: &Committed, was_repeated: bool) -> Done {
    let edit = done.edit();
    Done {
        version: done.version,
        seq: done.seq,
        timestamp: Arc::clone(&done.timestamp),
        applied: edit.map(|it| it.edit.applied.clone()).unwrap_or_default(),
        transformed: edit.is_some_and(|it| it.edit.transformed),
        was_repeated,
    }
}

impl Batch<'_> {
    pub(super) async fn accept_order(&mut self, it: &Submission, order: &Order) -> Result<Arc<Committed>, Refused> {
        let is_new = self.working.seq() == Seq(0);
        let event = match &order.task {
            Task::Create(_) if !is_new => return Err(Rejection::DocumentExists.into()),
            Task::Edit(_) | Task::Prepared(..) | Task::Restore(_) if is_new => {
                return Err(Rejection::NoSuchDocument.into());
            }
            Task::Create(edit) | Task::Edit(edit) => self.edit_for(it, edit, Context::at(edit.base)).await?,
            Task::Prepared(edit, context) => self.edit_for(it, edit, Context::clone(context)).await?,
            Task::Restore(restore) => self.restore(order, restore).await?,
        };
        Ok(self.add(it, event))
    }

    /// An edit whose positions refer to its version and nothing else.
    async fn edit_for(
        &mut self,
        it: &Submission,
        edit: &EditMessage,
        mut context: Context<Utf16>,
    ) -> Result<Event, Refused> {
        let (base, current) = (edit.base, self.committed);
        if base > current {
            return Err(Rejection::VersionAhead { base, current }.into());
        }
        let SentOperation::Utf16(sent) = edit.operation.clone() else {
            return Err(EditError::NotADocument.into());
        };
        self.edits().catch_up(&mut context).await?;
        let content = self.working.content();
        let length = content.length::<Utf16>().saturating_add_signed(-context.length_change());
        if edit.end > length {
            return Err(Rejection::OutOfBounds { end: edit.end, length }.into());
        }
        let (carried, transformed) = context.carry(sent);
        let settled = Utf16::settle(carried, content)?;
        self.apply((it, edit), base, (settled, transformed))
    }

    async fn restore(&mut self, order: &Order, restore: &Restore) -> Result<Event, Refused> {
        let Restore { then, since, until } = restore;
        if *until > self.committed {
            return Err(Rejection::VersionAhead { base: *until, current: self.committed }.into());
        }
        let mut since = since.clone();
        self.edits().after(*until, |_, edit| since = since.compose(&edit.edit.applied)).await?;
        let back = since.invert(then.content())?;
        let length = then.content().length::<Utf16>();
        if back.length_change() > 0 && length > self.length_limit {
            return Err(Rejection::DocumentTooLarge { length, limit: self.length_limit }.into());
        }
        let (applied, in_code_points) = Utf16::settle(back, self.working.content())?;
        let base = self.working.version();
        let placed = self.working.edit_back_to(then, &applied)?;
        let cause = Cause {
            user: order.user.clone(),
            client: client_id(),
            base,
            origin: base,
            after: None,
            encoding: PositionEncoding::Utf16,
            received: Arc::clone(&order.received),
        };
        Ok(Event::Edited(Edited { applied, in_code_points, transformed: false, placed, cause: Arc::new(cause) }))
    }
}
