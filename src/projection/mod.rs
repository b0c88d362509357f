//! What readers ask for, folded from events. Everything here can be thrown away and folded again.

mod anchors;
mod comments;
mod document;
mod presence;

pub use anchors::{SavedDeletion, SavedPart};
pub use comments::{Comment, Comments, Misfit, SavedComments, SavedThread, Stamp, Thread};
pub use document::Document;
pub use presence::{Arrival, Placed, Presence, Present, carried};
