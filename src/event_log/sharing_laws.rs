//! What every log must do when another process writes to it too: whatever that process has begun, erased, trimmed or
//! imported in between, an event never enters another stream, and an erased stream stays erased. Part of the suite.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IteratorRandom as _};

use super::{
    Append, AppendError, EventLog, Expected, NewPresence, Position, Purpose, ReadError, StoredEvent, StreamName,
    suite::{append, everything, fill, ids, joined, message, stream, typed},
};
use crate::domain::{DocumentId, Seq, Timestamp, Version};

const NOON: Timestamp = Timestamp(9_000_000);

fn id(name: &str) -> DocumentId {
    DocumentId::parse(name).unwrap()
}

/// Each number is a person who joins, at as many microseconds.
async fn enter(log: &EventLog, document: &str, people: &[u64]) {
    for number in people {
        let event = joined(*number, &format!("p{number}"));
        let event = NewPresence { id: message(number), version: Version(0), event };
        log.append_presence(&id(document), Timestamp(i64::try_from(*number).unwrap()), &[event]).await.unwrap();
    }
}

async fn erase(log: &EventLog, document: &str) {
    log.erase_document(&id(document), NOON, |_| ()).await.unwrap().unwrap();
}

/// Leaves only the newest of the presence stream.
async fn trim(log: &EventLog, document: &str) {
    assert!(log.trim_presence(&id(document), NOON).await.unwrap() > 0, "something is trimmed");
}

async fn exported(log: &EventLog) -> Vec<StoredEvent> {
    log.export(Position(0)).await.unwrap().next().await.unwrap()
}

/// Another log, with an erased document, and a presence stream of which only the end is left.
async fn backup() -> Vec<StoredEvent> {
    let log = EventLog::memory();
    fill(&log, &stream("gone"), 5).await;
    erase(&log, "gone").await;
    fill(&log, &stream("kept"), 3).await;
    enter(&log, "kept", &[1, 2, 3, 4]).await;
    trim(&log, "kept").await;
    exported(&log).await
}

/// No stream contradicts itself.
async fn sound(log: &EventLog) {
    for (name, head) in log.streams(None, 1_000).await.unwrap() {
        let outline = log.outline(&name).await.unwrap().unwrap();
        assert_eq!((outline.head, outline.flaws()), (head, Vec::new()), "{name}: {outline:?}");
        if head.is_erased {
            assert_eq!(outline.events, 1, "{name}: only its tombstone is left");
        }
        assert_eq!(log.tombstone(&name).await.unwrap().is_some(), head.is_erased, "{name}");
    }
    assert_eq!(log.unfinished_erasures().await.unwrap(), []);
}

async fn is_erased(log: &EventLog, document: &str) {
    for name in [stream(document), StreamName::presence(&id(document))] {
        assert!(matches!(log.living_head(&name).await, Err(ReadError::Erased(_))), "{name} is erased");
    }
}

async fn is_stale(log: &EventLog, document: &str, expected: u64, head: u64) {
    let refused = log.append(append(&stream(document), expected, &["late"])).await;
    assert!(matches!(refused, Err(AppendError::Stale { head: Seq(at) }) if at == head), "{document}: {refused:?}");
}

pub(super) async fn an_append_to_a_stream_that_another_process_erased_is_stale(ours: EventLog, theirs: EventLog) {
    ours.append(append(&stream("d"), 0, &["a"])).await.unwrap();
    theirs.append(append(&stream("d"), 1, &["b", "c"])).await.unwrap();
    erase(&theirs, "d").await;

    is_stale(&ours, "d", 1, 4).await;

    is_erased(&theirs, "d").await;
    sound(&ours).await;
}

pub(super) async fn presence_of_a_document_that_another_process_erased_is_not_recorded(
    ours: EventLog,
    theirs: EventLog,
) {
    ours.append(append(&stream("d"), 0, &["a"])).await.unwrap();
    enter(&ours, "d", &[1]).await;
    enter(&theirs, "d", &[2, 3]).await;
    erase(&theirs, "d").await;

    enter(&ours, "d", &[4]).await;

    is_erased(&theirs, "d").await;
    sound(&ours).await;
}

pub(super) async fn a_stream_that_another_process_began_is_not_begun_again(ours: EventLog, theirs: EventLog) {
    ours.append(append(&stream("a"), 0, &["a"])).await.unwrap();
    theirs.append(append(&stream("new"), 0, &["theirs"])).await.unwrap();
    enter(&theirs, "new", &[1]).await;

    is_stale(&ours, "new", 0, 1).await;
    enter(&ours, "new", &[2]).await;
    ours.append(append(&stream("new"), 1, &["ours"])).await.unwrap();

    assert_eq!(ids(&everything(&theirs, &stream("new")).await), [(1, "theirs"), (2, "ours")]);
    assert_eq!(theirs.read_presence(&id("new"), Seq(0), 9).await.unwrap().len(), 2);
    sound(&theirs).await;
}

pub(super) async fn a_new_stream_leaves_one_alone_that_another_process_began_and_erased(
    ours: EventLog,
    theirs: EventLog,
) {
    ours.append(append(&stream("a"), 0, &["a"])).await.unwrap();
    theirs.append(append(&stream("x"), 0, &["x", "y"])).await.unwrap();
    erase(&theirs, "x").await;

    ours.append(append(&stream("new"), 0, &["n"])).await.unwrap();
    enter(&ours, "new", &[1]).await;

    is_erased(&theirs, "x").await;
    assert_eq!(ids(&everything(&theirs, &stream("new")).await), [(1, "n")]);
    sound(&theirs).await;
}

pub(super) async fn a_new_stream_leaves_one_alone_that_another_process_began_and_trimmed(
    ours: EventLog,
    theirs: EventLog,
) {
    ours.append(append(&stream("a"), 0, &["a"])).await.unwrap();
    enter(&theirs, "x", &[1, 2, 3]).await;
    trim(&theirs, "x").await;

    ours.append(append(&stream("new"), 0, &["n"])).await.unwrap();

    let left = theirs.read_presence(&id("x"), Seq(0), 9).await.unwrap();
    assert_eq!(left.iter().map(|it| it.seq).collect::<Vec<_>>(), [Seq(3)]);
    assert_eq!(ids(&everything(&theirs, &stream("new")).await), [(1, "n")]);
    sound(&theirs).await;
}

pub(super) async fn a_new_stream_leaves_those_alone_that_another_process_imported(ours: EventLog, theirs: EventLog) {
    ours.append(append(&stream("a"), 0, &["a"])).await.unwrap();
    theirs.import(Purpose::Append).add(&backup().await).await.unwrap();

    for name in ["n1", "n2", "n3", "n4"] {
        ours.append(append(&stream(name), 0, &[name])).await.unwrap();
    }

    is_erased(&theirs, "gone").await;
    assert_eq!(everything(&theirs, &stream("kept")).await.len(), 3);
    assert_eq!(theirs.read_presence(&id("kept"), Seq(0), 9).await.unwrap().len(), 1);
    for name in ["n1", "n2", "n3", "n4"] {
        assert_eq!(ids(&everything(&theirs, &stream(name)).await), [(1, name)]);
    }
    sound(&theirs).await;
}

pub(super) async fn a_refused_append_reserves_nothing(ours: EventLog, theirs: EventLog) {
    is_stale(&ours, "new", 5, 0).await;
    theirs.append(append(&stream("x"), 0, &["x"])).await.unwrap();
    erase(&theirs, "x").await;

    ours.append(append(&stream("new"), 0, &["n"])).await.unwrap();

    is_erased(&theirs, "x").await;
    assert_eq!(ids(&everything(&theirs, &stream("new")).await), [(1, "n")]);
    sound(&theirs).await;
}

pub(super) async fn an_append_to_a_stream_that_another_process_trimmed_comes_after_its_end(
    ours: EventLog,
    theirs: EventLog,
) {
    enter(&ours, "d", &[1]).await;
    enter(&theirs, "d", &[2, 3]).await;
    trim(&theirs, "d").await;

    enter(&ours, "d", &[4]).await;

    let left = theirs.read_presence(&id("d"), Seq(0), 9).await.unwrap();
    assert_eq!(left.iter().map(|it| (it.seq, it.id.as_str())).collect::<Vec<_>>(), [(Seq(3), "3"), (Seq(4), "4")]);
    sound(&theirs).await;
}

pub(super) async fn an_import_into_a_stream_that_another_process_erased_adds_nothing(ours: EventLog, theirs: EventLog) {
    let source = EventLog::memory();
    fill(&source, &stream("d"), 4).await;
    let events = exported(&source).await;
    let mut importer = ours.import(Purpose::Append);
    importer.add(&events[..2]).await.unwrap();
    erase(&theirs, "d").await;

    let imported = importer.add(&events[2..]).await.unwrap();

    assert_eq!((imported.appended, imported.present), (0, 2));
    is_erased(&theirs, "d").await;
    sound(&ours).await;
}

/// How many steps a walk has.
const STEPS: u64 = 80;

/// Two processes take steps in a random order: they begin, add, erase, trim and import.
pub(super) async fn processes_that_take_turns_at_random_leave_every_stream_sound(ours: EventLog, theirs: EventLog) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut walk = Walk { documents: 0, written: BTreeMap::new(), erased: BTreeSet::new(), backup: backup().await };
    for n in 0..STEPS {
        let log = if chance.random() { &ours } else { &theirs };
        walk.step(log, n, &mut chance).await;
    }

    sound(&ours).await;
    for (name, messages) in &walk.written {
        let stored = everything(&ours, &stream(name)).await;
        let ids: Vec<_> = stored.iter().map(|it| it.message_id.as_str()).collect();
        assert_eq!(ids, *messages, "{name} has what was acknowledged, and nothing else");
    }
    for name in &walk.erased {
        is_erased(&theirs, name).await;
    }
}

struct Walk {
    documents: u64,
    /// What was acknowledged, by documents that are not erased.
    written: BTreeMap<String, Vec<String>>,
    erased: BTreeSet<String>,
    backup: Vec<StoredEvent>,
}

impl Walk {
    async fn step(&mut self, log: &EventLog, n: u64, chance: &mut SmallRng) {
        match chance.random_range(0..12) {
            0..=4 => {
                self.documents += 1;
                self.add(log, format!("d{}", self.documents), n).await;
            }
            5 | 6 => {
                if let Some(name) = self.written.keys().choose(chance).cloned() {
                    self.add(log, name, n).await;
                }
            }
            7 | 8 => {
                if let Some(name) = self.written.keys().choose(chance).cloned() {
                    erase(log, &name).await;
                    self.written.remove(&name);
                    self.erased.insert(name);
                }
            }
            9 => enter(log, &format!("p{}", chance.random_range(0..3)), &[2 * n, 2 * n + 1]).await,
            10 => drop(log.trim_presence(&id(&format!("p{}", chance.random_range(0..3))), NOON).await.unwrap()),
            _ => drop(log.import(Purpose::Append).add(&self.backup).await.unwrap()),
        }
        if let Some(name) = self.erased.iter().choose(chance) {
            let late = Append { expected: Expected::Any, ..append(&stream(name), 0, &[]) };
            let refused = log.append(Append { events: vec![typed(n, n, "late")], ..late }).await;
            assert!(matches!(refused, Err(AppendError::Stale { .. })), "{name} is erased: {refused:?}");
        }
    }

    async fn add(&mut self, log: &EventLog, name: String, n: u64) {
        let messages = self.written.entry(name.clone()).or_default();
        let message = format!("m{n}");
        log.append(append(&stream(&name), messages.len() as u64, &[&message])).await.unwrap();
        messages.push(message);
    }
}
