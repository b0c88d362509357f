//! What must hold of projections that are kept, on whatever database.

use super::{Effort, Form, KeptRow, Moved, Projection, Tended};
use crate::{
    domain::Seq,
    event_log::{
        EventLog, Position, StreamName,
        suite::{fill, stream},
    },
    projection::{Blame, Contributions},
};

/// A step at full speed.
async fn step(log: &EventLog, projection: Projection) -> Tended {
    log.tend(projection, &mut Effort::full(&mut |_| ())).await.unwrap()
}

/// Works until all is done.
async fn settle(log: &EventLog) {
    for projection in Projection::ALL {
        while !step(log, projection).await.is_done {}
    }
}

/// Folded from the first event on.
async fn plain<P: Form>(log: &EventLog, stream: &StreamName, to: Seq) -> P {
    let mut state = P::default();
    for recorded in log.read(stream, Seq(0), usize::try_from(to.0).unwrap()).await.unwrap() {
        state.fold(&recorded.happened()).unwrap();
    }
    state
}

async fn assert_right(log: &EventLog, stream: &StreamName, to: u64) {
    let to = Seq(to);
    assert!(log.kept::<Blame>(stream, to).await.unwrap() == plain(log, stream, to).await, "blame at {to}");
    let contributions: Contributions = plain(log, stream, to).await;
    assert_eq!(log.kept::<Contributions>(stream, to).await.unwrap(), contributions, "at {to}");
}

async fn places(log: &EventLog, stream: &StreamName) -> Vec<u64> {
    let of = async |projection| log.kept_places(projection, stream).await.unwrap();
    let (blame, contributions) = (of(Projection::Blame).await, of(Projection::Contributions).await);
    assert_eq!(blame, contributions);
    blame.into_iter().map(|place| place.0).collect()
}

async fn generations(log: &EventLog) -> Vec<(u64, bool)> {
    let all = log.adapter.generations(Projection::Blame.form()).await.unwrap();
    all.iter().map(|it| (it.id, it.is_in_use)).collect()
}

fn row(seq: u64, content: &str) -> KeptRow {
    KeptRow { seq: Seq(seq), content: content.into() }
}

pub(in crate::event_log) async fn states_are_kept_by_place_and_thinned(log: EventLog) {
    let (stream, shelf) = (stream("d"), &log.adapter);
    fill(&log, &stream, 300).await;
    assert_eq!(shelf.generations("odd.1").await.unwrap(), []);
    shelf.begin_generation("odd.1", Position(7)).await.unwrap();
    shelf.begin_generation("odd.1", Position(8)).await.unwrap();
    let all = shelf.generations("odd.1").await.unwrap();
    assert_eq!(all.len(), 1, "one is being built at a time");
    let id = all[0].id;
    assert_eq!((all[0].position, all[0].building.as_deref(), all[0].is_in_use), (Position(7), Some(""), false));

    let save = async |row: KeptRow, spacing| shelf.save_kept(id, &stream, row, spacing).await.unwrap();
    let places = async || {
        let places = shelf.kept_places(id, &stream).await.unwrap();
        places.into_iter().map(|place| (place.seq.0, place.size)).collect::<Vec<_>>()
    };
    save(row(100, "é100"), 50).await;
    save(row(100, "another"), 50).await;
    assert_eq!(shelf.kept(id, &stream, Seq(100)).await.unwrap(), Some(row(100, "é100")), "what is there stays");
    assert_eq!(shelf.kept(id, &stream, Seq(99)).await.unwrap(), None);
    save(row(301, "ahead of the stream"), 50).await;
    shelf.save_kept(id + 77, &stream, row(100, "of no generation"), 50).await.unwrap();
    shelf.save_kept(id, &self::stream("none"), row(1, "of no stream"), 50).await.unwrap();
    assert_eq!(places().await, [(100, 5)]);
    for seq in [120, 140, 160, 180] {
        save(row(seq, "x"), 50).await;
    }
    assert_eq!(places().await, [(100, 5), (140, 1), (180, 1)]);
    save(row(200, "x"), 1_000).await;
    assert_eq!(places().await.iter().map(|it| it.0).collect::<Vec<_>>(), [100, 140, 200]);

    let other = self::stream("other");
    fill(&log, &other, 5).await;
    shelf.save_kept(id, &other, row(5, "y"), 50).await.unwrap();
    assert_eq!(log.drop_kept(&stream).await.unwrap(), 3, "what is kept of one stream goes at once");
    assert_eq!((places().await.len(), shelf.kept_places(id, &other).await.unwrap().len()), (0, 1));
    while shelf.forget_generation(id).await.unwrap() > 0 {}
    assert_eq!(shelf.generations("odd.1").await.unwrap(), []);
    assert_eq!(shelf.kept(id, &other, Seq(5)).await.unwrap(), None);
}

pub(in crate::event_log) async fn a_generation_notes_how_far_it_has_come_and_never_goes_back(log: EventLog) {
    let shelf = &log.adapter;
    shelf.begin_generation("odd.1", Position(7)).await.unwrap();
    let id = shelf.generations("odd.1").await.unwrap()[0].id;
    let now = async || {
        let it = shelf.generations("odd.1").await.unwrap().remove(0);
        (it.position.0, it.building, it.is_in_use)
    };
    let (a, b) = (stream("a"), stream("b"));
    shelf.note_gone_through(id, Some(&b)).await.unwrap();
    shelf.note_gone_through(id, Some(&a)).await.unwrap();
    shelf.put_in_use(id).await.unwrap();
    assert_eq!(now().await, (7, Some(b.to_string()), false), "not before it is built");
    shelf.note_gone_through(id, None).await.unwrap();
    shelf.note_gone_through(id, Some(&b)).await.unwrap();
    shelf.note_followed(id, Position(9)).await.unwrap();
    shelf.note_followed(id, Position(8)).await.unwrap();
    assert_eq!(now().await, (9, None, false));
    shelf.put_in_use(id).await.unwrap();
    assert_eq!(now().await, (9, None, true));
    shelf.begin_generation("odd.1", Position(10)).await.unwrap();
    let all = shelf.generations("odd.1").await.unwrap();
    assert!(all.len() == 2 && all[1].id > id && !all[1].is_in_use, "a new one beside the one in use: {all:?}");
}

pub(in crate::event_log) async fn a_stretch_of_the_feed_tells_which_streams_have_moved(log: EventLog) {
    let (a, b) = (stream("a"), stream("b"));
    fill(&log, &a, 3).await;
    fill(&log, &b, 2).await;
    fill(&log, &a, 4).await;
    let positions: Vec<_> =
        log.read_all(Position(0), 100).await.unwrap().into_iter().map(|it| (it.stream, it.position)).collect();
    let moved = |stream: &StreamName, seq, at: usize, events| Moved {
        stream: stream.clone(),
        seq: Seq(seq),
        position: positions[at].1,
        events,
    };
    let (end, none) = (positions[5].1, Position(0));
    assert_eq!(log.adapter.moved(none, end, 100).await.unwrap(), [moved(&a, 4, 5, 4), moved(&b, 2, 4, 2)]);
    assert_eq!(log.adapter.moved(none, end, 4).await.unwrap(), [moved(&a, 3, 2, 3), moved(&b, 1, 3, 1)]);
    assert_eq!(log.adapter.moved(none, positions[1].1, 4).await.unwrap(), [moved(&a, 2, 1, 2)]);
    assert_eq!(log.adapter.moved(end, end, 4).await.unwrap(), []);
    for (after, count) in [("", 2), ("document:a", 1), ("document:b", 0), ("document:", 2), ("zzz", 0)] {
        assert_eq!(log.adapter.documents_after(after).await.unwrap(), count, "after {after}");
    }
}

pub(in crate::event_log) async fn a_projection_of_an_old_log_is_built_and_kept_up(log: EventLog) {
    let log = log.keeping_projections(40).keeping_history(100);
    let (long, short) = (stream("long"), stream("short"));
    fill(&log, &long, 330).await;
    fill(&log, &short, 39).await;
    assert_right(&log, &long, 330).await;
    assert_eq!(places(&log, &long).await, [0; 0], "nobody keeps anything yet");

    settle(&log).await;
    assert_eq!(generations(&log).await.iter().map(|it| it.1).collect::<Vec<_>>(), [true]);
    assert_eq!(places(&log, &long).await, [100, 200, 300, 330]);
    assert_eq!(places(&log, &short).await, [0; 0], "a short way needs nothing");
    for place in [0, 1, 99, 100, 101, 250, 330] {
        assert_right(&log, &long, place).await;
    }
    // What moves is followed, once it is far enough behind.
    fill(&log, &long, 369).await;
    fill(&log, &short, 40).await;
    settle(&log).await;
    assert_eq!((places(&log, &long).await, places(&log, &short).await), (vec![100, 200, 300, 330], vec![40]));
    fill(&log, &long, 370).await;
    settle(&log).await;
    assert_eq!(places(&log, &long).await, [100, 200, 300, 370], "the newest, and those that are far enough apart");
    assert_right(&log, &long, 370).await;
}

pub(in crate::event_log) async fn a_projection_is_built_anew_beside_the_one_in_use_and_takes_its_place(log: EventLog) {
    let log = log.keeping_projections(10).keeping_history(50);
    let stream = stream("d");
    fill(&log, &stream, 120).await;
    settle(&log).await;
    let before = generations(&log).await;
    // A state that is wrong, as a mistake in an older program would leave it.
    let wrong = Blame::default().encode().unwrap();
    log.adapter.drop_kept(&stream).await.unwrap();
    log.adapter.save_kept(before[0].0, &stream, row(100, &wrong), 50).await.unwrap();
    assert!(log.kept::<Blame>(&stream, Seq(100)).await.unwrap() != plain(&log, &stream, Seq(100)).await);

    log.begin_rebuild(Projection::Blame).await.unwrap();
    let during = generations(&log).await;
    assert_eq!(during, [before[0], (during[1].0, false)]);
    let mut swapped = false;
    while !swapped {
        // Somebody writes all the while.
        let head = log.head(&stream).await.unwrap().unwrap().seq.0;
        fill(&log, &stream, head + 3).await;
        swapped = step(&log, Projection::Blame).await.has_swapped;
    }
    let head = log.head(&stream).await.unwrap().unwrap().seq.0;
    for place in [1, 100, head] {
        assert_right(&log, &stream, place).await;
    }
    settle(&log).await;
    assert_eq!(generations(&log).await, [(during[1].0, true)], "the old one is gone");
    assert!(log.adapter.kept_places(before[0].0, &stream).await.unwrap().is_empty());
}

pub(in crate::event_log) async fn what_is_begun_by_one_is_finished_by_another(log: EventLog) {
    let log = log.keeping_projections(5).keeping_history(50);
    for n in 0..230 {
        fill(&log, &stream(&format!("d{n:03}")), 6).await;
    }
    let first = step(&log, Projection::Blame).await;
    assert!(!first.is_done && first.documents_left == 130, "{first:?}");
    let other = log.clone();
    let left = step(&other, Projection::Blame).await.documents_left;
    assert_eq!(left, 30, "it goes on, and does not begin again");
    // Two at once, from here to the end.
    let work = async |log: &EventLog| while !step(log, Projection::Blame).await.is_done {};
    futures_util::future::join(work(&log), work(&other)).await;
    assert_eq!(generations(&log).await.len(), 1);
    for n in [0, 99, 100, 101, 229] {
        let stream = stream(&format!("d{n:03}"));
        assert_eq!(log.kept_places(Projection::Blame, &stream).await.unwrap(), [Seq(6)], "d{n:03}");
        assert!(log.kept::<Blame>(&stream, Seq(6)).await.unwrap() == plain(&log, &stream, Seq(6)).await);
    }
}

pub(in crate::event_log) async fn a_damaged_state_is_passed_over(log: EventLog) {
    let log = log.keeping_projections(10).keeping_history(50);
    let stream = stream("d");
    fill(&log, &stream, 100).await;
    settle(&log).await;
    fill(&log, &stream, 105).await;
    let id = generations(&log).await[0].0;
    log.adapter.save_kept(id, &stream, row(103, "[\"blame.1\",[],"), 1).await.unwrap();
    assert!(log.kept::<Blame>(&stream, Seq(105)).await.unwrap() == plain(&log, &stream, Seq(105)).await);
    let found = log.kept_at::<Blame>(&stream, Seq(103)).await.unwrap();
    assert!(matches!(&found[..], [Err(_)]));
    log.rebuild_kept(&stream, Seq(105), &mut Effort::full(&mut |_| ())).await.unwrap();
    assert_eq!(places(&log, &stream).await, [50, 100, 105]);
}
