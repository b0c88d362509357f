//! The algebra of rich text: changes ([`Delta`]), the document they change ([`RichText`]), and how
//! concurrent changes are carried over one another.
//!
//! The algebra is that of Quill's Delta (<https://github.com/slab/delta>), to the letter. Lengths and
//! positions count in a [`Unit`]: UTF-16 code units ([`Utf16`], the default) or Unicode code points
//! ([`CodePoints`]). Everything here is synchronous and deterministic.

mod algebra;
mod attributes;
mod cursor;
mod delta;
mod embed;
mod footprint;
mod op;
mod rich_text;
mod splice;
mod string;
mod unit;

pub use attributes::Attributes;
pub use delta::Delta;
pub use embed::Embed;
pub use footprint::{Carried, Footprint};
pub use op::{Content, Op};
pub use rich_text::{EditError, RichText, Span};
pub use splice::Splice;
pub use string::{Text, with_line_feeds};
pub use unit::{CodePoints, Unit, Utf16};

/// Who keeps its place when two concurrent changes meet at one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The change that is transformed *over* came first: its inserts stay left, its attribute values stay.
    First,
    /// The change that is transformed came first.
    Second,
}

#[cfg(test)]
mod tests;
