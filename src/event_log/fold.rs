//! Folding a stream into its document: the one place that does it, for opening, replaying, rebuilding and verifying.

use super::{Damaged, EventLog, ReadError, Snapshot, StreamName};
use crate::{
    domain::{Effect, Seq},
    projection::{Comments, Document, Misfit},
    text::{RichText, Utf16},
};

/// Events that are read from the log at a time.
const PAGE: usize = 5_000;

impl EventLog {
    /// The document as of an event that is in the log; as of [`Seq`] 0 it is empty.
    pub async fn document(&self, stream: &StreamName, to: Seq) -> Result<Document, ReadError> {
        let mut document = self.restore(stream, to).await?;
        self.fold(stream, &mut document, to, |_| ()).await?;
        Ok(document)
    }

    /// The newest saved state at or before a place. One that is no document is passed over with a warning, for
    /// whatever it says can be folded again.
    pub async fn restore(&self, stream: &StreamName, at_most: Seq) -> Result<Document, ReadError> {
        let mut at_most = Some(at_most);
        while let Some(place) = at_most {
            let Some(saved) = self.snapshot(stream, place).await? else { break };
            match document_of(&saved) {
                Ok(document) => return Ok(document),
                Err(why) => tracing::warn!(%stream, seq = %saved.seq, why, "a damaged snapshot was passed over"),
            }
            at_most = saved.seq.0.checked_sub(1).map(Seq);
        }
        Ok(Document::new())
    }

    /// Folds what comes after `document` into it, up to and including `to`, which is in the log. `progress` hears
    /// of places on the way.
    pub async fn fold(
        &self,
        stream: &StreamName,
        document: &mut Document,
        to: Seq,
        mut progress: impl FnMut(Seq),
    ) -> Result<(), ReadError> {
        if document.seq() >= to {
            return Ok(());
        }
        let mut last_edit = None;
        while document.seq() < to {
            let left = usize::try_from(to.0 - document.seq().0).unwrap_or(PAGE);
            let page = self.changes(stream, document.seq(), left.min(PAGE)).await?;
            if page.is_empty() {
                return Err(missing(stream, document.seq().next()).into());
            }
            for change in page {
                document.apply(&change.effect).map_err(|why| misfit(stream, change.seq, &why))?;
                if matches!(change.effect, Effect::Edited { .. }) {
                    last_edit = Some(change.seq);
                }
            }
            progress(document.seq());
        }
        if let Some(seq) = last_edit {
            let last = self.read(stream, Seq(seq.0 - 1), 1).await?.pop().ok_or_else(|| missing(stream, seq))?;
            document.modified_at(last.recorded_at);
        }
        Ok(())
    }
}

fn document_of(saved: &Snapshot) -> Result<Document, String> {
    let content = RichText::from_delta(&saved.content).map_err(|why| why.to_string())?;
    let comments = Comments::restore(&saved.comments, content.length::<Utf16>());
    let comments = comments.ok_or("its comments do not fit its text or each other")?;
    Ok(Document::restore(content, comments, (saved.version, saved.seq), saved.last_modified))
}

impl Snapshot {
    /// A document as it is to be saved.
    pub fn of(document: &Document) -> Self {
        Self {
            seq: document.seq(),
            version: document.version(),
            last_modified: document.last_modified(),
            content: document.content().to_delta(),
            comments: document.comments().saved(),
        }
    }
}

fn missing(stream: &StreamName, seq: Seq) -> Damaged {
    Damaged { stream: stream.clone(), seq, why: "it is missing".to_owned() }
}

fn misfit(stream: &StreamName, seq: Seq, why: &Misfit) -> Damaged {
    Damaged { stream: stream.clone(), seq, why: format!("it does not fit the document before it: {why}") }
}
