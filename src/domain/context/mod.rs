//! Where a client's edits belong: the difference between what it saw and what the document is now.
//!
//! A client writes ahead: an edit refers to the last version it had received *plus its own edits that were
//! not acknowledged yet*. Other people's edits since that version have to be carried over those own ones
//! before the new one can be carried over them. A [`Context`] holds exactly that: other people's edits
//! since the client's version, each as it would look to this client. It is the server's half of the
//! algorithm of Jupiter (Nichols, Curtis, Dixon, Lamping: *High-latency, low-bandwidth windowing in the
//! Jupiter collaboration system*, 1995), with the state kept per client instead of per connection, and
//! rebuilt from the log when it was lost.

use std::collections::VecDeque;

use crate::text::{Carried, Delta, Footprint, Priority, Unit};

use super::{Stretch, Version};

/// The context of one client's edits, in the unit that it counts in.
#[derive(Debug, Clone)]
pub struct Context<U: Unit> {
    /// From here a replay of the log rebuilds this context: the client had seen everything, and had
    /// nothing in flight.
    origin: Version,
    /// The last version that the client is known to have received.
    base: Version,
    /// Everything up to here has been taken in.
    reach: Version,
    /// The client's own last edit, if it came after `origin`.
    own: Option<Version>,
    /// Other people's edits after `base` and up to `reach`, as they look after the client's own in flight.
    others: VecDeque<(Version, Footprint<U>)>,
    /// By how much `others` change the length of the document.
    length_change: isize,
}

impl<U: Unit> Context<U> {
    /// The context of a client that has seen everything up to `version`, and has nothing in flight.
    pub fn at(version: Version) -> Self {
        Self { origin: version, base: version, reach: version, own: None, others: VecDeque::new(), length_change: 0 }
    }

    /// From where a replay of the log rebuilds this context.
    pub const fn origin(&self) -> Version {
        self.origin
    }

    /// The last version that the client is known to have received.
    pub const fn base(&self) -> Version {
        self.base
    }

    /// Everything up to here has been taken in.
    pub const fn reach(&self) -> Version {
        self.reach
    }

    /// Takes in the next edit of somebody else.
    pub fn take_in(&mut self, version: Version, edit: Footprint<U>) {
        debug_assert_eq!(version, self.reach.next(), "edits are taken in one by one");
        self.length_change += edit.length_change();
        self.others.push_back((version, edit));
        self.reach = version;
    }

    /// Notes that the client has received everything up to `version`. A version never goes back: one
    /// below what the client has used already counts as that.
    pub fn received(&mut self, version: Version) {
        if version < self.base {
            return;
        }
        self.base = version;
        while let Some((_, edit)) = self.others.pop_front_if(|(at, _)| *at <= version) {
            self.length_change -= edit.length_change();
        }
        if self.own.is_none_or(|own| own <= version) {
            self.own = None;
            self.origin = version;
            self.reach = self.reach.max(version);
        }
    }

    /// By how much other people's edits changed the length of the document that the client sees.
    pub const fn length_change(&self) -> isize {
        self.length_change
    }

    /// Other people's edits that the client has not seen, oldest first, each as it looks to this client: one
    /// after the other they lead from what the client sees to the document at [`Self::reach`].
    pub fn others(&self) -> impl ExactSizeIterator<Item = (Version, &Footprint<U>)> {
        self.others.iter().map(|(version, edit)| (*version, edit))
    }

    /// Carries a part of the text that the client sees over everybody else's edits, to the document at `reach`.
    /// What was inserted just at its ends stays outside.
    pub fn carry_stretch(&self, Stretch { start, end }: Stretch) -> Stretch {
        self.others.iter().fold(Stretch { start, end }, |Stretch { start, end }, (_, edit)| {
            let start = edit.transform_edge(start, Priority::Second);
            Stretch { start, end: edit.transform_edge(end, Priority::First).max(start) }
        })
    }

    /// Carries the client's next edit over everybody else's, so that it fits the document at `reach`.
    ///
    /// Returns the edit and whether it had to change. The context now counts it among those in flight;
    /// [`Self::committed`] must follow, or the context must be dropped.
    pub fn carry(&mut self, sent: Delta<U>) -> (Delta<U>, bool) {
        if self.others.is_empty() {
            return (sent, false);
        }
        let mut carried = Carried::new(sent.clone());
        self.length_change = 0;
        for (_, other) in &mut self.others {
            carried.cross(other);
            self.length_change += other.length_change();
        }
        let carried = carried.into_delta();
        let transformed = carried != sent;
        (carried, transformed)
    }

    /// Notes that the carried edit is the next version of the document.
    pub fn committed(&mut self) -> Version {
        self.reach = self.reach.next();
        self.own = Some(self.reach);
        if self.others.is_empty() {
            self.origin = self.reach;
            self.base = self.reach;
            self.own = None;
        }
        self.reach
    }
}

#[cfg(test)]
mod tests;
