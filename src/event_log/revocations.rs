//! Revocations in the log: a stream of their own kind, so that they outlive the process, and every process that
//! shares the log learns of them by reading on.

use super::{
    EventLog, Expected, ReadError, StreamName, Unavailable, damaged,
    port::{NewRow, NewRows, Refusal},
    stored::{Stored, revoked_v1},
    unwritable, without_gaps,
};
use crate::domain::{MessageId, Revocation, Seq, Timestamp, Version};

/// Those that are read at a time.
const PAGE: usize = 500;

impl EventLog {
    /// Records a revocation under an id that is new. It is durable once this returns.
    pub async fn append_revocation(
        &self,
        message_id: MessageId,
        revocation: &Revocation,
        recorded_at: Timestamp,
    ) -> Result<(), Unavailable> {
        let Stored { body, cause } = revoked_v1::encode(revocation).map_err(unwritable)?;
        let row = NewRow { version: Version(0), message_id, body: body.into(), cause: cause.into() };
        let (stream, expected) = (StreamName::revocations(), Expected::Any);
        match self.append_rows(NewRows { stream, expected, recorded_at, rows: vec![row] }).await {
            // A repeated one is there already.
            Ok(_) | Err(Refusal::Repeated(_)) => Ok(()),
            Err(Refusal::Unavailable(why)) => Err(why),
            Err(Refusal::Stale { .. }) => Err(unwritable("an append anywhere was refused for its place".to_owned())),
        }
    }

    /// The revocations after a place, in order, up to a page of them; none only at the end.
    pub async fn revocations(&self, after: Seq) -> Result<Vec<(Seq, Revocation)>, ReadError> {
        let stream = StreamName::revocations();
        let rows = self.adapter.rows(&stream, after, PAGE).await?;
        without_gaps(&stream, after, rows.iter().map(|row| row.seq))?;
        let decode = |row: super::Row| match revoked_v1::decode(&row.body, &row.cause) {
            Ok(revocation) => Ok((row.seq, revocation)),
            Err(why) => Err(damaged(&stream, row.seq, why).into()),
        };
        rows.into_iter().map(decode).collect()
    }
}
