//! Where a place that a client named belongs now.
//!
//! A client names it as it names the positions of an edit: as of the last version that it had received plus
//! its own edits that were not acknowledged yet. What follows is the same, and yet apart: the contexts that
//! edits are carried in are never touched, for whatever presence gets wrong must not get into the text.

use std::collections::HashSet;

use crate::{
    domain::{Context, Cursor, PositionEncoding, Rejection, UserId, Version},
    projection::carried,
    text::{CodePoints, Priority, RichText, Utf16},
};

use super::super::{
    committed::{ClientKey, Committed},
    context::{Counted, sent_as},
    recent::Recent,
};

/// What a client had seen when it named a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The last version that it had received.
    pub(super) base: Version,
    /// And its own edits up to this version.
    pub(super) own: Version,
}

/// A document, and how it came about lately.
#[derive(Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) content: &'a RichText,
    pub(super) recent: &'a Recent,
}

impl Now<'_> {
    /// Carries a cursor of `client` to the document as it is now, in UTF-16 units.
    pub(super) fn place(
        self,
        client: &ClientKey,
        seen: Seen,
        cursor: Cursor,
        encoding: PositionEncoding,
    ) -> Result<Cursor, Rejection> {
        match encoding {
            PositionEncoding::Utf16 => self.place_in::<Utf16>(client, seen, cursor),
            PositionEncoding::Utf32 => self.place_in::<CodePoints>(client, seen, cursor),
        }
    }

    /// Where a cursor is now that was at a place in `version`, in UTF-16 units.
    pub(super) fn carry(self, user: &UserId, version: Version, cursor: Cursor) -> Cursor {
        let Some(since) = self.recent.edits_after(version) else { return self.nearest::<Utf16>(cursor) };
        let edits = since.filter_map(|it| Some((it.edit()?, it.client.user == *user)));
        let carried = edits.fold(cursor, |cursor, (edit, is_own)| carried(cursor, &edit.footprint, is_own));
        self.nearest::<Utf16>(carried)
    }

    fn place_in<U: Counted>(self, client: &ClientKey, seen: Seen, cursor: Cursor) -> Result<Cursor, Rejection> {
        // One that is very far behind is taken as it comes: to read the log for it would let readers slow
        // down those who write.
        let Some(since) = self.recent.edits_after(seen.base) else { return Ok(self.nearest::<U>(cursor)) };
        let since = since.filter_map(|it| Some((it, it.edit()?)));
        let is_in_flight = |it: &Committed| it.client == *client && it.version <= seen.own;
        let placed = match since.clone().find(|(it, _)| is_in_flight(it)).map(|(_, own)| own.edit.cause.origin) {
            None => {
                let steps = since.map(|(it, edit)| (U::footprint(edit), it.client.user == client.user));
                self.through::<U>(cursor, steps.collect::<Vec<_>>().iter().map(|(edit, own)| (edit, *own)))?
            }
            Some(origin) => {
                let Some(replayed) = self.recent.edits_after(origin) else { return Ok(self.nearest::<U>(cursor)) };
                let (mut context, mut same_user) = (Context::<U>::at(origin), HashSet::new());
                for (it, edit) in replayed.filter_map(|it| Some((it, it.edit()?))) {
                    if is_in_flight(it) {
                        context.received(edit.edit.cause.base);
                        context.carry(sent_as::<U>(edit));
                        context.committed();
                    } else {
                        context.take_in(it.version, U::footprint(edit));
                        if it.client.user == client.user {
                            same_user.insert(it.version);
                        }
                    }
                }
                context.received(seen.base);
                self.through(cursor, context.others().map(|(version, edit)| (edit, same_user.contains(&version))))?
            }
        };
        self.in_utf16::<U>(placed)
    }

    /// Leads a cursor through edits, if it is inside of the document before them.
    fn through<'e, U: Counted>(
        self,
        cursor: Cursor,
        edits: impl Iterator<Item = (&'e crate::text::Footprint<U>, bool)>,
    ) -> Result<Cursor, Rejection> {
        let end = cursor.selection.map_or(cursor.position, |(start, end)| cursor.position.max(start).max(end));
        let (mut placed, mut length_change) = (cursor, 0);
        for (edit, is_own) in edits {
            let priority = if is_own { Priority::Second } else { Priority::First };
            length_change += edit.length_change();
            placed = placed.map(|position| edit.transform_position(position, priority));
        }
        let length = self.content.length::<U>().saturating_add_signed(-length_change);
        if end > length { Err(Rejection::OutOfBounds { end, length }) } else { Ok(placed) }
    }

    fn in_utf16<U: Counted>(self, cursor: Cursor) -> Result<Cursor, Rejection> {
        let mut misfit = None;
        let counted = cursor.map(|position| {
            self.content.position::<U, Utf16>(position).unwrap_or_else(|why| {
                misfit = Some(why);
                position
            })
        });
        misfit.map_or(Ok(counted), |why| Err(why.into()))
    }

    fn nearest<U: Counted>(self, cursor: Cursor) -> Cursor {
        cursor.map(|position| nearest::<U, Utf16>(self.content, position))
    }
}

/// A position in another unit; one that is none counts as the nearest one before it.
pub(super) fn nearest<From: Counted, To: Counted>(content: &RichText, position: usize) -> usize {
    let position = position.min(content.length::<From>());
    // The second half of a character is at most one unit behind its first.
    let counted =
        content.position::<From, To>(position).or_else(|_| content.position::<From, To>(position.saturating_sub(1)));
    counted.unwrap_or_default()
}

/// A cursor in the unit of a connection.
pub(super) fn counted(content: &RichText, cursor: Cursor, encoding: PositionEncoding) -> Cursor {
    match encoding {
        PositionEncoding::Utf16 => cursor.map(|position| position.min(content.length::<Utf16>())),
        PositionEncoding::Utf32 => cursor.map(|position| nearest::<Utf16, CodePoints>(content, position)),
    }
}
