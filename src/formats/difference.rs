//! The change that makes one document of another, keeping what both have.
//!
//! Lines are compared first, then the words of the lines that differ. The work is bounded whatever the two documents are:
//! [`TOKENS`] lines and words are compared at most, [`WINDOW`] of them at a time. Where the bound is reached, a stretch that
//! differs is replaced as a whole. That is a right change too, only a coarser one: cursors and comments in it lose their place.

use std::ops::Range;

use gix_imara_diff::{Algorithm, Diff, InternedInput, Token};

use crate::text::{Attributes, Content, Delta, EditError, Embed, Op, RichText, Utf16};

/// Lines and words, of both documents together, that are compared for one change. Half a second of work for ordinary text,
/// two seconds for the worst that was found (random words out of a few).
const TOKENS: usize = 1 << 20;
/// Tokens of each side that are compared at a time. The algorithm takes time in their number times its square root, and
/// recurses. A stretch of more tokens that only one side has may hide that the rest is the same.
const WINDOW: usize = 1 << 15;
/// The character that stands for an embed in the text of a document.
const OBJECT: char = '\u{fffc}';

/// What makes `after` of `before`. Text that both have stays, and gets its new attributes where they differ.
///
/// # Errors
/// When `after` does not consist of inserts.
pub fn change(before: &RichText, after: &Delta<Utf16>) -> Result<Delta<Utf16>, EditError> {
    Ok(change_within(TOKENS, before, after)?.0)
}

/// The change, and how many of the `tokens` are left.
fn change_within(tokens: usize, before: &RichText, after: &Delta<Utf16>) -> Result<(Delta<Utf16>, usize), EditError> {
    let after = RichText::from_delta(after)?;
    let (before, after) = (Flat::of(before), Flat::of(&after));
    let mut comparison = Comparison { before: &before, after: &after, tokens };
    let (mut change, mut done) = (Delta::new(), Place { before: 0..0, after: 0..0 });
    for line in comparison.differences(comparison.middle(), Grain::Line) {
        for it in comparison.differences(line, Grain::Word) {
            keep(&mut change, &before, done.before.end..it.before.start, (&after, done.after.end..it.after.start));
            insert(&mut change, &after, it.after.clone());
            change.push(Op::Delete { length: before.length(it.before.clone()) });
            done = it;
        }
    }
    let rest = (done.before.end..before.text.len(), done.after.end..after.text.len());
    keep(&mut change, &before, rest.0, (&after, rest.1));
    Ok((change.into_iter().collect(), comparison.tokens))
}

/// Two stretches of bytes, one of each document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    before: Range<usize>,
    after: Range<usize>,
}

/// What texts are cut into.
#[derive(Debug, Clone, Copy)]
enum Grain {
    Line,
    /// A word, or a character between words.
    Word,
}

impl Grain {
    /// The length in bytes of the first token of a text, 0 if there is none.
    fn first(self, text: &str) -> usize {
        match self {
            Self::Line => text.find('\n').map_or(text.len(), |end| end + 1),
            Self::Word => match text.find(|c: char| !c.is_alphanumeric()) {
                None => text.len(),
                Some(0) => text.chars().next().map_or(0, char::len_utf8),
                Some(end) => end,
            },
        }
    }
}

struct Comparison<'a> {
    before: &'a Flat<'a>,
    after: &'a Flat<'a>,
    /// How many may still be compared.
    tokens: usize,
}

impl Comparison<'_> {
    /// All but the lines that both documents begin and end with.
    fn middle(&self) -> Place {
        let (before, after) = (&self.before.text, &self.after.text);
        let (start, end) = self.common_ends(&Place { before: 0..before.len(), after: 0..after.len() });
        let start = before[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = before[before.len() - end..].find('\n').map_or(0, |at| end - at - 1);
        Place { before: start..before.len() - end, after: start..after.len() - end }
    }

    /// How many bytes two stretches have in common at their starts, and how many of the others at their ends.
    fn common_ends(&self, Place { before, after }: &Place) -> (usize, usize) {
        let (old, new) = (&self.before.text[before.clone()], &self.after.text[after.clone()]);
        let is_same = |((a, old), (b, new)): &((usize, char), (usize, char))| {
            let embeds = || self.before.embed_at(before.start + a) == self.after.embed_at(after.start + b);
            old == new && (*old != OBJECT || embeds())
        };
        let (pairs, length) =
            (old.char_indices().zip(new.char_indices()), |(_, (_, c)): (_, (usize, char))| c.len_utf8());
        let start = pairs.take_while(is_same).map(length).sum();
        let (olds, news) = (old.char_indices().rev(), new.char_indices().rev());
        let is_after_start = |((a, _), (b, _)): &((usize, char), (usize, char))| *a >= start && *b >= start;
        (start, olds.zip(news).take_while(is_after_start).take_while(is_same).map(length).sum())
    }

    /// The places where two stretches differ, in order; one where too many tokens would have to be compared.
    fn differences(&mut self, place: Place, grain: Grain) -> Vec<Place> {
        if place.before.is_empty() && place.after.is_empty() {
            return Vec::new();
        }
        if place.before.is_empty() || place.after.is_empty() {
            return vec![place];
        }
        let cut = |flat: &Flat<'_>, range: &Range<usize>| flat.cut(range.clone(), grain).take(self.tokens + 1).count();
        let tokens = cut(self.before, &place.before).saturating_add(cut(self.after, &place.after));
        let Some(left) = self.tokens.checked_sub(tokens) else {
            let (start, end) = self.common_ends(&place);
            let without = |it: Range<usize>| it.start + start..it.end - end;
            return vec![Place { before: without(place.before), after: without(place.after) }];
        };
        self.tokens = left;
        let mut input = InternedInput::default();
        input.update_before(self.before.cut(place.before.clone(), grain).map(|it| self.before.token(it)));
        input.update_after(self.after.cut(place.after.clone(), grain).map(|it| self.after.token(it)));
        let differing = compare(&input.before, &input.after, input.interner.num_tokens());
        let mut before = Bytes { flat: self.before, grain, at: place.before.start, token: 0 };
        let mut after = Bytes { flat: self.after, grain, at: place.after.start, token: 0 };
        let bytes = |(a, b)| Place { before: before.of(a), after: after.of(b) };
        differing.into_iter().map(bytes).collect()
    }
}

/// The ranges of tokens that differ, in order.
fn compare(before: &[Token], after: &[Token], kinds: u32) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut found, mut diff, mut old, mut new) = (Vec::new(), Diff::default(), 0, 0);
    while old < before.len() || new < after.len() {
        let a = &before[old..before.len().min(old + WINDOW)];
        let b = &after[new..after.len().min(new + WINDOW)];
        // Not the histogram algorithm, which takes time in the square of the length where every other token differs.
        diff.compute_with(Algorithm::Myers, a, b, kinds);
        let is_all = old + a.len() == before.len() && new + b.len() == after.len();
        let (mut a, mut b) = (a.len(), b.len());
        let mut hunks = diff.hunks().peekable();
        while let Some(hunk) = hunks.next() {
            let (x, y) = (hunk.before.start as usize, hunk.after.start as usize);
            // The last one may only be there because the window ends, so the next window begins with it.
            if !is_all && hunks.peek().is_none() && x + y >= usize::midpoint(a, b) {
                (a, b) = (x, y);
                break;
            }
            found.push((old + x..old + hunk.before.end as usize, new + y..new + hunk.after.end as usize));
        }
        (old, new) = (old + a, new + b);
    }
    found
}

/// Where tokens are, asked for in their order.
struct Bytes<'a> {
    flat: &'a Flat<'a>,
    grain: Grain,
    at: usize,
    token: usize,
}

impl Bytes<'_> {
    fn of(&mut self, tokens: Range<usize>) -> Range<usize> {
        self.go_to(tokens.start)..self.go_to(tokens.end)
    }

    fn go_to(&mut self, token: usize) -> usize {
        let text = &self.flat.text;
        while self.token < token {
            self.at += self.grain.first(&text[self.at..]);
            self.token += 1;
        }
        self.at
    }
}

/// A document as one text, with what is said about its stretches.
struct Flat<'a> {
    text: String,
    stretches: Vec<Stretch<'a>>,
}

struct Stretch<'a> {
    end: usize,
    embed: Option<&'a Embed>,
    attributes: &'a Attributes,
}

/// What makes two tokens the same: the text, and for each [`OBJECT`] in it the embed, or none for the character itself.
#[derive(Default, PartialEq, Eq, Hash)]
struct Said<'a> {
    text: &'a str,
    embeds: Vec<Option<String>>,
}

impl<'a> Flat<'a> {
    fn of(document: &'a RichText) -> Self {
        let (mut text, mut stretches) = (String::new(), Vec::<Stretch<'a>>::new());
        for span in document.spans() {
            text.push_str(span.text);
            let (end, embed, attributes) = (text.len(), span.embed, span.attributes);
            match stretches.last_mut() {
                Some(last) if last.embed.is_none() && embed.is_none() && last.attributes == attributes => {
                    last.end = end;
                }
                _ => stretches.push(Stretch { end, embed, attributes }),
            }
        }
        Self { text, stretches }
    }

    fn cut(&self, range: Range<usize>, grain: Grain) -> impl Iterator<Item = Range<usize>> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let start = at;
            at += grain.first(&self.text[start..range.end]);
            (start < at).then_some(start..at)
        })
    }

    fn token(&self, range: Range<usize>) -> Said<'_> {
        let text = &self.text[range.clone()];
        Said { text, embeds: text.match_indices(OBJECT).map(|(at, _)| self.embed_at(range.start + at)).collect() }
    }

    /// The embed that the character at a byte stands for, as JSON; none if it stands for itself.
    fn embed_at(&self, at: usize) -> Option<String> {
        let (_, stretch) = self.within(at..at + 1).next()?;
        stretch.embed.map(|embed| serde_json::to_string(embed).unwrap_or_default())
    }

    /// The stretches in a range, each with as much of it as is there.
    fn within(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, &Stretch<'a>)> {
        let first = self.stretches.partition_point(|it| it.end <= range.start);
        let mut at = range.start;
        self.stretches[first..].iter().map_while(move |it| {
            let part = at..it.end.min(range.end);
            at = part.end;
            (!part.is_empty()).then_some((part, it))
        })
    }

    /// In UTF-16 units.
    fn length(&self, range: Range<usize>) -> usize {
        let text = &self.text[range];
        if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
    }
}

/// Keeps a text that both have, with the attributes that it has afterwards.
fn keep(change: &mut Delta<Utf16>, before: &Flat<'_>, text: Range<usize>, (after, same): (&Flat<'_>, Range<usize>)) {
    let start = text.start;
    for (part, old) in before.within(text) {
        let there = same.start + (part.start - start)..same.start + (part.end - start);
        for (there, new) in after.within(there) {
            let attributes = difference(old.attributes, new.attributes);
            change.push(Op::Retain { length: after.length(there), attributes });
        }
    }
}

fn insert(change: &mut Delta<Utf16>, after: &Flat<'_>, range: Range<usize>) {
    for (part, it) in after.within(range) {
        let content =
            it.embed.map_or_else(|| Content::Text((&after.text[part]).into()), |it| Content::Embed(it.clone()));
        change.push(Op::Insert { content, attributes: it.attributes.clone() });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Delta<Utf16> {
        Delta::new().insert(text, Attributes::NONE)
    }

    /// What the change makes of `before`, the change itself, and how many tokens it took.
    fn changed(tokens: usize, before: &Delta<Utf16>, after: &Delta<Utf16>) -> (Delta<Utf16>, Delta<Utf16>, usize) {
        let mut document = RichText::from_delta(before).unwrap();
        let (change, left) = change_within(tokens, &document, after).unwrap();
        document.apply(&change).unwrap();
        (document.to_delta(), change, tokens - left)
    }

    /// How much of a document a change deletes.
    fn deleted(change: &Delta<Utf16>) -> usize {
        change.ops().iter().map(|op| if let Op::Delete { length } = op { *length } else { 0 }).sum()
    }

    /// Documents out of few words, so that the same ones are often in both; with embeds, characters that look like
    /// embeds, and ends without a line feed.
    fn documents() -> impl Strategy<Value = Delta<Utf16>> {
        let word =
            prop::sample::select(vec!["a", "b", "word", " ", " ", "\n", "\n", "\u{fffc}", "\u{1F600}", "\u{e9}"]);
        let value = prop::option::of(prop_oneof![Just(json!(true)), Just(json!({"x": 1}))]);
        let attributes = value.prop_map(|it| it.map(|it| ("bold".to_owned(), it)).into_iter().collect::<Attributes>());
        let text =
            (prop::collection::vec(word, 1..8), attributes.clone()).prop_map(|(words, it)| (Some(words.concat()), it));
        let embed = attributes.prop_map(|it| (None, it));
        prop::collection::vec(prop_oneof![6 => text, 1 => embed], 0..12).prop_map(|parts| {
            let embed = || [("image".to_owned(), json!("x"))].into_iter().collect();
            parts.into_iter().fold(Delta::new(), |delta, (text, attributes)| match text {
                Some(text) => delta.insert(text, attributes),
                None => delta.embed(embed(), attributes),
            })
        })
    }

    proptest! {
        #[test]
        fn makes_one_document_of_the_other_within_any_bound(
            before in documents(), after in documents(), tokens in prop::sample::select(vec![0, 3, 10, 30, 1_000])
        ) {
            let (made, change, used) = changed(tokens, &before, &after);
            prop_assert_eq!(made, after, "{:?}", change);
            prop_assert!(used <= tokens);
        }

        #[test]
        fn changes_nothing_where_nothing_differs(document in documents(), tokens in 0..100_usize) {
            prop_assert!(changed(tokens, &document, &document).1.is_empty());
        }
    }

    /// Text that repeats took time in the square of its length: over half a minute for the first pair.
    #[test]
    fn keeps_text_that_repeats_within_the_bound() {
        let cells = |changed: &[usize]| -> String {
            (0..100_000)
                .map(|n| (if changed.contains(&n) { "1" } else { "0" }, n))
                .fold(String::new(), |csv, (cell, n)| csv + cell + if n % 20 == 19 { "\n" } else { "," })
        };
        for (before, after, at_most) in [
            ("a b ".repeat(100_000), "b a ".repeat(100_000), 4),
            ("a b ".repeat(300_000), "b a ".repeat(300_000), 1_200_000),
            ("0,1\n".repeat(25_000), "1,0\n".repeat(25_000), 75_000),
            (cells(&[]), cells(&[30, 70_000]), 2 * 40),
            (cells(&[5]).replace('\n', ";"), cells(&[99_000]).replace('\n', ";"), 2),
        ] {
            let (made, change, used) = changed(TOKENS, &text(&before), &text(&after));
            assert!(made == text(&after));
            assert!(used <= TOKENS && deleted(&change) <= at_most, "{used} {}", deleted(&change));
        }
    }

    #[test]
    fn finds_what_is_the_same_behind_a_long_insertion() {
        let lines = |range: Range<usize>| range.fold(String::new(), |text, n| text + &format!("This is line {n}.\n"));
        let (before, after) = (lines(0..60_000), lines(0..20_000) + &lines(100_000..110_000) + &lines(20_000..60_000));
        let (made, change, _) = changed(TOKENS, &text(&before), &text(&after));
        assert!(made == text(&after));
        assert_eq!(deleted(&change), 0);
    }

    #[test]
    fn compares_a_long_text_in_windows() {
        let words = |differs: fn(usize) -> bool| -> String {
            (0..3 * WINDOW).map(|n| if differs(n) { format!("x{n} ") } else { format!("w{n} ") }).collect()
        };
        let (before, after) = (words(|_| false), words(|n| n % 10 == 0));
        let (made, change, _) = changed(TOKENS, &text(&before), &text(&after));
        assert!(made == text(&after));
        let expected: usize = (0..3 * WINDOW).step_by(10).map(|n| format!("w{n}").len()).sum();
        assert_eq!(deleted(&change), expected);
    }

    #[test]
    fn replaces_no_more_than_the_middle_of_what_is_too_long_to_compare() {
        let (before, after) = ("x ".repeat(50) + "old" + &" y".repeat(50), "x ".repeat(50) + "new" + &" y".repeat(50));
        let (made, change, used) = changed(100, &text(&before), &text(&after));
        assert_eq!((made, used), (text(&after), 2));
        assert_eq!(change, Delta::new().retain(100).insert("new", Attributes::NONE).delete(3));
    }

    #[test]
    fn a_new_format_keeps_the_text_also_in_the_middle_of_a_word() {
        let bold = || [("bold".to_owned(), json!(true))].into_iter().collect::<Attributes>();
        let after = text("so im").insert("poss", bold()).insert("ible", Attributes::NONE);
        let (_, change, _) = changed(TOKENS, &text("so impossible"), &after);
        assert_eq!(change, Delta::new().retain(5).format(4, bold()));
    }
}
