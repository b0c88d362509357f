//! Documents in the formats of others, over HTTP.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::support::{
    rest::{Answer, answer},
    say::{WITH_TOKENS, commit, edit, guest, insert, token},
    server::Server,
    storage::on_every_database,
    within,
};

on_every_database! {
    a_document_goes_out_in_every_format_and_comes_back_the_same
    an_import_is_one_version_that_changes_as_little_as_it_can
    what_cannot_be_taken_in_is_refused_and_changes_nothing
    what_edits_have_built_comes_in_again_however_large_it_is
    carriage_returns_come_in_as_line_feeds
}

const EXPORT: &str = "/v1/documents/team%2Fdoc/export";

async fn take(server: &Server, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    answer(server.ask(Method::POST, path).header("content-type", kind).body(body)).await
}

fn rich() -> Value {
    json!([
        {"insert": "Notes"}, {"insert": "\n", "attributes": {"header": 1}},
        {"insert": "Some "}, {"insert": "bold", "attributes": {"bold": true}}, {"insert": " é\u{1F600}\n"},
        {"insert": "milk"}, {"insert": "\n", "attributes": {"list": "bullet"}},
        {"insert": {"image": "https://a.example/x.png"}}, {"insert": "\n"},
    ])
}

async fn a_document_goes_out_in_every_format_and_comes_back_the_same() {
    let server = Server::start().await;
    server.tell("/v1/documents", &json!({"id": "team/doc", "delta": rich()})).await.with(201);
    let whole = server.look("/v1/documents/team%2Fdoc").await.with(200);
    for (format, kind, file) in [
        ("text", "text/plain; charset=utf-8", "team_doc.txt"),
        ("markdown", "text/markdown; charset=utf-8", "team_doc.md"),
        ("html", "text/html; charset=utf-8", "team_doc.html"),
        ("delta", "application/json", "team_doc.delta.json"),
        ("json", "application/json", "team_doc.json"),
    ] {
        let path = format!("{EXPORT}?format={format}");
        let response = within("an export", server.ask(Method::GET, &path).send()).await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), header("content-type")), (200, kind.to_owned()));
        assert_eq!(header("content-disposition"), format!("attachment; filename=\"{file}\""));
        assert_eq!((header("x-content-type-options"), header("etag")), ("nosniff".into(), format!("\"1-{format}\"")));
        let body = within("a body", response.text()).await.unwrap();
        let again = answer(server.ask(Method::GET, &path).header("if-none-match", format!("\"1-{format}\""))).await;
        assert_eq!(again.status, 304);
        if format == "text" {
            assert_eq!(body, "Notes\nSome bold é\u{1F600}\nmilk\n\u{fffc}\n");
            continue;
        }
        let copy = format!("/v1/documents/copy-{format}/import?format={format}&message_id=m1&user_id=ann");
        let made = take(&server, &copy, "application/octet-stream", body.clone()).await.with(201);
        assert_eq!((&made["version"], &made["id"]), (&json!(1), &json!(format!("copy-{format}"))));
        let copied = server.look(&format!("/v1/documents/copy-{format}")).await.with(200);
        assert_eq!(copied["delta"], whole["delta"], "{format}: {body}");
        let repeated = take(&server, &copy, "application/octet-stream", body).await.with(200);
        assert_eq!((&repeated["version"], &repeated["duplicate"]), (&json!(1), &json!(true)));
    }
    let before = within("an export", server.ask(Method::GET, &format!("{EXPORT}?format=delta&version=0")).send());
    assert_eq!(within("a body", before.await.unwrap().text()).await.unwrap(), "[]");
    server.verify().await;
}

async fn an_import_is_one_version_that_changes_as_little_as_it_can() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "The quick fox.\nIt ran.\n"))).await;
    let comment = json!({"content": "which?", "position": {"start": 4, "end": 9}});
    let added = json!({"type": "comment", "event": "comment_added", "data": {"comment": comment}, "message_id": "c1"});
    ann.send(&added).await;
    while ann.envelope().await["event"] != "comment_ack" {}

    let path = "/v1/documents/doc/import";
    let markdown = "The **quick** brown fox.\n\nIt ran.\n";
    let import = server.ask(Method::POST, path).header("content-type", "text/markdown").body(markdown);
    let done = answer(import.header("idempotency-key", "i1")).await.with(201);
    let expected = json!([
        {"retain": 4}, {"retain": 5, "attributes": {"bold": true}}, {"retain": 1}, {"insert": "brown "},
    ]);
    assert_eq!((&done["version"], &done["delta"]), (&json!(2), &expected));
    let told = loop {
        let envelope = ann.envelope().await;
        if envelope["event"] == "operation_broadcast" {
            break envelope;
        }
    };
    assert_eq!((&told["data"]["version"], &told["client_id"]), (&json!(2), &json!("server")));
    let now = server.look("/v1/documents/doc").await.with(200);
    assert_eq!(now["content"], "The quick brown fox.\nIt ran.\n");
    assert_eq!(now["comments"][0]["position"], json!({"start": 4, "end": 9}), "who is commented on stays so");

    // A whole document brings its text; what others said stays with them.
    let document = json!({"content": "Text alone.", "comments": [{"content": "forged"}]}).to_string();
    let json = take(&server, &format!("{path}?message_id=i2"), "application/json", document).await.with(201);
    assert_eq!(json["version"], 3);
    let now = server.look("/v1/documents/doc").await.with(200);
    assert_eq!((&now["content"], now["comments"].as_array().unwrap().len()), (&json!("Text alone."), 1));
    server.verify().await;
}

async fn what_cannot_be_taken_in_is_refused_and_changes_nothing() {
    let mut settings = WITH_TOKENS.to_vec();
    settings.push(("LIMITS__IMPORT_BYTES", "100KiB"));
    settings.push(("LIMITS__DOCUMENT_LENGTH", "50000"));
    let server = Server::start_with(&settings).await;
    let (writer, reader) = (token("ann", json!(["read", "write"]), 600.0), token("ben", json!(["read"]), 600.0));
    let import = async |token: &str, query: &str, kind: &str, body: Vec<u8>| {
        let path = format!("/v1/documents/doc/import?{query}");
        answer(server.ask(Method::POST, &path).bearer_auth(token).header("content-type", kind).body(body)).await
    };
    let id = "message_id=m1";
    assert!(import(&reader, id, "text/plain", b"a".to_vec()).await.problem(403).contains("document:write"));
    assert!(import(&writer, "", "text/plain", b"a".to_vec()).await.problem(422).contains("message_id"));
    assert!(import(&writer, id, "image/png", b"a".to_vec()).await.problem(415).contains("text/markdown"));
    assert!(import(&writer, "format=pdf&message_id=m1", "", b"a".to_vec()).await.problem(400).contains("`format`"));
    for (kind, body, detail) in [
        ("text/plain", b"\xff\xfe".to_vec(), "UTF-8"),
        ("text/html", b"<div>".repeat(1_000), "nested deeper"),
        ("text/html", [b"<p ".to_vec(), b"a ".repeat(40_000)].concat(), "longer than"),
        ("text/markdown", b"> ".repeat(1_000), "nested deeper"),
        ("application/json", b"{}".to_vec(), "`content`"),
        ("application/json", br#"[{"retain":1},{"insert":"a"}]"#.to_vec(), "inserts"),
        ("application/json", br#"{"delta": 7}"#.to_vec(), ""),
    ] {
        let problem = import(&writer, id, kind, body).await.problem(422);
        assert!(problem.contains(detail), "{kind}: {problem}");
    }
    import(&writer, id, "application/json", b"{".to_vec()).await.problem(400);
    import(&writer, id, "text/plain", vec![b'a'; 60_000]).await.problem(413);
    import(&writer, id, "text/plain", vec![b'a'; 200_000]).await.problem(413);
    assert_eq!(server.look_as(&writer, "/v1/documents/doc").await.status, 404);
    // What it was refused for does not keep its name from being used.
    assert_eq!(import(&writer, id, "text/plain", b"a".to_vec()).await.with(201)["version"], 1);
    assert_eq!(import(&writer, id, "text/plain", b"b".to_vec()).await.status, 409);
}

async fn what_edits_have_built_comes_in_again_however_large_it_is() {
    let server = Server::start().await;
    let mut ann = guest(&server, "doc", "ann").await;
    commit(&mut ann, &edit("m0", 0, insert(0, "text\n"))).await;
    for part in 0..3 {
        let attributes: Map<String, Value> =
            (0..90).map(|n| (format!("a{part}-{n}"), json!("x".repeat(120)))).collect();
        let format = json!({"type": "format", "position": 0, "length": 4, "attributes": attributes});
        commit(&mut ann, &edit(&format!("f{part}"), part + 1, format)).await;
    }
    let deep = (0..59).fold(json!(1), |inner, _| json!([inner]));
    let embed = json!({"type": "insert", "position": 0, "embed": {"deep": deep}});
    commit(&mut ann, &edit("e1", 4, embed)).await;
    let ordered = r#"{"type":"operation","event":"document_edit","message_id":"e2","data":{"version":5,
        "operation":{"type":"insert","position":0,"embed":{"video":"u","align":"left"}}}}"#;
    ann.send_text(ordered).await;
    assert_eq!(ann.expect("operation", "operation_ack").await["server_version"], 6);

    for format in ["delta", "json"] {
        let export = answer(server.ask(Method::GET, &format!("/v1/documents/doc/export?format={format}"))).await;
        assert!(export.text.contains(r#"{"video":"u","align":"left"}"#), "{format}: fields keep their order");
        let path = format!("/v1/documents/copy-{format}/import?format={format}&message_id=m1");
        take(&server, &path, "application/json", export.text.clone()).await.with(201);
        let copy = answer(server.ask(Method::GET, &format!("/v1/documents/copy-{format}/export?format=delta"))).await;
        let whole = answer(server.ask(Method::GET, "/v1/documents/doc/export?format=delta")).await;
        assert_eq!(copy.text, whole.text, "{format}");
    }
    let whole = server.look("/v1/documents/doc").await;
    assert!(whole.text.contains(r#"{"video":"u","align":"left"}"#));
    server.tell("/v1/documents", &json!({"id": "made", "delta": whole.json["delta"]})).await.with(201);
    assert_eq!(server.look("/v1/documents/made").await.with(200)["delta"], whole.json["delta"]);
    server.verify().await;
}

async fn carriage_returns_come_in_as_line_feeds() {
    let server = Server::start().await;
    for (kind, body) in [
        ("text/plain", "a\r\nb\rc\n"),
        ("text/markdown", "a\r\n\r\nb&#13;c\r\n"),
        ("text/html", "<pre>a\r\nb&#13;c</pre>"),
        ("application/json", r#"[{"insert":"a\r\nb\rc\n"}]"#),
        ("application/json", r#"{"content":"a\r\nb\u000dc\n"}"#),
    ] {
        let path = "/v1/documents/doc/import?message_id=";
        let id = format!("{path}{kind}-{}", body.len());
        take(&server, &id, kind, body).await.with(201);
        let delta = server.look("/v1/documents/doc").await.with(200);
        assert_eq!(delta["content"], "a\nb\nc\n", "{kind}: {body}");
    }
    let by_content = json!({"id": "by-content", "content": "a\r\nb\rc\n", "message_id": "m1"});
    let by_delta = json!({"id": "by-delta", "delta": [{"insert": "a\r"}, {"insert": "\nb\rc\n"}], "message_id": "m1"});
    for body in [by_content, by_delta] {
        server.tell("/v1/documents?user_id=ann", &body).await.with(201);
        server.tell("/v1/documents?user_id=ann", &body).await.with(200);
        let path = format!("/v1/documents/{}", body["id"].as_str().unwrap());
        assert_eq!(server.look(&path).await.with(200)["content"], "a\nb\nc\n");
    }
    let mut ann = guest(&server, "doc", "ann").await;
    ann.send(&edit("r1", 1, insert(0, "a\r\n"))).await;
    let error = ann.expect_error("INVALID_OPERATION").await;
    assert_eq!(error["details"]["path"], "data.operation.content");
    server.verify().await;
}

#[tokio::test]
async fn a_document_of_too_many_lines_is_refused_by_the_name_of_its_limit() {
    let server = Server::start_with(&[("LIMITS__IMPORT_OPERATIONS", "100")]).await;
    for (kind, part) in [("text/html", "<p>x"), ("text/markdown", "x\n\n")] {
        let path = "/v1/documents/doc/import?message_id=m";
        let refused = take(&server, path, kind, part.repeat(1_000)).await;
        let detail = refused.problem(413);
        assert!(detail.contains("more than 100 lines") && detail.contains("`limits.import_operations`"), "{detail}");
    }
    assert_eq!(server.look("/v1/documents/doc").await.status, 404);
    take(&server, "/v1/documents/doc/import?message_id=n", "text/html", "<p>x".repeat(40)).await.with(201);
}
