//! Documents as they are and were, and their events.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use scriptorium::text::{Attributes, Delta};
use serde_json::{Value, json};

use crate::{
    scene::{Following, Scene},
    support::storage::on_every_database,
};

on_every_database! {
    replay_prints_the_document_as_it_is_and_as_it_was
    replay_prints_rich_text_and_everything_that_is_known
    what_cannot_be_replayed_is_said
    events_are_one_json_object_per_line
    follow_prints_what_another_process_records
    a_reader_that_has_seen_enough_is_no_failure
    replay_prints_what_other_programs_read
}

async fn replay_prints_the_document_as_it_is_and_as_it_was() {
    let scene = Scene::new().await;
    let replay = |arguments: &[&str]| scene.run(&[&["replay", "a"], arguments].concat()).fine();
    assert_eq!(replay(&[]), "one 😀");
    assert_eq!(replay(&["--to-version", "3"]), "one");
    assert_eq!(replay(&["--to-version", "0"]), "");
    assert_eq!(replay(&["--at", "2026-01-01T00:00:02Z"]), "on");
    assert_eq!(replay(&["--at", "2026-01-01T01:00:02.999+01:00"]), "on");
    assert_eq!(replay(&["--at", "1999-01-01T00:00:00Z"]), "");
    assert_eq!(replay(&["--at", "2099-01-01T00:00:00Z"]), "one 😀");
}

async fn replay_prints_rich_text_and_everything_that_is_known() {
    let scene = Scene::new().await;
    let replay = |format| scene.run(&["replay", "b", "--format", format]).fine();
    let delta = json!([{ "insert": "hello", "attributes": { "bold": true } }]);
    assert_eq!(serde_json::from_str::<Value>(&replay("delta")).unwrap(), delta);
    assert_eq!(
        serde_json::from_str::<Value>(&replay("json")).unwrap(),
        json!({
            "id": "b", "version": 1, "seq": 1, "content": "hello", "delta": delta,
            "metadata": { "word_count": 1, "last_modified": "2026-01-01T00:00:01.000000Z" },
            "comments": [],
        })
    );
}

async fn what_cannot_be_replayed_is_said() {
    let scene = Scene::new().await;
    assert!(scene.run(&["replay", "a", "--to-version", "6"]).failed(1).contains("is at version 5 so far"));
    assert!(scene.run(&["replay", "c"]).failed(1).contains("document c has no events"));
    assert!(scene.run(&["replay", "a b"]).failed(2).contains("1 to 128 characters"));
    assert!(scene.run(&["replay", "a", "--at", "noon"]).failed(2).contains("not a time like"));
    scene.run(&["replay", "a", "--to-version", "1", "--at", "2026-01-01T00:00:00Z"]).failed(2);
}

async fn replay_prints_what_other_programs_read() {
    let scene = Scene::new().await;
    let replay = |format| scene.run(&["replay", "b", "--format", format]).fine();
    assert_eq!(replay("markdown"), "**hello**\n");
    assert!(replay("html").ends_with("<body><p><strong>hello</strong></p></body></html>"));
    assert_eq!(scene.run(&["replay", "b", "--json"]).fine(), replay("json"));
    scene.run(&["replay", "b", "--json", "--format", "html"]).failed(2);
}

async fn events_are_one_json_object_per_line() {
    let scene = Scene::new().await;
    let lines = |arguments: &[&str]| {
        let out = scene.run(&[&["events"], arguments].concat()).fine();
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let a = lines(&["a"]);
    assert_eq!(a.iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(
        a[1],
        json!({
            "document": "a", "seq": 2, "version": 2, "type": "edited", "message_id": "m2",
            "time": "2026-01-01T00:00:02.000000Z", "user": "ada", "client": "ada-1", "base": 1, "after": null,
            "transformed": false, "applied": [{ "retain": 1 }, { "insert": "n" }], "received": { "version": 1 },
        })
    );
    assert_eq!(lines(&[]).iter().map(|event| event["document"].as_str().unwrap()).collect::<String>(), "aaaaab");
    assert!(scene.run(&["events", "c"]).failed(1).contains("document c has no events"));
}

async fn follow_prints_what_another_process_records() {
    let scene = Scene::new().await;
    let mut child = Following(scene.command(&["events", "--follow"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = || {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        format!("{}{}", event["document"].as_str().unwrap(), event["seq"])
    };
    let there_already: Vec<_> = (0..6).map(|_| next()).collect();
    assert_eq!(there_already, ["a1", "a2", "a3", "a4", "a5", "b1"]);
    scene.append("b", Delta::new().delete(1)).await;
    assert_eq!(next(), "b2");
    scene.append("new", Delta::new().insert("x", Attributes::NONE)).await;
    assert_eq!(next(), "new1");
}

async fn a_reader_that_has_seen_enough_is_no_failure() {
    let scene = Scene::new().await;
    let mut child = scene.command(&["events", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    scene.append("b", Delta::new().delete(1)).await;
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
