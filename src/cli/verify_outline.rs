//! `verify` of every stream's head against the places of its events.
//!
//! Reading a stream from its beginning to its head does not show events behind the head, or events that were written in
//! another order than they stand in. Both come from a write into a stream that the writer did not know rightly.

use crate::event_log::{EventLog, Flaw};

use super::{Failure, database, verify::Report};

pub(super) async fn verify_outlines(log: &EventLog, report: &mut Report) -> Result<(), Failure> {
    for (stream, _) in database::all_streams(log).await? {
        let outline = log.outline(&stream).await.map_err(Failure::failed)?.unwrap_or_default();
        // These are read event by event later, which names each event that is missing.
        let is_read_through = stream.document_id().is_some() || stream.presence_id().is_some();
        for flaw in outline.flaws() {
            match flaw {
                Flaw::BeforeHead { .. } | Flaw::Gaps(_) if is_read_through => (),
                Flaw::BeforeHead { .. } | Flaw::Gaps(_) | Flaw::BehindHead(_) | Flaw::OutOfOrder(_) => {
                    report.differs(&stream, flaw)?;
                }
            }
        }
    }
    Ok(())
}
