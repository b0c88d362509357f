//! What each event needs: the one place that says so. Asked for every event, never only at the start.

use crate::{auth::Permission, protocol::document::ClientEvent};

/// The permission without which a client may not send this; `None` where everybody who is connected may.
pub(super) const fn needed(event: &ClientEvent) -> Option<Permission> {
    match event {
        ClientEvent::Edit(_) => Some(Permission::Write),
        // Whoever may read may show where: it is part of being there.
        ClientEvent::Cursor(_) | ClientEvent::Typing(_) | ClientEvent::Sync { .. } => Some(Permission::Read),
        ClientEvent::Comment(_) => Some(Permission::Comment),
        ClientEvent::Ping { .. } | ClientEvent::Authenticate { .. } => None,
    }
}
