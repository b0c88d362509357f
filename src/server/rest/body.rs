//! Bodies of requests: in which form they are accepted.

use bytes::{Buf, Bytes};
use http::{HeaderMap, header};
use mime::Mime;

use crate::server::problem::{Code, Problem};

/// What some editors put before a text to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether the headers announce a body that can be read: neither compressed nor in another charset than UTF-8.
pub(super) fn check_form(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).into_iter().map(|it| it.to_str().unwrap_or("?"));
    if let Some(coding) = codings.flat_map(|all| all.split(',')).map(str::trim).find(|it| !is_identity(it)) {
        let detail = format!("the body must be sent as it is, without `Content-Encoding: {coding}`");
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let charset = content_type(headers).and_then(|kind| kind.get_param(mime::CHARSET).map(|it| it.to_string()));
    match charset {
        // ASCII is part of UTF-8.
        Some(name) if !["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
            Err(Problem::new(Code::UnsupportedMediaType, format!("the body must be UTF-8, not `{name}`")))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_identity(coding: &str) -> bool {
    coding.is_empty() || coding.eq_ignore_ascii_case("identity")
}

/// The media type of a body, where it is given and well-formed.
pub(super) fn content_type(headers: &HeaderMap) -> Option<Mime> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}

/// A body without the byte order mark that it may begin with.
pub(super) fn without_mark(mut body: Bytes) -> Bytes {
    if body.starts_with(BYTE_ORDER_MARK) {
        body.advance(BYTE_ORDER_MARK.len());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_body_is_plain_utf_8() {
        for kind in
            ["text/plain", "text/html; charset=UTF-8", "text/html;charset=\"utf8\"", "a/b; charset=us-ascii", "?"]
        {
            assert_eq!(check_form(&headers(&[("content-type", kind)])), Ok(()), "{kind}");
        }
        for coding in ["", "identity", "Identity, identity"] {
            assert_eq!(check_form(&headers(&[("content-encoding", coding)])), Ok(()), "{coding}");
        }
        for (name, value, named) in [
            ("content-type", "text/html; charset=iso-8859-1", "`iso-8859-1`"),
            ("content-type", "application/json; charset=\"UTF-16\"", "`utf-16`"),
            ("content-encoding", "gzip", "`Content-Encoding: gzip`"),
            ("content-encoding", "identity, br", "`Content-Encoding: br`"),
        ] {
            let problem = check_form(&headers(&[(name, value)])).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedMediaType);
            assert!(problem.detail.to_lowercase().contains(&named.to_lowercase()), "{value}: {}", problem.detail);
        }
    }

    #[test]
    fn one_byte_order_mark_at_the_start_is_dropped() {
        assert_eq!(without_mark("\u{feff}{}".into()), "{}");
        assert_eq!(without_mark("\u{feff}\u{feff}".into()), "\u{feff}");
        assert_eq!(without_mark("{}\u{feff}".into()), "{}\u{feff}");
        assert_eq!(without_mark(Bytes::new()), "");
    }
}
