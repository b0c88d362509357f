//! Documents, comments and people, as they are and as they were.

use serde_json::{Value, json};

use crate::support::{
    rest::answer,
    say::{WITH_TOKENS, commit, delete, edit, guest, insert, token},
    server::Server,
    storage::on_every_database,
};
use reqwest::Method;

on_every_database! {
    a_document_is_shown_as_it_is_and_as_it_was
    who_has_a_state_already_is_told_so
    documents_are_listed_in_pages_while_others_come
    who_may_not_read_is_told_what_is_missing
    what_makes_no_sense_is_refused_by_its_name
    who_was_there_is_known_afterwards
    sessions_tell_who_wrote_when
    a_page_of_a_foreign_origin_gets_nothing
}

fn comment(message_id: &str, version: u64, id: &str, (start, end): (usize, usize)) -> Value {
    let comment =
        json!({"id": id, "thread_id": format!("t-{id}"), "content": "Why?", "position": {"start": start, "end": end}});
    json!({"type": "comment", "event": "comment_added", "message_id": message_id, "data": {"comment": comment, "version": version}})
}

async fn a_document_is_shown_as_it_is_and_as_it_was() {
    let server = Server::start().await;
    assert_eq!(server.look("/v1/documents/team%2Fdoc").await.problem(404), "there is no document with this id");
    let mut ann = guest(&server, "team/doc", "ann").await;
    assert_eq!(server.look("/v1/documents/team%2Fdoc").await.problem(404), "there is no document with this id");
    commit(
        &mut ann,
        &edit(
            "m1",
            0,
            json!({"type": "insert", "position": 0, "content": "Hello\u{a0}brave world", "attributes": {"bold": true}}),
        ),
    )
    .await;
    ann.send(&comment("c1", 1, "c", (6, 11))).await;
    ann.expect("comment", "comment_ack").await;
    ann.expect("comment", "comment_added").await;
    commit(&mut ann, &edit("m2", 1, delete(0, 6))).await;

    let now = server.look("/v1/documents/team%2Fdoc").await;
    assert_eq!((now.header("content-type"), now.header("etag")), ("application/json", "\"3\""));
    let now = now.with(200);
    assert_eq!(
        (&now["id"], &now["version"], &now["seq"], &now["content"]),
        (&json!("team/doc"), &json!(2), &json!(3), &json!("brave world"))
    );
    assert_eq!(now["delta"], json!([{"insert": "brave world", "attributes": {"bold": true}}]));
    assert_eq!(now["metadata"]["word_count"], 2);
    assert_eq!(
        (&now["comments"][0]["id"], &now["comments"][0]["position"]),
        (&json!("c"), &json!({"start": 0, "end": 5}))
    );
    let modified = now["metadata"]["last_modified"].as_str().unwrap();
    assert_eq!(server.look(&format!("/v1/documents/team%2Fdoc?at={modified}")).await.with(200), now);

    let first = server.look("/v1/documents/team%2Fdoc?version=1").await.with(200);
    assert_eq!(
        (&first["content"], &first["metadata"]["word_count"], &first["comments"][0]["position"]),
        (&json!("Hello\u{a0}brave world"), &json!(3), &json!({"start": 6, "end": 11}))
    );
    let before = server.look("/v1/documents/team%2Fdoc?at=2001-01-01T00:00:00Z").await.with(200);
    assert_eq!(
        (&before["version"], &before["content"], &before["metadata"]["last_modified"]),
        (&json!(0), &json!(""), &Value::Null)
    );
    let comments = server.look("/v1/documents/team%2Fdoc/comments?version=1").await.with(200);
    assert_eq!((&comments["version"], &comments["comments"]), (&json!(1), &first["comments"]));
    let back = server.look("/v1/documents/team%2Fdoc/diff?from=2&to=1").await.with(200);
    assert_eq!(back["delta"], json!([{"insert": "Hello\u{a0}", "attributes": {"bold": true}}]));
    let head = answer(server.ask(Method::HEAD, "/v1/documents/team%2Fdoc")).await;
    assert_eq!((head.status, head.header("etag"), &head.json), (200, "\"3\"", &Value::Null));
}

async fn who_has_a_state_already_is_told_so() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    let with = async |path: &str, tag: &str| {
        let answer = answer(server.ask(Method::GET, path).header("if-none-match", tag)).await;
        (answer.status, answer.header("etag").to_owned())
    };
    let unchanged = (304, "\"1\"".to_owned());
    for tag in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        assert_eq!(with("/v1/documents/doc", tag).await, unchanged, "{tag}");
    }
    assert_eq!(with("/v1/documents/doc", "\"11\"").await.0, 200);
    commit(&mut ann, &edit("m2", 1, insert(0, "b"))).await;
    assert_eq!(with("/v1/documents/doc", "\"1\"").await, (200, "\"2\"".to_owned()));
    assert_eq!(with("/v1/documents/doc?version=1", "\"1\"").await, unchanged);
}

async fn documents_are_listed_in_pages_while_others_come() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let writer = token("ann", json!(["read", "write"]), 600.0);
    let make = async |id: &str| {
        let body = json!({"id": id, "content": id}).to_string();
        answer(server.ask(Method::POST, "/v1/documents").bearer_auth(&writer).body(body)).await.with(201);
    };
    for id in ["b", "d", "a/1", "a/2", "a", "z", "A"] {
        make(id).await;
    }
    let page = async |token: &str, query: &str| {
        let page = server.look_as(token, &format!("/v1/documents?{query}")).await.with(200);
        let ids: Vec<_> =
            page["documents"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(page(&writer, "").await, (["A", "a", "a/1", "a/2", "b", "d", "z"].map(str::to_owned).to_vec(), None));
    let (mut seen, mut next) = page(&writer, "limit=2").await;
    make("0").await;
    make("c").await;
    while let Some(after) = next {
        let (more, later) = page(&writer, &format!("limit=2&after={after}")).await;
        seen.extend(more);
        next = later;
    }
    assert_eq!(seen, ["A", "a", "a/1", "a/2", "b", "c", "d", "z"], "each once, and what came behind the page");
    let partly = token("ben", json!({"a/*": ["read"], "z": ["admin"], "d": ["write"]}), 600.0);
    assert_eq!(page(&partly, "").await, (["a/1", "a/2", "z"].map(str::to_owned).to_vec(), None));
    let listed = server.look_as(&writer, "/v1/documents?limit=1").await.with(200);
    assert_eq!(listed["documents"][0]["version"], 1);
    assert!(listed["documents"][0]["updated_at"].is_string());
    assert_eq!(page(&token("eve", json!([]), 600.0), "").await, (vec![], None));
}

async fn who_may_not_read_is_told_what_is_missing() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let writer = token("ann", json!({"doc": ["write"], "other": ["read"]}), 600.0);
    for path in ["", "/events", "/history", "/diff", "/blame", "/contributions", "/comments", "/presence"] {
        let path = format!("/v1/documents/doc{path}");
        assert_eq!(server.look(&path).await.problem(401), "a token is needed");
        assert!(server.look_as("nonsense", &path).await.problem(401).contains("malformed"));
        assert!(server.look_as(&writer, &path).await.problem(403).contains("`document:read`"), "{path}");
        let other = path.replace("/doc/", "/other/");
        let other = other.strip_suffix("/doc").map_or(other.clone(), |start| format!("{start}/other"));
        assert_eq!(server.look_as(&writer, &other).await.status, 404, "{other}");
    }
    assert!(server.look_as(&writer, "/v1/events").await.problem(403).contains("`admin`"));
    let admin = token("root", json!({"*": ["admin"]}), 600.0);
    assert_eq!(server.look_as(&admin, "/v1/events").await.with(200), json!({"events": [], "next": 0}));
    let until = json!({"user_id": "ann", "until": "2099-01-01T00:00:00Z"});
    assert_eq!(server.post("/v1/revocations", Some(&admin), &until).await.0, 201);
    assert!(server.look_as(&writer, "/v1/documents/other").await.problem(403).contains("banned"));
    assert!(server.log().iter().all(|line| !line.contains(&writer)), "a token never appears in the log");
}

async fn what_makes_no_sense_is_refused_by_its_name() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    for (path, status, why) in [
        ("/v1/documents/a%20b", 400, "document_id"),
        ("/v1/documents/%ff", 400, "UTF-8"),
        ("/v1/documents/a%2F..%2Fb", 400, "segment"),
        ("/v1/documents/doc?version=2", 404, "version 2 is ahead"),
        ("/v1/documents/doc?version=one", 400, "`version`"),
        ("/v1/documents/doc?version=1&version=1", 400, "`version` twice"),
        ("/v1/documents/doc?at=noon", 400, "`at`"),
        ("/v1/documents/doc?at=2026-01-01T00:00:00Z&version=1", 400, "exclude"),
        ("/v1/documents/doc/diff?from=-1", 400, "`from`"),
        ("/v1/documents/doc/diff?to=5", 404, "version 5 is ahead"),
        ("/v1/documents/doc/history?pause=long", 400, "`pause`"),
        ("/v1/documents/doc/history?after=9", 404, "version 9 is ahead"),
        ("/v1/documents/doc/history?limit=0", 400, "`limit`"),
        ("/v1/documents/doc/events?limit=1001", 400, "`limit`"),
        ("/v1/documents/doc/events?after=x", 400, "`after`"),
        ("/v1/documents/doc/events?follow=true", 400, "`follow`"),
        ("/v1/documents?limit=many", 400, "`limit`"),
        ("/v1/documents/doc/future", 404, "nothing at this address"),
        ("/v1/documents/doc/events/1", 404, "nothing at this address"),
    ] {
        let problem = server.look(path).await.problem(status);
        assert!(problem.contains(why), "{path}: {problem}");
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/documents/doc/events", "GET, HEAD"),
        (Method::PUT, "/v1/documents", "GET, HEAD, POST"),
        (Method::GET, "/v1/documents/doc/restore", "POST"),
    ] {
        let refused = answer(server.ask(method, path)).await;
        assert_eq!(refused.header("allow"), allowed);
        refused.problem(405);
    }
    answer(server.ask(Method::GET, "/v1/documents/doc").body("?")).await.problem(413);
    server.look("/v1/documents/doc/events?after=18446744073709551615").await.problem(409);
}

async fn who_was_there_is_known_afterwards() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "abcd"))).await;
    let cursor = json!({"cursor": {"position": 2, "selection": {"start": 2, "end": 4}}});
    ann.send(&json!({"type": "presence", "event": "cursor_update", "data": cursor})).await;
    // Presence is recorded behind everything: asked for until it is there.
    let there = async |query: &str, wanted: &Value| {
        let mut shown = Value::Null;
        crate::support::within("presence to be recorded", async {
            while shown != *wanted {
                shown = server.look(&format!("/v1/documents/doc/presence{query}")).await.with(200)["users"].take();
            }
        })
        .await;
    };
    let ann_at = |position: u64| json!([{"user_id": "user-ann", "cursor_position": position, "selection": {"start": position, "end": position + 2}}]);
    there("", &ann_at(2)).await;
    let mut ben = guest(&server, "doc", "ben").await;
    commit(&mut ben, &edit("m2", 1, insert(0, "xy"))).await;
    there("", &json!([ann_at(4)[0], {"user_id": "user-ben", "cursor_position": null}])).await;
    // A moment at which all that was on record.
    commit(&mut ben, &edit("m3", 2, insert(6, "!"))).await;
    let then = server.look("/v1/documents/doc").await.with(200)["metadata"]["last_modified"].take();
    ben.close().await;
    ann.close().await;
    there("", &json!([])).await;
    let before = server.look("/v1/documents/doc/presence?at=2001-01-01T00:00:00Z").await.with(200);
    assert_eq!(before, json!({"version": 0, "users": []}));
    there(
        &format!("?at={}", then.as_str().unwrap()),
        &json!([ann_at(4)[0], {"user_id": "user-ben", "cursor_position": null}]),
    )
    .await;
}

async fn sessions_tell_who_wrote_when() {
    let server = Server::start().await;
    let (mut ann, mut ben) = (guest(&server, "doc", "ann").await, guest(&server, "doc", "ben").await);
    commit(&mut ann, &edit("m1", 0, insert(0, "ab\u{1F600}d"))).await;
    commit(&mut ben, &edit("m2", 1, insert(0, "xy"))).await;
    commit(&mut ann, &edit("m3", 2, delete(4, 3))).await;
    let history = server.look("/v1/documents/doc/history").await.with(200);
    assert_eq!(history["next"], Value::Null);
    let session = &history["sessions"][0];
    assert_eq!(history["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&session["from_version"], &session["to_version"], &session["added"], &session["removed"]),
        (&json!(0), &json!(3), &json!(6), &json!(2))
    );
    assert_eq!(
        session["authors"],
        json!([
            {"user_id": "user-ann", "edits": 2, "added": 4, "removed": 2},
            {"user_id": "user-ben", "edits": 1, "added": 2, "removed": 0}
        ])
    );
    let first = server.look("/v1/documents/doc/history?pause=0s&limit=1").await.with(200);
    assert_eq!(first["sessions"][0]["to_version"], 1);
    let rest = server.look(&format!("/v1/documents/doc/history?pause=0s&after={}", first["next"])).await.with(200);
    assert_eq!(rest["sessions"][0]["from_version"], 1);
}

async fn a_page_of_a_foreign_origin_gets_nothing() {
    let server = Server::start_with(&[("SERVER__ALLOWED_ORIGINS", r#"["https://app.example.org"]"#)]).await;
    let with =
        async |method: Method, origin: &str| answer(server.ask(method, "/v1/documents").header("origin", origin)).await;
    let allowed = with(Method::GET, "https://app.example.org").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
    let asked = with(Method::OPTIONS, "https://app.example.org").await;
    assert_eq!((asked.status, asked.header("access-control-allow-methods")), (204, "GET, HEAD, POST"));
    assert!(asked.header("access-control-allow-headers").contains("idempotency-key"));
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let refused = with(method, "https://evil.example.org").await;
        assert_eq!(refused.header("access-control-allow-origin"), "");
        assert!(refused.problem(403).contains("origin"));
    }
}
