//! Projections that are kept: states of a document's stream that are saved along it, so that who asks folds a tail and
//! not a history.
//!
//! A projection has generations (`build.rs`). States are saved as snapshots are (`landmarks.rs`): the newest, and of the
//! older ones as many as keep the way to every place short. A state is never changed and never wrong for its place, so
//! it does not matter who saves it, when, or how often.

mod build;
#[cfg(test)]
mod laws;
pub(super) mod port;
pub(super) mod sql;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use build::Tended;
#[cfg(test)]
pub(super) use laws::*;
pub(super) use port::{Generation, KeptPlace, KeptRow, Moved, Shelf};

use super::{
    Damaged, EventLog, ReadError, Recorded, StreamName, Unavailable, UnavailableKind,
    landmarks::EVENT_BYTES,
    saving::Begun,
    stored::{self, Why, blame_v1, contributions_v1},
};
use crate::{
    domain::Seq,
    projection::{Blame, Contributions, Happened, Kept},
};

/// Every projection that is kept. A new one gets a name here, a fold in `projection`, a form in `stored`, and its arms
/// in the matches that the compiler asks for; its states are built from the old events in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// Who wrote what is there.
    Blame,
    /// Who has done how much.
    Contributions,
}

impl Projection {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Blame, Self::Contributions];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blame => "blame",
            Self::Contributions => "contributions",
        }
    }

    /// The name of the form in which its states are saved now. With another one it is built anew.
    const fn form(self) -> &'static str {
        match self {
            Self::Blame => blame_v1::TAG,
            Self::Contributions => contributions_v1::TAG,
        }
    }
}

/// A projection with its form.
pub trait Form: Kept {
    /// Which one it is.
    const PROJECTION: Projection;

    /// Writes it in the newest form.
    ///
    /// # Errors
    /// When it could not be read again; in the words of the form.
    fn encode(&self) -> Result<String, Why>;

    /// Reads a state as of an event.
    ///
    /// # Errors
    /// When it is none; in the words of the form.
    fn decode(seq: Seq, text: &[u8]) -> Result<Self, Why>;
}

impl Form for Blame {
    const PROJECTION: Projection = Projection::Blame;

    fn encode(&self) -> Result<String, Why> {
        stored::encode_blame(self)
    }

    fn decode(seq: Seq, text: &[u8]) -> Result<Self, Why> {
        stored::decode_blame(seq, text)
    }
}

impl Form for Contributions {
    const PROJECTION: Projection = Projection::Contributions;

    fn encode(&self) -> Result<String, Why> {
        stored::encode_contributions(self)
    }

    fn decode(seq: Seq, text: &[u8]) -> Result<Self, Why> {
        stored::decode_contributions(seq, text)
    }
}

/// Events that are folded before others get a turn.
const PAGE: usize = 2_000;

/// How hard to work, and who hears of it.
pub struct Effort<'a> {
    rest: u32,
    progress: &'a mut (dyn FnMut(u64) + Send),
}

impl<'a> Effort<'a> {
    /// As fast as can be. `progress` hears how many more events were dealt with.
    pub fn full(progress: &'a mut (dyn FnMut(u64) + Send)) -> Self {
        Self { rest: 0, progress }
    }

    /// Resting after every page so many times as long as it took.
    pub fn resting(times: u32, progress: &'a mut (dyn FnMut(u64) + Send)) -> Self {
        Self { rest: times, progress }
    }

    async fn after(&mut self, events: u64, took: Duration) {
        (self.progress)(events);
        match self.rest {
            0 => tokio::task::yield_now().await,
            times => sleep(took * times).await,
        }
    }
}

impl EventLog {
    /// Lets what is kept of a stream be so many events behind from now on before it is folded on, one at least; of a
    /// large state as many as take its room, if those are more.
    #[must_use]
    pub fn keeping_projections(self, every: u64) -> Self {
        Self { kept_every: every.max(1), ..self }
    }

    /// The state of a projection as of an event that is in the log: folded from the nearest one that is kept. Where the
    /// way is long states are saved on it, so that the next one has it short.
    pub async fn kept<P: Form>(&self, stream: &StreamName, to: Seq) -> Result<P, ReadError> {
        let generations = self.adapter.generations(P::PROJECTION.form()).await?;
        // One that is being built is right as well, as far as it goes.
        let chosen = generations.iter().rfind(|it| it.is_in_use).or(generations.last()).map(|it| it.id);
        self.kept_in(chosen, stream, to, &mut Effort::full(&mut |_| ())).await
    }

    async fn kept_in<P: Form>(
        &self,
        generation: Option<u64>,
        stream: &StreamName,
        to: Seq,
        effort: &mut Effort<'_>,
    ) -> Result<P, ReadError> {
        let begun = self.saving.begin();
        let (mut state, mut size) = match generation {
            Some(generation) => self.nearest::<P>(generation, stream, to).await?,
            None => (P::default(), 0),
        };
        let mut saved = state.seq();
        while state.seq() < to {
            let began = Instant::now();
            let left = usize::try_from(to.0 - state.seq().0).unwrap_or(PAGE);
            let page = self.read(stream, state.seq(), left.min(PAGE)).await?;
            if page.is_empty() {
                let (stream, seq) = (stream.clone(), state.seq().next());
                return Err(Damaged { stream, seq, why: "it is missing".to_owned() }.into());
            }
            let events = page.len() as u64;
            for recorded in page {
                state.fold(&recorded.happened()).map_err(|why| {
                    let why = format!("it does not fit the document before it: {why}");
                    Damaged { stream: stream.clone(), seq: recorded.seq, why }
                })?;
                let distance = self.history_every.map(|every| every.max(size / EVENT_BYTES));
                if let Some(generation) = generation
                    && distance.is_some_and(|distance| recorded.seq.0 - saved.0 >= distance)
                {
                    // What cannot be saved is not: it only takes longer.
                    match self.save_kept(generation, stream, &state, begun).await {
                        Ok(bytes) => size = bytes,
                        Err(error) => tracing::warn!(%stream, %error, "a state on the way was not saved"),
                    }
                    saved = recorded.seq;
                }
            }
            effort.after(events, began.elapsed()).await;
        }
        Ok(state)
    }

    /// The newest readable state at or before a place, and its size. A damaged one is passed over with a warning, for
    /// whatever it says can be folded again.
    async fn nearest<P: Form>(
        &self,
        generation: u64,
        stream: &StreamName,
        at_most: Seq,
    ) -> Result<(P, u64), ReadError> {
        let mut at_most = Some(at_most);
        while let Some(place) = at_most {
            let Some(row) = self.adapter.kept(generation, stream, place).await? else { break };
            match P::decode(row.seq, row.content.as_bytes()) {
                Ok(state) => return Ok((state, row.content.len() as u64)),
                Err(why) => tracing::warn!(%stream, seq = %row.seq, why, "a damaged state was passed over"),
            }
            at_most = row.seq.0.checked_sub(1).map(Seq);
        }
        Ok((P::default(), 0))
    }

    async fn save_kept<P: Form>(
        &self,
        generation: u64,
        stream: &StreamName,
        state: &P,
        begun: Begun,
    ) -> Result<u64, Unavailable> {
        let content = state.encode().map_err(|why| Unavailable::new(UnavailableKind::Failed, why))?;
        let size = content.len() as u64;
        let spacing = self.history_every.map_or(u64::MAX >> 1, |every| every.max(size / EVENT_BYTES));
        let row = KeptRow { seq: state.seq(), content: content.into() };
        if self.saving.admits(begun) {
            self.adapter.save_kept(generation, stream, row, spacing).await?;
        }
        Ok(size)
    }

    /// Throws away everything that is kept of a stream, of whatever projection; answers how many states that were.
    pub async fn drop_kept(&self, stream: &StreamName) -> Result<u64, Unavailable> {
        self.adapter.drop_kept(stream).await
    }

    /// Where states of a stream are, in whatever generation, the oldest first.
    pub async fn kept_places(&self, projection: Projection, stream: &StreamName) -> Result<Vec<Seq>, Unavailable> {
        let mut places = Vec::new();
        for generation in self.adapter.generations(projection.form()).await? {
            places.extend(self.adapter.kept_places(generation.id, stream).await?.into_iter().map(|place| place.seq));
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// What the states at a place say, or what is wrong with them; one for each generation that has one there.
    pub async fn kept_at<P: Form>(
        &self,
        stream: &StreamName,
        place: Seq,
    ) -> Result<Vec<Result<P, String>>, Unavailable> {
        let mut found = Vec::new();
        for generation in self.adapter.generations(P::PROJECTION.form()).await? {
            let row = self.adapter.kept(generation.id, stream, place).await?.filter(|row| row.seq == place);
            found.extend(row.map(|row| P::decode(row.seq, row.content.as_bytes())));
        }
        Ok(found)
    }
}

impl Recorded {
    /// What a projection that is kept may read of it.
    pub fn happened(&self) -> Happened<'_> {
        Happened { seq: self.seq, version: self.version, at: self.recorded_at, event: &self.event }
    }
}
