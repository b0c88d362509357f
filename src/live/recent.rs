//! The last edits of an open document, kept in memory: what resuming clients and the contexts of edits
//! in flight ask for again and again. Older ones come from the log.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::domain::{MessageId, Version};

use super::committed::Committed;

/// A window over the end of the stream, bounded in edits and in bytes.
#[derive(Debug)]
pub(super) struct Recent {
    edits: VecDeque<Arc<Committed>>,
    by_message: HashMap<MessageId, Arc<Committed>>,
    /// Every edit after this version is here.
    floor: Version,
    limit: usize,
    bytes: usize,
}

/// Bytes that the edits of one document may take here, about; long ones leave sooner.
const BYTES: usize = 16 << 20;

impl Recent {
    pub(super) fn new(floor: Version, limit: usize) -> Self {
        Self { edits: VecDeque::new(), by_message: HashMap::new(), floor, limit, bytes: 0 }
    }

    pub(super) fn push(&mut self, edit: Arc<Committed>) {
        self.by_message.insert(edit.message_id.clone(), Arc::clone(&edit));
        self.bytes += edit.weight();
        self.edits.push_back(edit);
        while (self.edits.len() > self.limit || self.bytes > BYTES)
            && let Some(oldest) = self.edits.pop_front()
        {
            self.bytes -= oldest.weight();
            self.floor = oldest.version;
            self.by_message.remove(&oldest.message_id);
        }
    }

    /// Every edit after `version`, or `None` if some of them are no longer here.
    pub(super) fn after(&self, version: Version) -> Option<impl Iterator<Item = &Arc<Committed>> + Clone> {
        let skip = usize::try_from(version.0.checked_sub(self.floor.0)?).ok()?;
        Some(self.edits.range(skip.min(self.edits.len())..))
    }

    pub(super) fn find(&self, message: &MessageId) -> Option<&Arc<Committed>> {
        self.by_message.get(message)
    }
}
