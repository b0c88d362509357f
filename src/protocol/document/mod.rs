//! The document dialect: `GET /v1/ws/documents/{document_id}`.

mod client;
mod comment;
mod comment_event;
mod operation;
mod presence;
mod server;
mod steps;
mod system;

pub use client::{ClientEvent, ClientMessage, EditMessage, Reader, is_same_json, read_edit, read_sent};
pub use comment::{CommentKind, CommentMessage, QUOTE};
pub use comment_event::{AnchorsJson, CommentAck, CommentList, ListedComment, comment_ack, comment_event};
pub use operation::{EditLimits, SentOperation};
pub use presence::{ActiveUser, CursorMessage, TypingMessage, cursor_update, typing_indicator, user_joined, user_left};
pub use server::{
    Broadcast, ConnectionAck, Form, Sending, Sync, ack, broadcast, connection_ack, disconnect, document_sync, error,
    pong, position_sent,
};
pub use system::{Token, authenticated, token_expiring};
