//! What every log must do when something is erased. Part of the suite.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Append, AppendError, EventLog, Position, Purpose, ReadError, Scrubbed, Snapshot, StreamName, What,
    suite::{append, everything, fill, joined, message, moved, stream},
};
use crate::{
    domain::{DocumentId, Seq, Timestamp, Version},
    event_log::NewPresence,
};

const NOON: Timestamp = Timestamp(9_000_000);

fn id(name: &str) -> DocumentId {
    DocumentId::parse(name).unwrap()
}

/// More events than are removed at a time, snapshots along them, and people.
async fn written(log: &EventLog, name: &str) {
    let stream = stream(name);
    fill(log, &stream, 1_200).await;
    for seq in [100, 1_200] {
        let document = log.document(&stream, Seq(seq)).await.unwrap();
        log.clone().keeping_history(50).save_snapshot(&stream, &Snapshot::of(&document)).await.unwrap();
    }
    let event = |n: u64, event| NewPresence { id: message(n), version: Version(3), event };
    let events = [event(1, joined(1, "ann")), event(2, moved("ann", 0, None))];
    log.append_presence(&id(name), Timestamp(5_000), &events).await.unwrap();
    log.save_presence(&id(name), &log.presence(&id(name)).await.unwrap()).await.unwrap();
}

/// What the feed has, by streams and places; the tombstones apart.
async fn fed(log: &EventLog) -> (Vec<(String, u64)>, Vec<(String, u64)>) {
    let (mut events, mut tombstones, mut after) = (Vec::new(), Vec::new(), Position(0));
    loop {
        let page = log.read_all(after, 700).await.unwrap();
        let Some(last) = page.last() else { return (events, tombstones) };
        after = last.position;
        for it in page {
            let is_tombstone = matches!(it.what, What::Erased);
            (if is_tombstone { &mut tombstones } else { &mut events }).push((it.stream.to_string(), it.seq.0));
        }
    }
}

fn is_erased<T: std::fmt::Debug>(answer: &Result<T, ReadError>) -> bool {
    matches!(answer, Err(ReadError::Erased(tombstone)) if tombstone.recorded_at == NOON)
}

/// Nobody gets anything of it, and nobody can add to it.
async fn is_gone(log: &EventLog, name: &str) {
    let (stream, id) = (stream(name), id(name));
    let head = log.head(&stream).await.unwrap().unwrap();
    assert_eq!((head.seq, head.version, head.recorded_at, head.is_erased), (Seq(1_201), Version(1_200), NOON, true));
    for after in [0, 40, 1_100, 1_200] {
        assert!(is_erased(&log.read(&stream, Seq(after), 10).await), "{after}");
        assert!(is_erased(&log.changes(&stream, Seq(after), 5_000).await), "{after}");
    }
    assert!(is_erased(&log.document(&stream, Seq(1_200)).await) && is_erased(&log.living_head(&stream).await));
    assert!(is_erased(&log.presence(&id).await) && is_erased(&log.read_presence(&id, Seq(0), 10).await));
    assert_eq!(log.tombstone(&stream).await.unwrap().unwrap().seq, Seq(1_201));
    for expected in [1_200, 1_201] {
        let refused = log.append(append(&stream, expected, &["late"])).await;
        assert!(matches!(refused, Err(AppendError::Stale { head: Seq(1_201) })), "{refused:?}");
        let nothing = Append { events: Vec::new(), ..append(&stream, expected, &[]) };
        assert!(log.append(nothing).await.is_err());
    }
    let late = NewPresence { id: message("late"), version: Version(1), event: joined(2, "ben") };
    assert_eq!(log.append_presence(&id, NOON, &[late]).await.unwrap(), Seq(3), "nobody has to write it again");
    assert_eq!(log.head(&StreamName::presence(&id)).await.unwrap().unwrap().seq, Seq(3));
}

pub(super) async fn of_an_erased_document_only_tombstones_are_left(log: EventLog) {
    written(&log, "d").await;
    fill(&log, &stream("e"), 30).await;
    let before = log.read_all(Position(0), 10_000).await.unwrap();
    assert_eq!(log.erase_document(&id("nobody"), NOON, |_| ()).await.unwrap(), None);
    let mut steps = Vec::new();
    let erasure = log.erase_document(&id("d"), NOON, |removed| steps.push(removed)).await.unwrap().unwrap();
    assert_eq!((erasure.at, erasure.was_erased, erasure.removed), (NOON, false, 1_202));
    assert!(steps.len() >= 2 && steps.contains(&1_200), "{steps:?}");
    is_gone(&log, "d").await;
    let (events, tombstones) = fed(&log).await;
    assert_eq!(events, (1..=30).map(|seq| ("document:e".to_owned(), seq)).collect::<Vec<_>>());
    assert_eq!(tombstones, [("document:d".to_owned(), 1_201), ("presence:d".to_owned(), 3)]);
    // Snapshots that were on their way come to nothing.
    let whole = log.document(&stream("e"), Seq(30)).await.unwrap();
    log.save_snapshot(&stream("d"), &Snapshot::of(&whole)).await.unwrap();
    assert_eq!(log.snapshot_places(&stream("d")).await.unwrap(), []);
    assert_eq!(log.snapshot_places(&StreamName::presence(&id("d"))).await.unwrap(), []);
    // A follower who stood in the middle of what is gone goes on, and no position is used twice.
    let rest = log.read_all(before[600].position, 10_000).await.unwrap();
    assert_eq!(rest.len(), 32);
    log.append(append(&stream("e"), 30, &["next"])).await.unwrap();
    let next = log.read_all(rest[31].position, 10).await.unwrap();
    assert_eq!((next.len(), next[0].seq), (1, Seq(31)));
    assert!(rest[31].position > before.last().unwrap().position, "the tombstones came last");
    assert_eq!(everything(&log, &stream("e")).await.len(), 31);
    // Once more changes nothing.
    let again = log.erase_document(&id("d"), Timestamp(99_000_000), |_| ()).await.unwrap().unwrap();
    assert_eq!((again.at, again.was_erased, again.removed), (NOON, true, 0));
    assert_eq!(log.scrub_pages(Duration::from_mins(1)).await.unwrap(), Scrubbed::Clean);
    is_gone(&log, "d").await;
    assert_eq!(log.trim_presence(&id("d"), Timestamp(i64::MAX)).await.unwrap(), 0);
    log.rebuild_presence(&id("d")).await.unwrap();
}

pub(super) async fn an_erasure_that_was_interrupted_is_gone_for_readers_and_is_finished(log: EventLog) {
    for name in ["d", "e", "f"] {
        written(&log, name).await;
    }
    for name in ["d", "e"] {
        log.begin_to_erase(&id(name), NOON).await;
        is_gone(&log, name).await;
    }
    let both = |id| [stream(id), StreamName::presence(&self::id(id))];
    let unfinished = async || log.unfinished_erasures().await.unwrap().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(unfinished().await, [both("d"), both("e")].into_iter().flatten().collect());
    // Some of it has gone already.
    log.adapter.trim(&stream("d"), Seq(1_000)).await.unwrap();
    is_gone(&log, "d").await;
    let again = log.erase_document(&id("d"), NOON, |_| ()).await.unwrap().unwrap();
    assert!(again.was_erased && again.removed > 0);
    assert_eq!(log.finish_erasures().await.unwrap(), 2, "both streams of the other one");
    assert_eq!(log.finish_erasures().await.unwrap(), 0);
    for name in ["d", "e"] {
        is_gone(&log, name).await;
    }
    assert_eq!(unfinished().await, BTreeSet::new());
    assert_eq!(everything(&log, &stream("f")).await.len(), 1_200);
    let (events, tombstones) = fed(&log).await;
    assert_eq!((events.len(), tombstones.len()), (1_202, 4));
}

pub(super) async fn a_tombstone_is_imported_and_what_is_erased_does_not_come_back(log: EventLog) {
    let source = EventLog::memory();
    written(&source, "d").await;
    fill(&source, &stream("e"), 5).await;
    let old = source.export(Position(0)).await.unwrap().next().await.unwrap();
    // Here there is a part of it, as of before.
    log.import(Purpose::Append).add(&old[..900]).await.unwrap();
    source.erase_document(&id("d"), NOON, |_| ()).await.unwrap();
    source.erase_document(&id("e"), NOON, |_| ()).await.unwrap();
    let new = source.export(Position(0)).await.unwrap().next().await.unwrap();
    assert_eq!(new.len(), 4);
    let imported = log.import(Purpose::Append).add(&new).await.unwrap();
    assert_eq!((imported.appended, imported.present), (4, 0));
    log.finish_erasures().await.unwrap();
    is_gone(&log, "d").await;
    assert!(is_erased(&log.read(&stream("e"), Seq(0), 10).await));
    for export in [&new, &old] {
        let again = log.import(Purpose::Append).add(export).await.unwrap();
        assert_eq!((again.appended, again.present), (0, export.len() as u64));
    }
    is_gone(&log, "d").await;
    assert_eq!(fed(&log).await.0, []);
    assert!(log.append(append(&stream("e"), 6, &["late"])).await.is_err());
}
