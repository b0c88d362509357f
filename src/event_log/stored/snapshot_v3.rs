//! A document with comments, form 3: `["snapshot.3", [[thread, …], [deletion, …]], op, …]`, the ops as in form 1, the threads
//! as in form 2. Frozen: add a form beside it, never change it.
//!
//! deletion: `[from, to, length, fingerprint, version, [[thread's place in the list, from, to], …]]`, ordered by `to`: where the
//! text was, which is the stretch of all that has come in its place, in UTF-16 units.

use std::sync::Arc;

use serde::{Serialize, Serializer, de::SeqAccess, ser::SerializeTuple};

use super::{
    fields, ops_v1,
    snapshot_v2::{self, WrittenThread},
};
use crate::{
    domain::Version,
    projection::{Comment, SavedComments, SavedDeletion, SavedPart, SavedThread, Stamp},
    text::{Delta, Utf16},
};

pub(super) const TAG: &str = "snapshot.3";

/// Writes it.
pub(super) fn encode(content: &Delta<Utf16>, comments: &SavedComments) -> serde_json::Result<String> {
    ops_v1::tagged_with(TAG, &Written(comments), content)
}

struct Written<'a>(&'a SavedComments);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stamp = |stamp: &Option<Stamp>| stamp.as_ref().map(|it| (it.by.as_str().to_owned(), it.at.0));
        let comment = |it: &Arc<Comment>| {
            let name = it.author_name.as_deref().map(str::to_owned);
            let (id, author, content) =
                (it.id.as_str().to_owned(), it.author.as_str().to_owned(), it.content.to_string());
            (id, it.seq.0, author, name, content, it.created_at.0, stamp(&it.updated))
        };
        let thread = |it: &SavedThread| {
            let comments: Vec<_> = it.comments.iter().map(comment).collect();
            let (id, quote) = (it.id.as_str().to_owned(), it.quote.to_string());
            (id, it.begun.0, it.at.start, it.at.end, quote, stamp(&it.resolved), comments)
        };
        let deletion = |it: &SavedDeletion| {
            let parts: Vec<_> = it.parts.iter().map(|part| (part.thread, part.from, part.to)).collect();
            (it.from, it.at, it.length, it.fingerprint, it.version, parts)
        };
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.0.threads.iter().map(thread).collect::<Vec<_>>())?;
        pair.serialize_element(&self.0.deletions.iter().map(deletion).collect::<Vec<_>>())?;
        pair.end()
    }
}

type WrittenDeletion = (u32, u32, u32, u64, u64, Vec<(u32, u32, u32)>);

/// Reads it after its tag.
pub(super) fn read<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(Delta<Utf16>, SavedComments), A::Error> {
    let (threads, deletions): (Vec<WrittenThread>, Vec<WrittenDeletion>) = fields::next(&mut list, "comments")?;
    let threads = threads.into_iter().map(snapshot_v2::thread).collect::<Result<_, A::Error>>()?;
    let comments = SavedComments { threads, deletions: deletions.into_iter().map(deletion).collect() };
    Ok((ops_v1::read(list)?, comments))
}

fn deletion((from, at, length, fingerprint, version, parts): WrittenDeletion) -> SavedDeletion {
    let part = |(thread, from, to): (u32, u32, u32)| SavedPart {
        thread: thread as usize,
        from: from as usize,
        to: to as usize,
    };
    SavedDeletion {
        from: from as usize,
        at: at as usize,
        length: length as usize,
        fingerprint,
        version: Version(version),
        parts: parts.into_iter().map(part).collect(),
    }
}
