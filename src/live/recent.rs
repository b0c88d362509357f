//! The last events of an open document, kept in memory: what resuming clients and the contexts of edits
//! in flight ask for again and again. Older ones come from the log.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::domain::{MessageId, Seq, UserId, Version};

use super::committed::Committed;

/// A window over the end of the stream, bounded in events and in bytes.
#[derive(Debug)]
pub(super) struct Recent {
    events: VecDeque<Arc<Committed>>,
    by_message: HashMap<MessageId, Arc<Committed>>,
    /// Every event behind this place is here.
    floor: Seq,
    /// The version there: every edit after it is here.
    floor_version: Version,
    /// Whether the edit that made that version is the last event at or before the floor: then no comment is
    /// between the two.
    floor_is_edit: bool,
    /// How many of them are not edits.
    comments: usize,
    limit: usize,
    bytes: usize,
}

/// Bytes that the events of one document may take here, about; long ones leave sooner.
const BYTES: usize = 16 << 20;

impl Recent {
    pub(super) fn new((floor, floor_version): (Seq, Version), limit: usize) -> Self {
        let (events, by_message) = (VecDeque::new(), HashMap::new());
        // Of a stream that has as many events as versions all are edits; of others nobody has looked.
        let floor_is_edit = floor.0 == floor_version.0;
        Self { events, by_message, floor, floor_version, floor_is_edit, comments: 0, limit, bytes: 0 }
    }

    pub(super) fn push(&mut self, event: Arc<Committed>) {
        self.by_message.insert(event.message_id.clone(), Arc::clone(&event));
        self.bytes += event.weight();
        self.comments += usize::from(event.edit().is_none());
        self.events.push_back(event);
        while (self.events.len() > self.limit || self.bytes > BYTES)
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= oldest.weight();
            self.comments -= usize::from(oldest.edit().is_none());
            (self.floor, self.floor_version) = (oldest.seq, oldest.version);
            self.floor_is_edit = oldest.edit().is_some();
            self.by_message.remove(&oldest.message_id);
        }
    }

    /// Whether any of them is somebody's.
    pub(super) fn is_of(&self, user: &UserId) -> bool {
        self.events.iter().any(|event| event.client.user == *user)
    }

    /// Every event behind a place, or `None` if some of them are no longer here.
    pub(super) fn after(&self, seq: Seq) -> Option<impl Iterator<Item = &Arc<Committed>> + Clone> {
        let skip = usize::try_from(seq.0.checked_sub(self.floor.0)?).ok()?;
        Some(self.events.range(skip.min(self.events.len())..))
    }

    /// Every event behind the edit that made `version`, or `None` if some of them are no longer here.
    pub(super) fn since(&self, version: Version) -> Option<impl Iterator<Item = &Arc<Committed>> + Clone> {
        let is_whole = version > self.floor_version || self.floor_is_edit;
        let from = self.first_after(version, |event| event.edit().is_some())?;
        is_whole.then(|| self.events.range(from..))
    }

    /// Every event after the last one of `version`, among them all later edits; `None` if some of them are no longer
    /// here.
    pub(super) fn edits_after(&self, version: Version) -> Option<impl Iterator<Item = &Arc<Committed>> + Clone> {
        let from = self.first_after(version, |_| true)?;
        Some(self.events.range(from..))
    }

    /// Where the events after `version` begin; of those of that version the ones that `are_before` come before.
    fn first_after(&self, version: Version, are_before: impl Fn(&Committed) -> bool) -> Option<usize> {
        let distance = usize::try_from(version.0.checked_sub(self.floor_version.0)?).ok()?;
        if self.comments == 0 {
            return Some(distance.min(self.events.len()));
        }
        let is_before =
            |event: &Arc<Committed>| event.version < version || (event.version == version && are_before(event));
        Some(self.events.partition_point(is_before))
    }

    pub(super) fn find(&self, message: &MessageId) -> Option<&Arc<Committed>> {
        self.by_message.get(message)
    }
}
