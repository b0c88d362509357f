//! Who is in a document, and where: what happens in the document's presence stream.

use std::sync::Arc;

use super::{ClientId, MessageId, NodeId, UserId};

/// Names a connection among all that there ever were: the process that has it, which life of that process,
/// and its number in that life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionName {
    /// The process.
    pub node: NodeId,
    /// Which of its lives; a later one has a higher number.
    pub incarnation: u64,
    /// The connection's number in that life.
    pub number: u64,
}

/// Who a user is to the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Their name, where known.
    pub name: Option<String>,
    /// Their picture, where known.
    pub avatar_url: Option<String>,
    /// Their colour, where known.
    pub color: Option<String>,
}

/// Where a user is in the text, in UTF-16 units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Where they would type.
    pub position: usize,
    /// What they have selected: from where to where, in the order in which it was said.
    pub selection: Option<(usize, usize)>,
}

impl Cursor {
    /// The same with each of its places led through `lead`.
    #[must_use]
    pub fn map(self, mut lead: impl FnMut(usize) -> usize) -> Self {
        let position = lead(self.position);
        Self { position, selection: self.selection.map(|(start, end)| (lead(start), lead(end))) }
    }
}

/// A fact in a presence stream. It refers to a version of the document, recorded beside it.
///
/// Unlike edits these are kept for a while only, are recorded after they were told, and may be merged: what
/// holds is what was said last.
#[derive(Debug, Clone, PartialEq)]
pub enum PresenceEvent {
    /// A connection came, or said anew who its user is.
    Joined(Joined),
    /// A connection went.
    Left(Left),
    /// Cursors were moved, by their users.
    Moved(Vec<Moved>),
    /// Users began or ceased to type.
    Typed(Vec<Typed>),
}

/// A connection came. Its user is present from the first one on, and is to the others what the last one said. One
/// that is there already has said it anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// Which connection.
    pub connection: ConnectionName,
    /// Whose.
    pub user: UserId,
    /// With which client.
    pub client: ClientId,
    /// Who that is to the others.
    pub profile: Arc<Profile>,
}

/// A connection went. Its user has left when it was the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// Which connection.
    pub connection: ConnectionName,
    /// Whose.
    pub user: UserId,
}

/// A user moved their cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Who.
    pub user: UserId,
    /// With which client.
    pub client: ClientId,
    /// By which message, if it had a name.
    pub message_id: Option<MessageId>,
    /// Where it is.
    pub cursor: Cursor,
}

/// A user began or ceased to type.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// Who.
    pub user: UserId,
    /// With which client.
    pub client: ClientId,
    /// By which message, if it had a name.
    pub message_id: Option<MessageId>,
    /// Whether they type now.
    pub is_typing: bool,
    /// Where, if they said so.
    pub position: Option<usize>,
}
