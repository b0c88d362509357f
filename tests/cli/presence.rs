//! Who was in a document: printed, verified and folded anew.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use scriptorium::domain::{DocumentId, Timestamp};
use serde_json::{Value, json};

use crate::{
    scene::{Following, SECOND, START, Scene, joined, left, moved, typed},
    support::storage::on_every_database,
};

on_every_database! {
    events_of_presence_say_who_came_went_and_was_where
    verify_checks_who_is_here_also_where_the_beginning_is_trimmed
    verify_reports_every_way_in_which_stored_presence_can_differ
    rebuild_folds_presence_anew_and_forgets_nobody_whose_coming_was_trimmed
}

async fn events_of_presence_say_who_came_went_and_was_where() {
    let scene = Scene::new().await.with_presence().await;
    let out = scene.run(&["events", "presence:b"]).fine();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |number| json!({"node": "node-a", "incarnation": 7, "number": number});
    let said = |seq: u64, second: u64, mut more: Value| {
        more["stream"] = json!("presence:b");
        more["seq"] = json!(seq);
        more["version"] = json!(1);
        more["message_id"] = json!(format!("p{seq}"));
        more["time"] = json!(format!("2026-01-01T00:00:0{second}.000000Z"));
        more
    };
    let cursor = |user: &str, position: u64, selection: Value| {
        json!({"type": "moved", "cursors": [
            {"user": user, "client": "c-1", "message_id": null, "position": position, "selection": selection}]})
    };
    let came = |number: u64, user: &str, name: &str| {
        json!({"type": "joined", "connection": of(number), "user": user, "client": "c-1", "name": name,
            "avatar_url": null, "color": "#3b82f6"})
    };
    let typing = json!({"type": "typed", "users": [
        {"user": "ann", "client": "c-1", "message_id": "t", "is_typing": true, "position": 2}]});
    assert_eq!(
        lines,
        [
            said(1, 1, came(1, "ann", "ANN")),
            said(2, 1, cursor("ann", 3, Value::Null)),
            said(3, 1, typing),
            said(4, 2, came(2, "ben", "BEN")),
            said(5, 2, cursor("ben", 1, json!({"start": 1, "end": 4}))),
            said(6, 2, json!({"type": "left", "connection": of(1), "user": "ann"})),
        ]
    );
    // Of what was trimmed there is nothing to print.
    let document = DocumentId::parse("b").unwrap();
    assert_eq!(scene.log.trim_presence(&document, Timestamp(START + 2 * SECOND)).await.unwrap(), 3);
    assert_eq!(scene.run(&["events", "presence:b"]).fine().lines().count(), 3);
    assert_eq!(scene.run(&["events", "document:b"]).fine(), scene.run(&["events", "b"]).fine());
    assert!(scene.run(&["events", "presence:a"]).failed(1).contains("presence:a has no events"));

    let mut child =
        Following(scene.command(&["events", "presence:a", "--follow"]).stdout(Stdio::piped()).spawn().unwrap());
    scene.append_presence("a", 1, vec![joined(1, "ann")]).await;
    let first = BufReader::new(child.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["type"], "joined");
}

async fn verify_checks_who_is_here_also_where_the_beginning_is_trimmed() {
    let scene = Scene::new().await.with_presence().await;
    assert_eq!(scene.run(&["verify"]).fine(), "verified 3 streams, 12 events, 0 snapshots: 0 differences\n");
    let document = DocumentId::parse("b").unwrap();
    let save =
        async || scene.log.save_presence(&document, &scene.log.presence(&document).await.unwrap()).await.unwrap();
    save().await;
    scene.append_presence("b", 3, vec![moved("ben", 2, None)]).await;
    assert_eq!(scene.log.trim_presence(&document, Timestamp(START + 3 * SECOND)).await.unwrap(), 6);
    scene.append_presence("b", 4, vec![left(2, "ben")]).await;
    save().await;
    assert_eq!(scene.run(&["verify"]).fine(), "verified 3 streams, 8 events, 2 snapshots: 0 differences\n");
}

async fn verify_reports_every_way_in_which_stored_presence_can_differ() {
    const OF_B: &str = "stream = (SELECT id FROM streams WHERE name = 'presence:b')";
    for (tampering, difference) in [
        ("DELETE FROM events WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM events WHERE seq = 6", "event 6 is missing"),
        ("DELETE FROM events WHERE seq <= 2", "events 1 to 2 are gone, and no snapshot stands for them"),
        ("UPDATE events SET body = 'rubbish' WHERE seq = 2", "event 2 is damaged: "),
        ("UPDATE events SET recorded_at = 1 WHERE seq = 4", "event 4 was recorded before the one before it"),
        ("UPDATE events SET version = 9 WHERE seq = 3", "an event refers to version 9, but the document is at 1"),
        ("UPDATE snapshots SET content = 'rubbish' WHERE seq > 0", "snapshot 6 is damaged: "),
        (
            "UPDATE snapshots SET content = '[\"presence.1\"]' WHERE seq > 0",
            "snapshot 6 shows others than its events make",
        ),
        ("UPDATE snapshots SET version = 4 WHERE seq > 0", "snapshot 6 is of version 4, its last event of 1"),
        ("UPDATE snapshots SET seq = 7 WHERE seq > 0", "snapshot 7 is ahead of the log, which is at 6"),
        ("UPDATE streams SET version = 4 WHERE seq > 0", "the head is of version 4 at "),
        ("UPDATE streams SET seq = 5 WHERE seq > 0", "there are events behind the head, which is at 5"),
    ] {
        let scene = Scene::new().await.with_presence().await;
        let document = DocumentId::parse("b").unwrap();
        // Where the beginning is deleted nothing is to stand for it.
        if !difference.contains("no snapshot") {
            scene.log.save_presence(&document, &scene.log.presence(&document).await.unwrap()).await.unwrap();
        }
        let of_b = if tampering.contains("streams") { "name = 'presence:b'" } else { OF_B };
        scene.tamper(format!("{tampering} AND {of_b}").leak()).await;
        let verify = scene.run(&["verify"]);
        let expected = format!("presence:b: {difference}");
        assert!(verify.out.lines().any(|line| line.starts_with(&expected)), "{tampering}\n{verify:?}");
        verify.failed(1);
    }
}

async fn rebuild_folds_presence_anew_and_forgets_nobody_whose_coming_was_trimmed() {
    let scene = Scene::new().await.with_presence().await;
    let document = DocumentId::parse("b").unwrap();
    let here = async || scene.log.presence(&document).await.unwrap();
    let before = here().await;
    scene.log.save_presence(&document, &before).await.unwrap();
    let spoil = "UPDATE snapshots SET content = '[\"presence.1\"]' WHERE stream = (SELECT id FROM streams WHERE name = 'presence:b')";
    scene.tamper(spoil).await;
    assert_ne!(here().await, before);
    scene.run(&["rebuild", "--document", "b"]).fine();
    assert_eq!(here().await, before);

    scene.append_presence("b", 3, vec![moved("ben", 2, None), typed("ben")]).await;
    assert_eq!(scene.log.trim_presence(&document, Timestamp(START + 3 * SECOND)).await.unwrap(), 6);
    let before = here().await;
    scene.run(&["rebuild"]).fine();
    assert_eq!(here().await, before, "that Ben came is in no event any more");
    let ahead = "INSERT INTO snapshots (stream, seq, version, last_modified, content)
        SELECT stream, 99, version, last_modified, '[\"presence.1\"]' FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = 'presence:b')";
    scene.tamper(ahead).await;
    scene.run(&["rebuild"]).fine();
    assert_eq!(here().await, before);
    assert_eq!(scene.log.saved_presences(&document).await.unwrap().len(), 1);
    scene.run(&["verify"]).fine();
}
