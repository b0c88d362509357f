//! The document dialect: `GET /v1/ws/documents/{document_id}`.

mod client;
mod comment;
mod comment_event;
mod content;
#[cfg(test)]
mod content_tests;
mod events;
#[cfg(test)]
mod number_tests;
mod operation;
mod presence;
mod reading;
mod replay;
mod server;
mod steps;
mod sync;
mod system;

pub use client::{ClientEvent, ClientMessage, EditMessage, Reader, is_same_json, read_document, read_edit, read_sent};
pub use comment::{CommentKind, CommentMessage, QUOTE};
pub(super) use comment_event::CommentsJson;
pub use comment_event::{
    AnchorJson, AnchorsJson, CommentAck, CommentList, ListedComment, ListedCommentJson, comment_ack, comment_event,
};
pub use content::EditLimits;
pub use events::{Event, From, events, watchers_events};
pub use operation::{SentOperation, WireOperation};
pub use presence::{
    ActiveUser, ActiveUserJson, CursorMessage, ProfileJson, Selection, TypingMessage, cursor_update, typing_indicator,
    user_joined, user_left,
};
pub use reading::in_words_of_json;
pub use replay::{ReplayState, Sought, Speed, WatcherEvent, replay_state};
pub use server::{
    Broadcast, ConnectionAck, Form, Sending, ack, broadcast, connection_ack, disconnect, error, pong, position_sent,
};
pub use steps::OperationJson;
pub use sync::{Sync, document_sync_begin, document_sync_end};
pub use system::{Token, authenticated, token_expiring};
