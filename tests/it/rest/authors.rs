//! Who wrote what, beside a list that says of every unit of the text who inserted it, in which version and when.

use std::collections::BTreeMap;

use reqwest::Method;
use scriptorium::text::{Content, Delta, Op, Utf16};
use serde_json::{Value, json};

use crate::{
    cluster::ground::Ground,
    support::{
        core::Encoding,
        edits::{self, Chance},
        log::Database,
        number_from_env,
        rest::answer,
        say::{commit, edit, guest, insert},
        server::Server,
        storage::on_every_database,
        wire, within,
    },
};

on_every_database! {
    who_wrote_what_is_told_as_it_is_and_as_it_was
    blame_agrees_with_a_list_of_every_character_although_the_service_is_killed
    a_projection_is_built_anew_while_people_write
    a_projection_that_an_old_database_has_not_is_built_in_the_background
    a_state_that_is_not_what_the_events_make_is_found_and_made_anew
}

/// Everything is kept soon, and along the way.
const SOON: [(&str, &str); 3] =
    [("PROJECTIONS__EVERY_EVENTS", "7"), ("PROJECTIONS__INTERVAL", "10ms"), ("SNAPSHOTS__HISTORY_EVERY", "30")];

/// A piece of text as it is told: text, author, version.
fn told(blame: &Value) -> Vec<(&str, &str, u64)> {
    let runs = blame["runs"].as_array().unwrap();
    let run = |it: &'_ Value| it["version"].as_u64().unwrap();
    runs.iter().map(|it| (it["text"].as_str().unwrap(), it["author"].as_str().unwrap(), run(it))).collect()
}

#[expect(clippy::too_many_lines, reason = "one story")]
async fn who_wrote_what_is_told_as_it_is_and_as_it_was() {
    let server = Server::start().await;
    let blame = async |query: &str| server.look(&format!("/v1/documents/doc/blame{query}")).await;
    assert_eq!(blame("").await.problem(404), "there is no document with this id");
    let (mut ann, mut ben) = (guest(&server, "doc", "ann").await, guest(&server, "doc", "ben").await);
    commit(&mut ann, &edit("a1", 0, insert(0, "Hello \u{1F600}world"))).await;
    commit(
        &mut ben,
        &edit(
            "b1",
            1,
            json!({"type": "delta", "ops": [
        {"retain": 8}, {"insert": "brave "}, {"insert": {"image": "u"}, "attributes": {"alt": "x"}}]}),
        ),
    )
    .await;
    commit(
        &mut ben,
        &edit("b2", 2, json!({"type": "format", "position": 0, "length": 5, "attributes": {"bold": true}})),
    )
    .await;
    commit(&mut ann, &edit("a2", 3, json!({"type": "delete", "position": 5, "length": 1}))).await;

    let now = blame("").await;
    let tag = now.header("etag").to_owned();
    let now = now.with(200);
    assert_eq!((&now["id"], &now["version"], &now["seq"]), (&json!("doc"), &json!(4), &json!(4)));
    let pieces = [("Hello\u{1F600}", "user-ann", 1), ("brave \u{FFFC}", "user-ben", 2), ("world", "user-ann", 1)];
    assert_eq!(told(&now), pieces, "formatting is no authorship, and an embed is one unit");
    let events = server.look("/v1/documents/doc/events").await.with(200);
    assert_eq!(now["runs"][1]["time"], events["events"][1]["time"]);
    let unchanged = answer(server.ask(Method::GET, "/v1/documents/doc/blame").header("if-none-match", &tag)).await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, &*tag));

    let time = now["runs"][0]["time"].as_str().unwrap();
    for (query, pieces) in [
        ("?version=0", vec![]),
        ("?version=1", vec![("Hello \u{1F600}world", "user-ann", 1)]),
        (&format!("?at={time}"), vec![("Hello \u{1F600}world", "user-ann", 1)]),
        (
            "?version=3",
            vec![("Hello \u{1F600}", "user-ann", 1), ("brave \u{FFFC}", "user-ben", 2), ("world", "user-ann", 1)],
        ),
    ] {
        assert_eq!(told(&blame(query).await.with(200)), pieces, "{query}");
    }
    assert!(blame("?version=5").await.problem(404).contains("ahead"));
    assert!(blame("?version=x").await.problem(400).contains("`version`"));

    // Who brings something back has written it.
    let restored =
        server.tell("/v1/documents/doc/restore?user_id=cat", &json!({"version": 1, "message_id": "r"})).await;
    restored.with(201);
    let back = blame("").await.with(200);
    assert_eq!(told(&back), [("Hello", "user-ann", 1), (" ", "cat", 5), ("\u{1F600}world", "user-ann", 1)]);

    let comment = json!({"id": "c", "thread_id": "t", "content": "Why?", "position": {"start": 0, "end": 5}});
    ben.send(&json!({"type": "comment", "event": "comment_added", "message_id": "c", "data": {"comment": comment}}))
        .await;
    let comments = async || server.metric("scriptorium_messages_sent_total{kind=\"comment_ack\"}").await > 0.0;
    within("the comment", async { while !comments().await {} }).await;
    let all = server.look("/v1/documents/doc/contributions").await.with(200);
    assert_eq!((&all["version"], &all["seq"]), (&json!(5), &json!(6)));
    let figures = |it: &Value| {
        let number = |name: &str| it[name].as_u64().unwrap();
        (it["user_id"].as_str().unwrap().to_owned(), ["edits", "added", "removed", "comments"].map(number))
    };
    let figures: Vec<_> = all["contributions"].as_array().unwrap().iter().map(figures).collect();
    let expected = [("user-ann", [2, 12, 1, 0]), ("user-ben", [2, 7, 0, 1]), ("cat", [1, 1, 7, 0])];
    assert_eq!(figures, expected.map(|(name, figures)| (name.to_owned(), figures)), "characters are code points");
    assert_eq!(all["contributions"][0]["first_at"], now["runs"][0]["time"]);
    let then = server.look("/v1/documents/doc/contributions?version=2").await.with(200);
    assert_eq!((&then["version"], then["contributions"].as_array().unwrap().len()), (&json!(2), 2));
}

/// What a document was at each version, and of every unit then where it came from.
struct Plain {
    states: Vec<Delta>,
    units: Vec<Vec<Unit>>,
    figures: BTreeMap<String, [u64; 3]>,
}

/// A UTF-16 unit with its author, its version and its time.
type Unit = (u16, String, u64, String);

impl Plain {
    fn new() -> Self {
        Self { states: vec![Delta::new()], units: vec![Vec::new()], figures: BTreeMap::new() }
    }

    fn edit(&mut self, by: &str, written: &Value) {
        let (version, applied) = (written["version"].as_u64().unwrap(), wire::from_ops::<Utf16>(&written["delta"]));
        let before = self.units.last().unwrap().clone();
        let text: Vec<u16> = before.iter().map(|unit| unit.0).collect();
        let (mut at, mut after) = (0, Vec::new());
        let figures = self.figures.entry(by.to_owned()).or_default();
        figures[0] += 1;
        for op in applied.ops() {
            match op {
                Op::Retain { length, .. } => {
                    after.extend_from_slice(&before[at..at + length]);
                    at += length;
                }
                Op::Delete { length } => {
                    figures[2] += String::from_utf16(&text[at..at + length]).unwrap().chars().count() as u64;
                    at += length;
                }
                Op::Insert { content, .. } => {
                    let text = if let Content::Text(text) = content { text.as_str() } else { "\u{FFFC}" };
                    figures[1] += text.chars().count() as u64;
                    let time = written["timestamp"].as_str().unwrap();
                    after.extend(text.encode_utf16().map(|unit| (unit, by.to_owned(), version, time.to_owned())));
                }
            }
        }
        after.extend_from_slice(&before[at..]);
        assert_eq!(version, self.states.len() as u64);
        self.states.push(self.states.last().unwrap().compose(&applied));
        self.units.push(after);
    }

    fn runs(&self, version: usize) -> Value {
        let same = |a: &Unit, b: &Unit| a.2 == b.2;
        let runs = self.units[version].chunk_by(same).map(|run| {
            let text: Vec<u16> = run.iter().map(|unit| unit.0).collect();
            let (_, author, version, time) = &run[0];
            json!({"text": String::from_utf16(&text).unwrap(), "author": author, "version": version, "time": time})
        });
        runs.collect()
    }
}

async fn blame_agrees_with_a_list_of_every_character_although_the_service_is_killed() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let (mut chance, mut plain) = (Chance::of(seed), Plain::new());
    let mut server = Server::start_with(&SOON).await;
    server.tell("/v1/documents?user_id=ann", &json!({"id": "doc"})).await.with(201);
    let created = server.look("/v1/documents/doc/events").await.with(200);
    plain.edit("ann", &json!({"version": 1, "delta": [], "timestamp": created["events"][0]["time"]}));
    for n in 0..150 {
        let newest = plain.states.len() - 1;
        let base = newest - chance.below(6).min(newest - 1);
        let by = *chance.one_of(&["ann", "ben", "cat"]);
        let (operation, _) = edits::random(&mut chance, &plain.states[base], Encoding::Utf16);
        let wish = json!({"operation": operation, "version": base, "message_id": format!("m{n}")});
        let mut written = server.tell(&format!("/v1/documents/doc/operations?user_id={by}"), &wish).await.with(201);
        // Of the time the answer tells the milliseconds only.
        let recorded = server.look(&format!("/v1/documents/doc/events?after={newest}&limit=1")).await.with(200);
        written["timestamp"] = recorded["events"][0]["time"].clone();
        plain.edit(by, &written);
        if n % 60 == 50 {
            server.kill().await;
            server.restart().await;
        }
        if n % 10 == 9 {
            let newest = plain.states.len() - 1;
            for version in [newest, chance.below(newest + 1), chance.below(newest + 1)] {
                let blame = server.look(&format!("/v1/documents/doc/blame?version={version}")).await.with(200);
                assert_eq!(
                    (&blame["version"], &blame["runs"]),
                    (&json!(version), &plain.runs(version)),
                    "at {version}"
                );
            }
            let all = server.look("/v1/documents/doc/contributions").await.with(200);
            let figures = all["contributions"].as_array().unwrap().iter().map(|it| {
                let number = |name: &str| it[name].as_u64().unwrap();
                (it["user_id"].as_str().unwrap().to_owned(), ["edits", "added", "removed"].map(number))
            });
            assert_eq!(figures.collect::<BTreeMap<_, _>>(), plain.figures);
        }
    }
    built(Database::of(&server).await, &["doc"]).await;
    server.verify().await;
}

/// Waits until every projection is in use, alone, and something is kept of each of these documents.
async fn built(mut log: Database, documents: &[&str]) {
    within("what is built in the background", async {
        loop {
            let generations = log.generations().await;
            let is_in_use = ["blame.1", "contributions.1"].iter().all(|form| {
                let of_form: Vec<_> = generations.iter().filter(|(_, name, _)| name == form).collect();
                matches!(of_form[..], [(.., 1)])
            });
            let mut is_kept = true;
            for document in documents {
                is_kept &= log.kept(document).await >= 2;
            }
            if is_in_use && is_kept {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn a_projection_is_built_anew_while_people_write() {
    let server = Server::start_with(&SOON).await;
    let documents: Vec<_> = (0..30).map(|n| format!("d{n}")).collect();
    let write = async |document: &str, n: usize| {
        let by = ["ann", "ben"][n % 2];
        let wish = json!({"operation": insert(0, "x"), "version": n, "message_id": format!("m{n}")});
        server.tell(&format!("/v1/documents/{document}/operations?user_id={by}"), &wish).await.with(201);
    };
    for document in &documents {
        server.tell("/v1/documents?user_id=ann", &json!({"id": document, "content": "x"})).await.with(201);
        for n in 1..10 {
            write(document, n).await;
        }
    }
    let names: Vec<_> = documents.iter().map(String::as_str).collect();
    built(Database::of(&server).await, &names).await;
    let before = Database::of(&server).await.generations().await;
    let is_right = async |document: &str, versions: usize| {
        let blame = server.look(&format!("/v1/documents/{document}/blame?version={versions}")).await.with(200);
        let expected: Vec<_> = (1..=versions).rev().map(|n| ("x", ["ben", "ann"][n % 2], n as u64)).collect();
        assert_eq!(told(&blame), expected, "{document}");
    };
    let mut versions = vec![10; documents.len()];
    let rebuild = server.run(&["rebuild", "--projection", "blame"]);
    tokio::pin!(rebuild);
    let mut at = 0;
    let output = loop {
        // Somebody writes and asks at every moment.
        let step = async {
            write(&documents[at], versions[at]).await;
            is_right(&documents[at], versions[at] + 1).await;
        };
        tokio::select! {
            biased;
            () = step => (),
            output = &mut rebuild => break output,
        }
        versions[at] += 1;
        at = (at + 1) % documents.len();
    };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "blame rebuilt\n");
    built(Database::of(&server).await, &names).await;
    let after = Database::of(&server).await.generations().await;
    let id = |of: &[(i64, String, i64)], form: &str| of.iter().find(|it| it.1 == form).unwrap().0;
    assert!(id(&after, "blame.1") > id(&before, "blame.1"), "{before:?}, {after:?}");
    assert_eq!(id(&after, "contributions.1"), id(&before, "contributions.1"), "the other one was left alone");
    for (document, versions) in documents.iter().zip(&versions) {
        is_right(document, *versions).await;
    }
    server.verify().await;
    let wrong = server.run(&["rebuild", "--projection", "blaem"]).await;
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.contains("the projections are blame and contributions"), "{said}");
}

async fn a_projection_that_an_old_database_has_not_is_built_in_the_background() {
    let mut server = Server::start_with(&SOON).await;
    for document in ["a", "b", "c"] {
        let mut ann = guest(&server, document, "ann").await;
        for n in 0..40 {
            commit(&mut ann, &edit(&format!("m{n}"), n, insert(0, "x"))).await;
        }
    }
    assert!(server.terminate().await.success());
    // As if it had been written by a program that knew of no projections.
    Database::of(&server).await.forget_projections().await;
    server.restart().await;
    let blame = server.look("/v1/documents/b/blame").await.with(200);
    assert_eq!(told(&blame).len(), 40, "whoever asks meanwhile gets the answer");
    built(Database::of(&server).await, &["a", "b", "c"]).await;
    within("the metrics", async {
        while server.metric("scriptorium_projection_behind_positions").await > 0.0
            || server.metric("scriptorium_projection_documents_left").await > 0.0
        {}
    })
    .await;
    assert_eq!(server.look("/v1/documents/b/blame").await.with(200), blame);
    server.verify().await;
}

async fn a_state_that_is_not_what_the_events_make_is_found_and_made_anew() {
    let mut server = Server::start_with(&SOON).await;
    let mut ann = guest(&server, "doc", "ann").await;
    for n in 0..20 {
        commit(&mut ann, &edit(&format!("m{n}"), n, insert(0, "x"))).await;
    }
    built(Database::of(&server).await, &["doc"]).await;
    assert!(server.terminate().await.success());
    Database::of(&server).await.damage_kept("\"user-ann\"", "\"user-eve\"").await;
    let output = server.run(&["verify"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("doc: blame as of") && said.contains("doc: contributions as of"), "{said}");
    assert!(server.run(&["rebuild", "--document", "doc"]).await.status.success());
    server.verify().await;
    server.restart().await;
    let blame = server.look("/v1/documents/doc/blame").await.with(200);
    assert!(told(&blame).iter().all(|(_, author, _)| *author == "user-ann"), "{blame}");
}

#[tokio::test]
async fn two_nodes_on_one_database_keep_the_same() {
    for ground in [Ground::on_postgres(2, &SOON).await, Ground::on_one_file(2, &SOON).await] {
        let documents: Vec<_> = (0..8).map(|n| format!("d{n}")).collect();
        for document in &documents {
            for n in 0..24_usize {
                let node = &ground.nodes[n % 2];
                let wish = json!({"operation": insert(0, "x"), "version": n, "message_id": format!("m{n}")});
                let by = ["ann", "ben"][n % 2];
                let path =
                    if n == 0 { "/v1/documents".to_owned() } else { format!("/v1/documents/{document}/operations") };
                let wish = if n == 0 { json!({"id": document, "content": "x"}) } else { wish };
                let path = format!("{path}?user_id={by}");
                // What the other node has just written may not have been heard of yet.
                let write = async { while node.tell(&path, &wish).await.status == 409 {} };
                within("an edit by turns", write).await;
            }
        }
        let names: Vec<_> = documents.iter().map(String::as_str).collect();
        built(ground.database().await, &names).await;
        for document in &documents {
            let path = format!("/v1/documents/{document}/blame");
            let one = ground.nodes[0].look(&path).await.with(200);
            let expected: Vec<_> =
                (1..=24_u64).rev().map(|n| ("x", ["ben", "ann"][usize::from(n % 2 == 1)], n)).collect();
            assert_eq!(told(&one), expected, "{document}");
            assert_eq!(ground.nodes[1].look(&path).await.with(200), one);
        }
        ground.nodes[0].verify().await;
        ground.end().await;
    }
}
