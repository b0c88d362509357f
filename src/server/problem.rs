//! HTTP errors as problem documents (RFC 9457).

use std::time::Duration;

use http::{Response, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

/// Declares the codes, each with its status, so that the list of them has them all.
macro_rules! codes {
    ($($code:ident = $status:literal $text:literal,)+) => {
        /// What kind of problem it is, for a program. `docs/http.md` explains each; a code has one status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
        #[schemars(rename = "ProblemCode", description = "What kind of problem it is, for a program.")]
        pub(super) enum Code {
            $(#[serde(rename = $text)] $code,)+
        }

        impl Code {
            /// Every code there is.
            pub(super) const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code as it is written in a problem document.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)+ }
            }

            /// The status of every answer with this code.
            pub(super) const fn status(self) -> u16 {
                match self { $(Self::$code => $status,)+ }
            }
        }
    };
}

codes! {
    InvalidRequest = 400 "INVALID_REQUEST",
    UnknownParameter = 400 "UNKNOWN_PARAMETER",
    InvalidJson = 400 "INVALID_JSON",
    Unauthorized = 401 "UNAUTHORIZED",
    InsufficientPermissions = 403 "INSUFFICIENT_PERMISSIONS",
    ForbiddenOrigin = 403 "FORBIDDEN_ORIGIN",
    Banned = 403 "BANNED",
    NotFound = 404 "NOT_FOUND",
    DocumentNotFound = 404 "DOCUMENT_NOT_FOUND",
    VersionNotFound = 404 "VERSION_NOT_FOUND",
    PresenceNotKept = 404 "PRESENCE_NOT_KEPT",
    MethodNotAllowed = 405 "METHOD_NOT_ALLOWED",
    RequestTimeout = 408 "REQUEST_TIMEOUT",
    DocumentExists = 409 "DOCUMENT_EXISTS",
    MessageIdConflict = 409 "MESSAGE_ID_CONFLICT",
    VersionAhead = 409 "VERSION_AHEAD",
    AheadOfLog = 409 "AHEAD_OF_LOG",
    DocumentErased = 410 "DOCUMENT_ERASED",
    BodyTooLarge = 413 "BODY_TOO_LARGE",
    DocumentTooLarge = 413 "DOCUMENT_TOO_LARGE",
    UnsupportedMediaType = 415 "UNSUPPORTED_MEDIA_TYPE",
    InvalidBody = 422 "INVALID_BODY",
    InvalidOperation = 422 "INVALID_OPERATION",
    MisdirectedRequest = 421 "MISDIRECTED_REQUEST",
    UpgradeRequired = 426 "UPGRADE_REQUIRED",
    RateLimited = 429 "RATE_LIMITED",
    Internal = 500 "INTERNAL",
    Damaged = 500 "DAMAGED",
    StorageUnavailable = 503 "STORAGE_UNAVAILABLE",
    Busy = 503 "BUSY",
    TooManyConnections = 503 "TOO_MANY_CONNECTIONS",
    ShuttingDown = 503 "SHUTTING_DOWN",
}

impl Code {
    /// After which time another try may succeed, where nothing more exact is known.
    const fn retry_after(self) -> Option<Duration> {
        match self.status() {
            429 | 503 => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// A request that is refused or that fails, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) detail: String,
    /// When it may be worth another try: every 429 and 503 says so.
    retry_after: Option<Duration>,
}

/// A problem document.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemJson<'a> {
    /// `about:blank`: the kind of problem is in `code`.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The status in words.
    title: &'a str,
    /// The status of the answer.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    code: Code,
    /// What was wrong, for a person.
    detail: &'a str,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: code.retry_after() }
    }

    pub(super) const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn response(&self) -> warp::reply::Response {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or("Error");
        let body =
            ProblemJson { kind: "about:blank", title, status: status.as_u16(), code: self.code, detail: &self.detail };
        let body = serde_json::to_string(&body).expect("texts and a number");
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.code == Code::Unauthorized {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never earlier than it is worth it.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_that_asks_to_come_later_says_when() {
        for code in Code::ALL {
            let problem = Problem::new(*code, "x");
            let response = problem.response();
            let says_when = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(says_when, matches!(response.status().as_u16(), 429 | 503), "{}", code.as_str());
        }
        let seconds = |wait| {
            let response = Problem::new(Code::RateLimited, "x").after(wait).response();
            response.headers()[header::RETRY_AFTER].to_str().unwrap().to_owned()
        };
        let waits = [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(2), Duration::from_millis(2_001)];
        assert_eq!(waits.map(seconds), ["1", "1", "2", "3"]);
    }

    #[test]
    fn every_code_has_a_status_in_words() {
        for code in Code::ALL {
            let status = Problem::new(*code, "x").status();
            assert!(status.is_client_error() || status.is_server_error(), "{}", code.as_str());
            assert!(status.canonical_reason().is_some() && status.as_u16() == code.status(), "{}", code.as_str());
        }
    }

    #[test]
    fn the_page_explains_every_code() {
        let page = include_str!("../../docs/http.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let is_code = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let told: Vec<_> = rows
            .filter(|(name, _)| is_code(name))
            .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or_default().to_owned()))
            .collect();
        let known: Vec<_> = Code::ALL.iter().map(|code| (code.as_str(), code.status().to_string())).collect();
        assert_eq!(told, known);
    }
}
