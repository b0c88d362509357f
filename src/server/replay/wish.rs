//! What a watcher asks for: the part of the query that is about the replay.

use std::time::Duration;

use crate::{
    domain::Version,
    protocol::document::Speed,
    server::{
        problem::Problem,
        rest::{Query, bad},
    },
    settings::parse_duration,
};

/// From where to where, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::server) struct Wish {
    /// Where it begins.
    pub(super) from: Version,
    /// Where it ends; `None` for the end as it is found.
    pub(super) to: Option<Version>,
    pub(super) speed: Speed,
    /// No pause between two events is longer than this, before `speed`.
    pub(super) max_pause: Option<Duration>,
    /// Whether it waits to be resumed before it begins.
    pub(super) paused: bool,
}

impl Wish {
    pub(in crate::server) fn read(query: &Query) -> Result<Self, Problem> {
        let (from, to) = (query.version("from")?.unwrap_or_default(), query.version("to")?);
        if to.is_some_and(|to| to < from) {
            return Err(bad("`to` must not be before `from`"));
        }
        let speed = match query.text("speed") {
            None => Speed::ORIGINAL,
            Some(text) => text
                .parse()
                .ok()
                .and_then(Speed::new)
                .ok_or_else(|| bad(format!("`speed` must be {}", Speed::EXPECTED)))?,
        };
        let max_pause = match query.text("max_pause") {
            None => None,
            Some(text) => {
                Some(parse_duration(text).ok_or_else(|| bad("`max_pause` must be a duration like 500ms, 2s or 1m"))?)
            }
        };
        Ok(Self { from, to, speed, max_pause, paused: query.flag("paused")?.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use crate::server::rest::{REPLAY, query_of};

    use super::*;

    fn read(query: &str) -> Result<Wish, Problem> {
        Wish::read(&query_of(REPLAY, query)?)
    }

    #[test]
    fn what_is_asked_for_is_read_and_what_is_wrong_is_named() {
        let all = read("from=2&to=5&speed=2.5&max_pause=2s&paused=true&name=y").unwrap();
        assert_eq!((all.from, all.to, all.speed), (Version(2), Some(Version(5)), Speed::new(2.5).unwrap()));
        assert_eq!((all.max_pause, all.paused), (Some(Duration::from_secs(2)), true));
        let none = read("").unwrap();
        assert_eq!((none.from, none.to, none.speed), (Version(0), None, Speed::ORIGINAL));
        assert_eq!((none.max_pause, none.paused), (None, false));
        assert!(read("from=3&to=3").is_ok());
        for (query, name) in [
            ("from=-1", "`from`"),
            ("to=x", "`to`"),
            ("from=3&to=2", "`to`"),
            ("speed=fast", "`speed`"),
            ("speed=-1", "`speed`"),
            ("speed=NaN", "`speed`"),
            ("speed=inf", "`speed`"),
            ("speed=1e-9", "`speed`"),
            ("max_pause=2", "`max_pause`"),
            ("paused=maybe", "`paused`"),
            ("speed=1&speed=1", "`speed` twice"),
        ] {
            let problem = read(query).unwrap_err();
            assert!(problem.status() == 400 && problem.detail.contains(name), "{query}: {}", problem.detail);
        }
    }
}
