//! What an open document is asked to do.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    domain::{MessageId, Profile, Rejection, Version},
    event_log::ReadError,
};

use super::{
    batch::Submission,
    committed::ClientKey,
    context::ClientContext,
    forgetting::Erased,
    opening::Joined,
    presence::WaitingPresence,
    serving::{Done, Order},
    subscriber::{Opening, Subscriber},
};

/// Names a connection within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What a document is asked to do.
#[derive(Debug)]
pub enum Command {
    /// A connection opens the document.
    Join(Box<Subscriber>, Opening, oneshot::Sender<Joined>),
    /// An edit, or something about a comment.
    Submit(Box<Submission>),
    /// A client says something of itself.
    Presence(Box<WaitingPresence>),
    /// A connection asks for the document again, or for what came after a version.
    Sync(ConnectionId, Option<Version>, Option<MessageId>),
    /// An edit that comes from a server. Answered once the log has it.
    Serve(Box<Order>, oneshot::Sender<Result<Done, Rejection>>),
    /// A connection says anew who its user is to the others.
    Rename(ConnectionId, Arc<Profile>),
    /// A connection has answered a ping.
    Alive(ConnectionId),
    /// This process has begun a new life in the middle of things.
    EnterAgain,
    /// The context of a client that is far behind is there.
    Prepared(Box<(ClientKey, Result<ClientContext, ReadError>)>),
    /// Somebody is to be forgotten. The answer is dropped when nothing of them is left here.
    Forget(Arc<Erased>, oneshot::Sender<()>),
    /// A connection ends. Answered when everything that it sent before has been answered.
    Leave(ConnectionId, oneshot::Sender<()>),
}
