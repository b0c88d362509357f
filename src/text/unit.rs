//! What a length counts, and text that knows its length in either unit.

use std::{fmt, sync::Arc};

/// What positions and lengths count.
pub trait Unit: Copy + Default + fmt::Debug + Eq + Send + Sync + 'static {
    /// The length of `text` in this unit.
    fn length(text: &Text) -> usize;
    /// The length of one character in this unit.
    fn length_of(c: char) -> usize;
}

/// UTF-16 code units, as JavaScript and Quill count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Utf16;

/// Unicode code points (`char`s), as Python and Rust count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodePoints;

impl Unit for Utf16 {
    fn length(text: &Text) -> usize {
        text.utf16 as usize
    }
    fn length_of(c: char) -> usize {
        c.len_utf16()
    }
}

impl Unit for CodePoints {
    fn length(text: &Text) -> usize {
        text.chars as usize
    }
    fn length_of(_: char) -> usize {
        1
    }
}

/// Immutable text that is cheap to clone and knows its length in both units.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    string: Arc<str>,
    utf16: u32,
    chars: u32,
}

impl Text {
    /// Copies `string` and measures it.
    ///
    /// # Panics
    /// On more than 4 GiB of text; messages and documents are limited far below.
    pub fn new(string: &str) -> Self {
        let (utf16, chars) = if string.is_ascii() {
            (string.len(), string.len())
        } else {
            string.chars().fold((0, 0), |(utf16, chars), c| (utf16 + c.len_utf16(), chars + 1))
        };
        let fit = |n: usize| u32::try_from(n).expect("text is shorter than 4 GiB");
        Self { string: string.into(), utf16: fit(utf16), chars: fit(chars) }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.string
    }

    /// Its length in `U`.
    pub fn length<U: Unit>(&self) -> usize {
        U::length(self)
    }
}

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
