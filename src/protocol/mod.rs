//! What crosses the wire, and its conversion to the domain's words and back. Pure.

pub mod document;
mod error;
pub mod frames;
pub mod history;
mod json;
pub mod schema;
mod whole;

pub use error::{ErrorCode, ErrorJson, Refusal};
pub use json::OpsJson;
pub use whole::{Natural, Whole};
