//! What a client asks for when it opens a document: path, query and headers, read into types.

use http::{HeaderMap, Method, Uri, header};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::{
    auth::{GuestQuery, carried},
    domain::{ClientId, DocumentId, IdError, PositionEncoding, Version},
    live::SERVERS,
    protocol::document::Form,
};

use super::{
    problem::{Code, Problem},
    rest::{Query, bad},
};

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

impl OpenRequest {
    /// Reads the path segment after `/v1/ws/documents/`, the query and the headers.
    pub(super) fn read(segment: &str, query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        let document_id = percent_decode_str(segment).decode_utf8().map_err(|_| bad("the path is not UTF-8"))?;
        let document_id = DocumentId::from_client(&document_id).map_err(|error| bad_id(&error))?;
        let client_id = match query.text("client_id") {
            Some(id) => ClientId::parse(id),
            None => ClientId::parse(&format!("client-{}", Uuid::new_v4().simple())),
        };
        if query.text("client_id") == Some(SERVERS) {
            // It would take the edits that its user makes over HTTP for its own.
            return Err(bad("`client_id` must not be `server`, which stands for edits that were made over HTTP"));
        }
        let guest = GuestQuery::parse(query.text("user_id"), query.text("name"), query.text("color"));
        let token = carried(query.text("token"), text(headers, header::AUTHORIZATION), protocols(headers));
        let encodings = [("utf-16", PositionEncoding::Utf16), ("utf-32", PositionEncoding::Utf32)];
        Ok(Self {
            document_id,
            client_id: client_id.map_err(|error| bad_id(&error))?,
            since: query.version("since")?,
            encoding: query.one_of("position_encoding", &encodings)?,
            form: query.one_of("operations", &[("simple", Form::Simple), ("delta", Form::Delta)])?,
            batch: query.one_of("batch", &[("false", false), ("true", true)])?,
            guest: guest.map_err(|error| bad(error.to_string()))?,
            offers_bearer: token.offers_bearer,
            token: token.token.map(str::to_owned),
        })
    }
}

/// Whether a page of this origin may do this: the service's own, or an allowed one. A request without `Origin` does not come
/// from a page that may change something, unless the browser says that it does.
pub(super) fn check_origin(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let is_own = |origin: &str| {
        let host = text(headers, header::HOST);
        let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
        matches!((host, authority), (Some(host), Some(authority)) if host.eq_ignore_ascii_case(&authority))
    };
    let is_allowed =
        |it: &String| it == "*" || origin.is_some_and(|origin| it.trim_end_matches('/').eq_ignore_ascii_case(origin));
    let is_harmless = match origin {
        Some(origin) => is_own(origin),
        None => method.is_safe() || !is_from_elsewhere(headers),
    };
    if is_harmless || allowed.iter().any(is_allowed) {
        return Ok(());
    }
    Err(Problem::new(Code::ForbiddenOrigin, "this origin is not allowed; see `server.allowed_origins`"))
}

/// Whether a browser says that it asks for a page of another site or origin.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn protocols(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

fn bad_id(error: &IdError) -> Problem {
    bad(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(method: &Method, headers: &[(&'static str, &str)], allowed: &[&str]) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        let allowed: Vec<_> = allowed.iter().map(|it| (*it).to_owned()).collect();
        check_origin(method, &headers.collect(), &allowed).is_ok()
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let asks =
            |origin, allowed: &[&str]| passes(&Method::GET, &[("host", "a.example:8080"), ("origin", origin)], allowed);
        assert!(asks("http://a.example:8080", &[]) && asks("http://A.example:8080", &[]));
        for origin in ["http://a.example", "http://b.example:8080", "null", ""] {
            assert!(!asks(origin, &["https://c.example"]), "{origin}");
            assert!(asks(origin, &["*"]), "{origin}");
        }
        assert!(asks("https://C.example", &["https://c.example/"]));
    }

    #[test]
    fn a_page_of_elsewhere_that_names_no_origin_may_change_nothing() {
        let asks = |method, site, allowed: &[&str]| {
            passes(&method, &[("host", "localhost:8080"), ("sec-fetch-site", site)], allowed)
        };
        for site in ["cross-site", "same-site", "whatever-comes"] {
            assert!(!asks(Method::POST, site, &["https://c.example"]), "{site}");
            assert!(!asks(Method::DELETE, site, &[]), "{site}");
            assert!(asks(Method::GET, site, &[]) && asks(Method::POST, site, &["*"]), "{site}");
        }
        for site in ["same-origin", "none"] {
            assert!(asks(Method::POST, site, &[]), "{site}");
        }
        assert!(passes(&Method::POST, &[("host", "localhost:8080")], &[]), "it is no browser");
    }
}
