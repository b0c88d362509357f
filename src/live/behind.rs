//! Clients that are far behind: what they say is decided in turn with the others, and never holds these up.
//!
//! An edit whose version lies beyond what a document has in memory needs a context out of the log. That is made beside the
//! document's task, a few at a time; meanwhile whatever its client sends waits here in order, and everything else goes on. Who
//! has a context that holds very many edits of others, over each of which the client's own have to be carried, waits here as
//! well: of these as much is decided at a time as costs a few milliseconds, one client after the other.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::sync::oneshot;

use crate::{
    domain::{Context, PositionEncoding, Rejection, Version},
    event_log::ReadError,
    protocol::document::SentOperation,
    text::{CodePoints, Utf16},
};

use super::{
    batch::{Message, Outcome, Submission},
    command::Command,
    committed::ClientKey,
    context::{ClientContext, Counted, Edits},
    document::OpenDocument,
    presence::Aside,
    serving::{self, Done, Order, Task},
};

/// Clients that are far behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    clients: HashMap<ClientKey, Waiting>,
    /// Whose turn it is.
    turns: VecDeque<ClientKey>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Its commands in the order in which they came: submissions, requests for the document, its leaving.
    commands: VecDeque<Command>,
    is_preparing: bool,
}

/// So many edits of others may be carried over in an ordinary batch.
const NEAR: usize = 1_000;
/// The cost of one turn at most: the client's edits times the edits of others that each is carried over.
const TURN: usize = 100_000;
/// Commands of one client that may wait; more are refused.
const MOST: usize = 4_096;

impl Behind {
    /// Whether somebody can have a turn.
    pub(super) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }
}

impl OpenDocument {
    /// Has a command wait if its client is far behind, or waits already; gives it back if it need not.
    pub(super) fn behind_or(&mut self, command: Command) -> Option<Command> {
        let client = if let Command::Submit(it) = &command {
            Some(&it.client)
        } else if let Command::Sync(connection, ..) | Command::Leave(connection, _) = &command {
            self.subscribers.iter().find(|it| it.connection == *connection).map(|it| &it.client)
        } else {
            None
        };
        if let Some(waiting) = client.and_then(|client| self.behind.clients.get_mut(client)) {
            if let Command::Submit(it) = &command
                && waiting.commands.len() >= MOST
            {
                let why = "too much of this client waits; send it again later, with the same message_id";
                let refused = [Outcome::Rejected(Rejection::StorageUnavailable { why })];
                self.answer(std::slice::from_ref(it), &refused);
                return None;
            }
            waiting.commands.push_back(command);
            return None;
        }
        let Command::Submit(it) = &command else { return Some(command) };
        let Some((base, encoding)) = refers_to(&it.message) else { return Some(command) };
        let known = self.clients.reach(&it.client, base);
        let reach = known.map_or(base, |(reach, _)| reach);
        let is_far = base <= self.document.version() && self.recent.edits_after(reach).is_none();
        if !is_far && known.is_none_or(|(_, others)| others <= NEAR) {
            return Some(command);
        }
        let client = it.client.clone();
        let waiting = Waiting { commands: VecDeque::from([command]), is_preparing: is_far };
        self.behind.clients.insert(client.clone(), waiting);
        if is_far {
            self.prepare(client, base, encoding);
        } else {
            self.behind.turns.push_back(client);
        }
        None
    }

    /// The same for what a server wants: that has no order to keep with anything.
    pub(super) fn behind_or_order(
        &self,
        order: Order,
        reply: oneshot::Sender<Result<Done, Rejection>>,
    ) -> Option<(Order, oneshot::Sender<Result<Done, Rejection>>)> {
        let Task::Edit(edit) = &order.task else { return Some((order, reply)) };
        if edit.base > self.document.version() || self.recent.edits_after(edit.base).is_some() {
            return Some((order, reply));
        }
        let mut context = Context::<Utf16>::at(edit.base);
        let edit = edit.clone();
        let (live, id, stream, reached) =
            (Arc::clone(&self.live), self.id.clone(), self.stream.clone(), self.document.seq());
        self.live.tasks.spawn(async move {
            let turn = live.preparing.acquire().await;
            let edits = Edits { log: &live.log, stream: &stream, recent: None, reached, batch: &[] };
            if let Err(error) = edits.catch_up(&mut context).await {
                tracing::error!(document = %id, %error, "the log could not be read");
                return drop(reply.send(Err(serving::unavailable())));
            }
            drop(turn);
            let order = Order { task: Task::Prepared(edit, Arc::new(context)), ..order };
            // If the document has ended meanwhile, the caller finds its reply dropped and asks again.
            let _ended = live.open(&id).send(Command::Serve(Box::new(order), reply)).await;
        });
        None
    }

    /// Has a context made out of the log, or brought up to where the document is, beside its task.
    fn prepare(&mut self, client: ClientKey, base: Version, encoding: PositionEncoding) {
        let begun = self.clients.take(&client, base);
        let (live, id, stream, reached) =
            (Arc::clone(&self.live), self.id.clone(), self.stream.clone(), self.document.seq());
        self.live.tasks.spawn(async move {
            let turn = live.preparing.acquire().await;
            let edits = Edits { log: &live.log, stream: &stream, recent: None, reached, batch: &[] };
            let context = match (begun, encoding) {
                (Some(ClientContext::Utf16(context)), PositionEncoding::Utf16) => go_on(edits, context).await,
                (Some(ClientContext::CodePoints(context)), PositionEncoding::Utf32) => go_on(edits, context).await,
                (_, PositionEncoding::Utf16) => edits.context::<Utf16>(&client, base).await.map(Utf16::wrap),
                (_, PositionEncoding::Utf32) => edits.context::<CodePoints>(&client, base).await.map(CodePoints::wrap),
            };
            drop(turn);
            if let Some(handle) = live.directory.handle(&id) {
                // If the document has ended meanwhile, its clients reconnect and send again.
                let _ended = handle.send(Command::Prepared(Box::new((client, context)))).await;
            }
        });
    }

    /// A context is there.
    pub(super) fn prepared(&mut self, client: ClientKey, context: Result<ClientContext, ReadError>) {
        let Some(waiting) = self.behind.clients.get_mut(&client).filter(|waiting| waiting.is_preparing) else { return };
        let context = match context {
            Ok(context) => context,
            Err(error) => {
                let commands = std::mem::take(&mut waiting.commands);
                self.behind.clients.remove(&client);
                let why = self.unread(&error);
                for command in commands {
                    if let Command::Submit(it) = command {
                        let refused = [Outcome::Rejected(Rejection::StorageUnavailable { why })];
                        self.answer(std::slice::from_ref(&it), &refused);
                    } else {
                        self.carry_out_at_once(command);
                    }
                }
                return;
            }
        };
        // While it was made the document went on: further than what is in memory, or by an edit of this very client.
        let mut since = self.recent.edits_after(context.reach());
        let is_own = since.as_mut().is_some_and(|since| since.any(|it| it.client == client));
        if let (Some(_), false) = (since, is_own) {
            waiting.is_preparing = false;
            self.behind.turns.push_back(client.clone());
            self.clients.keep(&client, context);
            return;
        }
        let next = waiting
            .commands
            .iter()
            .find_map(|command| if let Command::Submit(it) = command { refers_to(&it.message) } else { None });
        if !is_own {
            self.clients.keep(&client, context);
        }
        match next {
            Some((base, encoding)) => self.prepare(client, base, encoding),
            None => {
                waiting.is_preparing = false;
                self.behind.turns.push_back(client);
            }
        }
    }

    /// Gives one client its turn.
    pub(super) async fn take_turn(&mut self) {
        let Some(client) = self.behind.turns.pop_front() else { return };
        let Some(mut waiting) = self.behind.clients.remove(&client) else { return };
        let others = self.clients.others(&client);
        let most = (TURN / others.max(1)).clamp(1, self.live.settings.batch);
        let mut submissions = Vec::new();
        while let Some(command) = waiting.commands.pop_front() {
            let Command::Submit(it) = command else {
                self.decide_of(&mut submissions).await;
                self.carry_out_at_once(command);
                continue;
            };
            if submissions.len() >= most {
                waiting.commands.push_front(Command::Submit(it));
                break;
            }
            // Submissions of a closed connection were never acknowledged; their client sends them again.
            if self.subscriber(it.connection).is_some() {
                submissions.push(*it);
            }
        }
        self.decide_of(&mut submissions).await;
        if !waiting.commands.is_empty() {
            self.behind.clients.insert(client.clone(), waiting);
            self.behind.turns.push_back(client);
        }
    }

    /// Does what needs nothing of the log.
    pub(super) fn carry_out_at_once(&mut self, command: Command) {
        if let Command::Sync(connection, since, message) = command {
            self.sync(connection, since, message);
        } else if let Command::Leave(connection, reply) = command {
            if let Some(at) = self.subscribers.iter().position(|it| it.connection == connection) {
                let gone = self.subscribers.remove(at);
                self.exit(&gone);
                if self.subscribers.iter().all(|it| it.client != gone.client) {
                    self.clients.forget(&gone.client);
                }
            }
            // The session may have ended already; then the answer is not read.
            let _ = reply.send(());
        }
    }

    async fn decide_of(&mut self, submissions: &mut Vec<Submission>) {
        if !submissions.is_empty() {
            self.give_way().await;
            self.commit(submissions, Aside::default()).await;
            submissions.clear();
        }
    }
}

/// The version that something submitted refers to, and what it counts; `None` of what needs no context.
fn refers_to(message: &Message) -> Option<(Version, PositionEncoding)> {
    match message {
        Message::Edit(edit) => {
            let encoding = match edit.operation {
                SentOperation::Utf16(_) => PositionEncoding::Utf16,
                SentOperation::CodePoints(_) => PositionEncoding::Utf32,
            };
            Some((edit.base, encoding))
        }
        Message::Comment(comment) => comment.message.base.map(|base| (base, comment.encoding)),
        Message::Order(_) => None,
    }
}

/// Brings a context up to where the document is.
async fn go_on<U: Counted>(edits: Edits<'_>, mut context: Context<U>) -> Result<ClientContext, ReadError> {
    edits.catch_up(&mut context).await?;
    Ok(U::wrap(context))
}
