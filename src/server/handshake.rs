//! The WebSocket handshake (RFC 6455 §4.2).
//!
//! Ours instead of `warp::ws`: that one fixes a read buffer of 128 KiB for every connection, idle or not,
//! and clears it at every read.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::{handshake::derive_accept_key, protocol::WebSocketConfig};

use super::problem::{Code, Problem};

/// Bytes read at a time, a dozen edits. Small, because each connection has such a buffer all its life.
const READ_BUFFER: usize = 2 * 1024;

/// The key of a well-formed request for an upgrade.
pub(super) fn key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name: header::HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(Problem::new(Code::UpgradeRequired, "this address speaks WebSocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Problem::new(Code::UpgradeRequired, "this server speaks WebSocket version 13"));
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .cloned()
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "`sec-websocket-key` is missing"))
}

/// The answer that accepts.
pub(super) fn accept(key: &HeaderValue, protocol: Option<&'static str>) -> warp::reply::Response {
    let mut response = Response::new(warp::reply::Response::default().into_body());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}

/// How a connection's frames are read and written.
pub(super) fn config(message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}
