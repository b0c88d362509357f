//! Short words for what clients say.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{
    server::Server,
    socket::{Opening, Socket},
};

/// The secret of services that want tokens.
pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes, for tests";

/// The settings of a service that wants tokens.
pub(crate) const WITH_TOKENS: [(&str, &str); 2] = [("AUTH__MODE", "jwt"), ("AUTH__HS256_SECRET", SECRET)];

/// `operation`/`document_edit`.
pub(crate) fn edit(message_id: &str, version: u64, operation: Value) -> Value {
    let data = json!({"operation": operation, "version": version});
    json!({"type": "operation", "event": "document_edit", "data": data, "message_id": message_id})
}

/// The same, as a link of a chain.
pub(crate) fn edit_after(message_id: &str, version: u64, operation: Value, after: &str) -> Value {
    let mut edit = edit(message_id, version, operation);
    edit["data"]["after"] = json!(after);
    edit
}

/// An insert of text.
pub(crate) fn insert(position: usize, content: &str) -> Value {
    json!({"type": "insert", "position": position, "content": content})
}

/// A deletion.
pub(crate) fn delete(position: usize, length: usize) -> Value {
    json!({"type": "delete", "position": position, "length": length})
}

/// A request for the document.
pub(crate) fn sync(data: Value) -> Value {
    json!({"type": "system", "event": "document_sync", "data": data})
}

/// Opens a document and takes the `connection_ack` and the sync.
pub(crate) async fn opened(server: &Server, opening: &Opening) -> Socket {
    let mut socket = Socket::open(server.address(), opening).await;
    let ack = socket.expect("system", "connection_ack").await;
    if ack["resumed"] == false {
        socket.expect("system", "document_sync").await;
    }
    socket
}

/// Opens a document as this guest.
pub(crate) async fn guest(server: &Server, document: &str, name: &str) -> Socket {
    opened(server, &Opening::guest(document, name)).await
}

/// Sends an edit and takes its ack, past what others have done meanwhile; the version it got.
pub(crate) async fn commit(socket: &mut Socket, edit: &Value) -> u64 {
    socket.send(edit).await;
    loop {
        let envelope = socket.envelope().await;
        if envelope["event"] != "operation_broadcast" {
            assert!(envelope["event"] == "operation_ack" && envelope["message_id"] == edit["message_id"], "{envelope}");
            return envelope["data"]["server_version"].as_u64().unwrap();
        }
    }
}

/// The document's content as a newcomer gets it.
pub(crate) async fn content(server: &Server, document: &str) -> (u64, String) {
    let mut socket = Socket::open(server.address(), &Opening::guest(document, "reader")).await;
    socket.expect("system", "connection_ack").await;
    let sync = socket.expect("system", "document_sync").await;
    socket.close().await;
    (sync["document"]["version"].as_u64().unwrap(), sync["document"]["content"].as_str().unwrap().to_owned())
}

/// A token with these permissions, good for `seconds`.
pub(crate) fn token(user: &str, permissions: Value, seconds: f64) -> String {
    signed(&json!({"sub": user, "exp": now() + seconds, "permissions": permissions}))
}

/// A token with these claims.
pub(crate) fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
