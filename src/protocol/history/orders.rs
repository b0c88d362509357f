//! What a server asks to be done to a document.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::{
    Natural,
    document::WireOperation,
    schema::{Id, InsertOp, Name},
};

/// A document to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "Creation", extend("not" = {"required": ["content", "delta"]}))]
pub struct CreateJson {
    /// Its name; made up when absent.
    #[schemars(with = "Option<Id>")]
    pub id: Option<String>,
    /// Its first text; not together with `delta`.
    pub content: Option<String>,
    /// Its first text with its formatting: a list of inserts.
    #[schemars(with = "Option<Vec<InsertOp>>")]
    pub delta: Option<Box<RawValue>>,
    /// A name for this request, with which sending it again is safe; or the header `Idempotency-Key`.
    #[schemars(with = "Option<Name>")]
    pub message_id: Option<String>,
}

/// An edit to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "EditOrder")]
pub struct EditJson {
    /// The change.
    #[schemars(with = "WireOperation")]
    pub operation: Box<RawValue>,
    /// The version that its positions refer to.
    #[schemars(with = "crate::domain::Version")]
    pub version: Natural,
    /// A name for this request, with which sending it again is safe; or the header `Idempotency-Key`.
    #[schemars(with = "Option<Name>")]
    pub message_id: Option<String>,
}

/// A version to be brought back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "RestoreOrder")]
pub struct RestoreJson {
    /// Which.
    #[schemars(with = "crate::domain::Version")]
    pub version: Natural,
    /// A name for this request, with which sending it again is safe; or the header `Idempotency-Key`.
    #[schemars(with = "Option<Name>")]
    pub message_id: Option<String>,
}
