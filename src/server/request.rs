//! What a client asks for when it opens a document: path, query and headers, read into types.

use std::borrow::Cow;

use http::{HeaderMap, Uri, header};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::{
    auth::{GuestQuery, carried},
    domain::{ClientId, DocumentId, IdError, PositionEncoding, Version},
    protocol::document::Form,
};

use super::problem::{Code, Problem};

/// A well-formed wish to open a document.
#[derive(Debug, Clone)]
pub(super) struct OpenRequest {
    pub(super) document_id: DocumentId,
    pub(super) client_id: ClientId,
    pub(super) since: Option<Version>,
    pub(super) encoding: PositionEncoding,
    pub(super) form: Form,
    pub(super) batch: bool,
    pub(super) guest: GuestQuery,
    pub(super) token: Option<String>,
    /// Whether the client offered the sub-protocol `bearer`, which then has to be the answer.
    pub(super) offers_bearer: bool,
}

/// The query parameters, as they came.
#[derive(Default)]
struct Query<'a> {
    token: Option<Cow<'a, str>>,
    client_id: Option<Cow<'a, str>>,
    since: Option<Cow<'a, str>>,
    position_encoding: Option<Cow<'a, str>>,
    operations: Option<Cow<'a, str>>,
    batch: Option<Cow<'a, str>>,
    user_id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    color: Option<Cow<'a, str>>,
}

impl OpenRequest {
    /// Reads the path segment after `/v1/ws/documents/`, the query and the headers.
    pub(super) fn read(segment: &str, query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let document_id = percent_decode_str(segment).decode_utf8().map_err(|_| bad("the path is not UTF-8"))?;
        let document_id = DocumentId::from_client(&document_id).map_err(|error| bad_id(&error))?;
        let query = Query::parse(query)?;
        let client_id = match &query.client_id {
            Some(id) => ClientId::parse(id),
            None => ClientId::parse(&format!("client-{}", Uuid::new_v4().simple())),
        };
        let guest = GuestQuery::parse(query.user_id.as_deref(), query.name.as_deref(), query.color.as_deref());
        let token = carried(query.token.as_deref(), text(headers, header::AUTHORIZATION), protocols(headers));
        Ok(Self {
            document_id,
            client_id: client_id.map_err(|error| bad_id(&error))?,
            since: query.since.as_deref().map(version).transpose()?,
            encoding: one_of(
                "position_encoding",
                query.position_encoding.as_deref(),
                &[("utf-16", PositionEncoding::Utf16), ("utf-32", PositionEncoding::Utf32)],
            )?,
            form: one_of(
                "operations",
                query.operations.as_deref(),
                &[("simple", Form::Simple), ("delta", Form::Delta)],
            )?,
            batch: one_of("batch", query.batch.as_deref(), &[("false", false), ("true", true)])?,
            guest: guest.map_err(|error| bad(error.to_string()))?,
            offers_bearer: token.offers_bearer,
            token: token.token.map(str::to_owned),
        })
    }
}

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Result<Self, Problem> {
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(bad("the query is not UTF-8"));
        }
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "token" => &mut read.token,
                "client_id" => &mut read.client_id,
                "since" => &mut read.since,
                "position_encoding" => &mut read.position_encoding,
                "operations" => &mut read.operations,
                "batch" => &mut read.batch,
                "user_id" => &mut read.user_id,
                "name" => &mut read.name,
                "color" => &mut read.color,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(bad(format!("the query has `{name}` twice")));
            }
        }
        Ok(read)
    }
}

/// Whether a page of this origin may open a WebSocket here: the service's own, or an allowed one. A request
/// without `Origin` does not come from a page.
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let is_own = || {
        let host = text(headers, header::HOST);
        let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
        matches!((host, authority), (Some(host), Some(authority)) if host.eq_ignore_ascii_case(&authority))
    };
    let is_allowed = |it: &String| it == "*" || it.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if allowed.iter().any(is_allowed) || is_own() {
        return Ok(());
    }
    Err(Problem::new(Code::ForbiddenOrigin, "this origin is not allowed; see `server.allowed_origins`"))
}

fn one_of<T: Copy>(name: &str, value: Option<&str>, all: &[(&str, T)]) -> Result<T, Problem> {
    let Some(value) = value else { return Ok(all[0].1) };
    all.iter().find(|(text, _)| *text == value).map(|(_, it)| *it).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(text, _)| *text).collect();
        bad(format!("`{name}` must be one of {}", names.join(", ")))
    })
}

fn version(text: &str) -> Result<Version, Problem> {
    text.parse().map(Version).map_err(|_| bad("`since` must be a document version: 0, 1, 2, …"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn protocols(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

fn bad_id(error: &IdError) -> Problem {
    bad(error.to_string())
}
