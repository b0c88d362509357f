//! What the service says of itself: its routes as OpenAPI, what is said on WebSockets as AsyncAPI.
//!
//! Both are made of what the code uses, the table of routes, the table of events, and the types that are read and
//! written, and are the same as long as the process lives. Their examples are what a test has seen happen.

mod asyncapi;
mod examples;
mod openapi;

use std::{fmt::Write as _, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::rest::{has_already, not_modified};

/// `GET /openapi.json`
pub(super) fn openapi(headers: &HeaderMap) -> warp::reply::Response {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::of(&openapi::document()));
    DOCUMENT.answer(headers)
}

/// `GET /asyncapi.json`
pub(super) fn asyncapi(headers: &HeaderMap) -> warp::reply::Response {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::of(&asyncapi::document()));
    DOCUMENT.answer(headers)
}

/// A document, and its name.
struct Document {
    json: Bytes,
    tag: HeaderValue,
}

impl Document {
    fn of(value: &Value) -> Self {
        let json = Bytes::from(format!("{value:#}\n"));
        let mut tag = String::from("\"");
        for byte in Sha256::digest(&json).iter().take(12) {
            // Writing to a text does not fail.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        Self { json, tag: HeaderValue::from_str(&tag).expect("digits and quotes") }
    }

    fn answer(&self, headers: &HeaderMap) -> warp::reply::Response {
        if has_already(headers, &self.tag) {
            return not_modified(self.tag.clone());
        }
        let mut response = Response::new(self.json.clone().into());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Another version of the service says something else.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        headers.insert(header::ETAG, self.tag.clone());
        response
    }
}

/// The definitions of what is read and of what is written, in one list.
fn together(read: Map<String, Value>, written: Map<String, Value>) -> Map<String, Value> {
    let mut all = read;
    for (name, schema) in written {
        let known = all.insert(name.clone(), schema.clone());
        debug_assert!(known.is_none_or(|known| known == schema), "two things are called {name}");
    }
    all
}
