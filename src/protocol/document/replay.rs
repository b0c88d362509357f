//! A document that is watched while it is written once more: what watchers send, and what they are told about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{ClientId, MessageId, Timestamp, Version},
    protocol::{
        Natural, Refusal,
        schema::{Id, Time},
    },
};

use super::{
    ClientMessage, Reader, Token,
    client::{read_ping, unknown},
    reading::read,
    server::{Told, encode},
    system::read_token,
};

/// What a watcher may say.
#[derive(Debug, Clone)]
pub enum WatcherEvent {
    /// `replay`/`seek`
    Seek(Sought),
    /// `replay`/`speed`
    Speed(Speed),
    /// `replay`/`pause`
    Pause,
    /// `replay`/`resume`
    Resume,
    /// `system`/`ping`
    Ping {
        /// The client's clock, given back as it came.
        timestamp: Value,
    },
    /// `system`/`authenticate`
    Authenticate {
        /// The token that takes the place of the connection's.
        token: Token,
    },
}

/// Where a watcher wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// At a version, with what was said about it before the next one.
    Version(Version),
    /// At a moment.
    Moment(Timestamp),
}

/// How many times faster than it happened; 0 is at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Speed(f64);

/// The speeds there are beside 0.
const SLOWEST: f64 = 0.001;
const FASTEST: f64 = 1_000_000.0;

impl Speed {
    /// As it happened.
    pub const ORIGINAL: Self = Self(1.0);

    /// A speed, where there is this one.
    pub fn new(times: f64) -> Option<Self> {
        (times == 0.0 || (SLOWEST..=FASTEST).contains(&times)).then_some(Self(times.abs()))
    }

    /// What must be given.
    pub const EXPECTED: &'static str = "0 (at once) or 0.001 to 1,000,000 times as fast as it happened";

    /// How many times faster; `None` for at once.
    pub fn times(self) -> Option<f64> {
        (self.0 > 0.0).then_some(self.0)
    }
}

/// Goes to a version or to a moment.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "Seek")]
#[schemars(extend("oneOf" = [{"required": ["version"]}, {"required": ["time"]}]))]
pub(super) struct SeekData {
    #[schemars(with = "Option<Version>")]
    version: Option<Natural>,
    #[schemars(with = "Option<Time>")]
    time: Option<String>,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

/// How many times faster than it happened from now on; 0 is at once.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "Speed")]
pub(super) struct SpeedData {
    speed: f64,
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

/// The replay waits, or goes on.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "PauseOrResume")]
pub(super) struct HoldData {
    #[schemars(with = "Option<Id>")]
    document_id: Option<String>,
}

const EVENTS: &str = "replay/seek, replay/speed, replay/pause, replay/resume, system/authenticate or system/ping";

impl Reader {
    /// Reads a text frame of a watcher, as [`Reader::read_frame`].
    pub fn read_watchers_frame<'a>(
        &'a self,
        frame: &'a str,
    ) -> Result<impl Iterator<Item = Result<ClientMessage<WatcherEvent>, Refusal>> + 'a, Refusal> {
        self.read_frame_of(frame, Self::read_watchers_event)
    }

    fn read_watchers_event(&self, event: (&str, &str), data: &RawValue) -> Result<WatcherEvent, Refusal> {
        match event {
            ("replay", "seek") => self.read_seek(data).map(WatcherEvent::Seek),
            ("replay", "speed") => self.read_speed(data).map(WatcherEvent::Speed),
            ("replay", event @ ("pause" | "resume")) => {
                let HoldData { document_id } = read(data.get(), "data")?;
                self.check_document(document_id.as_deref())?;
                Ok(if event == "pause" { WatcherEvent::Pause } else { WatcherEvent::Resume })
            }
            ("system", "ping") => read_ping(data).map(|timestamp| WatcherEvent::Ping { timestamp }),
            ("system", "authenticate") => read_token(data).map(|token| WatcherEvent::Authenticate { token }),
            (kind, event) => Err(unknown(kind, event, EVENTS)),
        }
    }

    fn read_seek(&self, data: &RawValue) -> Result<Sought, Refusal> {
        let SeekData { version, time, document_id } = read(data.get(), "data")?;
        self.check_document(document_id.as_deref())?;
        match (version, time) {
            (Some(version), None) => Ok(Sought::Version(version.into())),
            (None, Some(time)) => Timestamp::parse_rfc3339(&time)
                .map(Sought::Moment)
                .map_err(|_| Refusal::invalid("data.time", "a time like 2026-11-21T10:20:10Z")),
            _ => Err(Refusal::invalid("data", "an object with either `version` or `time`")),
        }
    }

    fn read_speed(&self, data: &RawValue) -> Result<Speed, Refusal> {
        let SpeedData { speed, document_id } = read(data.get(), "data")?;
        self.check_document(document_id.as_deref())?;
        Speed::new(speed).ok_or_else(|| Refusal::invalid("data.speed", Speed::EXPECTED))
    }
}

/// `replay`/`state`: where a replay is, and how it goes on.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReplayState {
    /// The version that the watcher has.
    pub version: Version,
    /// The moment that is shown, RFC 3339: that of the last event, or the one that was sought; null before the first.
    #[schemars(with = "Option<Time>")]
    pub time: Option<String>,
    /// How many times faster than it happened.
    pub speed: Speed,
    /// Whether it waits to be resumed.
    pub paused: bool,
    /// The version after which it ends.
    pub to: Version,
}

impl Told for &ReplayState {
    const NAME: (&'static str, &'static str) = ("replay", "state");
}

/// Tells where a replay is, to the message that asked for it, if one did.
pub fn replay_state(state: &ReplayState, asked_by: (Option<&ClientId>, Option<&MessageId>)) -> String {
    encode(state, asked_by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_speeds_that_make_sense_and_no_others() {
        for good in [0.0, -0.0, 0.001, 1.0, 2.5, 1_000_000.0] {
            assert!(Speed::new(good).is_some(), "{good}");
        }
        for bad in [-1.0, 0.0001, 1_000_000.5, f64::NAN, f64::INFINITY] {
            assert!(Speed::new(bad).is_none(), "{bad}");
        }
        assert_eq!((Speed::new(0.0).unwrap().times(), Speed::ORIGINAL.times()), (None, Some(1.0)));
    }
}
