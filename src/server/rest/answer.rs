//! Answers, and what stands for those that cannot be given.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use tracing::error;

use crate::{
    event_log::ReadError,
    history::Untold,
    server::problem::{Code, Problem},
};

pub(in crate::server) type Answer = Result<warp::reply::Response, Problem>;

/// JSON.
pub(in crate::server) fn json(status: StatusCode, value: &impl Serialize) -> warp::reply::Response {
    let body = serde_json::to_vec(value).expect("our own answers have text keys and no failing parts");
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What one may read depends on who asks, and what is asked for changes.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// The name of a state of a document: of that place of its stream there is only one.
pub(super) fn tag(seq: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{seq}\"")).expect("digits and quotes")
}

/// Whether the asker has this state already.
pub(in crate::server) fn has_already(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|other| other == "*" || other.trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

/// Nothing is new.
pub(in crate::server) fn not_modified(tag: HeaderValue) -> warp::reply::Response {
    let mut response = Response::new("".into());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, tag);
    response
}

impl From<Untold> for Problem {
    fn from(why: Untold) -> Self {
        match why {
            Untold::NoDocument => Self::new(Code::DocumentNotFound, why.to_string()),
            Untold::Ahead { .. } => Self::new(Code::VersionNotFound, why.to_string()),
            Untold::Forgotten { .. } => Self::new(Code::PresenceNotKept, why.to_string()),
            Untold::Unread(error) => error.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(why: ReadError) -> Self {
        if !matches!(why, ReadError::Erased(_)) {
            error!(error = %why, "the log could not be read");
        }
        match why {
            ReadError::Erased(tombstone) => {
                Self::new(Code::DocumentErased, format!("this document was erased at {}", tombstone.recorded_at))
            }
            ReadError::Unavailable(_) => {
                Self::new(Code::StorageUnavailable, "the log cannot be read now; try again later")
            }
            ReadError::Damaged(_) => Self::new(Code::Damaged, "what is recorded there cannot be read"),
        }
    }
}
