//! `verify` of presence streams. They differ from those of documents in that their oldest events may be gone, with a
//! snapshot to stand for them.

use std::{collections::VecDeque, fmt::Display};

use crate::{
    domain::{DocumentId, Seq, Version},
    event_log::{EventLog, Head, ReadError, RecordedPresence, SavedPresences, StreamName},
    projection::Presence,
};

use super::{
    Failure,
    verify::{Report, is_stray},
};

/// Events that are read at a time.
const PAGE: usize = 2_000;

/// Whether a stream was erased while it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Living,
    Erased,
}

/// One presence stream under examination.
pub(super) struct PresenceAudit<'a> {
    log: &'a EventLog,
    document: &'a DocumentId,
    stream: StreamName,
    head: Head,
    report: &'a mut Report,
    /// What the stream folds to so far; `None` where that cannot be known before the next snapshot.
    folded: Option<Presence>,
    /// The last event that could be read; only its place where it is gone.
    last: Head,
    /// The newest version that an event refers to.
    newest: Version,
    /// Snapshots that are still to be compared, the next one first.
    snapshots: VecDeque<SavedPresences>,
}

impl<'a> PresenceAudit<'a> {
    pub(super) async fn new(
        log: &'a EventLog,
        (document, head): (&'a DocumentId, Head),
        report: &'a mut Report,
    ) -> Result<Self, Failure> {
        let snapshots = log.saved_presences(document).await.map_err(Failure::failed)?.into();
        let stream = StreamName::presence(document);
        let (folded, last, newest) = (Some(Presence::new()), Head::default(), Version(0));
        Ok(Self { log, document, stream, head, report, folded, last, newest, snapshots })
    }

    pub(super) async fn run(mut self) -> Result<(), Failure> {
        self.begin().await?;
        while self.last.seq < self.head.seq {
            let left = usize::try_from(self.head.seq.0 - self.last.seq.0).unwrap_or(PAGE);
            match self.log.read_presence(self.document, self.last.seq, left.min(PAGE)).await {
                Ok(page) if page.is_empty() => {
                    let missing = self.last.seq.next();
                    self.differs(format_args!("event {missing} is missing"))?;
                    break;
                }
                Ok(page) => {
                    self.report.bar.inc(page.len() as u64);
                    page.iter().try_for_each(|recorded| self.examine(recorded))?;
                }
                Err(ReadError::Damaged(_) | ReadError::Erased(_)) => {
                    if self.examine_one_by_one().await? == Fate::Erased {
                        return Ok(());
                    }
                }
                Err(ReadError::Unavailable(why)) => return Err(Failure::failed(why)),
            }
        }
        self.examine_end().await
    }

    /// Finds out where the stream begins, and who was there before that.
    async fn begin(&mut self) -> Result<(), Failure> {
        let first = match self.log.read_presence(self.document, Seq(0), 1).await {
            Ok(one) => one.first().map(|first| first.seq),
            Err(ReadError::Damaged(damaged)) => Some(damaged.seq),
            Err(ReadError::Erased(tombstone)) => Some(tombstone.seq),
            Err(ReadError::Unavailable(why)) => return Err(Failure::failed(why)),
        };
        let gone = first.map_or(Seq(0), |first| Seq(first.0.saturating_sub(1)));
        if gone == Seq(0) {
            return Ok(());
        }
        self.report.bar.inc(gone.0);
        (self.folded, self.last.seq) = (None, gone);
        // What is older says nothing about what is there.
        self.snapshots.retain(|saved| saved.seq >= gone);
        if !self.snapshots.iter().any(|saved| saved.presence.is_ok()) {
            self.differs(format_args!("events 1 to {gone} are gone, and no snapshot stands for them"))?;
        }
        self.compare_snapshots(gone)
    }

    /// Goes on past a damaged event, a tombstone, or an event that is missing.
    async fn examine_one_by_one(&mut self) -> Result<Fate, Failure> {
        while self.last.seq < self.head.seq {
            let expected = self.last.seq.next();
            match self.log.read_presence(self.document, self.last.seq, 1).await {
                Ok(one) => {
                    one.iter().try_for_each(|recorded| self.examine(recorded))?;
                    if one.first().is_none_or(|it| it.seq != expected) {
                        break;
                    }
                }
                Err(ReadError::Damaged(damaged)) => {
                    self.differs(format_args!("event {} is damaged: {}", damaged.seq, damaged.why))?;
                    return self.pass_over(damaged.seq);
                }
                Err(ReadError::Erased(tombstone)) => {
                    if !is_stray(self.log, &tombstone, self.report).await? {
                        return Ok(Fate::Erased);
                    }
                    return self.pass_over(tombstone.seq);
                }
                Err(ReadError::Unavailable(why)) => return Err(Failure::failed(why)),
            }
        }
        Ok(Fate::Living)
    }

    /// Goes on behind an event that cannot be folded.
    fn pass_over(&mut self, seq: Seq) -> Result<Fate, Failure> {
        (self.folded, self.last.seq) = (None, seq.max(self.last.seq.next()));
        self.compare_snapshots(self.last.seq)?;
        Ok(Fate::Living)
    }

    fn examine(&mut self, recorded: &RecordedPresence) -> Result<(), Failure> {
        let RecordedPresence { seq, version, recorded_at, ref event, .. } = *recorded;
        self.report.events += 1;
        let expected = self.last.seq.next();
        if seq != expected {
            self.differs(format_args!("event {expected} is missing"))?;
            self.folded = None;
        }
        if recorded_at < self.last.recorded_at {
            self.differs(format_args!("event {seq} was recorded before the one before it"))?;
        }
        (self.last, self.newest) = (Head { seq, version, recorded_at, is_erased: false }, self.newest.max(version));
        if let Some(presence) = &mut self.folded {
            presence.fold(version, event);
        }
        self.compare_snapshots(seq)
    }

    /// Compares the snapshots up to a place with what the events fold to there. Where that is not known the first
    /// good one is where folding begins.
    fn compare_snapshots(&mut self, at: Seq) -> Result<(), Failure> {
        while let Some(SavedPresences { seq, version, presence }) = self.snapshots.pop_front_if(|it| it.seq <= at) {
            self.report.snapshots += 1;
            let why = match (presence, &self.folded) {
                (Err(why), _) => format!("is damaged: {why}"),
                (Ok(_), _) if seq == at && self.knows(seq) && version != self.last.version => {
                    format!("is of version {version}, its last event of {}", self.last.version)
                }
                (Ok(saved), Some(folded)) if saved != *folded => "shows others than its events make".to_owned(),
                (Ok(saved), None) if seq == at => {
                    self.folded = Some(saved);
                    continue;
                }
                (Ok(_), _) => continue,
            };
            self.differs(format_args!("snapshot {seq} {why}"))?;
        }
        Ok(())
    }

    /// Whether the event at the last place was read.
    fn knows(&self, seq: Seq) -> bool {
        self.last.seq == seq && self.last.recorded_at.0 > 0
    }

    /// Compares the head with the last event, looks for a tombstone behind it, and whether the document has come as far as
    /// it is said to. What the service appends meanwhile is no difference: the heads are read last.
    async fn examine_end(&mut self) -> Result<(), Failure> {
        let (head, last) = (self.head, self.last);
        if last.seq == head.seq && self.knows(head.seq) && last != head {
            self.differs(format_args!(
                "the head is of version {} at {}, the last event of {} at {}",
                head.version, head.recorded_at, last.version, last.recorded_at
            ))?;
        }
        if let Err(ReadError::Erased(tombstone)) = self.log.read_presence(self.document, head.seq, 1).await {
            is_stray(self.log, &tombstone, self.report).await?;
        }
        let saved = self.log.saved_presences(self.document).await.map_err(Failure::failed)?.pop();
        let head_of = async |stream: &StreamName| self.log.head(stream).await.map_err(Failure::failed);
        let now = head_of(&self.stream).await?.map_or(Seq(0), |now| now.seq);
        let reached = head_of(&StreamName::document(self.document)).await?.unwrap_or_default().version;
        if let Some(saved) = saved.filter(|saved| saved.seq > now) {
            self.differs(format_args!("snapshot {} is ahead of the log, which is at {now}", saved.seq))?;
        }
        let newest = self.newest;
        if newest > reached {
            self.differs(format_args!("an event refers to version {newest}, but the document is at {reached}"))?;
        }
        Ok(())
    }

    fn differs(&mut self, what: impl Display) -> Result<(), Failure> {
        self.report.differs(&self.stream, what)
    }
}
