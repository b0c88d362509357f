//! What every log must do as one sequence of events, and as one that takes in the events of another. Part of the suite.

use std::collections::HashMap;

use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    Append, EventLog, Expected, Head, ImportError, Imported, Position, Published, Purpose, Recorded, StoredEvent, What,
    suite::{append, fill, ids, message, stream, typed},
};
use crate::domain::{Seq, Timestamp, Version};

fn places(published: &[Published]) -> Vec<(&str, u64)> {
    published.iter().map(|event| (event.stream.as_str(), event.seq.0)).collect()
}

pub(super) async fn the_feed_has_all_streams_in_the_order_of_their_commits(log: EventLog) {
    assert!(log.read_all(Position(0), 10).await.unwrap().is_empty());
    let (a, b) = (stream("a"), stream("b"));
    log.append(append(&a, 0, &["1", "2"])).await.unwrap();
    log.append(append(&b, 0, &["3"])).await.unwrap();
    log.append(append(&a, 2, &["4"])).await.unwrap();
    let all = log.read_all(Position(0), 10).await.unwrap();
    assert_eq!(places(&all), [("document:a", 1), ("document:a", 2), ("document:b", 1), ("document:a", 3)]);
    assert!(all.is_sorted_by(|one, next| one.position < next.position));
    let recorded = all.into_iter().filter(|event| event.stream == a).map(|event| {
        let Published { seq, version, message_id, recorded_at, what, .. } = event;
        let What::Event(event) = what else { panic!("{what:?}") };
        Recorded { seq, version, message_id, recorded_at, event }
    });
    let read = log.read(&a, Seq(0), 10).await.unwrap();
    assert_eq!(format!("{:?}", recorded.collect::<Vec<_>>()), format!("{read:?}"));
}

pub(super) async fn the_feed_is_resumed_from_any_position(log: EventLog) {
    for n in 0..40 {
        fill(&log, &stream(&format!("s{}", n % 3)), n / 3 * 10 + 7).await;
    }
    let all = log.read_all(Position(0), 100_000).await.unwrap();
    assert_eq!(all.len(), 3 * 127 + 10);
    for (at, limit) in [(0, 1), (1, 30), (200, 1_000), (all.len() - 1, 5)] {
        let page = log.read_all(all[at].position, limit).await.unwrap();
        let expected = &all[at + 1..(at + 1 + limit).min(all.len())];
        assert_eq!(places(&page), places(expected), "{limit} after {at}");
    }
    assert!(log.read_all(Position(u64::MAX >> 1), 5).await.unwrap().is_empty());
}

/// The law that webhooks and every other follower stand on.
pub(super) async fn a_reader_killed_again_and_again_sees_every_event_once(log: EventLog) {
    const STREAMS: u64 = 24;
    const APPENDS: u64 = 40;
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    let names: Vec<_> = (0..STREAMS).map(|n| stream(&format!("s{n}"))).collect();
    let writers = join_all(names.iter().enumerate().map(|(n, name)| {
        let (log, mut chance) = (log.clone(), SmallRng::seed_from_u64(seed ^ n as u64));
        async move {
            let mut seq = 0;
            for _ in 0..APPENDS {
                let ids: Vec<_> = (0..chance.random_range(1..4)).map(|n| format!("m{seq}-{n}")).collect();
                let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                seq = log.append(append(name, seq, &ids)).await.unwrap().seq.0;
            }
            seq
        }
    }));
    let log = &log;
    let reader = async {
        // What would be kept on disk: written only after what it stands for has been dealt with.
        let (mut after, mut seen, mut finished) = (Position(0), HashMap::<_, u64>::new(), 0);
        while finished < STREAMS {
            let page = log.read_all(after, chance.random_range(1..60)).await.unwrap();
            // Killed before it has dealt with all of the page.
            let dealt_with = chance.random_range(0..=page.len());
            for Published { position, stream, seq, .. } in &page[..dealt_with] {
                assert!(*position > after);
                after = *position;
                let last = seen.entry(stream.clone()).or_default();
                assert_eq!(seq.0, *last + 1, "of {stream}");
                *last += 1;
            }
            if page.is_empty() {
                let heads = log.streams(None, 1_000).await.unwrap();
                let ended = |(name, head): &&(_, Head)| seen.get(name).is_some_and(|last| *last == head.seq.0);
                finished = heads.iter().filter(ended).filter(|(_, head)| head.seq.0 >= APPENDS).count() as u64;
                tokio::task::yield_now().await;
            }
        }
        (after, seen)
    };
    // The writers may still go on when all the streams are long enough; what they add is in the feed as well.
    let (ends, (after, mut seen)) = join(writers, reader).await;
    for Published { stream, seq, .. } in log.read_all(after, 10_000).await.unwrap() {
        let last = seen.entry(stream).or_default();
        assert_eq!(seq.0, *last + 1);
        *last += 1;
    }
    assert_eq!(names.iter().map(|name| seen[name]).collect::<Vec<_>>(), ends);
}

pub(super) async fn a_feed_waits_for_what_comes(log: EventLog) {
    let (a, b) = (stream("a"), stream("b"));
    log.append(append(&a, 0, &["1"])).await.unwrap();
    let mut feed = log.follow(Position(0));
    assert_eq!(places(&feed.next().await.unwrap()), [("document:a", 1)]);
    assert!(feed.next().now_or_never().is_none());
    log.append(append(&b, 0, &["2"])).await.unwrap();
    assert_eq!(places(&feed.next().await.unwrap()), [("document:b", 1)]);
    let mut resumed = log.follow(feed.position());
    let (next, answer) = join(resumed.next(), log.append(append(&a, 1, &["3"]))).await;
    assert_eq!((places(&next.unwrap()), answer.unwrap().seq), (vec![("document:a", 2)], Seq(2)));
}

/// Everything that a log would export.
async fn exported(log: &EventLog) -> Vec<StoredEvent> {
    let (mut export, mut all) = (log.export(Position(0)).await.unwrap(), Vec::new());
    loop {
        let page = export.next().await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The same without what belongs to one database.
fn anywhere(events: Vec<StoredEvent>) -> Vec<StoredEvent> {
    events.into_iter().map(|event| StoredEvent { position: Position(0), ..event }).collect()
}

/// A log with events of three streams, at times of their own, in no order of the streams.
async fn source() -> EventLog {
    let log = EventLog::memory();
    for (n, time) in (0..60).zip(1_000_000..) {
        let name = stream(["x", "y/2", "z:3"][n % 3]);
        let head = log.head(&name).await.unwrap().unwrap_or_default();
        let texts = ["\0'\"\\\n\u{2028}é𐆐", "plain", ""];
        let events = (0..=n as u64 % 4).map(|k| typed(head.seq.0 + k, format!("m\"{n}-{k}é"), texts[n % 3]));
        let recorded_at = Timestamp(time);
        let append = Append { stream: name, expected: Expected::Any, recorded_at, events: events.collect() };
        log.append(append).await.unwrap();
    }
    log
}

pub(super) async fn events_of_another_log_are_taken_in_to_the_letter(log: EventLog) {
    let events = exported(&source().await).await;
    let mut importer = log.import(Purpose::Append);
    for batch in events.chunks(37) {
        assert_eq!(importer.add(batch).await.unwrap(), Imported { appended: batch.len() as u64, present: 0 });
    }
    assert_eq!(anywhere(exported(&log).await), anywhere(events.clone()));
    assert_eq!(log.streams(None, 10).await.unwrap(), source().await.streams(None, 10).await.unwrap());

    // Again, by another one that knows nothing, in other batches, from another place.
    let all = Imported { appended: 0, present: (events.len() - 50) as u64 };
    assert_eq!(log.import(Purpose::Append).add(&events[50..]).await.unwrap(), all);
    // Streams go on from there, and messages are known.
    let head = log.head(&stream("x")).await.unwrap().unwrap();
    assert!(log.append(append(&stream("x"), head.seq.0, &["m\"0-0é"])).await.is_err());
    assert_eq!(log.append(append(&stream("x"), head.seq.0, &["new"])).await.unwrap().seq, head.seq.next());
    assert_eq!(log.import(Purpose::Append).add(&events).await.unwrap().appended, 0);
}

pub(super) async fn an_import_goes_on_where_it_was_interrupted_and_takes_what_is_new(log: EventLog) {
    let source = source().await;
    let events = exported(&source).await;
    log.import(Purpose::Append).add(&events[..41]).await.unwrap();
    let rest = (events.len() - 41) as u64;
    let mut importer = log.import(Purpose::Append);
    assert_eq!(importer.add(&events).await.unwrap(), Imported { appended: rest, present: 41 });
    log.append(append(&stream("elsewhere"), 0, &["m"])).await.unwrap();

    fill(&source, &stream("new"), 3).await;
    let to = events.last().unwrap().position;
    let more = source.export(to).await.unwrap().next().await.unwrap();
    assert_eq!(importer.add(&more).await.unwrap(), Imported { appended: 3, present: 0 });
    assert_eq!(log.streams(None, 10).await.unwrap().len(), 5);
}

pub(super) async fn an_import_refuses_what_the_log_says_otherwise_and_takes_nothing_of_its_batch(log: EventLog) {
    let events = exported(&source().await).await;
    log.import(Purpose::Append).add(&events[..20]).await.unwrap();
    let before = exported(&log).await;
    let wrong = |change: &dyn Fn(&mut Vec<StoredEvent>)| {
        let mut events = events.clone();
        change(&mut events);
        let log = log.clone();
        async move {
            let mut whys = Vec::new();
            for purpose in [Purpose::Append, Purpose::Check] {
                match log.import(purpose).add(&events).await {
                    Err(ImportError::Refused { stream, seq, why }) => whys.push(format!("{stream} {seq} {why}")),
                    Ok(_) if purpose == Purpose::Check => whys.extend(whys.first().cloned()),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(whys[0], whys[1], "a check says what an append would");
            whys.remove(0)
        }
    };
    let body = wrong(&|events| events[3].body = "[\"edited.1\",\"other\"]".into()).await;
    assert_eq!(body, "document:z:3 1 is another one here: it has another body");
    assert!(wrong(&|events| events[4].cause = "[]".into()).await.ends_with("another cause"));
    assert!(wrong(&|events| events[4].recorded_at.0 -= 1).await.ends_with("before the one before it"));
    assert!(wrong(&|events| events[0].recorded_at.0 -= 1).await.ends_with("another time"));
    assert!(wrong(&|events| events[0].message_id = message("n")).await.ends_with("another message id"));
    assert!(wrong(&|events| drop(events.remove(30))).await.contains("cannot follow event"));
    assert!(wrong(&|events| events[1].version = Version(9)).await.ends_with("another version"));
    assert!(wrong(&|events| events.last_mut().unwrap().stream = stream("new")).await.contains("is not the first"));
    assert_eq!(exported(&log).await, before);
    let all = Imported { appended: events.len() as u64 - 20, present: 20 };
    assert_eq!(log.import(Purpose::Check).add(&events).await.unwrap(), all);
    assert_eq!(exported(&log).await, before, "a check appends nothing");
}

pub(super) async fn a_message_is_imported_once(log: EventLog) {
    let mut events = exported(&source().await).await;
    events.retain(|event| event.stream == stream("x"));
    events[5].message_id = events[1].message_id.clone();
    for first in [0, 3] {
        log.import(Purpose::Append).add(&events[..first]).await.unwrap();
        let refused = log.import(Purpose::Append).add(&events).await;
        assert!(
            matches!(&refused, Err(ImportError::Refused { why, .. }) if why.contains("at another place")),
            "{refused:?}"
        );
        assert_eq!(exported(&log).await.len(), first);
    }
}

pub(super) async fn a_stream_whose_front_was_trimmed_is_imported_as_it_is(log: EventLog) {
    let mut events = exported(&source().await).await;
    events.retain(|event| event.stream == stream("x"));
    let rest = &mut events[10..];
    assert!(log.import(Purpose::Append).add(rest).await.is_err(), "nobody says that it begins there");
    rest[0].begins = true;
    log.import(Purpose::Append).add(rest).await.unwrap();
    let head = log.head(&stream("x")).await.unwrap().unwrap();
    assert_eq!(Some(head.seq), rest.last().map(|event| event.seq));
    let read = log.read(&stream("x"), Seq(12), 2).await.unwrap();
    assert_eq!(ids(&read).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [13, 14]);
    assert_eq!(anywhere(exported(&log).await), anywhere(rest.to_vec()));
    // What was trimmed here does not come back, and the rest fits.
    let present = events.len() as u64;
    events[0].begins = true;
    assert_eq!(log.import(Purpose::Append).add(&events).await.unwrap(), Imported { appended: 0, present });
    assert_eq!(log.append(append(&stream("x"), head.seq.0, &["next"])).await.unwrap().seq, head.seq.next());
}

pub(super) async fn an_import_and_an_append_at_once_leave_the_stream_whole(log: EventLog) {
    let events = exported(&source().await).await;
    let name = stream("x");
    let mut importer = log.import(Purpose::Append);
    let (imported, appended) = join(importer.add(&events), log.append(append(&name, 0, &["mine"]))).await;
    // Whoever came second was told.
    assert!(imported.is_ok() != appended.is_ok(), "{imported:?} {appended:?}");
    let stored = log.read(&name, Seq(0), 1_000).await.unwrap();
    assert_eq!(stored.last().map(|event| event.seq), log.head(&name).await.unwrap().map(|head| head.seq));
}
