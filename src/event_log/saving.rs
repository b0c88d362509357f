//! Whether what was folded may be saved.
//!
//! While a person is being erased, whoever has folded events from before it may still know them, and must not write that
//! down behind the back of who goes through the log. So nothing is saved meanwhile, and afterwards nothing that somebody
//! began to fold before it was over. What is not saved is folded again by the next one who needs it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A gate that all who save go through; one for all handles of a log.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Odd while it is shut.
    turns: AtomicU64,
}

/// When somebody began to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun(u64);

impl Saving {
    pub(super) fn begin(&self) -> Begun {
        Begun(self.turns.load(Ordering::Acquire))
    }

    /// Whether what was folded since then may be saved.
    pub(super) fn admits(&self, begun: Begun) -> bool {
        begun.0.is_multiple_of(2) && self.begin() == begun
    }

    pub(super) fn is_shut(&self) -> bool {
        !self.begin().0.is_multiple_of(2)
    }

    /// Shuts it, or opens it again. Nothing happens to one that is so already.
    pub(super) fn shut(&self, is_to_be_shut: bool) {
        let turn = |turns: u64| (turns.is_multiple_of(2) == is_to_be_shut).then(|| turns + 1);
        let _already = self.turns.fetch_update(Ordering::AcqRel, Ordering::Acquire, turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_folded_while_the_gate_stayed_open_may_be_saved() {
        let saving = Saving::default();
        let before = saving.begin();
        assert!(saving.admits(before) && !saving.is_shut());
        saving.shut(true);
        let meanwhile = saving.begin();
        saving.shut(true);
        assert!(saving.is_shut() && !saving.admits(before) && !saving.admits(meanwhile));
        saving.shut(false);
        saving.shut(false);
        let after = saving.begin();
        assert!(!saving.is_shut() && saving.admits(after));
        assert!(!saving.admits(before) && !saving.admits(meanwhile));
    }
}
