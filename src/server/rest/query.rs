//! What the query of a request says.

use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;

use crate::{
    domain::{Timestamp, Version},
    history::When,
    server::problem::{Code, Problem},
};

/// The parameters, as they came. Those that nobody asks for are ignored.
#[derive(Debug)]
pub(in crate::server) struct Query(Vec<(String, String)>);

impl Query {
    pub(in crate::server) fn read(query: &str) -> Result<Self, Problem> {
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(bad("the query is not UTF-8"));
        }
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }

    /// A parameter; it may be there once.
    pub(in crate::server) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut all = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value);
        let first = all.next();
        if all.next().is_some() {
            return Err(bad(format!("the query has `{name}` twice")));
        }
        Ok(first)
    }

    /// A whole number in a range.
    pub(in crate::server) fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let allowed = || match *range.end() {
            u64::MAX => format!("{} or more", range.start()),
            end => format!("{} to {end}", range.start()),
        };
        number.map(Some).ok_or_else(|| bad(format!("`{name}` must be a whole number, {}", allowed())))
    }

    /// A version.
    pub(in crate::server) fn version(&self, name: &str) -> Result<Option<Version>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let version = text.parse().ok().map(Version);
        version.map(Some).ok_or_else(|| bad(format!("`{name}` must be a document version: 0, 1, 2, …")))
    }

    /// `true` or `false`.
    pub(in crate::server) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad(format!("`{name}` must be true or false"))),
        }
    }

    /// `version` or `at`; now, without either.
    pub(in crate::server) fn when(&self) -> Result<When, Problem> {
        match (self.version("version")?, self.text("at")?) {
            (Some(_), Some(_)) => Err(bad("`version` and `at` exclude each other")),
            (Some(version), None) => Ok(When::Version(version)),
            (None, Some(time)) => {
                Timestamp::parse_rfc3339(time).map(When::Moment).map_err(|error| bad(format!("`at`: {error}")))
            }
            (None, None) => Ok(When::Now),
        }
    }
}

pub(in crate::server) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::read(text).unwrap()
    }

    fn refused<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
        let problem = answer.unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        problem.detail
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused(Query::read("a=%ff")).contains("UTF-8"));
        assert!(refused(query("limit=1&limit=1").number("limit", 1..=9)).contains("`limit` twice"));
        for text in ["limit=0", "limit=10", "limit=x", "limit=", "limit=-1", "limit=1.0"] {
            assert_eq!(refused(query(text).number("limit", 1..=9)), "`limit` must be a whole number, 1 to 9", "{text}");
        }
        assert!(refused(query("follow=1").flag("follow")).contains("`follow` must be true or false"));
        assert!(refused(query("version=-1").when()).contains("`version`"));
        assert!(refused(query("at=yesterday").when()).contains("`at`"));
        assert!(refused(query("at=2026-11-21T10:20:10Z&version=1").when()).contains("exclude"));
    }

    #[test]
    fn the_past_has_two_names() {
        assert_eq!(query("").when(), Ok(When::Now));
        assert_eq!(query("version=18446744073709551615").when(), Ok(When::Version(Version(u64::MAX))));
        assert_eq!(query("at=1970-01-01T00:00:01%2B00:00&x=%26").when(), Ok(When::Moment(Timestamp(1_000_000))));
    }
}
