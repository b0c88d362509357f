//! Who is here and where, with real clients.

mod bad_input;
mod coming_and_going;
mod cursors;
mod ghosts;
mod merging;
mod renaming;

use serde_json::{Value, json};

use crate::support::socket::Socket;

/// `presence`/`cursor_update`
fn cursor(position: usize) -> Value {
    json!({"type": "presence", "event": "cursor_update", "data": {"cursor": {"position": position}}})
}

/// The same, as of a version.
fn cursor_at(position: usize, version: u64) -> Value {
    let mut cursor = cursor(position);
    cursor["data"]["version"] = json!(version);
    cursor
}

/// Who is present, as a sync tells it, after everything that this client has sent.
pub(crate) async fn present(socket: &mut Socket) -> Vec<Value> {
    socket.send(&json!({"type": "system", "event": "document_sync", "data": {}})).await;
    loop {
        let envelope = socket.any_envelope().await;
        if envelope["event"] == "document_sync" {
            return envelope["data"]["active_users"].as_array().unwrap().clone();
        }
    }
}

/// Where a user's cursor is, as a sync tells it, if they have shown it.
async fn cursor_of(socket: &mut Socket, user: &str) -> Option<u64> {
    let present = present(socket).await;
    let user = present.iter().find(|it| it["user_id"] == user).unwrap_or_else(|| panic!("{user} is not there"));
    user["cursor_position"].as_u64()
}
