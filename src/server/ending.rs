//! Every way in which a conversation ends, and what the client is told.

use std::time::Duration;

use tokio_tungstenite::tungstenite::{
    Error,
    error::{CapacityError, ProtocolError},
};
use tracing::debug;

use crate::{
    auth::{Denied, Permission, PermissionSet},
    domain::Timestamp,
    event_log::ReadError,
    live::Goodbye,
    protocol::{ErrorCode, Refusal},
    telemetry::CloseReason,
};

use super::limits::millis;

impl From<ReadError> for Goodbye {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => unavailable(),
            ReadError::Erased(_) => not_found(),
            ReadError::Damaged(_) => damaged(),
        }
    }
}

/// How a conversation ended.
pub(super) enum End {
    /// We end it, and say why.
    Server(Goodbye),
    /// The client did, with a goodbye or without.
    Client { code: u16, metric: CloseReason },
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enums are tungstenite's, and may grow")]
pub(super) fn broken(error: &Error, limit: usize) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => End::Server(
            Goodbye { code: 1009, reason: "message_too_large", metric: CloseReason::MessageTooLarge, refusal: None }
                .because(
                    Refusal::new(ErrorCode::MessageTooLarge, format!("a frame may have {limit} bytes"))
                        .with("bytes", *size)
                        .with("limit", limit),
                ),
        ),
        Error::Utf8(_) => End::Server(policy(1007, "text frames must be UTF-8")),
        Error::Protocol(error) => {
            debug!(%error, "a client broke the WebSocket protocol");
            match error {
                ProtocolError::ResetWithoutClosingHandshake => {
                    End::Client { code: 1006, metric: CloseReason::ClientLost }
                }
                _ => End::Server(policy(1002, "protocol_error")),
            }
        }
        _ => End::Client { code: 1006, metric: CloseReason::ClientLost },
    }
}

const fn policy(code: u16, reason: &'static str) -> Goodbye {
    Goodbye { code, reason, metric: CloseReason::PolicyViolation, refusal: None }
}

pub(super) fn unauthorized(denied: Denied) -> Goodbye {
    Goodbye { code: 4003, reason: "unauthorized", metric: CloseReason::Unauthorized, refusal: None }
        .because(not_accepted(denied))
}

pub(super) fn not_accepted(denied: Denied) -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, denied.to_string()).with("reason", denied.reason.as_str())
}

pub(super) fn no_read(permissions: PermissionSet) -> Goodbye {
    Goodbye { code: 4003, reason: "unauthorized", metric: CloseReason::Unauthorized, refusal: None }
        .because(insufficient(Permission::Read, permissions))
}

pub(super) fn token_expired() -> Goodbye {
    Goodbye { code: 4003, reason: "token_expired", metric: CloseReason::TokenExpired, refusal: None }
        .because(Refusal::new(ErrorCode::TokenExpired, "the token has expired").with("reason", "expired"))
}

/// Shut out; the reason of those who did it is not for them.
pub(super) fn banned(until: Timestamp) -> Goodbye {
    let until = until.to_string();
    let refusal = Refusal::new(ErrorCode::Unauthorized, format!("you are banned until {until}"));
    Goodbye { code: 4004, reason: "banned", metric: CloseReason::Banned, refusal: None }
        .because(refusal.with("reason", "banned").with("until", until))
}

/// Too fast, and went on.
pub(super) fn throttled(wait: Duration) -> Goodbye {
    Goodbye { code: 4004, reason: "throttled", metric: CloseReason::Throttled, refusal: None }
        .because(rate_limited(wait))
}

/// The user has as many connections as one may have.
pub(super) fn too_many_connections(limit: usize) -> Goodbye {
    let message = format!("you have {limit} connections open, and may have no more: close some of them");
    let refusal = Refusal::new(ErrorCode::RateLimited, message).with("retry_after_ms", 1_000).with("limit", limit);
    Goodbye { code: 4004, reason: "throttled", metric: CloseReason::Throttled, refusal: None }.because(refusal)
}

pub(super) fn rate_limited(wait: Duration) -> Refusal {
    Refusal::new(ErrorCode::RateLimited, "too much at once; wait a moment").with("retry_after_ms", millis(wait))
}

pub(super) fn not_found() -> Goodbye {
    Goodbye::not_found("there is no document with this id")
}

/// A replay is over: all of it was sent.
pub(super) const fn ended() -> Goodbye {
    Goodbye { code: 1000, reason: "end", metric: CloseReason::Ended, refusal: None }
}

/// A replay was to begin or end where the document has not come yet.
pub(super) fn version_ahead(refusal: Refusal) -> Goodbye {
    Goodbye { code: 1008, reason: "version_ahead", metric: CloseReason::VersionAhead, refusal: None }.because(refusal)
}

pub(super) fn unavailable() -> Goodbye {
    Goodbye::INTERNAL
        .because(Refusal::new(ErrorCode::StorageUnavailable, "the document cannot be read now; try again later"))
}

/// What is stored of the document cannot be read, and will not be until somebody has mended it.
pub(super) fn damaged() -> Goodbye {
    Goodbye::INTERNAL.because(Refusal::new(ErrorCode::Internal, "what is stored of this document is damaged"))
}

/// Something went wrong here, and nobody knows what.
pub(super) fn failed() -> Goodbye {
    Goodbye::INTERNAL.because(Refusal::new(ErrorCode::Internal, "something went wrong here; connect again"))
}

pub(super) fn insufficient(needed: Permission, has: PermissionSet) -> Refusal {
    let message = format!("you do not have {} permission for this document", needed.short());
    Refusal::new(ErrorCode::InsufficientPermissions, message)
        .with("required_permission", needed.long())
        .with("user_permissions", has.iter().map(|it| it.long().into()).collect::<Vec<serde_json::Value>>())
}
