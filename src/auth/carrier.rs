//! Where a request carries its token.

use std::fmt;

/// What a request for a WebSocket brought along.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried<'a> {
    /// The token, unchecked.
    pub token: Option<&'a str>,
    /// Whether the client offered the subprotocol `bearer`: the answer must then accept it, or browsers hang up.
    pub offers_bearer: bool,
}

impl fmt::Debug for Carried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.map(|_| "…");
        f.debug_struct("Carried").field("token", &token).field("offers_bearer", &self.offers_bearer).finish()
    }
}

/// Finds the token: in `Authorization: Bearer <token>`, else after `bearer` in `Sec-WebSocket-Protocol`, else in
/// the query's `token`. Each argument is the raw value (the query's percent-decoded), `None` where it is absent.
pub fn carried<'a>(query: Option<&'a str>, authorization: Option<&'a str>, protocols: Option<&'a str>) -> Carried<'a> {
    let (offers_bearer, second) = protocols.map_or((false, None), from_protocols);
    let token = authorization.and_then(from_authorization).or(second).or(query).filter(|token| !token.is_empty());
    Carried { token, offers_bearer }
}

/// Another scheme, e.g. a proxy's `Basic`, is none of our business.
fn from_authorization(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn from_protocols(header: &str) -> (bool, Option<&str>) {
    let mut entries = header.split(',').map(str::trim);
    let offered = entries.any(|entry| entry.eq_ignore_ascii_case("bearer"));
    (offered, entries.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_in_the_query_in_a_header_or_as_a_subprotocol() {
        assert_eq!(carried(Some("t"), None, None), Carried { token: Some("t"), offers_bearer: false });
        assert_eq!(carried(None, Some("Bearer t"), None).token, Some("t"));
        assert_eq!(carried(None, Some("bearer  t"), None).token, Some("t"));
        assert_eq!(carried(None, None, Some("bearer, t")), Carried { token: Some("t"), offers_bearer: true });
        assert_eq!(carried(None, None, Some("bearer,t,collab.v1")).token, Some("t"));
        assert_eq!(carried(None, None, None), Carried::default());
    }

    #[test]
    fn what_is_not_a_bearer_token_is_no_token() {
        assert_eq!(carried(None, Some("Basic dTpw"), None).token, None);
        assert_eq!(carried(Some("t"), Some("Basic dTpw"), None).token, Some("t"));
        assert_eq!(carried(None, Some("Bearer"), None).token, None);
        assert_eq!(carried(Some(""), None, None).token, None);
        assert_eq!(carried(None, None, Some("collab.v1, t")), Carried::default());
        assert_eq!(carried(None, None, Some("bearer")), Carried { token: None, offers_bearer: true });
    }

    #[test]
    fn the_header_counts_first_and_the_subprotocol_is_still_answered() {
        let all = carried(Some("query"), Some("Bearer header"), Some("bearer, protocol"));
        assert_eq!(all, Carried { token: Some("header"), offers_bearer: true });
        assert_eq!(carried(Some("query"), None, Some("bearer, protocol")).token, Some("protocol"));
    }

    #[test]
    fn a_token_does_not_show() {
        assert!(!format!("{:?}", carried(Some("sesame"), None, None)).contains("sesame"));
    }
}
