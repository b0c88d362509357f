//! The types of settings, and how each is written in a file and in the environment.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

use crate::telemetry::logging::Format as LogFormat;

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What may be written, for people.
    const ALLOWED: &'static str;
    /// Reads an environment variable, or a string in a file; `None` where it makes no sense.
    fn from_text(text: &str) -> Option<Self>;
    /// Reads a value in a file; strings alone, unless the type says more.
    fn from_value(value: &Value) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }
    /// How a bound of a range is shown.
    fn show(&self) -> String {
        String::new()
    }
}

/// A text that never appears in a log: its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The address of a database. It may hold a password, so its `Debug` and `Display` forms leave that out.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes an address as it is.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, password included. Do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The file of an SQLite database.
    pub fn file(&self) -> Option<&Path> {
        let rest = self.0.strip_prefix("sqlite:")?;
        Some(Path::new(rest.strip_prefix("//").unwrap_or(rest)))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://").filter(|(scheme, _)| scheme.starts_with("postgres")) else {
            return f.write_str(&self.0);
        };
        // Who comes in stands before the place, and may stand behind it as well.
        let (hidden, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("…@", place));
        let place = place.split_once('?').map_or(place, |(place, _)| place);
        write!(f, "{scheme}://{hidden}{place}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A number of bytes, also written `16KiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct Bytes(usize);

impl From<usize> for Bytes {
    fn from(bytes: usize) -> Self {
        Self(bytes)
    }
}

impl From<Bytes> for usize {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

const BYTE_UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Setting for Bytes {
    const ALLOWED: &'static str = "a number of bytes, or a size like \"16KiB\" or \"1MiB\"";
    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) =
            BYTE_UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
        number.trim_end().parse::<usize>().ok()?.checked_mul(unit).map(Self)
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value.as_integer() {
            Some(bytes) => bytes.try_into().ok().map(Self),
            None => Self::from_text(value.as_str()?),
        }
    }
    fn show(&self) -> String {
        match BYTE_UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => format!("{}{name}", self.0 / unit),
            None => self.0.to_string(),
        }
    }
}

const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Setting for Duration {
    const ALLOWED: &'static str = "a duration like \"50ms\", \"30s\", \"5m\" or \"2h\"";
    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let millis = TIME_UNITS.iter().find_map(|(name, millis)| (*name == unit).then_some(*millis))?;
        number.parse::<u64>().ok()?.checked_mul(millis).map(Self::from_millis)
    }
    fn show(&self) -> String {
        let millis = self.as_millis();
        let whole = |unit: &&(&str, u64)| millis > 0 && millis.is_multiple_of(u128::from(unit.1));
        match TIME_UNITS.iter().rev().find(whole) {
            Some((name, unit)) => format!("\"{}{name}\"", millis / u128::from(*unit)),
            None => "\"0s\"".to_owned(),
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ty)+) => {$(
        impl Setting for $type {
            const ALLOWED: &'static str = "a whole number";
            fn from_text(text: &str) -> Option<Self> {
                text.replace('_', "").parse().ok()
            }
            fn from_value(value: &Value) -> Option<Self> {
                value.as_integer()?.try_into().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

whole_numbers!(u32 u64 usize);

impl Setting for bool {
    const ALLOWED: &'static str = "true or false";
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Setting for String {
    const ALLOWED: &'static str = "a text";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Setting for Secret {
    const ALLOWED: &'static str = "a text";
    fn from_text(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }
}

impl Setting for PathBuf {
    const ALLOWED: &'static str = "the path of a file";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

/// The empty text means that there is none, so that a later layer can take away what an earlier one set.
impl<T: Setting> Setting for Option<T> {
    const ALLOWED: &'static str = T::ALLOWED;
    fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::from_text(text).map(Some) }
    }
    fn from_value(value: &Value) -> Option<Self> {
        if value.as_str() == Some("") { Some(None) } else { T::from_value(value).map(Some) }
    }
}

impl Setting for Vec<String> {
    const ALLOWED: &'static str = "a list of texts like [\"a\", \"b\"] (in the environment as JSON)";
    fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

impl Setting for DatabaseUrl {
    const ALLOWED: &'static str = "an address like \"sqlite://data/scriptorium.db\" or \
        \"postgres://user:password@host:5432/database\"";
    fn from_text(text: &str) -> Option<Self> {
        let (scheme, place) = text.split_once(':')?;
        let is_known = matches!(scheme, "sqlite" | "postgres" | "postgresql");
        (is_known && !place.trim_start_matches('/').is_empty()).then(|| Self::new(text))
    }
}

/// How people prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// Not at all: everybody is a guest with every permission.
    None,
    /// With a JSON Web Token.
    Jwt,
}

impl Setting for AuthMode {
    const ALLOWED: &'static str = "\"none\" or \"jwt\"";
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "jwt" => Some(Self::Jwt),
            _ => None,
        }
    }
}

/// By which way nodes ring for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorbellWay {
    /// By the database that they share.
    Postgres,
    /// By a NATS.
    Nats,
}

impl Setting for DoorbellWay {
    const ALLOWED: &'static str = "\"postgres\" or \"nats\"";
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "postgres" => Some(Self::Postgres),
            "nats" => Some(Self::Nats),
            _ => None,
        }
    }
}

impl Setting for LogFormat {
    const ALLOWED: &'static str = "\"text\" or \"json\"";
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
