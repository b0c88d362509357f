//! Erasing a person: what the log says of them is said of nobody from then on, and everything else stays as it is.
//!
//! Events keep their places, versions and texts; a pseudonym that nobody can trace takes the place of who it was
//! ([`Pseudonym`]). The erasure is an event itself, which names the person until it is done, and then no longer: so it
//! outlives the process, whoever shares the log hears of it and lets go of what they remember, and any of them can
//! finish it. Doing it twice is doing it once.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    EventLog, Expected, Head, ReadError, StreamName, damaged,
    port::{ALL_PLACES, Keep, NewRow, NewRows, Refusal, Rewritten, Row, Scrub, SnapshotRow},
    pseudonym::Pseudonym,
    stored::{self, Stored, revoked_v1, user_erased_v1},
    unwritable, without_gaps,
};
use crate::domain::{DocumentId, Event, IdError, MessageId, Seq, Timestamp, UserId, Version};

/// A person who is being erased, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserErasure {
    /// Its place among them.
    pub seq: Seq,
    /// Who; `None` when it is done.
    pub user: Option<UserId>,
    /// What stands in their place.
    pub pseudonym: UserId,
    /// When it began.
    pub at: Timestamp,
}

/// What erasing a person has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewriting {
    /// Events that said something of them.
    pub events: u64,
    /// Documents that they wrote in, or commented on.
    pub documents: u64,
}

/// Events, and streams, that are looked at at a time.
const PAGE: usize = 500;
/// How often everything is gone through at most: each time may find what others recorded meanwhile.
const ROUNDS: usize = 5;

impl EventLog {
    /// Begins to erase a person, or finds the erasure of theirs that has begun and is not done. From now on whoever
    /// shares the log keeps them out, until it is done. `pseudonym` is to be of nobody, and new.
    pub async fn begin_user_erasure(
        &self,
        user: &UserId,
        pseudonym: UserId,
        now: Timestamp,
    ) -> Result<UserErasure, ReadError> {
        if let Some(unfinished) = self.unfinished_user_erasures().await?.into_iter().find(|it| it.user() == Some(user))
        {
            return Ok(unfinished);
        }
        let erased = user_erased_v1::Erased { user: Some(user.clone()), pseudonym };
        let Stored { body, cause } = user_erased_v1::encode(&erased).map_err(unwritable)?;
        let message_id = MessageId::parse(erased.pseudonym.as_str()).map_err(|why| unwritable(why.to_string()))?;
        let rows = vec![NewRow { version: Version(0), message_id, body: body.into(), cause: cause.into() }];
        let (stream, expected) = (StreamName::erasures(), Expected::Any);
        match self.append_rows(NewRows { stream, expected, recorded_at: now, rows }).await {
            Ok(Head { seq, recorded_at, .. }) => {
                Ok(UserErasure { seq, user: erased.user, pseudonym: erased.pseudonym, at: recorded_at })
            }
            Err(Refusal::Unavailable(why)) => Err(why.into()),
            Err(Refusal::Stale { .. } | Refusal::Repeated(_)) => {
                Err(unwritable("the name of somebody who is erased is not new".to_owned()).into())
            }
        }
    }

    /// Erases a person whom everybody keeps out; `grace` is how long it may take until all who share the log have heard of it
    /// and have written down what they still had to. `progress` hears how many more events were looked at; all are, twice at
    /// least.
    pub async fn complete_user_erasure(
        &self,
        erasure: &UserErasure,
        (now, grace): (Timestamp, Duration),
        mut progress: impl FnMut(u64),
    ) -> Result<Rewriting, ReadError> {
        let Some(pseudonym) = erasure.pseudonym()? else { return Ok(Rewriting::default()) };
        let mut all = Rewriting::default();
        for round in 0..ROUNDS {
            sleep(grace).await;
            let rewriting = self.rewrite_all(&pseudonym, now, &mut progress).await?;
            all =
                Rewriting { events: all.events + rewriting.events, documents: all.documents.max(rewriting.documents) };
            if round > 0 && rewriting.events == 0 {
                break;
            }
        }
        let done = user_erased_v1::Erased { user: None, pseudonym: erasure.pseudonym.clone() };
        let Stored { body, cause } = user_erased_v1::encode(&done).map_err(unwritable)?;
        let row = Rewritten { seq: erasure.seq, body: body.into(), cause: cause.into() };
        self.adapter.rewrite(&StreamName::erasures(), vec![row]).await?;
        self.scrub(Scrub::Journal).await?;
        Ok(all)
    }

    /// Saves nothing that was folded, from now on or again: as long as a person is being erased.
    pub fn hold_saving(&self, is_held: bool) {
        self.saving.shut(is_held);
    }

    /// The erasures of people after a place, in order, up to a page of them; none only at the end.
    pub async fn user_erasures(&self, after: Seq) -> Result<Vec<UserErasure>, ReadError> {
        let stream = StreamName::erasures();
        let rows = self.adapter.rows(&stream, after, PAGE).await?;
        without_gaps(&stream, after, rows.iter().map(|row| row.seq))?;
        let read = |row: Row| match user_erased_v1::decode(&row.body) {
            Ok(user_erased_v1::Erased { user, pseudonym }) => {
                Ok(UserErasure { seq: row.seq, user, pseudonym, at: row.recorded_at })
            }
            Err(why) => Err(damaged(&stream, row.seq, why).into()),
        };
        rows.into_iter().map(read).collect()
    }

    /// Those that are not done: under way, or interrupted.
    pub async fn unfinished_user_erasures(&self) -> Result<Vec<UserErasure>, ReadError> {
        let (mut unfinished, mut after) = (Vec::new(), Seq(0));
        loop {
            let page = self.user_erasures(after).await?;
            let Some(last) = page.last() else { return Ok(unfinished) };
            after = last.seq;
            unfinished.extend(page.into_iter().filter(|erasure| erasure.user.is_some()));
        }
    }

    async fn rewrite_all(
        &self,
        pseudonym: &Pseudonym,
        now: Timestamp,
        progress: &mut impl FnMut(u64),
    ) -> Result<Rewriting, ReadError> {
        let (mut all, mut after): (Rewriting, Option<StreamName>) = Default::default();
        loop {
            let page = self.adapter.streams(after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (stream, _) in page.iter().filter(|(_, head)| !head.is_erased) {
                let events = match (stream.document_id(), stream.presence_id()) {
                    (Some(_), _) => self.rewrite_document(pseudonym, stream, progress).await?,
                    (_, Some(document)) => self.rewrite_presence(pseudonym, &document, progress).await?,
                    (None, None) => 0,
                };
                all.events += events;
                // A document is counted by its own stream: nobody writes without having been there.
                all.documents += u64::from(events > 0 && stream.document_id().is_some());
            }
        }
        all.events += self.rewrite_revocations(pseudonym, now, progress).await?;
        Ok(all)
    }

    /// What was folded from a document goes with the names in it, and is folded again. Its text has none.
    async fn rewrite_document(
        &self,
        pseudonym: &Pseudonym,
        stream: &StreamName,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, ReadError> {
        let (mut has_edits, mut has_comments) = (false, false);
        let rewrite = |row: &Row| {
            if !pseudonym.may_be_in(&row.body) && !pseudonym.may_be_in(&row.cause) {
                return Ok(None);
            }
            let event = stored::decode(&row.body, &row.cause)?;
            match &event {
                Event::Edited(edited) => has_edits |= pseudonym.is(&edited.cause.user),
                Event::Commented(commented, _) => has_comments |= pseudonym.is(&commented.by),
            }
            pseudonym.event(&event).map(|event| stored::encode(&event)).transpose()
        };
        let events = self.rewrite(stream, rewrite, progress).await?;
        if has_comments {
            self.adapter.drop_snapshots(stream, ALL_PLACES).await?;
        }
        if has_edits || has_comments {
            self.adapter.drop_kept(stream).await?;
        }
        Ok(events)
    }

    /// Of people's comings and goings the snapshots may be all that is left, so they stay, rewritten.
    async fn rewrite_presence(
        &self,
        pseudonym: &Pseudonym,
        document: &DocumentId,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, ReadError> {
        let stream = StreamName::presence(document);
        for saved in self.saved_presences(document).await? {
            let replaced = saved.presence.as_ref().map_or_else(
                |why| Err(damaged(&stream, saved.seq, format!("its snapshot: {why}"))),
                |presence| Ok(pseudonym.presence(presence)),
            )?;
            if let Some(presence) = replaced {
                let content = stored::encode_presence_snapshot(&presence).map_err(unwritable)?.into();
                let row = SnapshotRow { seq: saved.seq, version: saved.version, last_modified: None, content };
                self.adapter.save_snapshot(&stream, row, Keep::All).await?;
            }
        }
        let rewrite = |row: &Row| {
            if !pseudonym.may_be_in(&row.body) {
                return Ok(None);
            }
            let event = stored::decode_presence(&row.body)?;
            pseudonym.presence_event(&event).map(|event| stored::encode_presence(&event)).transpose()
        };
        self.rewrite(&stream, rewrite, progress).await
    }

    /// Only the last ban of the person counts, so only that one keeps their name, and only while it is in force: with the name
    /// taken out of a lifting alone, the ban before it would hold again.
    async fn rewrite_revocations(
        &self,
        pseudonym: &Pseudonym,
        now: Timestamp,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, ReadError> {
        let stream = StreamName::revocations();
        let (mut end, mut last) = (Seq(0), None);
        loop {
            let page = self.revocations(end).await?;
            let Some((seq, _)) = page.last() else { break };
            end = *seq;
            let theirs = page.into_iter().filter(|(_, it)| pseudonym.is_banned_by(it));
            last = theirs.last().or(last);
        }
        let in_force = last.filter(|(_, ban)| ban.until > now).map(|(seq, _)| seq);
        let rewrite = |row: &Row| {
            // What came since is judged with all others in the next round.
            if row.seq > end {
                return Ok(None);
            }
            let revocation = revoked_v1::decode(&row.body, &row.cause)?;
            let keeps_name = in_force == Some(row.seq);
            pseudonym.revocation(&revocation, keeps_name).map(|it| revoked_v1::encode(&it)).transpose()
        };
        self.rewrite(&stream, rewrite, progress).await
    }

    /// Goes through a stream and writes anew what comes out otherwise; answers how many events that were.
    async fn rewrite(
        &self,
        stream: &StreamName,
        mut rewrite: impl FnMut(&Row) -> Result<Option<Stored>, stored::Why>,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, ReadError> {
        let (mut changed, mut after) = (0, Seq(0));
        loop {
            let rows = self.adapter.page(stream, after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(changed) };
            if stored::erased_v1::is(&last.body) {
                // It was erased meanwhile, with all that it said.
                return Ok(changed);
            }
            after = last.seq;
            progress(rows.len() as u64);
            let mut rewritten = Vec::new();
            for row in &rows {
                let stored = rewrite(row).map_err(|why| damaged(stream, row.seq, why))?;
                rewritten.extend(stored.map(|Stored { body, cause }| Rewritten {
                    seq: row.seq,
                    body: body.into(),
                    cause: cause.into(),
                }));
            }
            if !rewritten.is_empty() {
                changed += rewritten.len() as u64;
                self.adapter.rewrite(stream, rewritten).await?;
            }
        }
    }
}

impl UserErasure {
    /// Who is being erased; `None` when it is done.
    pub const fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    fn pseudonym(&self) -> Result<Option<Pseudonym>, ReadError> {
        let pseudonym = |user: &UserId| Pseudonym::new(user.clone(), self.pseudonym.clone());
        let invalid = |why: IdError| damaged(&StreamName::erasures(), self.seq, why.to_string());
        Ok(self.user.as_ref().map(pseudonym).transpose().map_err(invalid)?)
    }
}
