//! The contract's order and transformation as a pure function, as slow and as plain as it can be: the
//! referee of what the service commits.

use std::collections::{HashMap, VecDeque};

use scriptorium::text::Delta;

use super::{core::Core, wire};

/// An edit in its final form.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) client: String,
    pub(crate) message_id: String,
    pub(crate) applied: Delta,
}

/// A document's history, and what each client had seen of it.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) committed: Vec<Committed>,
    views: HashMap<String, View>,
}

/// A client as its last edit showed it.
struct View {
    version: usize,
    /// Its own committed edits after `version`, as it sees them.
    in_flight: VecDeque<Delta>,
}

impl Model {
    /// The number of edits committed.
    pub(crate) fn version(&self) -> u64 {
        self.committed.len() as u64
    }

    /// The version of an edit that was committed before.
    pub(crate) fn version_of(&self, message_id: &str) -> Option<u64> {
        self.committed.iter().position(|edit| edit.message_id == message_id).map(|at| at as u64 + 1)
    }

    /// Commits an edit that its client made after receiving version `base`, its own edits in flight included.
    pub(crate) fn commit(&mut self, client: &str, message_id: &str, base: u64, change: &Delta) -> &Committed {
        let base = usize::try_from(base).unwrap();
        let view =
            self.views.entry(client.to_owned()).or_insert_with(|| View { version: base, in_flight: VecDeque::new() });
        assert!(base >= view.version, "{message_id}: a client never forgets what it received");
        let (seen, since) = self.committed.split_at(base);
        let mut in_flight = std::mem::take(&mut view.in_flight);
        deliver(&mut in_flight, client, &seen[view.version..]);
        in_flight.push_back(change.clone());
        let mut now = in_flight.clone();
        deliver(&mut now, client, since);
        assert_eq!(now.len(), 1, "every earlier edit of this client has its version");
        *view = View { version: base, in_flight };
        self.committed.push(Committed {
            client: client.to_owned(),
            message_id: message_id.to_owned(),
            applied: now.remove(0).unwrap(),
        });
        self.committed.last().unwrap()
    }

    /// The document at the newest version.
    pub(crate) fn document(&self) -> Delta {
        self.committed.iter().fold(Delta::new(), |document, edit| document.compose(&edit.applied))
    }
}

/// Asserts that every event of a document's log is what the model makes of the edit that caused it.
pub(crate) fn referee(log: &[(String, Delta)], clients: &[&Core]) -> Model {
    let mut model = Model::default();
    for (message_id, applied) in log {
        let author = clients.iter().find(|core| core.made.contains_key(message_id)).expect("somebody made it");
        let made = &author.made[message_id];
        let committed = model.commit(&author.client_id, message_id, made.base, &made.change);
        assert_eq!(
            wire::to_ops(applied),
            wire::to_ops(&committed.applied),
            "{message_id}, version {}: {made:?}",
            model.version()
        );
    }
    model
}

/// What happens to a client's edits in flight when it receives these versions.
fn deliver(in_flight: &mut VecDeque<Delta>, client: &str, versions: &[Committed]) {
    for edit in versions {
        if edit.client == client {
            in_flight.pop_front().expect("an ack answers an edit in flight");
        } else {
            let mut committed = edit.applied.clone();
            for own in in_flight.iter_mut() {
                (committed, *own) = wire::cross(own, &committed);
            }
        }
    }
}
