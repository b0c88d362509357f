//! HTTP errors as problem documents (RFC 9457).

use http::{Response, StatusCode, header};
use serde_json::json;

/// An answer that is not the one that was hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(super) fn response(&self) -> warp::reply::Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body =
            json!({ "type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail });
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = self.status;
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
