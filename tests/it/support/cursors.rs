//! The cursors of others as a client shows them, by the rule in docs/protocol.md.

use std::collections::BTreeMap;

use scriptorium::text::{Delta, Priority};
use serde_json::Value;

/// Cursors that were shown, as of the committed document, in UTF-16 units.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors(BTreeMap<String, usize>);

impl Cursors {
    /// Everything is forgotten.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A user's cursor is here.
    pub(crate) fn show(&mut self, user: &str, position: usize) {
        self.0.insert(user.to_owned(), position);
    }

    /// A user is gone.
    pub(crate) fn hide(&mut self, user: &str) {
        self.0.remove(user);
    }

    /// An operation was committed.
    pub(crate) fn edited(&mut self, edit: &Delta, author: &str) {
        for (user, position) in &mut self.0 {
            let priority = if user == author { Priority::Second } else { Priority::First };
            *position = edit.transform_position(*position, priority);
        }
    }

    /// Holds what is shown against a sync.
    pub(crate) fn compare(&mut self, active_users: &Value, own: &str, in_utf16: impl Fn(usize) -> usize) {
        let synced: BTreeMap<String, usize> = active_users
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|user| {
                let position = usize::try_from(user["cursor_position"].as_u64()?).unwrap();
                Some((user["user_id"].as_str().unwrap().to_owned(), in_utf16(position)))
            })
            .collect();
        for (user, position) in &self.0 {
            let told = synced.get(user).unwrap_or_else(|| panic!("{user} is shown, and not here: {active_users}"));
            assert_eq!(position, told, "{own} shows {user} elsewhere than the sync: {active_users}");
        }
        self.0.extend(synced.into_iter().filter(|(user, _)| user != own));
    }
}
