//! Examples, taken from what is really said and answered: a test compares them with it.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One of each message of the dialect, by its name in the description.
pub(super) static MESSAGES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("messages.json")).expect("an object"));

/// What is asked over HTTP and answered, one after the other.
pub(super) static EXCHANGES: LazyLock<Vec<Exchange>> =
    LazyLock::new(|| serde_json::from_str(include_str!("exchanges.json")).expect("a list of exchanges"));

/// A question and its answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) method: String,
    path: String,
    /// The form of what is sent.
    #[serde(rename = "as", default = "json")]
    pub(super) sent_as: String,
    /// A text, where it is no JSON.
    pub(super) sends: Option<Value>,
    pub(super) status: u16,
    /// The form of the answer.
    #[serde(default = "json")]
    pub(super) form: String,
    pub(super) answers: Option<Value>,
}

impl Exchange {
    /// Its address without the query.
    pub(super) fn address(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

fn json() -> String {
    "application/json".to_owned()
}
