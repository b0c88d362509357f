//! What every log must do with snapshots: keep those that keep every way short, and make them again. Part of the suite.

use super::{
    EventLog, Snapshot,
    suite::{fill, stream},
};
use crate::{
    domain::{Seq, Timestamp, Version},
    projection::SavedComments,
    text::{Attributes, Delta},
};

pub(super) async fn snapshots_are_kept_for_a_while_and_can_be_dropped(log: EventLog) {
    let stream = stream("d");
    fill(&log, &stream, 9).await;
    assert_eq!(log.snapshot(&stream, Seq(9)).await.unwrap(), None);
    let of = |seq: u64| Snapshot {
        seq: Seq(seq),
        version: Version(seq),
        last_modified: (seq > 3).then_some(Timestamp(7)),
        comments: SavedComments::default(),
        content: Delta::new().insert("\0é𐆐".repeat(usize::try_from(seq).unwrap()), Attributes::NONE),
    };
    for seq in [3, 5, 9] {
        log.save_snapshot(&stream, &of(seq)).await.unwrap();
    }
    log.save_snapshot(&stream, &of(9)).await.unwrap();
    assert_eq!(log.snapshot(&stream, Seq(u64::MAX)).await.unwrap(), Some(of(9)));
    assert_eq!(log.snapshot(&stream, Seq(8)).await.unwrap(), Some(of(5)));
    assert_eq!(log.snapshot(&stream, Seq(4)).await.unwrap(), None, "only the newest two are kept");
    assert_eq!(log.snapshot(&self::stream("other"), Seq(9)).await.unwrap(), None);
    assert_eq!(log.drop_snapshots(&stream).await.unwrap(), 2);
    assert_eq!(log.snapshot(&stream, Seq(9)).await.unwrap(), None);

    let hoarder = log.keeping_snapshots(3);
    for seq in [1, 2, 3, 4] {
        hoarder.save_snapshot(&stream, &of(seq)).await.unwrap();
    }
    let saved = hoarder.saved_snapshots(&stream).await.unwrap();
    assert_eq!(saved.iter().map(|saved| saved.seq.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(saved[0].snapshot, Ok(of(2)));
}

pub(super) async fn snapshots_along_a_stream_keep_every_place_near(log: EventLog) {
    let stream = stream("d");
    fill(&log, &stream, 400).await;
    let short = |seq: u64| Snapshot {
        seq: Seq(seq),
        version: Version(seq),
        last_modified: None,
        comments: SavedComments::default(),
        content: Delta::new().insert("x", Attributes::NONE),
    };
    let places = async || log.snapshot_places(&stream).await.unwrap().iter().map(|seq| seq.0).collect::<Vec<_>>();
    let thinning = log.clone().keeping_history(25);
    for seq in (10..=200).step_by(10) {
        thinning.save_snapshot(&stream, &short(seq)).await.unwrap();
    }
    assert_eq!(places().await, [20, 40, 60, 80, 100, 120, 140, 160, 180, 190, 200]);
    // One that comes again changes nothing, and one that comes late makes no gap.
    thinning.save_snapshot(&stream, &short(200)).await.unwrap();
    for seq in [290, 300, 310] {
        thinning.save_snapshot(&stream, &short(seq)).await.unwrap();
    }
    assert_eq!(places().await[8..], [180, 200, 290, 300, 310]);
    // A long document has them as far apart as it is long.
    let long = Snapshot { content: Delta::new().insert("x".repeat(128 * 50), Attributes::NONE), ..short(320) };
    thinning.save_snapshot(&stream, &long).await.unwrap();
    thinning.save_snapshot(&stream, &Snapshot { seq: Seq(330), ..long }).await.unwrap();
    assert_eq!(places().await[8..], [180, 200, 290, 320, 330]);
    // Without history only the newest are there, also of those that were kept before.
    log.save_snapshot(&stream, &short(340)).await.unwrap();
    assert_eq!(places().await, [330, 340]);
}

pub(super) async fn snapshots_are_made_again_from_the_log(log: EventLog) {
    let stream = stream("d");
    fill(&log, &stream, 250).await;
    let whole = log.document(&stream, Seq(250)).await.unwrap();
    let wrong = Snapshot { seq: Seq(7), ..Snapshot::of(&whole) };
    log.save_snapshot(&stream, &wrong).await.unwrap();
    let log = log.keeping_history(100);
    log.rebuild_snapshots(&stream, Seq(250), |_| ()).await.unwrap();
    let places: Vec<_> = log.snapshot_places(&stream).await.unwrap().iter().map(|seq| seq.0).collect();
    assert_eq!(places, [100, 200, 250]);
    for saved in log.saved_snapshots(&stream).await.unwrap() {
        let mut folded = crate::projection::Document::new();
        for change in log.changes(&stream, Seq(0), usize::try_from(saved.seq.0).unwrap()).await.unwrap() {
            folded.apply(&change.effect).unwrap();
        }
        assert_eq!(saved.snapshot.unwrap().content, folded.content().to_delta());
    }
}
