//! Turns at a document that several nodes write to.
//!
//! Who writes first is settled by the log; nothing here has a say in it. But a node that always has something to write
//! writes again as soon as its last commit is through, before another one has read that: the other loses one
//! race after the other, and its clients wait. So a node that writes after others did, or while one says that it
//! waits, leaves the next turn to them: until it hears that somebody has written, or for about as long as that takes.
//! Where nobody else writes any more it goes on as if it were alone.

use std::time::Duration;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Others have written since this node did.
    others_wrote: bool,
    is_theirs: bool,
    /// How long a commit takes, lately.
    commit: Duration,
}

/// The others read what was written, decide, and commit; and then it has to be heard of.
const COMMITS: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

impl Turns {
    /// Others have written.
    pub(super) const fn others_wrote(&mut self) {
        self.others_wrote = true;
        self.is_theirs = false;
    }

    /// This node has written, which took so long; somebody may wait.
    pub(super) fn wrote(&mut self, took: Duration, is_waited_for: bool) {
        self.commit = if self.commit.is_zero() { took } else { (3 * self.commit + took) / 4 };
        self.is_theirs = std::mem::take(&mut self.others_wrote) || is_waited_for;
    }

    /// How long to leave it to the others before this node writes again; `None` where nothing says that they want to.
    pub(super) fn give_way(&mut self) -> Option<Duration> {
        std::mem::take(&mut self.is_theirs).then(|| (self.commit * COMMITS).clamp(SHORTEST, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(3);

    #[test]
    fn who_writes_alone_never_waits() {
        let mut turns = Turns::default();
        for _ in 0..3 {
            assert_eq!(turns.give_way(), None);
            turns.wrote(TOOK, false);
        }
    }

    #[test]
    fn who_writes_after_others_leaves_the_next_turn_to_them_once() {
        let mut turns = Turns::default();
        turns.others_wrote();
        assert_eq!(turns.give_way(), None, "it is this node's turn");
        turns.wrote(TOOK, false);
        assert_eq!(turns.give_way(), Some(TOOK * COMMITS));
        turns.wrote(TOOK, false);
        assert_eq!(turns.give_way(), None, "they did not take it");
    }

    #[test]
    fn who_hears_that_they_have_written_need_not_wait_for_them() {
        let mut turns = Turns::default();
        turns.wrote(TOOK, true);
        turns.others_wrote();
        assert_eq!(turns.give_way(), None);
        turns.wrote(TOOK, false);
        assert!(turns.give_way().is_some());
    }

    #[test]
    fn nobody_waits_long_for_others() {
        let mut turns = Turns::default();
        for (took, wait) in [(Duration::from_micros(1), SHORTEST), (Duration::from_mins(1), LONGEST)] {
            turns.wrote(took, true);
            assert_eq!(turns.give_way(), Some(wait));
        }
    }
}
