//! What readers ask for, folded from events. Everything here can be thrown away and folded again.

mod document;
mod presence;

pub use document::Document;
pub use presence::{Placed, Presence, Present, carried};
