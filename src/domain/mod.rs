//! What can happen to a document, in the product's own words: ids, commands, events, rejections.
//!
//! Pure: time and ids come in with the event.

mod event;
mod ids;
mod timestamp;

pub use event::{Cause, Edited, Event, PositionEncoding};
pub use ids::{ClientId, DocumentId, IdError, MessageId, Seq, UserId, Version};
pub use timestamp::{NotATime, Timestamp};
