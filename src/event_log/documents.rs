//! Which documents there are.

use super::{EventLog, Head, ReadError, StreamName};
use crate::domain::DocumentId;

impl EventLog {
    /// Up to `limit` documents with their heads, those that are erased too, by their ids in the order of their bytes, after a text that need not
    /// be one.
    pub async fn documents(&self, after: &str, limit: usize) -> Result<Vec<(DocumentId, Head)>, ReadError> {
        let page = self.streams(Some(&StreamName::document_after(after)), limit).await?;
        Ok(page.into_iter().map_while(|(name, head)| Some((name.document_id()?, head))).collect())
    }
}
