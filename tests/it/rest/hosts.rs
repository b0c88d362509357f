//! A web page whose name leads to the service's address (DNS rebinding), and pages of other sites.

use reqwest::{Method, header};
use serde_json::json;

use crate::support::{
    rest::answer,
    say::{WITH_TOKENS, token},
    server::Server,
    socket::{Opening, Socket},
};

/// Every route, with its method, and some that there are not.
async fn every_route(server: &Server) -> Vec<(Method, String)> {
    let description = server.look("/openapi.json").await.with(200);
    let paths = description["paths"].as_object().unwrap();
    let described = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(|method| (method.to_uppercase().parse().unwrap(), path.replace("{id}", "doc")))
    });
    described.chain([(Method::GET, "/nothing".to_owned()), (Method::OPTIONS, "/v1/documents".to_owned())]).collect()
}

#[tokio::test]
async fn a_page_whose_name_leads_to_the_service_gets_nothing_from_any_route() {
    let server = Server::start().await;
    let evil = format!("evil.example:{}", server.address().port());
    let routes = every_route(&server).await;
    assert!(routes.len() > 20, "{routes:?}");
    for (method, path) in routes {
        let request = server.ask(method, &path).header(header::HOST, &evil).header("origin", format!("http://{evil}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 421, "{path}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{path}");
    }
    for opening in [Opening::of("doc"), Opening::replay("doc")] {
        let opening = opening.header("host", &evil).header("origin", format!("http://{evil}"));
        assert_eq!(Socket::refused(server.address(), &opening).await, 421);
    }
    let own = format!("localhost:{}", server.address().port());
    server.look("/v1/documents").await.with(200);
    answer(server.ask(Method::GET, "/v1/documents").header(header::HOST, &own)).await.with(200);
    Socket::open(server.address(), &Opening::of("doc").header("host", &own).header("origin", format!("http://{own}")))
        .await;
}

#[tokio::test]
async fn with_tokens_any_host_is_right_and_the_allowed_ones_alone_where_there_are_any() {
    let mut server = Server::start_with(&WITH_TOKENS).await;
    let reader = token("ann", json!(["read"]), 600.0);
    let status = async |server: &Server, host: &str| {
        let request = server.ask(Method::GET, "/v1/documents").bearer_auth(&reader).header(header::HOST, host);
        answer(request).await.status
    };
    assert_eq!(status(&server, "docs.example.org").await, 200);
    server.terminate().await;
    server.set("SERVER__ALLOWED_HOSTS", r#"["docs.example.org", "127.0.0.1"]"#);
    server.restart().await;
    assert_eq!(status(&server, "Docs.example.org:443").await, 200);
    assert_eq!(status(&server, "localhost").await, 421);
}

#[tokio::test]
async fn a_write_of_another_site_that_names_no_origin_is_refused() {
    let server = Server::start().await;
    let write = |site: &'static str| {
        let body = json!({"id": site, "content": "x"}).to_string();
        answer(server.ask(Method::POST, "/v1/documents").header("sec-fetch-site", site).body(body))
    };
    assert_eq!(write("cross-site").await.with(403)["code"], "FORBIDDEN_ORIGIN");
    write("same-origin").await.with(201);
    let read = server.ask(Method::GET, "/v1/documents").header("sec-fetch-site", "cross-site");
    assert_eq!(answer(read).await.with(200)["documents"].as_array().unwrap().len(), 1);
    let socket = Opening::of("doc").header("sec-fetch-site", "cross-site");
    assert_eq!(Socket::refused(server.address(), &socket).await, 403);
}
