//! Who asks too much over HTTP, and how all that is asked is counted.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    rest::{Answer, answer},
    say::{WITH_TOKENS, token},
    server::Server,
};

/// Refused, to come again within a minute.
fn put_off(answer: Answer) {
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    assert!(answer.problem(429).contains("too many requests"));
}

#[tokio::test]
async fn a_user_who_asks_too_much_is_put_off_and_nobody_else_is() {
    let settings = [WITH_TOKENS[0], WITH_TOKENS[1], ("LIMITS__USER_REQUESTS", "1/m burst 3")];
    let server = Server::start_with(&settings).await;
    let (ann, again) = (token("ann", json!(["write", "read"]), 600.0), token("ann", json!(["read"]), 900.0));
    let ben = token("ben", json!(["read"]), 600.0);
    server.look_as(&ann, "/v1/documents").await.with(200);
    server.look_as(&again, "/v1/documents").await.with(200);
    assert_eq!(server.look_as(&ann, "/v1/documents/none").await.status, 404, "what fails counts as well");
    put_off(server.look_as(&ann, "/v1/documents").await);
    put_off(server.look_as(&again, "/v1/documents").await);
    let body = json!({"id": "doc", "content": "x"}).to_string();
    put_off(answer(server.ask(Method::POST, "/v1/documents").bearer_auth(&ann).body(body)).await);
    assert_eq!(server.look_as(&ben, "/v1/documents").await.with(200)["documents"], json!([]), "nothing was done");
    assert!((server.metric(r#"scriptorium_rate_limited_total{of="http_user"}"#).await - 3.0).abs() < 0.5);
}

#[tokio::test]
async fn an_address_is_put_off_whoever_asks_but_never_those_who_watch_over_the_service() {
    let settings = [WITH_TOKENS[0], WITH_TOKENS[1], ("LIMITS__ADDRESS_REQUESTS", "1/m burst 3")];
    let server = Server::start_with(&settings).await;
    assert_eq!(server.look("/v1/documents").await.problem(401), "a token is needed");
    assert!(server.look_as("guessed", "/v1/documents").await.problem(401).contains("malformed"));
    server.look_as(&token("ann", json!(["read"]), 600.0), "/v1/documents").await.with(200);
    put_off(server.look_as(&token("ben", json!(["read"]), 600.0), "/v1/documents").await);
    put_off(server.look_as("guessed", "/v1/documents").await);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json"] {
        for _ in 0..5 {
            assert_eq!(server.look(path).await.status, 200, "{path}");
        }
    }
    assert!((server.metric(r#"scriptorium_rate_limited_total{of="http_address"}"#).await - 2.0).abs() < 0.5);
}

#[tokio::test]
async fn requests_are_counted_by_the_form_of_their_address() {
    let server = Server::start().await;
    server.tell("/v1/documents", &json!({"id": "secret/plan", "content": "x"})).await.with(201);
    for _ in 0..2 {
        server.look("/v1/documents/secret%2Fplan").await.with(200);
    }
    assert_eq!(answer(server.ask(Method::HEAD, "/v1/documents/secret%2Fplan")).await.status, 200);
    assert_eq!(server.look("/v1/documents/another").await.status, 404);
    assert_eq!(server.look("/made/up/by/somebody").await.status, 404);
    let brewing = answer(server.ask(Method::from_bytes(b"BREW").unwrap(), "/v1/documents/secret%2Fplan")).await;
    assert_eq!(brewing.status, 405);
    for (labels, count) in [
        (r#"route="/v1/documents",method="POST",status="2xx""#, 1.0),
        (r#"route="/v1/documents/{id}",method="GET",status="2xx""#, 2.0),
        (r#"route="/v1/documents/{id}",method="HEAD",status="2xx""#, 1.0),
        (r#"route="/v1/documents/{id}",method="GET",status="4xx""#, 1.0),
        (r#"route="/v1/documents/{id}",method="other",status="4xx""#, 1.0),
        (r#"route="other",method="GET",status="4xx""#, 1.0),
    ] {
        let counted = server.metric(&format!("scriptorium_http_requests_total{{{labels}}}")).await;
        assert!((counted - count).abs() < 0.5, "{labels}: {counted}");
    }
    let timed = r#"scriptorium_http_request_duration_seconds_count{route="/v1/documents/{id}",method="GET"}"#;
    assert!((server.metric(timed).await - 3.0).abs() < 0.5);
    let active = server.metric("scriptorium_http_requests_active").await;
    assert!((active - 1.0).abs() < 0.5, "the one who asks: {active}");
    let (_, all) = server.get("/metrics").await;
    assert!(!all.contains("secret") && !all.contains("somebody") && !all.contains("BREW"));
}
