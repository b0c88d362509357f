//! Projections that are kept, held against the events that they were folded from.

use std::collections::VecDeque;

use crate::{
    domain::Seq,
    event_log::{EventLog, Form, Recorded, StreamName},
    projection::{Blame, Contributions},
};

use super::{Failure, verify::Report};

/// What is kept of one stream, of every projection.
pub(super) struct KeptAudit {
    blame: Track<Blame>,
    contributions: Track<Contributions>,
}

/// One projection of the stream.
struct Track<P> {
    /// What the stream folds to so far; `None` once an event could not be folded.
    folded: Option<P>,
    /// Where states are still to be compared, the next one first.
    places: VecDeque<Seq>,
    last: Option<Seq>,
}

impl KeptAudit {
    pub(super) async fn new(log: &EventLog, stream: &StreamName) -> Result<Self, Failure> {
        Ok(Self { blame: Track::new(log, stream).await?, contributions: Track::new(log, stream).await? })
    }

    /// Folds the next event, and compares what is kept as of it.
    pub(super) async fn examine(
        &mut self,
        log: &EventLog,
        stream: &StreamName,
        (recorded, report): (&Recorded, &mut Report),
    ) -> Result<(), Failure> {
        self.blame.examine(log, stream, (recorded, report)).await?;
        self.contributions.examine(log, stream, (recorded, report)).await
    }

    /// What comes later cannot be compared with anything.
    pub(super) fn lose_track(&mut self) {
        self.blame.folded = None;
        self.contributions.folded = None;
    }

    /// The last place of which something is kept.
    pub(super) fn last(&self) -> Option<Seq> {
        self.blame.last.max(self.contributions.last)
    }
}

impl<P: Form> Track<P> {
    async fn new(log: &EventLog, stream: &StreamName) -> Result<Self, Failure> {
        let places: VecDeque<_> = log.kept_places(P::PROJECTION, stream).await.map_err(Failure::failed)?.into();
        let last = places.back().copied();
        Ok(Self { folded: Some(P::default()), places, last })
    }

    async fn examine(
        &mut self,
        log: &EventLog,
        stream: &StreamName,
        (recorded, report): (&Recorded, &mut Report),
    ) -> Result<(), Failure> {
        // That an event does not fit is found with the document.
        if self.folded.as_mut().is_some_and(|folded| folded.fold(&recorded.happened()).is_err()) {
            self.folded = None;
        }
        while let Some(place) = self.places.pop_front_if(|place| *place <= recorded.seq) {
            // One that the service has let go of meanwhile is none.
            for state in log.kept_at::<P>(stream, place).await.map_err(Failure::failed)? {
                let what = match (state, &self.folded) {
                    (Err(why), _) => Some(format!("is damaged: {why}")),
                    (Ok(state), Some(folded)) => (state != *folded).then(|| "is not what its events make".to_owned()),
                    (Ok(_), None) => continue,
                };
                report.snapshots += 1;
                if let Some(what) = what {
                    report.differs(stream, format_args!("{} as of {place} {what}", P::PROJECTION.name()))?;
                }
            }
        }
        Ok(())
    }
}
