//! The least change that makes one document of another, word by word.

use imara_diff::{Algorithm, Diff, InternedInput};

use crate::text::{Attributes, Content, Delta, EditError, Embed, Op, RichText, Text, Utf16};

/// A word, a character between words, or an embed, with its attributes.
struct Piece<'a> {
    text: &'a str,
    embed: Option<&'a Embed>,
    attributes: &'a Attributes,
}

/// What makes `after` of `before`. Text that both have stays, and gets its new attributes where they differ.
///
/// # Errors
/// When `after` does not consist of inserts.
pub fn change(before: &RichText, after: &Delta<Utf16>) -> Result<Delta<Utf16>, EditError> {
    let after = RichText::from_delta(after)?;
    let (before, after) = (pieces(before), pieces(&after));
    let mut input = InternedInput::default();
    input.reserve(u32::try_from(before.len()).unwrap_or(u32::MAX), u32::try_from(after.len()).unwrap_or(u32::MAX));
    input.update_before(before.iter().map(Piece::token));
    input.update_after(after.iter().map(Piece::token));
    // The one that gives up looking for the very least where that would take too long.
    let diff = Diff::compute(Algorithm::Myers, &input);
    let (mut change, mut old, mut new) = (Delta::new(), 0, 0);
    for hunk in diff.hunks() {
        let kept = hunk.before.start as usize - old;
        keep(&mut change, &before[old..old + kept], &after[new..new + kept]);
        (old, new) = (hunk.before.end as usize, hunk.after.end as usize);
        for piece in &after[hunk.after.start as usize..new] {
            change.push(Op::Insert { content: piece.content(), attributes: piece.attributes.clone() });
        }
        for piece in &before[hunk.before.start as usize..old] {
            change.push(Op::Delete { length: piece.length() });
        }
    }
    keep(&mut change, &before[old..], &after[new..]);
    Ok(change.into_iter().collect())
}

fn keep(change: &mut Delta<Utf16>, before: &[Piece<'_>], after: &[Piece<'_>]) {
    for (old, new) in before.iter().zip(after) {
        change.push(Op::Retain { length: old.length(), attributes: difference(old.attributes, new.attributes) });
    }
}

/// The change of attributes that makes some of others.
fn difference(before: &Attributes, after: &Attributes) -> Attributes {
    if before == after {
        return Attributes::NONE;
    }
    let gone = before.iter().filter(|(name, _)| after.get(name).is_none()).map(|(name, _)| (name.to_owned(), None));
    let set = after
        .iter()
        .filter(|(name, value)| before.get(name) != Some(value))
        .map(|(name, value)| (name.to_owned(), Some(value)));
    gone.chain(set).map(|(name, value)| (name, value.cloned().unwrap_or_default())).collect()
}

fn pieces(document: &RichText) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for span in document.spans() {
        let (mut rest, embed, attributes) = (span.text, span.embed, span.attributes);
        if embed.is_some() {
            pieces.push(Piece { text: rest, embed, attributes });
            continue;
        }
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            let (text, more) = rest.split_at(word.max(if word == 0 { first.len_utf8() } else { 0 }));
            pieces.push(Piece { text, embed, attributes });
            rest = more;
        }
    }
    pieces
}

impl Piece<'_> {
    /// What makes two of them the same. No text is what an embed's is: it would be several pieces.
    fn token(&self) -> String {
        match self.embed {
            Some(embed) => format!("\u{fffc}{}", serde_json::to_string(embed).unwrap_or_default()),
            None => self.text.to_owned(),
        }
    }

    fn content(&self) -> Content {
        self.embed.map_or_else(|| Content::Text(Text::new(self.text)), |embed| Content::Embed(embed.clone()))
    }

    fn length(&self) -> usize {
        self.content().length::<Utf16>()
    }
}
