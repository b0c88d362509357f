//! What is stored beside the log, held against it and made again.

use scriptorium::{domain::Seq, event_log::StreamName, text::Delta};

use crate::{scene::Scene, support::storage::on_every_database};

on_every_database! {
    verify_finds_nothing_in_a_sound_log_with_sound_snapshots
    verify_names_each_damaged_event_and_goes_on
    verify_reports_every_way_in_which_stored_state_can_differ
    verify_reports_a_tombstone_that_does_not_end_an_erased_stream
    verify_reports_what_another_stream_has_overwritten
    rebuild_mends_snapshots_and_keeps_going_past_a_damaged_document
}

async fn verify_finds_nothing_in_a_sound_log_with_sound_snapshots() {
    let scene = Scene::new().await;
    assert_eq!(scene.run(&["rebuild"]).fine(), "2 documents rebuilt\n");
    scene.append("a", Delta::new().retain(4).delete(2)).await;
    assert_eq!(scene.run(&["verify"]).fine(), "verified 2 streams, 7 events, 2 snapshots: 0 differences\n");
}

async fn verify_names_each_damaged_event_and_goes_on() {
    let scene = Scene::new().await;
    scene.tamper("UPDATE events SET body = 'rubbish' WHERE seq IN (2, 4)").await;
    scene.tamper("UPDATE events SET cause = '[]' WHERE stream = 2").await;
    let verify = scene.run(&["verify"]);
    let starts = ["a: event 2 is damaged: ", "a: event 4 is damaged: ", "b: event 1 is damaged: "];
    assert_eq!(verify.out.lines().count(), starts.len() + 1, "{verify:?}");
    for (line, start) in verify.out.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(verify.out.ends_with("verified 2 streams, 3 events, 0 snapshots: 3 differences\n"), "{verify:?}");
    verify.failed(1);
}

async fn verify_reports_every_way_in_which_stored_state_can_differ() {
    for (sql, difference) in [
        ("DELETE FROM events WHERE seq = 3", "a: event 3 is damaged: it is missing"),
        ("DELETE FROM events WHERE seq = 5", "a: event 5 is missing"),
        ("UPDATE events SET version = 9 WHERE seq = 3", "a: event 3 is of version 9, the one before it of 2"),
        ("UPDATE events SET recorded_at = 1 WHERE seq = 3", "a: event 3 was recorded before the one before it"),
        (
            "UPDATE events SET body = (SELECT body FROM events WHERE seq = 5) WHERE seq = 2",
            "a: event 2 does not fit the document before it: ",
        ),
        ("UPDATE streams SET version = 4 WHERE name = 'document:a'", "a: the head is of version 4 at "),
        ("UPDATE streams SET seq = 4 WHERE name = 'document:a'", "a: there are events behind the head, which is at 4"),
        ("UPDATE snapshots SET version = 4 WHERE seq = 5", "a: snapshot 5 is of version 4, its events make 5"),
        ("UPDATE snapshots SET last_modified = 4 WHERE seq = 5", "a: snapshot 5 has another time than its last edit"),
        ("UPDATE snapshots SET content = 'rubbish' WHERE seq = 5", "a: snapshot 5 is damaged: "),
        (
            "UPDATE snapshots SET content = (SELECT content FROM snapshots WHERE seq = 1) WHERE seq = 5",
            "a: snapshot 5 has other content than its events make",
        ),
        ("UPDATE snapshots SET seq = 6 WHERE seq = 5", "a: snapshot 6 is ahead of the log, which is at 5"),
    ] {
        let scene = Scene::new().await;
        scene.run(&["rebuild"]).fine();
        scene.tamper(sql).await;
        let verify = scene.run(&["verify"]);
        assert!(verify.out.lines().any(|line| line.starts_with(difference)), "{sql}\n{verify:?}");
        verify.failed(1);
    }
}

async fn verify_reports_a_tombstone_that_does_not_end_an_erased_stream() {
    const ERASE: &str = "UPDATE events SET body = '[\"erased.1\"]', cause = '[]' WHERE stream = 1 AND seq = ";
    for (seq, more, differences) in [
        (5, "", vec!["a: event 5 is a tombstone, but the stream is not erased"]),
        (3, "", vec!["a: event 3 is a tombstone, but the stream is not erased"]),
        (
            5,
            "UPDATE streams SET seq = 4, version = 4 WHERE id = 1",
            vec![
                "a: event 5 is a tombstone, but the stream is not erased",
                "a: there are events behind the head, which is at 4",
            ],
        ),
        // The stream is erased, and something came after that.
        (
            4,
            "UPDATE streams SET seq = 4, version = 4, erased = 1 WHERE id = 1",
            vec!["a: there are events behind the head, which is at 4", "a: it is erased, but what was before"],
        ),
    ] {
        let scene = Scene::new().await;
        scene.tamper(format!("{ERASE}{seq}").leak()).await;
        if !more.is_empty() {
            scene.tamper(more).await;
        }
        let verify = scene.run(&["verify"]);
        for difference in differences {
            assert!(verify.out.lines().any(|line| line.starts_with(difference)), "{seq} {difference}\n{verify:?}");
        }
        verify.failed(1);
    }
}

/// What a writer left that took an erased document's row for a new document: the old tombstone stands behind new events.
async fn verify_reports_what_another_stream_has_overwritten() {
    let scene = Scene::new().await;
    scene.run(&["erase", "--document", "a", "--yes"]).fine();
    scene.run(&["verify"]).fine();
    scene.append("b", Delta::new().delete(1)).await;
    scene.tamper("UPDATE events SET stream = 1, seq = 1 WHERE stream = 2 AND seq = 2").await;
    scene.tamper("UPDATE streams SET seq = 1, version = 1, erased = 0 WHERE id = 1").await;
    let verify = scene.run(&["verify"]);
    for difference in [
        "a: event 6 is a tombstone, but the stream is not erased",
        "a: there are events behind the head, which is at 1",
        "a: event 6 was written before the one that it follows",
        "b: event 2 is missing",
    ] {
        assert!(verify.out.lines().any(|line| line == difference), "{difference}\n{verify:?}");
    }
    verify.failed(1);
}

async fn rebuild_mends_snapshots_and_keeps_going_past_a_damaged_document() {
    let scene = Scene::new().await;
    scene.run(&["rebuild"]).fine();
    scene.tamper("UPDATE snapshots SET content = 'rubbish', seq = seq - 1").await;
    scene.tamper("UPDATE events SET body = 'rubbish' WHERE stream = 1 AND seq = 2").await;
    let rebuild = scene.run(&["rebuild"]);
    assert_eq!(rebuild.out, "1 document rebuilt\n");
    assert!(rebuild.failed(1).contains("event 2 of document:a is damaged"));
    assert_eq!(scene.run(&["rebuild", "--document", "b"]).fine(), "1 document rebuilt\n");
    assert!(scene.run(&["rebuild", "--document", "c"]).failed(1).contains("has no events"));
    let stored = scene.log.saved_snapshots(&StreamName::parse("document:b").unwrap()).await.unwrap();
    assert_eq!(stored.iter().map(|saved| (saved.seq, saved.snapshot.is_ok())).collect::<Vec<_>>(), [(Seq(1), true)]);
}
