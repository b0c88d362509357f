//! What readers ask for, folded from events. Everything here can be thrown away and folded again.

mod anchors;
mod blame;
mod comments;
mod contributions;
mod document;
mod kept;
mod presence;

pub use anchors::{SavedDeletion, SavedPart};
pub use blame::{Blame, Run};
pub use comments::{Comment, Comments, Misfit, SavedComments, SavedThread, Stamp, Thread};
pub use contributions::{Contribution, Contributions, amounts};
pub use document::Document;
pub use kept::{Happened, Kept};
pub use presence::{Arrival, Placed, Presence, Present, carried};
