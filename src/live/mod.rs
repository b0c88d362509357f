//! Open documents: one owning task each, the way from its commands to the log, and from the log to everybody
//! who is connected.

mod batch;
mod behind;
mod catch_up;
mod clients;
mod command;
mod comments;
mod committed;
mod context;
mod deliver;
mod directory;
mod document;
mod erasing;
mod fan_out;
mod forgetting;
mod keeper;
mod load;
mod node;
mod opening;
mod outbox;
mod presence;
mod recent;
mod retelling;
mod rings;
mod serving;
mod snapshots;
mod subscriber;
mod sync;
mod tail;
mod turns;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{clock::Clock, domain::CommentLimits, event_log::EventLog, settings, telemetry::Metrics};

pub use batch::{Message, Submission};
pub use command::{Command, ConnectionId};
pub use comments::{WaitingComment, listed_comments};
pub use committed::ClientKey;
pub use directory::Handle;
pub use forgetting::Erased;
pub use keeper::Keeper;
pub use node::Node;
pub use opening::Joined;
pub use outbox::{Goodbye, Item, Outbox, Taken};
pub use presence::{PresenceMessage, WaitingPresence};
pub use retelling::Retelling;
pub use serving::{Done, Order, Restore, SERVERS, Task};
pub use subscriber::Subscriber;
pub use sync::{Encoded, Encoder, SharedSync, WaitingSync};

use directory::Directory;

/// What open documents need to know of the settings.
#[derive(Debug, Clone)]
pub struct DocumentSettings {
    /// Whether opening an id without events gives an empty document.
    pub auto_create: bool,
    /// More missed edits than this, and a client gets the whole document instead.
    pub max_resume_events: u64,
    /// Edits kept in memory per open document.
    pub recent_edits: usize,
    /// Edits in one append at most.
    pub batch: usize,
    /// Commands that may wait per document; then connections are no longer read.
    pub inbox: usize,
    /// How long a document stays open that nobody has open.
    pub idle_unload: Duration,
    /// How long a client may take for a part of what it missed.
    pub patience: Duration,
    /// How long a document may be, in UTF-16 units.
    pub document_length: usize,
    /// How much may be said about it.
    pub comments: CommentLimits,
}

/// All open documents of this process.
pub struct Live {
    log: EventLog,
    clock: Clock,
    metrics: Metrics,
    settings: DocumentSettings,
    snapshots: settings::Snapshots,
    presence: settings::Presence,
    node: Node,
    directory: Directory,
    tasks: TaskTracker,
    /// Turns to make contexts out of the log.
    preparing: Semaphore,
}

/// Contexts that are made out of the log at the same time, whatever documents they are of.
const PREPARING: usize = 2;

impl Live {
    /// No documents yet.
    pub fn new(
        log: EventLog,
        clock: Clock,
        (metrics, node): (Metrics, Node),
        settings: DocumentSettings,
        (snapshots, presence): (settings::Snapshots, settings::Presence),
    ) -> Arc<Self> {
        let (directory, tasks) = (Directory::default(), TaskTracker::new());
        let preparing = Semaphore::new(PREPARING);
        Arc::new(Self { log, clock, metrics, settings, snapshots, presence, node, directory, tasks, preparing })
    }

    /// Ends every document once its connections have left, and waits for all that they still write.
    pub async fn shutdown(&self) {
        self.directory.clear();
        self.tasks.close();
        self.tasks.wait().await;
        self.end_life().await;
    }
}
