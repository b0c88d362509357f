//! A document with comments, form 2: `["snapshot.2", [[thread, …], [deletion, …]], op, …]`, the ops as in form 1.
//! Frozen: add a form beside it, never change it. No longer written; form 3 has the same threads.
//!
//! thread: `[id, begun, start, end, quote, [by, at] or null, [comment, …]]`, in UTF-16 units, oldest first;
//! comment: `[id, seq, author, author's name or null, content, created at, [by, at] or null]`;
//! deletion: `[place, length, fingerprint, version, [[thread's place in the list, from, to], …]]`, in text order.

use std::sync::Arc;

use serde::de::{Error, SeqAccess};

use super::{fields, ops_v1};
use crate::{
    domain::{CommentId, Seq, ThreadId, Timestamp, UserId, Version},
    projection::{Comment, SavedComments, SavedDeletion, SavedPart, SavedThread, Stamp},
    text::{Delta, Utf16},
};

pub(super) const TAG: &str = "snapshot.2";

type WrittenStamp = (String, i64);
type WrittenComment = (String, u64, String, Option<String>, String, i64, Option<WrittenStamp>);
pub(super) type WrittenThread = (String, u64, u32, u32, String, Option<WrittenStamp>, Vec<WrittenComment>);
type WrittenDeletion = (u32, u32, u64, u64, Vec<(u32, u32, u32)>);

/// Reads it after its tag.
pub(super) fn read<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(Delta<Utf16>, SavedComments), A::Error> {
    let (threads, deletions): (Vec<WrittenThread>, Vec<WrittenDeletion>) = fields::next(&mut list, "comments")?;
    let threads = threads.into_iter().map(thread).collect::<Result<_, A::Error>>()?;
    let comments = SavedComments { threads, deletions: deletions.into_iter().map(deletion).collect() };
    Ok((ops_v1::read(list)?, comments))
}

fn stamp<E: Error>(stamp: Option<WrittenStamp>) -> Result<Option<Stamp>, E> {
    stamp.map(|(by, at)| Ok(Stamp { by: fields::id(&by, UserId::parse)?, at: Timestamp(at) })).transpose()
}

pub(super) fn thread<E: Error>(
    (id, begun, start, end, quote, resolved, comments): WrittenThread,
) -> Result<SavedThread, E> {
    Ok(SavedThread {
        id: fields::id(&id, ThreadId::parse)?,
        begun: Seq(begun),
        at: fields::stretch(start, end),
        quote: quote.into(),
        resolved: stamp(resolved)?,
        comments: comments.into_iter().map(|it| comment(it).map(Arc::new)).collect::<Result<_, E>>()?,
    })
}

fn comment<E: Error>((id, seq, author, name, content, at, updated): WrittenComment) -> Result<Comment, E> {
    Ok(Comment {
        id: fields::id(&id, CommentId::parse)?,
        seq: Seq(seq),
        author: fields::id(&author, UserId::parse)?,
        author_name: name.map(Into::into),
        content: content.into(),
        created_at: Timestamp(at),
        updated: stamp(updated)?,
    })
}

fn deletion((at, length, fingerprint, version, parts): WrittenDeletion) -> SavedDeletion {
    let part = |(thread, from, to): (u32, u32, u32)| SavedPart {
        thread: thread as usize,
        from: from as usize,
        to: to as usize,
    };
    SavedDeletion {
        from: at as usize,
        at: at as usize,
        length: length as usize,
        fingerprint,
        version: Version(version),
        parts: parts.into_iter().map(part).collect(),
    }
}
