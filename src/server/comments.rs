//! Comments from a connection: who it is that asks.

use std::sync::PoisonError;

use crate::{
    auth::Permission,
    domain::Commenter,
    live::{Message, WaitingComment},
    protocol::document::{CommentKind, CommentMessage},
    telemetry::Received,
};

use super::session::Session;

impl Session {
    /// A comment event together with what its sender may do just now.
    pub(super) fn comment(&self, message: CommentMessage) -> Message {
        let permissions = self.talk.standing.permissions();
        let by = Commenter {
            user: self.talk.client.user.clone(),
            name: self.name.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            is_admin: permissions.allows(Permission::Admin),
            permissions: permissions.iter().map(Permission::long).collect(),
        };
        Message::Comment(Box::new(WaitingComment { message, by, encoding: self.talk.reader.encoding }))
    }
}

pub(super) const fn kind_of(kind: CommentKind) -> Received {
    match kind {
        CommentKind::Added => Received::CommentAdded,
        CommentKind::Updated => Received::CommentUpdated,
        CommentKind::Resolved => Received::CommentResolved,
        CommentKind::Reopened => Received::CommentReopened,
        CommentKind::Deleted => Received::CommentDeleted,
    }
}
