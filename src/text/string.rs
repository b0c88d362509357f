//! Text that is cheap to clone, to slice and to extend, and knows its length in either unit.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{Unit, unit::Size};

/// Up to this many bytes are kept in place: what a person types between two messages fits.
const INLINE: usize = 22;

/// What stands for half of a surrogate pair, as when JavaScript writes UTF-8.
const REPLACEMENT: &str = "\u{FFFD}";

/// Immutable text. Short text is kept in place, long text is shared: neither [`Clone`] nor
/// [`Text::split_at`] copies more than a few bytes.
#[derive(Clone)]
pub struct Text {
    repr: Repr,
    utf16: u32,
    chars: u32,
}

#[derive(Clone)]
enum Repr {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared { string: Arc<String>, start: u32, end: u32 },
}

/// A text whose lines end with a line feed each, also where they ended with a carriage return, or with both.
pub fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

impl Text {
    /// Copies `string` and measures it.
    ///
    /// # Panics
    /// On 4 GiB of text and more; messages and documents are limited far below.
    pub fn new(string: &str) -> Self {
        Self::measured(Repr::new(string), Size::of(string))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        match &self.repr {
            Repr::Inline { length, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*length)]).expect("the bytes of a whole str")
            }
            Repr::Shared { string, start, end } => &string[*start as usize..*end as usize],
        }
    }

    /// Its length in `U`.
    pub fn length<U: Unit>(&self) -> usize {
        U::length(self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chars == 0
    }

    /// The first `length` units, and the rest. Both halves of a surrogate pair that is split become
    /// U+FFFD, so that the lengths stay what they were.
    pub fn split_at<U: Unit>(&self, length: usize) -> (Self, Self) {
        let string = self.as_str();
        let size = self.size();
        let head = size.of_start::<U>(string, length);
        if head.length::<U>() < length.min(size.length::<U>()) {
            let split = string[head.bytes..].chars().next().map_or(0, char::len_utf8);
            let mut left = self.part(0, head);
            left.append(&Self::new(REPLACEMENT));
            let mut right = Self::new(REPLACEMENT);
            right.append(&Self::new(&string[head.bytes + split..]));
            return (left, right);
        }
        (self.part(0, head), self.part(head.bytes, size - head))
    }

    /// Whether a cut after `length` units would fall inside a character.
    pub(super) fn cuts_character<U: Unit>(&self, length: usize) -> bool {
        self.size().of_start::<U>(self.as_str(), length).length::<U>() < length.min(self.length::<U>())
    }

    /// Appends `more`, in place while nobody else shares this text.
    pub(super) fn append(&mut self, more: &Self) {
        let size = self.size() + more.size();
        match &mut self.repr {
            Repr::Inline { length, bytes } if size.bytes <= INLINE => {
                let start = usize::from(*length);
                bytes[start..size.bytes].copy_from_slice(more.as_str().as_bytes());
                *length += fit::<u8>(more.size().bytes);
            }
            Repr::Shared { string, end, .. } if *end as usize == string.len() && Arc::strong_count(string) == 1 => {
                Arc::make_mut(string).push_str(more.as_str());
                *end = fit(string.len());
            }
            Repr::Inline { .. } | Repr::Shared { .. } => {
                let mut string = String::with_capacity(size.bytes * 2);
                string.push_str(self.as_str());
                string.push_str(more.as_str());
                self.repr = Repr::Shared { end: fit(string.len()), string: Arc::new(string), start: 0 };
            }
        }
        (self.utf16, self.chars) = (fit(size.utf16), fit(size.chars));
    }

    pub(super) fn size(&self) -> Size {
        let bytes = match &self.repr {
            Repr::Inline { length, .. } => usize::from(*length),
            Repr::Shared { start, end, .. } => (end - start) as usize,
        };
        Size { bytes, utf16: self.utf16 as usize, chars: self.chars as usize }
    }

    /// The part of `size` from a byte on.
    fn part(&self, from: usize, size: Size) -> Self {
        let repr = match &self.repr {
            Repr::Shared { string, start, .. } if size.bytes > INLINE => {
                let start = start + fit::<u32>(from);
                Repr::Shared { string: Arc::clone(string), start, end: start + fit::<u32>(size.bytes) }
            }
            Repr::Inline { .. } | Repr::Shared { .. } => Repr::new(&self.as_str()[from..from + size.bytes]),
        };
        Self::measured(repr, size)
    }

    fn measured(repr: Repr, size: Size) -> Self {
        Self { repr, utf16: fit(size.utf16), chars: fit(size.chars) }
    }
}

impl Repr {
    fn new(string: &str) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..string.len()) {
            Some(start) => {
                start.copy_from_slice(string.as_bytes());
                Self::Inline { length: fit(string.len()), bytes }
            }
            None => Self::Shared { string: Arc::new(string.to_owned()), start: 0, end: fit(string.len()) },
        }
    }
}

/// # Panics
/// If a length does not fit.
fn fit<N: TryFrom<usize>>(length: usize) -> N {
    N::try_from(length).ok().expect("text is shorter than 4 GiB")
}

impl Default for Text {
    fn default() -> Self {
        Self::new("")
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for Text {
    fn from(string: &str) -> Self {
        Self::new(string)
    }
}

impl From<String> for Text {
    fn from(string: String) -> Self {
        let size = Size::of(&string);
        if size.bytes <= INLINE {
            return Self::measured(Repr::new(&string), size);
        }
        Self::measured(Repr::Shared { string: Arc::new(string), start: 0, end: fit(size.bytes) }, size)
    }
}
