//! What readers ask for, folded from events. Everything here can be thrown away and folded again.

mod document;

pub use document::Document;
