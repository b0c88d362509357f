//! Documents in the formats of others: Markdown and HTML, and from one text to another by the least change. Pure.
//!
//! What is kept is the table in `docs/http.md`; all else comes in and goes out as its text. Whatever comes in, nothing
//! recurses, neither time nor memory grows faster than the input, and of a document that comes in no more is held than the
//! [`Limits`] allow.

mod address;
mod difference;
mod front_matter;
mod html_element;
mod html_reading;
#[cfg(test)]
mod html_tests;
mod html_writing;
mod lines;
mod markdown_reading;
#[cfg(test)]
mod markdown_tests;
mod markdown_writing;
mod quill_spaces;
#[cfg(test)]
mod tests;

pub use difference::change;

use lines::Lines;

use crate::text::{Delta, RichText, Utf16, with_line_feeds};

/// How much of a document may come in. Of HTML and Markdown a few bytes can stand for much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Lines, and stretches of a line that look alike.
    pub operations: usize,
    /// Bytes of its text, with the address of a link counted for each stretch inside.
    pub bytes: usize,
}

/// Why something is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Too much inside each other.
    #[error("elements are nested deeper than {limit}")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// A tag or a comment without an end in sight.
    #[error("a tag or a comment is longer than {limit} bytes")]
    LongTag {
        /// How long it may be.
        limit: usize,
    },
    /// More than [`Limits::operations`].
    #[error("the document has more than {limit} lines and stretches of the same look (`limits.import_operations`)")]
    TooManyOperations {
        /// How many there may be.
        limit: usize,
    },
    /// More than [`Limits::bytes`].
    #[error("the document is longer than {limit} bytes, with its links counted wherever they begin anew")]
    TooLong {
        /// How long it may be.
        limit: usize,
    },
}

/// A document as a page of HTML with this title.
pub fn to_html(document: &RichText, title: &str) -> String {
    html_writing::write(lines::of(document), title)
}

/// A page or a part of one as the inserts of a document.
pub fn from_html(html: &str, limits: Limits) -> Result<Delta<Utf16>, Unreadable> {
    let mut lines = html_reading::read(html, Lines::new(limits))?.finish()?;
    quill_spaces::mend(html, &mut lines);
    Ok(lines::to_delta(lines))
}

/// A document as Markdown.
pub fn to_markdown(document: &RichText) -> String {
    markdown_writing::write(lines::of(document))
}

/// Markdown as the inserts of a document.
pub fn from_markdown(markdown: &str, limits: Limits) -> Result<Delta<Utf16>, Unreadable> {
    Ok(lines::to_delta(markdown_reading::read(&with_line_feeds(markdown), limits)?))
}
