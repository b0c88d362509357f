//! Asking over HTTP, and reading streams of events.

use std::collections::VecDeque;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use super::{
    described::{self, Exchange},
    server::Server,
    within,
};

/// An answer: its status, its headers, its body, and the JSON in it (null where there is none).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON, which must have come with this status.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.json);
        self.json
    }

    /// The detail of a problem document with this status.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.json);
        let problem = &self.json;
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
        assert!(problem["code"].is_string(), "{problem}");
        assert_eq!(self.headers.contains_key("retry-after"), matches!(status, 429 | 503), "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Server {
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        Client::new().request(method, format!("http://{}{path}", self.address()))
    }

    /// A GET; with a token where one is given.
    pub(crate) async fn look(&self, path: &str) -> Answer {
        answer(self.ask(Method::GET, path)).await
    }

    pub(crate) async fn look_as(&self, token: &str, path: &str) -> Answer {
        answer(self.ask(Method::GET, path).bearer_auth(token)).await
    }

    /// A POST of JSON.
    pub(crate) async fn tell(&self, path: &str, body: &Value) -> Answer {
        answer(self.ask(Method::POST, path).body(body.to_string())).await
    }

    /// Follows a stream: `application/x-ndjson` or `text/event-stream`.
    pub(crate) async fn listen(&self, path: &str, accept: &str) -> Events {
        Events::of(self.ask(Method::GET, path).header("accept", accept)).await
    }
}

/// The answer to a request. Every one is held against the description that the service gives of itself.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, url) = (request.method().clone(), request.url().clone());
    let sent = request.body().and_then(|body| body.as_bytes()).map(<[u8]>::to_vec);
    let response = within("an HTTP answer", client.execute(request)).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = within("an HTTP body", response.bytes()).await.unwrap();
    let document = described::openapi(&url.origin().ascii_serialization()).await;
    let exchange = Exchange {
        method: method.as_str(),
        path: url.path(),
        sent: sent.as_deref(),
        status,
        form: headers.get("content-type").map_or("", |form| form.to_str().unwrap()),
        body: &body,
    };
    if let Some(difference) = described::differs(document, &exchange) {
        panic!("{difference}");
    }
    let is_json = exchange.form.ends_with("json");
    let json = if body.is_empty() || !is_json { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let text = String::from_utf8_lossy(&body).into_owned();
    Answer { status, headers, text, json }
}

/// Events as they come.
pub(crate) struct Events {
    document: &'static Value,
    response: Response,
    rest: String,
    waiting: VecDeque<(Option<String>, Value)>,
}

impl Events {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = within("a stream", request.send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let document = described::openapi(&response.url().origin().ascii_serialization()).await;
        Self { document, response, rest: String::new(), waiting: VecDeque::new() }
    }

    /// The next event with its id, where the format has one; `None` at the end. Signs of life are passed over.
    pub(crate) async fn next(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let part = within("an event", self.response.chunk()).await.unwrap()?;
            self.rest.push_str(std::str::from_utf8(&part).unwrap());
            let is_sse = self.response.headers()["content-type"] == "text/event-stream";
            let mark = if is_sse { "\n\n" } else { "\n" };
            while let Some((event, rest)) = self.rest.split_once(mark) {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (id, data) = if is_sse { (field("id: "), field("data: ")) } else { (None, Some(event.to_owned())) };
                if let Some(data) = data.filter(|data| !data.is_empty()) {
                    let data: Value = serde_json::from_str(&data).unwrap();
                    let form = if is_sse { "text/event-stream" } else { "application/x-ndjson" };
                    let wrong = described::wrong_event(self.document, self.response.url().path(), form, &data);
                    assert!(wrong.is_none() || data.get("reason").is_some(), "{wrong:?}");
                    self.waiting.push_back((id, data));
                }
                let rest = rest.to_owned();
                self.rest = rest;
            }
        }
    }

    /// The next event, which must come.
    pub(crate) async fn event(&mut self) -> Value {
        self.next().await.expect("an event").1
    }

    /// Everything up to the end.
    pub(crate) async fn all(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some((_, event)) = self.next().await {
            all.push(event);
        }
        all
    }
}
