//! `verify`: the log, refolded beside what is stored.

use std::{collections::VecDeque, fmt::Display};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use crate::{
    domain::{Edited, Event, Seq},
    event_log::{Damaged, EventLog, Head, ReadError, Recorded, SavedSnapshot, Snapshot, StreamName, Tombstone},
    projection::{Document, Misfit},
    protocol::document::{SentOperation, read_sent},
    settings::Settings,
    text::Utf16,
};

use super::{
    Failure, database, output, progress, verify_kept::KeptAudit, verify_outline::verify_outlines,
    verify_presence::PresenceAudit,
};

/// Read every event, fold every document, and who is in it, from zero, and compare with everything that is stored beside the log
///
/// Reports each difference and each damaged event, and goes on. Exit code 1 if there was any.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Verify {
    /// Print each difference, and at the end what was looked at, as a JSON object on a line of its own
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium verify
  DATABASE_URL=sqlite://backup.db scriptorium verify";

/// Events that are read at a time.
const PAGE: usize = 2_000;

impl Verify {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        let streams = database::streams(&log, None).await?;
        let presence = database::presence_streams(&log).await?;
        let events = database::events_in(&streams) + presence.iter().map(|(_, head)| head.seq.0).sum::<u64>();
        let bar = progress::bar("verifying", events);
        let mut report = Report { bar, json: self.json, events: 0, snapshots: 0, differences: 0 };
        let mut tombstones = 0_u64;
        for stream in log.unfinished_erasures().await.map_err(Failure::failed)? {
            report.differs(&stream, "it is erased, but what was before that is not gone yet")?;
        }
        verify_outlines(&log, &mut report).await?;
        for (stream, head) in &streams {
            if head.is_erased {
                tombstones += 1;
                verify_tombstone(&log, stream, &mut report).await?;
                continue;
            }
            Audit::new(&log, stream, *head, &mut report).await?.run().await?;
        }
        for (document, head) in &presence {
            if head.is_erased {
                verify_tombstone(&log, &StreamName::presence(document), &mut report).await?;
                continue;
            }
            PresenceAudit::new(&log, (document, *head), &mut report).await?.run().await?;
        }
        verify_service(&log, &mut report).await?;
        report.bar.finish_and_clear();
        log.close().await;
        let Report { events, snapshots, differences, .. } = report;
        let streams = streams.len() + presence.len();
        if self.json {
            let counts = json!({"streams": streams, "erased": tombstones, "events": events, "snapshots": snapshots});
            output::json(&json!({"verified": counts, "differences": differences}))?;
        } else {
            if tombstones > 0 {
                let erased = output::count(tombstones, "document");
                output::line(format_args!("{erased} erased: a tombstone is all that is left of each"))?;
            }
            let (streams, events) = (output::count(streams, "stream"), output::count(events, "event"));
            let snapshots = output::count(snapshots, "snapshot");
            let found = output::count(differences, "difference");
            output::line(format_args!("verified {streams}, {events}, {snapshots}: {found}"))?;
        }
        if differences == 0 { Ok(()) } else { Err(Failure::failed("what is stored is not what it should be")) }
    }
}

/// Of what is erased there is to be nothing but the tombstone.
async fn verify_tombstone(log: &EventLog, stream: &StreamName, report: &mut Report) -> Result<(), Failure> {
    report.events += 1;
    match log.tombstone(stream).await {
        Ok(_) => (),
        Err(ReadError::Damaged(damaged)) => {
            let Damaged { seq, why, .. } = damaged;
            report.differs(stream, format_args!("event {seq} is damaged: {why}"))?;
        }
        Err(why @ (ReadError::Unavailable(_) | ReadError::Erased(_))) => return Err(Failure::failed(why)),
    }
    Ok(())
}

/// Revocations and erasures of people fold to nothing that is stored; that each can be read is all there is to see.
async fn verify_service(log: &EventLog, report: &mut Report) -> Result<(), Failure> {
    for stream in [StreamName::revocations(), StreamName::erasures()] {
        let mut after = Seq(0);
        loop {
            let page = if stream == StreamName::erasures() {
                log.user_erasures(after).await.map(|page| page.into_iter().map(|it| it.seq).collect::<Vec<_>>())
            } else {
                log.revocations(after).await.map(|page| page.into_iter().map(|(seq, _)| seq).collect())
            };
            match page {
                Ok(page) => {
                    let Some(last) = page.last() else { break };
                    (after, report.events) = (*last, report.events + page.len() as u64);
                }
                Err(ReadError::Damaged(damaged)) => {
                    report.say(&damaged.stream, &damaged.to_string(), &damaged)?;
                    break;
                }
                Err(ReadError::Erased(tombstone)) => {
                    let seq = tombstone.seq;
                    report
                        .differs(&stream, format_args!("event {seq} is a tombstone; such a stream is never erased"))?;
                    break;
                }
                Err(why @ ReadError::Unavailable(_)) => return Err(Failure::failed(why)),
            }
        }
    }
    Ok(())
}

/// Reports a tombstone in a stream that is not erased. Answers whether it was one: the stream may have been erased while it
/// was read.
pub(super) async fn is_stray(log: &EventLog, tombstone: &Tombstone, report: &mut Report) -> Result<bool, Failure> {
    let Tombstone { stream, seq, .. } = tombstone;
    let head = log.head(stream).await.map_err(Failure::failed)?;
    if head.is_some_and(|head| head.is_erased) {
        return Ok(false);
    }
    report.differs(stream, format_args!("event {seq} is a tombstone, but the stream is not erased"))?;
    Ok(true)
}

/// What was looked at, and what was wrong.
pub(super) struct Report {
    pub(super) bar: ProgressBar,
    json: bool,
    pub(super) events: u64,
    pub(super) snapshots: u64,
    differences: u64,
}

impl Report {
    pub(super) fn differs(&mut self, stream: &StreamName, what: impl Display) -> Result<(), Failure> {
        self.say(stream, &what.to_string(), format_args!("{}: {what}", database::shown(stream)))
    }

    fn say(&mut self, stream: &StreamName, difference: &str, line: impl Display) -> Result<(), Failure> {
        self.differences += 1;
        let json = self.json.then(|| json!({"stream": stream.as_str(), "difference": difference}));
        Ok(self.bar.suspend(|| json.as_ref().map_or_else(|| output::line(line), output::json))?)
    }
}

/// One stream under examination.
struct Audit<'a> {
    log: &'a EventLog,
    stream: &'a StreamName,
    head: Head,
    report: &'a mut Report,
    /// What the stream folds to so far; `None` once an event could not be folded.
    folded: Option<Document>,
    /// The last event that could be read.
    last: Head,
    /// Snapshots that are still to be compared, the next one first.
    snapshots: VecDeque<Seq>,
    /// The projections that are kept beside it.
    kept: KeptAudit,
}

impl<'a> Audit<'a> {
    async fn new(
        log: &'a EventLog,
        stream: &'a StreamName,
        head: Head,
        report: &'a mut Report,
    ) -> Result<Self, Failure> {
        let snapshots = log.snapshot_places(stream).await.map_err(Failure::failed)?.into();
        let kept = KeptAudit::new(log, stream).await?;
        Ok(Self { log, stream, head, report, folded: Some(Document::new()), last: Head::default(), snapshots, kept })
    }

    async fn run(mut self) -> Result<(), Failure> {
        let mut after = Seq(0);
        self.compare_snapshots(after).await?;
        while after < self.head.seq {
            after = match self.log.read(self.stream, after, self.page_after(after)).await {
                Ok(page) if page.is_empty() => {
                    self.differs(format_args!("event {} is missing", after.next()))?;
                    self.lose_track();
                    break;
                }
                Ok(page) => self.examine_page(page).await?,
                Err(ReadError::Damaged(_) | ReadError::Erased(_)) => self.examine_one_by_one(after).await?,
                Err(ReadError::Unavailable(why)) => return Err(Failure::failed(why)),
            };
        }
        self.examine_head().await
    }

    fn page_after(&self, after: Seq) -> usize {
        usize::try_from(self.head.seq.0 - after.0).map_or(PAGE, |left| left.min(PAGE))
    }

    /// Goes through a page that holds a damaged event, or a tombstone, until past that event.
    async fn examine_one_by_one(&mut self, mut after: Seq) -> Result<Seq, Failure> {
        loop {
            match self.log.read(self.stream, after, 1).await {
                Ok(one) if one.is_empty() => return Ok(after),
                Ok(one) => after = self.examine_page(one).await?,
                Err(ReadError::Damaged(damaged)) => {
                    self.differs(format_args!("event {} is damaged: {}", damaged.seq, damaged.why))?;
                    self.lose_track();
                    return Ok(damaged.seq.max(after.next()));
                }
                Err(ReadError::Erased(tombstone)) => {
                    if !is_stray(self.log, &tombstone, self.report).await? {
                        return Ok(self.head.seq);
                    }
                    self.lose_track();
                    return Ok(tombstone.seq.max(after.next()));
                }
                Err(ReadError::Unavailable(why)) => return Err(Failure::failed(why)),
            }
        }
    }

    /// The place of the last event of the page, which is not empty.
    async fn examine_page(&mut self, page: Vec<Recorded>) -> Result<Seq, Failure> {
        self.report.bar.inc(page.len() as u64);
        for recorded in page {
            self.examine(&recorded).await?;
        }
        Ok(self.last.seq)
    }

    async fn examine(&mut self, recorded: &Recorded) -> Result<(), Failure> {
        let (seq, version, recorded_at) = (recorded.seq, recorded.version, recorded.recorded_at);
        self.report.events += 1;
        let knows_predecessor = self.last.seq.next() == seq;
        let is_edit = matches!(recorded.event, Event::Edited(_));
        let before = self.last.version;
        if knows_predecessor && version != if is_edit { before.next() } else { before } {
            self.differs(format_args!("event {seq} is of version {version}, the one before it of {before}"))?;
        }
        if recorded_at < self.last.recorded_at {
            self.differs(format_args!("event {seq} was recorded before the one before it"))?;
        }
        self.last = Head { seq, version, recorded_at, is_erased: false };
        if let Event::Edited(edited) = &recorded.event
            && says_otherwise(edited)
        {
            self.differs(format_args!("event {seq} does something else than its message asked for"))?;
        }
        if let Some(document) = &mut self.folded
            && let Err(why) = fold(document, recorded)
        {
            self.differs(format_args!("event {seq} does not fit the document before it: {why}"))?;
            self.lose_track();
        }
        self.compare_snapshots(seq).await?;
        self.kept.examine(self.log, self.stream, (recorded, &mut *self.report)).await
    }

    /// What comes later cannot be compared with anything.
    fn lose_track(&mut self) {
        self.folded = None;
        self.kept.lose_track();
    }

    /// Compares the snapshots up to a place with what the events fold to there.
    async fn compare_snapshots(&mut self, at: Seq) -> Result<(), Failure> {
        while let Some(place) = self.snapshots.pop_front_if(|place| *place <= at) {
            // One that the service has let go of meanwhile is none.
            let saved = self.log.saved_snapshot(self.stream, place).await.map_err(Failure::failed)?;
            let Some(SavedSnapshot { seq, snapshot }) = saved.filter(|saved| saved.seq == place) else { continue };
            let why = match (snapshot, &self.folded) {
                (Err(why), _) => Some(format!("is damaged: {why}")),
                (Ok(snapshot), Some(document)) => difference(&snapshot, document),
                (Ok(_), None) => continue,
            };
            self.report.snapshots += 1;
            if let Some(why) = why {
                self.differs(format_args!("snapshot {seq} {why}"))?;
            }
        }
        Ok(())
    }

    /// Compares the stored head with the last event, and what is folded with the head. The service may be appending:
    /// what is ahead of a head that is read *after* it is wrong.
    async fn examine_head(&mut self) -> Result<(), Failure> {
        let (head, last) = (self.head, self.last);
        if last.seq == head.seq && last != head {
            self.differs(format_args!(
                "the head is of version {} at {}, the last event of {} at {}",
                head.version, head.recorded_at, last.version, last.recorded_at
            ))?;
        }
        if let Err(ReadError::Erased(tombstone)) = self.log.read(self.stream, head.seq, 1).await {
            is_stray(self.log, &tombstone, self.report).await?;
        }
        let saved = self.log.snapshot_places(self.stream).await.map_err(Failure::failed)?.pop();
        let now = self.log.head(self.stream).await.map_err(Failure::failed)?.map_or(Seq(0), |now| now.seq);
        if let Some(kept) = self.kept.last().filter(|kept| *kept > now) {
            self.differs(format_args!("a projection is kept as of {kept}, ahead of the log, which is at {now}"))?;
        }
        if let Some(saved) = saved.filter(|saved| *saved > now) {
            self.differs(format_args!("snapshot {saved} is ahead of the log, which is at {now}"))?;
        }
        Ok(())
    }

    fn differs(&mut self, what: impl Display) -> Result<(), Failure> {
        self.report.differs(self.stream, what)
    }
}

fn fold(document: &mut Document, recorded: &Recorded) -> Result<(), Misfit> {
    match &recorded.event {
        Event::Edited(edited) => {
            document.apply_edit(&edited.applied, &edited.placed)?;
            document.modified_at(recorded.recorded_at);
            Ok(())
        }
        Event::Commented(commented, _) => document.comment(commented),
    }
}

/// Whether an event that was applied as it came says something else than its message. Of one that had to be
/// transformed this does not tell: only a snapshot behind it does.
fn says_otherwise(edited: &Edited) -> bool {
    let cause = &edited.cause;
    match read_sent(&cause.received, cause.encoding).filter(|_| !edited.transformed) {
        Some(SentOperation::Utf16(sent)) => sent != edited.applied,
        Some(SentOperation::CodePoints(sent)) => match &edited.in_code_points {
            Some(applied) => sent != *applied,
            None => sent != edited.applied.recount(),
        },
        None => false,
    }
}

/// What a snapshot says that its events do not.
fn difference(snapshot: &Snapshot, document: &Document) -> Option<String> {
    if snapshot.version != document.version() {
        return Some(format!("is of version {}, its events make {}", snapshot.version, document.version()));
    }
    if snapshot.content != document.content().to_delta::<Utf16>() {
        return Some("has other content than its events make".to_owned());
    }
    // Which deletions are remembered is not compared: a service of an earlier version remembered less of them, and its snapshots
    // are gone on from. Nothing that was told depends on it, for threads that found their text again are on record.
    if snapshot.comments.threads != document.comments().saved().threads {
        return Some("has other comments than its events make".to_owned());
    }
    let same_time = snapshot.last_modified == document.last_modified();
    (!same_time).then(|| "has another time than its last edit".to_owned())
}
