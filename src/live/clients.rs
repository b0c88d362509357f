//! The contexts of clients, as far as a document keeps them.
//!
//! A context says what its client sees, and stays true whatever becomes of an edit: so one that is kept holds nothing but what
//! is committed, and neither a refused edit nor a lost race costs it. What a batch makes of it is a copy, which takes its
//! place when the batch is committed.

use std::collections::HashMap;

use crate::domain::{Context, MessageId, Version};

use super::{
    committed::ClientKey,
    context::{ClientContext, Counted},
};

/// Clients of one document.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// As of committed edits.
    kept: HashMap<ClientKey, Client>,
    /// As of the batch that is being made.
    decided: HashMap<ClientKey, Client>,
}

#[derive(Debug)]
struct Client {
    context: ClientContext,
    /// Its last edit, in case the next one names it as its predecessor.
    last: Option<MessageId>,
}

/// How many clients' contexts a document keeps, and how many edits of others they may hold together; the others can be rebuilt.
const CLIENTS: usize = 1_000;
const EDITS: usize = 1 << 20;
/// Smaller contexts are not worth counting: all clients together cannot have too many of them.
const LARGE: usize = EDITS / CLIENTS;

impl Clients {
    /// Its last edit, where it is known.
    pub(super) fn last(&self, client: &ClientKey) -> Option<&MessageId> {
        self.decided.get(client).or_else(|| self.kept.get(client))?.last.as_ref()
    }

    /// Its context as of the batch that is being decided, if that has an edit of it.
    pub(super) fn decided<U: Counted>(&self, client: &ClientKey) -> Option<&Context<U>> {
        self.decided.get(client).and_then(|it| U::peek(&it.context))
    }

    /// Its context as of committed edits, if that begins at `base` or earlier. A context that a refused edit of a later version has left
    /// says nothing of an earlier one.
    pub(super) fn kept<U: Counted>(&mut self, client: &ClientKey, base: Version) -> Option<&mut Context<U>> {
        let context = self.kept.get_mut(client).and_then(|it| U::peek_mut(&mut it.context));
        context.filter(|context| context.base() <= base)
    }

    /// Up to which version such a context goes, and how many edits of others it holds.
    pub(super) fn reach(&self, client: &ClientKey, base: Version) -> Option<(Version, usize)> {
        let context = self.kept.get(client).map(|it| &it.context).filter(|context| context.base() <= base)?;
        Some((context.reach(), context.others()))
    }

    /// How many edits of others its context holds, if one is kept.
    pub(super) fn others(&self, client: &ClientKey) -> usize {
        self.kept.get(client).map_or(0, |it| it.context.others())
    }

    /// Takes such a context away to have it brought up to date.
    pub(super) fn take(&mut self, client: &ClientKey, base: Version) -> Option<ClientContext> {
        self.kept.remove(client).map(|it| it.context).filter(|context| context.base() <= base)
    }

    /// Keeps a context as of committed edits.
    pub(super) fn keep(&mut self, client: &ClientKey, context: ClientContext) {
        self.make_room(context.others());
        let last = self.kept.remove(client).and_then(|it| it.last);
        self.kept.insert(client.clone(), Client { context, last });
    }

    /// An edit was accepted into the batch.
    pub(super) fn accept(&mut self, client: &ClientKey, context: ClientContext, edit: MessageId) {
        self.decided.insert(client.clone(), Client { context, last: Some(edit) });
    }

    /// The batch is committed.
    pub(super) fn commit(&mut self) {
        let has_large = self.decided.values().any(|it| it.context.others() > LARGE);
        self.kept.extend(self.decided.drain());
        if has_large || self.kept.len() > CLIENTS {
            self.make_room(0);
        }
    }

    /// Nothing came of the batch.
    pub(super) fn discard(&mut self) {
        self.decided.clear();
    }

    /// Forgets one: it has gone, or has edited elsewhere.
    pub(super) fn forget(&mut self, client: &ClientKey) {
        self.kept.remove(client);
        self.decided.remove(client);
    }

    /// The ones that hold most go first: they are few, and of those who fell behind most.
    fn make_room(&mut self, edits: usize) {
        if self.kept.len() >= CLIENTS {
            self.kept.clear();
        }
        while !self.kept.is_empty() && self.kept.values().map(|it| it.context.others()).sum::<usize>() + edits > EDITS {
            let largest = self.kept.iter().max_by_key(|(_, it)| it.context.others()).map(|(client, _)| client.clone());
            largest.map(|client| self.kept.remove(&client));
        }
    }
}
