//! What can happen to a document, in the product's own words: ids, commands, events, rejections.
//!
//! Pure: time and ids come in with the event.

mod comment;
mod context;
mod event;
mod ids;
mod presence;
mod rejection;
mod revocation;
mod timestamp;

pub use comment::{
    CommentCause, CommentChange, CommentCommand, CommentLimits, Commented, Commenter, Named, NewComment, NewThread,
    Place, Placed, Stretch,
};
pub use context::Context;
pub use event::{Cause, Edited, Effect, Event, PositionEncoding};
pub use ids::{ClientId, CommentId, DocumentId, IdError, MessageId, NodeId, Seq, ThreadId, TokenId, UserId, Version};
pub use presence::{ConnectionName, Cursor, Joined, Left, Moved, PresenceEvent, Profile, Typed};
pub use rejection::Rejection;
pub use revocation::{Revocation, Revoked};
pub use timestamp::{NotATime, Timestamp};
