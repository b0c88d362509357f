//! A document as the change of an empty one, form 1: `["snapshot.1", op, …]` with the ops of [`ops_v1`]. Frozen.

use super::ops_v1;
use crate::text::{Delta, Utf16};

pub(super) const TAG: &str = "snapshot.1";

/// Writes it.
pub(super) fn encode(content: &Delta<Utf16>) -> serde_json::Result<String> {
    ops_v1::tagged(TAG, content)
}
