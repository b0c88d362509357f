//! What a length counts.

use std::fmt;

use super::Text;

/// What positions and lengths count: [`Utf16`] or [`CodePoints`].
pub trait Unit: Copy + Default + fmt::Debug + Eq + Send + Sync + 'static {
    /// The length of `text` in this unit.
    fn length(text: &Text) -> usize;
    /// The length of one character in this unit.
    fn length_of(c: char) -> usize;
    /// This unit's part of a length that is known in both.
    fn of(utf16: usize, chars: usize) -> usize;
    /// The length of the character whose UTF-8 form starts with this byte; 0 for a byte inside of one.
    fn length_at(byte: u8) -> usize;
}

/// UTF-16 code units, as JavaScript and Quill count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Utf16;

/// Unicode code points (`char`s), as Python and Rust count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodePoints;

impl Unit for Utf16 {
    fn length(text: &Text) -> usize {
        text.size().utf16
    }
    fn length_of(c: char) -> usize {
        c.len_utf16()
    }
    fn of(utf16: usize, _: usize) -> usize {
        utf16
    }
    fn length_at(byte: u8) -> usize {
        CodePoints::length_at(byte) + usize::from(byte >= 0xF0)
    }
}

impl Unit for CodePoints {
    fn length(text: &Text) -> usize {
        text.size().chars
    }
    fn length_of(_: char) -> usize {
        1
    }
    fn of(_: usize, chars: usize) -> usize {
        chars
    }
    fn length_at(byte: u8) -> usize {
        usize::from(byte & 0xC0 != 0x80)
    }
}

/// The size of a text in everything that is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: usize,
    pub(super) utf16: usize,
    pub(super) chars: usize,
}

impl Size {
    /// Measures `text`.
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.len();
        if text.is_ascii() {
            return Self { bytes, utf16: bytes, chars: bytes };
        }
        let (utf16, chars) = text
            .bytes()
            .fold((0, 0), |(utf16, chars), byte| (utf16 + Utf16::length_at(byte), chars + CodePoints::length_at(byte)));
        Self { bytes, utf16, chars }
    }

    /// The length in `U`.
    pub(super) fn length<U: Unit>(self) -> usize {
        U::of(self.utf16, self.chars)
    }

    /// The size of the first `length` units of `text`, which has this size. A `length` inside a surrogate
    /// pair gives the size up to before that character; beyond the end it gives everything.
    pub(super) fn of_start<U: Unit>(self, text: &str, length: usize) -> Self {
        if length >= self.length::<U>() {
            return self;
        }
        if self.bytes == self.utf16 {
            return Self { bytes: length, utf16: length, chars: length };
        }
        let bytes = text.as_bytes();
        let (mut at, mut passed) = (0, 0);
        // Whole blocks first: counting a block is many times faster than walking its characters.
        for block in bytes.chunks_exact(32) {
            let units: usize = block.iter().map(|byte| U::length_at(*byte)).sum();
            if passed + units > length {
                break;
            }
            (at, passed) = (at + block.len(), passed + units);
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
        for c in text[at..].chars() {
            passed += U::length_of(c);
            if passed > length {
                break;
            }
            at += c.len_utf8();
        }
        Self::of(&text[..at])
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { bytes: self.bytes + more.bytes, utf16: self.utf16 + more.utf16, chars: self.chars + more.chars }
    }
}

impl std::ops::Sub for Size {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self { bytes: self.bytes - less.bytes, utf16: self.utf16 - less.utf16, chars: self.chars - less.chars }
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |sum, size| sum + size)
    }
}
