//! Turns at a document that several nodes write to.
//!
//! Who writes first is settled by the log; nothing here has a say in it. But a node that always has something to write
//! writes again as soon as its last commit is through, before another one has read that: the other loses one
//! race after the other, and its clients wait. So a node that writes after others did, or while one says that it
//! waits, leaves the next turn to them: until it hears that somebody has written, or for about as long as that takes.
//! That is told by its own commits, or, where others may be much farther from the database, by the one who waits.
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
    /// How long others have asked for.
    asked: Duration,
}

/// The others read what was written, decide, and commit; and then it has to be heard of.
const COMMITS: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);
/// Nobody is left alone for longer, whatever they ask for: they may have died since.
const LONGEST_ASKED: Duration = Duration::from_secs(1);

/// What a node has to ask for that has lost a race which took it so long: its word has to be heard, which takes as long
/// as an answer does, and what others write meanwhile makes it lose once more.
pub(super) fn needs(lost: Duration) -> Duration {
    lost * 4
}

impl Turns {
    /// Others have written.
    pub(super) const fn others_wrote(&mut self) {
        self.others_wrote = true;
        self.is_theirs = false;
    }

    /// This node has written, which took so long; somebody may wait, and need so long.
    pub(super) fn wrote(&mut self, took: Duration, asked: Option<Duration>) {
        self.commit = if self.commit.is_zero() { took } else { (3 * self.commit + took) / 4 };
        self.is_theirs = std::mem::take(&mut self.others_wrote) || asked.is_some();
        self.asked = asked.unwrap_or_default();
    }

    /// How long to leave it to the others before this node writes again; `None` where nothing says that they want to.
    pub(super) fn give_way(&mut self) -> Option<Duration> {
        let by_own = (self.commit * COMMITS).clamp(SHORTEST, LONGEST);
        std::mem::take(&mut self.is_theirs).then(|| self.asked.min(LONGEST_ASKED).max(by_own))
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
            turns.wrote(TOOK, None);
        }
    }

    #[test]
    fn who_writes_after_others_leaves_the_next_turn_to_them_once() {
        let mut turns = Turns::default();
        turns.others_wrote();
        assert_eq!(turns.give_way(), None, "it is this node's turn");
        turns.wrote(TOOK, None);
        assert_eq!(turns.give_way(), Some(TOOK * COMMITS));
        turns.wrote(TOOK, None);
        assert_eq!(turns.give_way(), None, "they did not take it");
    }

    #[test]
    fn who_hears_that_they_have_written_need_not_wait_for_them() {
        let mut turns = Turns::default();
        turns.wrote(TOOK, Some(TOOK));
        turns.others_wrote();
        assert_eq!(turns.give_way(), None);
        turns.wrote(TOOK, None);
        assert!(turns.give_way().is_some());
    }

    #[test]
    fn nobody_waits_long_for_others() {
        let mut turns = Turns::default();
        for (took, wait) in [(Duration::from_micros(1), SHORTEST), (Duration::from_mins(1), LONGEST)] {
            turns.wrote(took, Some(took.min(SHORTEST)));
            assert_eq!(turns.give_way(), Some(wait));
        }
    }

    #[test]
    fn who_is_far_is_left_alone_for_as_long_as_they_ask_within_bounds() {
        let mut turns = Turns::default();
        for (asked, wait) in [
            (Duration::ZERO, TOOK * COMMITS),
            (Duration::from_millis(480), Duration::from_millis(480)),
            (Duration::from_mins(1), LONGEST_ASKED),
        ] {
            turns.wrote(TOOK, Some(asked));
            assert_eq!(turns.give_way(), Some(wait));
            turns.wrote(TOOK, None);
            assert_eq!(turns.give_way(), None, "once");
        }
    }
}
