//! What changed between two places, as one change.

use crate::{
    domain::{Effect, Seq},
    event_log::{Damaged, EventLog, ReadError, StreamName},
    text::{Delta, Utf16},
};

use super::{Place, place};

/// Events that are composed before others get a turn.
const PAGE: usize = 500;

/// The change that makes the document at `to` of that at `from`, whichever comes first. It is made of what was
/// recorded, not of what the two texts have in common: text that was there all the time is not in it.
pub async fn diff(log: &EventLog, from: &Place, to: &Place) -> Result<Delta<Utf16>, ReadError> {
    if from.seq <= to.seq {
        return change_between(log, &from.stream, from.seq, to.seq).await;
    }
    let forth = change_between(log, &from.stream, to.seq, from.seq).await?;
    let then = place::document(log, to, |_| ()).await?;
    forth.invert(then.content()).map_err(|why| {
        let (stream, seq, why) =
            (from.stream.clone(), from.seq, format!("it does not fit the document before it: {why}"));
        Damaged { stream, seq, why }.into()
    })
}

/// What the events behind a place did, up to and including another one that is in the log.
pub async fn change_between(
    log: &EventLog,
    stream: &StreamName,
    after: Seq,
    to: Seq,
) -> Result<Delta<Utf16>, ReadError> {
    let (mut composed, mut last) = (Composed::default(), after);
    while last < to {
        let left = usize::try_from(to.0 - last.0).unwrap_or(PAGE);
        let page = log.changes(stream, last, left.min(PAGE)).await?;
        let Some(end) = page.last() else {
            return Err(Damaged { stream: stream.clone(), seq: last.next(), why: "it is missing".to_owned() }.into());
        };
        last = end.seq;
        for change in page {
            if let Effect::Edited { applied, .. } = change.effect {
                composed.push(applied);
            }
        }
        // Much history is much work, and others wait for this thread.
        tokio::task::yield_now().await;
    }
    Ok(composed.finish())
}

/// Changes composed in a balanced tree: one by one, each would be walked through by all that come after it.
#[derive(Default)]
struct Composed(Vec<(u32, Delta<Utf16>)>);

impl Composed {
    fn push(&mut self, change: Delta<Utf16>) {
        let (mut rank, mut change) = (0, change);
        while let Some((_, before)) = self.0.pop_if(|(other, _)| *other == rank) {
            (rank, change) = (rank + 1, before.compose(&change));
        }
        self.0.push((rank, change));
    }

    fn finish(self) -> Delta<Utf16> {
        self.0
            .into_iter()
            .rev()
            .map(|(_, change)| change)
            .reduce(|after, before| before.compose(&after))
            .unwrap_or_default()
    }
}
