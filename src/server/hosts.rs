//! Refuses requests for hosts that the service is not known by, before anything else about them is looked at.

use http::{HeaderMap, Uri, Version, header};

use crate::settings::{Host, Settings};

use super::problem::{Code, Problem};

/// Every host that a request names, in its request line and in `Host`, must be one that the service is known by. HTTP/1.0,
/// which no browser speaks, need not name any.
pub(super) fn check(uri: &Uri, version: Version, headers: &HeaderMap, settings: &Settings) -> Result<(), Problem> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => Some(host.to_str().unwrap_or_default()),
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => return Err(Problem::new(Code::InvalidRequest, "the header `Host` is missing")),
        (Some(_), Some(_)) => return Err(Problem::new(Code::InvalidRequest, "there is more than one `Host`")),
    };
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let is_known = |authority: &str| Host::of_request(authority).is_some_and(|host| settings.is_known_by(&host));
    match host.into_iter().chain(authority).find(|it| !is_known(it)) {
        None => Ok(()),
        Some(host) => Err(Problem::new(
            Code::MisdirectedRequest,
            format!("this service is not known by the host {host:?}; see `server.allowed_hosts`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(uri: &str, version: Version, hosts: &[&str]) -> Option<Code> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        check(&uri.parse().unwrap(), version, &headers, &Settings::default()).err().map(|problem| problem.code)
    }

    #[test]
    fn every_host_that_a_request_names_must_be_known() {
        let http_11 = Version::HTTP_11;
        assert_eq!(code("/", http_11, &["localhost:8080"]), None);
        assert_eq!(code("http://127.0.0.1:8080/", http_11, &["localhost:8080"]), None);
        assert_eq!(code("/", http_11, &["evil.example"]), Some(Code::MisdirectedRequest));
        assert_eq!(code("http://evil.example/", http_11, &["localhost"]), Some(Code::MisdirectedRequest));
        assert_eq!(code("http://localhost/", http_11, &["evil.example"]), Some(Code::MisdirectedRequest));
        assert_eq!(code("/", http_11, &[""]), Some(Code::MisdirectedRequest));
    }

    #[test]
    fn http_1_1_names_one_host() {
        assert_eq!(code("/", Version::HTTP_11, &[]), Some(Code::InvalidRequest));
        assert_eq!(code("/", Version::HTTP_11, &["localhost", "localhost"]), Some(Code::InvalidRequest));
        assert_eq!(code("/", Version::HTTP_10, &[]), None);
        assert_eq!(code("/", Version::HTTP_10, &["evil.example"]), Some(Code::MisdirectedRequest));
    }
}
