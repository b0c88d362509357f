//! `Commented`, form 1. Frozen: add a form beside it, never change it.
//!
//! Bodies, `at` being microseconds since 1970:
//! `["comment_added.1", at, by, comment, thread, content, author's name or null, begins or null]`, where `begins` is
//! `[start, end, start in code points, end in code points, quote]`;
//! `["comment_updated.1", at, by, comment, thread, content]`;
//! `["comment_resolved.1", at, by, comment, thread]`, and the same with `comment_reopened.1`, `comment_deleted.1`.
//! Cause: `["comment_cause.1", client, base or null, encoding, received]`.

use std::sync::Arc;

use serde::de::{Error, SeqAccess};
use serde_json::value::RawValue;

use super::{Stored, fields};
use crate::domain::{
    ClientId, CommentCause, CommentChange, CommentId, Commented, Effect, NewComment, NewThread, ThreadId, Timestamp,
    UserId, Version,
};

pub(super) const ADDED: &str = "comment_added.1";
pub(super) const UPDATED: &str = "comment_updated.1";
pub(super) const RESOLVED: &str = "comment_resolved.1";
pub(super) const REOPENED: &str = "comment_reopened.1";
pub(super) const DELETED: &str = "comment_deleted.1";
pub(super) const CAUSE: &str = "comment_cause.1";

/// Writes both halves.
pub(super) fn encode(commented: &Commented, cause: &CommentCause) -> serde_json::Result<Stored> {
    let Commented { change, by, at } = commented;
    let (comment, thread) = (change.comment().as_str(), change.thread().as_str());
    let short = |tag: &str| serde_json::to_string(&(tag, at.0, by.as_str(), comment, thread));
    let body = match change {
        CommentChange::Added(new) => {
            let begins = new.begins.as_ref().map(|NewThread { place, quote }| {
                let [start, end, from, to] = fields::ends(place);
                (start, end, from, to, &**quote)
            });
            let name = new.author_name.as_deref();
            serde_json::to_string(&(ADDED, at.0, by.as_str(), comment, thread, &*new.content, name, begins))
        }
        CommentChange::Updated { content, .. } => {
            serde_json::to_string(&(UPDATED, at.0, by.as_str(), comment, thread, &**content))
        }
        CommentChange::Resolved { .. } => short(RESOLVED),
        CommentChange::Reopened { .. } => short(REOPENED),
        CommentChange::Deleted { .. } => short(DELETED),
    };
    let base = cause.base.map(|base| base.0);
    let encoding = cause.encoding.as_str();
    let cause = serde_json::to_string(&(CAUSE, cause.client.as_str(), base, encoding, &*cause.received))?;
    Ok(Stored { body: body?, cause })
}

/// What all bodies begin with.
struct Head {
    at: Timestamp,
    by: UserId,
    comment: CommentId,
    thread: ThreadId,
}

impl Head {
    fn read<E: Error>((at, by, comment, thread): (i64, &str, &str, &str)) -> Result<Self, E> {
        Ok(Self {
            at: Timestamp(at),
            by: fields::id(by, UserId::parse)?,
            comment: fields::id(comment, CommentId::parse)?,
            thread: fields::id(thread, ThreadId::parse)?,
        })
    }

    fn did(self, change: impl FnOnce(CommentId, ThreadId) -> CommentChange) -> Effect {
        let Self { at, by, comment, thread } = self;
        Effect::Commented(Commented { change: change(comment, thread), by, at })
    }
}

/// Reads the body of a new comment after its tag.
pub(super) fn read_added<'de, A: SeqAccess<'de>>(list: A) -> Result<Effect, A::Error> {
    type Begins = (u32, u32, u32, u32, String);
    type Body = (i64, String, String, String, String, Option<String>, Option<Begins>);
    let (at, by, comment, thread, content, author_name, begins): Body = fields::rest(list)?;
    let head = Head::read((at, &by, &comment, &thread))?;
    let begins = begins
        .map(|(start, end, from, to, quote)| {
            Ok(NewThread { place: fields::place((start, end, from, to))?, quote: quote.into() })
        })
        .transpose()?;
    Ok(head.did(|id, thread| {
        let (content, author_name) = (content.into(), author_name.map(Into::into));
        CommentChange::Added(Arc::new(NewComment { id, thread, content, author_name, begins }))
    }))
}

/// Reads the body of a changed comment after its tag.
pub(super) fn read_updated<'de, A: SeqAccess<'de>>(list: A) -> Result<Effect, A::Error> {
    let (at, by, comment, thread, content): (i64, String, String, String, String) = fields::rest(list)?;
    let head = Head::read((at, &by, &comment, &thread))?;
    Ok(head.did(|comment, thread| CommentChange::Updated { comment, thread, content: content.into() }))
}

/// Reads the body of a thread that is done, after its tag.
pub(super) fn read_resolved<'de, A: SeqAccess<'de>>(list: A) -> Result<Effect, A::Error> {
    Ok(read_short(list)?.did(|comment, thread| CommentChange::Resolved { comment, thread }))
}

/// Reads the body of a thread that is not done after all, after its tag.
pub(super) fn read_reopened<'de, A: SeqAccess<'de>>(list: A) -> Result<Effect, A::Error> {
    Ok(read_short(list)?.did(|comment, thread| CommentChange::Reopened { comment, thread }))
}

/// Reads the body of a comment that is gone, after its tag.
pub(super) fn read_deleted<'de, A: SeqAccess<'de>>(list: A) -> Result<Effect, A::Error> {
    Ok(read_short(list)?.did(|comment, thread| CommentChange::Deleted { comment, thread }))
}

fn read_short<'de, A: SeqAccess<'de>>(list: A) -> Result<Head, A::Error> {
    let (at, by, comment, thread): (i64, String, String, String) = fields::rest(list)?;
    Head::read((at, &by, &comment, &thread))
}

/// Reads a cause after its tag.
pub(super) fn read_cause<'de, A: SeqAccess<'de>>(list: A) -> Result<CommentCause, A::Error> {
    let (client, base, encoding, received): (String, Option<u64>, String, Box<RawValue>) = fields::rest(list)?;
    Ok(CommentCause {
        client: fields::id(&client, ClientId::parse)?,
        base: base.map(Version),
        encoding: fields::encoding(&encoding).map_err(A::Error::custom)?,
        received: received.into(),
    })
}
