//! Who was there, and where.

use std::sync::Arc;

use crate::{
    domain::{Cursor, DocumentId, Event, Profile, Timestamp, UserId, Version},
    event_log::{EventLog, ReadError},
    projection::{Document, Presence},
    text::{Footprint, Utf16},
};

use super::{Place, Untold, When, find, place, recorded_at};

/// Who was in a document as of a place in its past.
#[derive(Debug, Clone)]
pub struct People {
    /// The document as of then.
    pub document: Document,
    /// Everybody who was there, by their ids.
    pub people: Vec<PersonThen>,
}

/// Somebody who was there.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonThen {
    /// Who.
    pub user: UserId,
    /// Who that is to the others.
    pub profile: Arc<Profile>,
    /// Where, in UTF-16 units of the document as of then; `None` if they had not shown it.
    pub cursor: Option<Cursor>,
}

/// Events that are read at a time.
const PAGE: usize = 500;
/// A cursor is carried through so many events at most: one that nobody has moved for longer is as good as anywhere.
const FAR: u64 = 10_000;

/// Who was there, as it was recorded: when a version was made, or at a moment, or now.
pub async fn people(log: &EventLog, id: &DocumentId, when: When) -> Result<People, Untold> {
    let place = find(log, id, when).await?;
    let presence = match when {
        When::Now => log.presence(id).await?.presence,
        When::Moment(moment) => presence_at(log, id, moment).await?,
        When::Version(_) => match recorded_at(log, &place).await? {
            Some(moment) => presence_at(log, id, moment).await?,
            None => Presence::new(),
        },
    };
    let document = place::document(log, &place, |_| ()).await?;
    let presence = carried(log, &place, presence, document.version()).await?;
    let length = document.content().length::<Utf16>();
    let people = presence.users().map(|(user, present)| PersonThen {
        user: user.clone(),
        profile: Arc::clone(&present.profile),
        cursor: presence.cursor(user).map(|placed| placed.cursor.map(|position| position.min(length))),
    });
    Ok(People { people: people.collect(), document })
}

async fn presence_at(log: &EventLog, id: &DocumentId, moment: Timestamp) -> Result<Presence, Untold> {
    let place = log.presence_place(id, moment).await?.ok_or(Untold::Forgotten { at: moment })?;
    Ok(log.presence_as_of(id, place).await?.presence)
}

/// Moves cursors with the edits after the versions that they were shown in.
async fn carried(
    log: &EventLog,
    place: &Place,
    mut presence: Presence,
    version: Version,
) -> Result<Presence, ReadError> {
    let Some(oldest) = presence.oldest_cursor().filter(|oldest| *oldest < version) else { return Ok(presence) };
    let mut last = log.seq_of_version(&place.stream, oldest).await?.unwrap_or_default();
    last.0 = last.0.max(place.seq.0.saturating_sub(FAR));
    while last < place.seq {
        let left = usize::try_from(place.seq.0 - last.0).unwrap_or(PAGE);
        let page = log.read(&place.stream, last, left.min(PAGE)).await?;
        let Some(end) = page.last() else { break };
        last = end.seq;
        for recorded in page {
            if let Event::Edited(edited) = &recorded.event {
                presence.edited(recorded.version, &Footprint::of(&edited.applied), &edited.cause.user);
            }
        }
    }
    Ok(presence)
}
