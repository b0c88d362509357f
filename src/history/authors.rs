//! Who wrote what is there, and who has done how much: from what is kept.

use crate::{
    domain::{Seq, Version},
    event_log::{Damaged, EventLog, ReadError},
    projection::{Blame, Contributions, Run},
};

use super::{Place, place};

/// A text with who wrote it.
#[derive(Debug)]
pub struct Blamed {
    /// Its version.
    pub version: Version,
    text: String,
    blame: Blame,
}

impl Blamed {
    /// The text in pieces, each with the edit that it came with, in order.
    pub fn runs(&self) -> impl Iterator<Item = (&str, Run<'_>)> {
        let mut rest = &*self.text;
        self.blame.runs().map(move |run| {
            let mut units = 0;
            let end = rest.char_indices().find(|(_, character)| {
                let is_behind = units >= run.length as usize;
                units += character.len_utf16();
                is_behind
            });
            let (text, behind) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
            rest = behind;
            (text, run)
        })
    }
}

/// Who wrote the text as it was at a place.
pub async fn blame(log: &EventLog, place: &Place) -> Result<Blamed, ReadError> {
    let document = place::document(log, place, |_| ()).await?;
    let blame: Blame = log.kept(&place.stream, place.seq).await?;
    let (version, text) = (document.version(), document.content().text());
    if blame.length() != document.content().length::<crate::text::Utf16>() {
        let why = "what is kept of it is of another text; `scriptorium rebuild` makes it anew".to_owned();
        return Err(Damaged { stream: place.stream.clone(), seq: place.seq, why }.into());
    }
    Ok(Blamed { version, text, blame })
}

/// Who has done how much up to a place, and its version.
pub async fn contributions(log: &EventLog, place: &Place) -> Result<(Version, Contributions), ReadError> {
    let contributions = log.kept(&place.stream, place.seq).await?;
    let version = match place.seq {
        seq if seq == place.head.seq => place.head.version,
        Seq(0) => Version(0),
        Seq(seq) => {
            let event = log.read(&place.stream, Seq(seq - 1), 1).await?.pop();
            event.map(|event| event.version).ok_or_else(|| {
                let (stream, seq, why) = (place.stream.clone(), place.seq, "it is missing".to_owned());
                Damaged { stream, seq, why }
            })?
        }
    };
    Ok((version, contributions))
}
