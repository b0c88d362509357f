//! A leaf of the tree: about a kibibyte of text and the runs of attributes over it.

use std::ops::Range;

use smallvec::SmallVec;

use crate::text::{Attributes, Embed, Unit, Utf16, unit::Size};

/// A leaf with more text than this is split.
pub(super) const MAX_BYTES: usize = 1024;
/// A leaf with more runs than this is split.
pub(super) const MAX_RUNS: usize = 32;

/// What stands for an embed in plain text.
const OBJECT_REPLACEMENT: &str = "\u{FFFC}";
const EMBED: Size = Size { bytes: OBJECT_REPLACEMENT.len(), utf16: 1, chars: 1 };

/// Text in which each embed stands as U+FFFC, and the runs that cover it exactly: none is empty, and
/// neighbours of text differ in their attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    text: String,
    runs: SmallVec<[Run; 1]>,
}

/// A stretch of text with the same attributes, or one embed.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) size: Size,
    pub(super) attributes: Attributes,
    pub(super) embed: Option<Embed>,
}

/// What is inserted in one go: at most [`Piece::MAX_BYTES`] of text, or an embed.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Embed(&'a Embed),
}

/// A change of one range of a leaf or of the tree; the range of an insert is empty.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Insert(Piece<'a>, &'a Attributes),
    Delete,
    Format(&'a Attributes),
}

impl<'a> Piece<'a> {
    /// Less than a leaf may have, so that a leaf splits into no more than two.
    pub(super) const MAX_BYTES: usize = MAX_BYTES / 2;

    /// The pieces of a text of any length.
    pub(super) fn cut(mut text: &'a str) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (head, tail) = text.split_at(text.floor_char_boundary(Self::MAX_BYTES));
            text = tail;
            (!head.is_empty()).then_some(Self::Text(head))
        })
    }

    pub(super) fn size(self) -> Size {
        match self {
            Self::Text(text) => Size::of(text),
            Self::Embed(_) => EMBED,
        }
    }

    fn text(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Embed(_) => OBJECT_REPLACEMENT,
        }
    }

    fn run(self, size: Size, attributes: &Attributes) -> Run {
        let embed = if let Self::Embed(embed) = self { Some(embed.clone()) } else { None };
        Run { size, attributes: attributes.clone(), embed }
    }
}

impl Run {
    /// Whether text with these attributes may become part of this run.
    fn accepts(&self, attributes: &Attributes) -> bool {
        self.embed.is_none() && self.attributes == *attributes
    }

    fn joins(&self, next: &Self) -> bool {
        next.embed.is_none() && self.accepts(&next.attributes)
    }
}

impl Leaf {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn size(&self) -> Size {
        self.runs.iter().map(|run| run.size).sum()
    }

    /// Whether it should be merged with a neighbour.
    pub(super) fn is_small(&self) -> bool {
        self.text.len() < MAX_BYTES / 4 && self.runs.len() < MAX_RUNS / 4
    }

    /// The size of what comes before a position; see [`Size::of_start`].
    pub(super) fn before<U: Unit>(&self, position: usize) -> Size {
        let (run, before) = self.run_at::<U>(position);
        let Some(run) = self.runs.get(run) else { return before };
        let text = &self.text[before.bytes..before.bytes + run.size.bytes];
        before + run.size.of_start::<U>(text, position - before.length::<U>())
    }

    pub(super) fn change(&mut self, range: Range<usize>, change: Change<'_>) {
        match change {
            Change::Insert(piece, attributes) => self.insert(range.start, piece, attributes),
            Change::Delete => self.delete(range),
            Change::Format(attributes) => self.format(range, attributes),
        }
    }

    /// Appends; for building a leaf from the left.
    pub(super) fn push(&mut self, piece: Piece<'_>, attributes: &Attributes) {
        self.text.push_str(piece.text());
        let size = piece.size();
        match (self.runs.last_mut(), piece) {
            (Some(last), Piece::Text(_)) if last.accepts(attributes) => last.size += size,
            _ => self.runs.push(piece.run(size, attributes)),
        }
    }

    /// Appends another leaf.
    pub(super) fn append(&mut self, right: Self) {
        let seam = self.runs.len();
        self.text.push_str(&right.text);
        self.runs.extend(right.runs);
        self.join(seam..seam);
    }

    /// Splits off the right half if there is too much in it.
    pub(super) fn split_if_large(&mut self) -> Option<Self> {
        let middle = if self.text.len() > MAX_BYTES {
            self.text.floor_char_boundary(self.text.len() / 2)
        } else if self.runs.len() > MAX_RUNS {
            self.runs[..self.runs.len() / 2].iter().map(|run| run.size.bytes).sum()
        } else {
            return None;
        };
        let (mut at, mut start) = (0, 0);
        while start + self.runs[at].size.bytes <= middle {
            start += self.runs[at].size.bytes;
            at += 1;
        }
        if start < middle {
            let head = Size::of(&self.text[start..middle]);
            self.split_run(at, head);
            at += 1;
        }
        Some(Self { runs: self.runs.drain(at..).collect(), text: self.text.split_off(middle) })
    }

    /// An insert prefers the run to its left, then the run to its right, then makes one of its own.
    fn insert(&mut self, position: usize, piece: Piece<'_>, attributes: &Attributes) {
        let at = self.before::<Utf16>(position);
        let (mut run, before) = self.run_at::<Utf16>(position);
        let size = piece.size();
        self.text.insert_str(at.bytes, piece.text());
        let within = at - before;
        let is_text = matches!(piece, Piece::Text(_));
        match self.runs.get_mut(run) {
            Some(left) if is_text && left.accepts(attributes) => {
                left.size += size;
                return;
            }
            Some(left) if within == left.size => run += 1,
            Some(_) if within.bytes > 0 => {
                self.split_run(run, within);
                run += 1;
            }
            _ => {}
        }
        match self.runs.get_mut(run) {
            Some(right) if is_text && right.accepts(attributes) => right.size += size,
            _ => self.runs.insert(run, piece.run(size, attributes)),
        }
    }

    fn delete(&mut self, range: Range<usize>) {
        let (start, end) = (self.before::<Utf16>(range.start), self.before::<Utf16>(range.end));
        let (last, before) = self.run_at::<Utf16>(range.end);
        self.text.replace_range(start.bytes..end.bytes, "");
        if before.bytes <= start.bytes && end.bytes - start.bytes < self.runs[last].size.bytes {
            // By far the most frequent case: some characters of one run.
            self.runs[last].size = self.runs[last].size - (end - start);
            return;
        }
        let runs = self.isolate(start, end);
        self.runs.drain(runs.clone());
        self.join(runs.start..runs.start);
    }

    fn format(&mut self, range: Range<usize>, change: &Attributes) {
        let (start, end) = (self.before::<Utf16>(range.start), self.before::<Utf16>(range.end));
        let runs = self.isolate(start, end);
        for run in &mut self.runs[runs.clone()] {
            run.attributes = run.attributes.changed_by(change);
        }
        self.join(runs);
    }

    /// Splits runs so that some of them cover exactly what is between two places, and says which.
    fn isolate(&mut self, start: Size, end: Size) -> Range<usize> {
        self.split_at(start)..self.split_at(end)
    }

    /// The run that starts at `place`, made by a split where there is none.
    fn split_at(&mut self, place: Size) -> usize {
        let (mut at, mut before) = (0, Size::default());
        while at < self.runs.len() && before.bytes + self.runs[at].size.bytes <= place.bytes {
            before += self.runs[at].size;
            at += 1;
        }
        if before.bytes < place.bytes {
            self.split_run(at, place - before);
            at += 1;
        }
        at
    }

    fn split_run(&mut self, at: usize, head: Size) {
        let mut tail = self.runs[at].clone();
        tail.size = tail.size - head;
        self.runs[at].size = head;
        self.runs.insert(at + 1, tail);
    }

    /// Joins each of these runs with the one before it where they are alike, and so the one after them.
    fn join(&mut self, runs: Range<usize>) {
        for at in (runs.start.max(1)..=runs.end).rev() {
            if at < self.runs.len() && self.runs[at - 1].joins(&self.runs[at]) {
                let right = self.runs.remove(at);
                self.runs[at - 1].size += right.size;
            }
        }
    }

    /// The first run that reaches up to `position`, and the size of all before it.
    fn run_at<U: Unit>(&self, position: usize) -> (usize, Size) {
        let mut before = Size::default();
        for (at, run) in self.runs.iter().enumerate() {
            let next = before + run.size;
            if next.length::<U>() >= position {
                return (at, before);
            }
            before = next;
        }
        (self.runs.len(), before)
    }
}

#[cfg(test)]
impl Leaf {
    pub(super) fn assert_sound(&self) {
        assert!(self.text.len() <= MAX_BYTES && self.runs.len() <= MAX_RUNS);
        let mut start = 0;
        for (at, run) in self.runs.iter().enumerate() {
            let text = &self.text[start..start + run.size.bytes];
            assert_eq!(run.size, Size::of(text));
            assert!(!text.is_empty() && (run.embed.is_none() || text == OBJECT_REPLACEMENT));
            assert!(at == 0 || !self.runs[at - 1].joins(run), "neighbours that are alike");
            start += run.size.bytes;
        }
        assert_eq!(start, self.text.len());
    }
}
