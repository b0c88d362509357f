//! What the query of a request says.

use std::{borrow::Cow, ops::RangeInclusive};

use percent_encoding::percent_decode_str;

use crate::{
    domain::{Timestamp, Version},
    history::When,
    server::problem::{Code, Problem},
    spelling::nearest,
};

/// The parameters, as they came.
#[derive(Debug, Clone)]
pub(in crate::server) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that may have the `known` parameters, each once.
    pub(in crate::server) fn read(query: &str, known: &[&str]) -> Result<Self, Problem> {
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(bad("the query is not UTF-8"));
        }
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                return Err(unknown(&name, known));
            }
            if read.iter().any(|(other, _)| *other == name) {
                return Err(bad(format!("the query has `{name}` twice")));
            }
            read.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(read))
    }

    /// A parameter.
    pub(in crate::server) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// One of several words; the first one where the parameter is left out.
    pub(in crate::server) fn one_of<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> Result<T, Problem> {
        let Some(value) = self.text(name) else { return Ok(all[0].1) };
        all.iter().find(|(text, _)| *text == value).map(|(_, it)| *it).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|(text, _)| *text).collect();
            bad(format!("`{name}` must be one of {}", names.join(", ")))
        })
    }

    /// A whole number in a range.
    pub(in crate::server) fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let allowed = || match *range.end() {
            u64::MAX => format!("{} or more", range.start()),
            end => format!("{} to {end}", range.start()),
        };
        number.map(Some).ok_or_else(|| bad(format!("`{name}` must be a whole number, {}", allowed())))
    }

    /// A version.
    pub(in crate::server) fn version(&self, name: &str) -> Result<Option<Version>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let version = text.parse().ok().map(Version);
        version.map(Some).ok_or_else(|| bad(format!("`{name}` must be a document version: 0, 1, 2, …")))
    }

    /// `true` or `false`.
    pub(in crate::server) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad(format!("`{name}` must be true or false"))),
        }
    }

    /// `version` or `at`; now, without either.
    pub(in crate::server) fn when(&self) -> Result<When, Problem> {
        match (self.version("version")?, self.text("at")) {
            (Some(_), Some(_)) => Err(bad("`version` and `at` exclude each other")),
            (Some(version), None) => Ok(When::Version(version)),
            (None, Some(time)) => Timestamp::parse_rfc3339(&with_plus(time))
                .map(When::Moment)
                .map_err(|error| bad(format!("`at`: {error}"))),
            (None, None) => Ok(When::Now),
        }
    }
}

/// A time whose offset lost its `+`, which stands for a space in a query: `10:20:10 01:00`.
fn with_plus(time: &str) -> Cow<'_, str> {
    let sign = time.len().wrapping_sub("+00:00".len());
    match time.as_bytes().get(sign) {
        Some(b' ') => Cow::Owned(format!("{}+{}", &time[..sign], &time[sign + 1..])),
        _ => Cow::Borrowed(time),
    }
}

/// Names a parameter that is not known, and the one that may have been meant.
fn unknown(name: &str, known: &[&str]) -> Problem {
    let meant = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the parameters here are {}", known.join(", ")),
    };
    // A name that is longer than any of ours says nothing more at its end.
    let name: String = name.chars().take(64).collect();
    Problem::new(Code::UnknownParameter, format!("the query has the unknown parameter `{name}`; {meant}"))
}

pub(in crate::server) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["version", "at", "limit", "follow", "a"];

    fn query(text: &str) -> Query {
        Query::read(text, KNOWN).unwrap()
    }

    fn refused<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
        let problem = answer.unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        problem.detail
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused(Query::read("a=%ff", KNOWN)).contains("UTF-8"));
        assert!(refused(Query::read("limit=1&limit=1", KNOWN)).contains("`limit` twice"));
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
        assert_eq!(query("at=1970-01-01T00:00:01%2B00:00&a=%26").when(), Ok(When::Moment(Timestamp(1_000_000))));
    }

    #[test]
    fn the_plus_of_an_offset_may_be_bare() {
        let hour_before = Ok(When::Moment(Timestamp(1_000_000)));
        assert_eq!(query("at=1970-01-01T01:00:01+01:00").when(), hour_before);
        assert_eq!(query("at=1970-01-01T01:00:01.000+01:00").when(), hour_before);
        assert_eq!(query("at=1970-01-01T00:00:01Z").when(), hour_before);
        for odd in ["at=+00:00", "at=1970-01-01+00:00", "at=ä+00:00", "at=+ä+0:0", "at=+"] {
            assert!(refused(query(odd).when()).contains("`at`"), "{odd}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_one_that_was_meant() {
        let problem = Query::read("verson=1", KNOWN).unwrap_err();
        assert_eq!(problem.code, Code::UnknownParameter);
        assert_eq!(problem.detail, "the query has the unknown parameter `verson`; did you mean `version`?");
        let far = refused(Query::read("color=red", KNOWN));
        assert!(far.ends_with("`color`; the parameters here are version, at, limit, follow, a"), "{far}");
        assert!(refused(Query::read(&"x".repeat(10_000), KNOWN)).len() < 200);
        assert!(Query::read("", &[]).is_ok());
    }
}
