//! A moment, and how it is written.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// A moment of the server's clock: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads RFC 3339, e.g. `2026-11-21T10:20:10.039Z`; what is finer than a microsecond is cut off.
    pub fn parse_rfc3339(text: &str) -> Result<Self, NotATime> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| NotATime { given: text.to_owned() })?;
        Ok(Self(time.timestamp_micros()))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with everything that the timestamp knows, so that what is read again is the same moment:
    /// `2026-11-21T10:20:10.039175Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond chrono's years (±262,000) there is no date to write; such a moment shows as the last one.
        let last = if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        let time = DateTime::from_timestamp_micros(self.0).unwrap_or(last);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a time like 2026-11-21T10:20:10Z")]
pub struct NotATime {
    given: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_microseconds() {
        let time = Timestamp(1_795_256_410_039_175);
        assert_eq!(time.to_string(), "2026-11-21T10:20:10.039175Z");
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_written_can_be_read() {
        for micros in [0, -1, 1, 1_795_256_410_039_175] {
            assert_eq!(Timestamp::parse_rfc3339(&Timestamp(micros).to_string()), Ok(Timestamp(micros)));
        }
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T01:00:00+01:00"), Ok(Timestamp(0)));
        assert!(Timestamp::parse_rfc3339("yesterday").is_err());
    }

    #[test]
    fn no_number_is_too_large_to_write() {
        assert!(!Timestamp(i64::MAX).to_string().is_empty() && !Timestamp(i64::MIN).to_string().is_empty());
    }
}
