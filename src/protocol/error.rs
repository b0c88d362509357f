//! What a client is told when something it sent cannot be done.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::schema::Time;
use crate::domain::{IdError, MessageId, Rejection};

/// Declares the codes, so that the list of them has them all.
macro_rules! codes {
    ($($code:ident = $text:literal,)+) => {
        /// The codes of `system`/`error`, a closed set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
        #[expect(missing_docs, reason = "the names are the contract's, docs/protocol.md explains each")]
        pub enum ErrorCode {
            $(#[serde(rename = $text)] $code,)+
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code as the wire and the metrics write it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)+
                }
            }
        }
    };
}

codes! {
    InvalidJson = "INVALID_JSON",
    InvalidMessage = "INVALID_MESSAGE",
    InvalidId = "INVALID_ID",
    UnknownEvent = "UNKNOWN_EVENT",
    MessageIdConflict = "MESSAGE_ID_CONFLICT",
    ClientIdMismatch = "CLIENT_ID_MISMATCH",
    Unauthorized = "UNAUTHORIZED",
    TokenExpired = "TOKEN_EXPIRED",
    InsufficientPermissions = "INSUFFICIENT_PERMISSIONS",
    InvalidOperation = "INVALID_OPERATION",
    VersionAhead = "VERSION_AHEAD",
    PredecessorRefused = "PREDECESSOR_REFUSED",
    DocumentNotFound = "DOCUMENT_NOT_FOUND",
    DocumentTooLarge = "DOCUMENT_TOO_LARGE",
    MessageTooLarge = "MESSAGE_TOO_LARGE",
    RateLimited = "RATE_LIMITED",
    CommentNotFound = "COMMENT_NOT_FOUND",
    SlowConsumer = "SLOW_CONSUMER",
    StorageUnavailable = "STORAGE_UNAVAILABLE",
    Internal = "INTERNAL",
}

impl ErrorCode {
    /// Whether a client that mends its message, or waits, may go on with this connection.
    const fn is_recoverable(self) -> bool {
        !matches!(
            self,
            Self::Unauthorized
                | Self::TokenExpired
                | Self::InsufficientPermissions
                | Self::DocumentNotFound
                | Self::MessageTooLarge
                | Self::SlowConsumer
                | Self::Internal
        )
    }
}

/// `data` of an error: something was not done, or the connection comes to its end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorJson<'a> {
    error_code: ErrorCode,
    /// One sentence for a person.
    message: &'a str,
    /// What was wrong and what was expected; `message_id` names the message that was refused.
    details: &'a Map<String, Value>,
    /// Whether the same connection with the same token may get further.
    recoverable: bool,
    #[schemars(with = "Time")]
    timestamp: &'a str,
}

/// Why something was not done, in words for a person and in fields for a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What kind of mistake it is.
    pub code: ErrorCode,
    /// One sentence for a person.
    pub message: String,
    /// What was wrong and what was expected.
    pub details: Map<String, Value>,
}

impl Refusal {
    /// A refusal without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new() }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Names the message that was refused.
    #[must_use]
    pub fn of(self, message_id: &MessageId) -> Self {
        self.with("message_id", message_id.as_str())
    }

    /// Names the message that was refused, where it has a name.
    #[must_use]
    pub fn of_raw(self, message_id: Option<&str>) -> Self {
        match message_id {
            // A message id too long to be one would make the answer as large as the mistake.
            Some(id) if id.len() <= 512 => self.with("message_id", id),
            _ => self,
        }
    }

    /// A field that is not what it must be.
    pub fn invalid(path: &str, expected: &str) -> Self {
        Self::new(ErrorCode::InvalidMessage, format!("`{path}` must be {expected}"))
            .with("path", path)
            .with("expected", expected)
    }

    /// Something that is no id.
    pub fn invalid_id(path: &str, error: &IdError) -> Self {
        Self::new(ErrorCode::InvalidId, error.to_string())
            .with("path", path)
            .with("expected", format!("1 to 128 characters of {}", error.allowed))
    }

    /// An operation that cannot be one.
    pub fn operation(path: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidOperation, message).with("path", path)
    }

    /// Why an edit or a comment was not committed.
    pub fn of_rejection(rejection: &Rejection) -> Self {
        let refuse = |code| Self::new(code, rejection.to_string());
        match rejection {
            Rejection::VersionAhead { base, current } => {
                refuse(ErrorCode::VersionAhead).with("version", base.0).with("document_version", current.0)
            }
            Rejection::OutOfBounds { end, length } => {
                refuse(ErrorCode::InvalidOperation).with("end", *end).with("document_length", *length)
            }
            Rejection::DoesNotFit(_) | Rejection::DocumentExists => refuse(ErrorCode::InvalidOperation),
            Rejection::DocumentTooLarge { length, limit } => {
                let refusal = refuse(ErrorCode::DocumentTooLarge).with("would_have", *length).with("limit", *limit);
                refusal.with("setting", "limits.document_length")
            }
            Rejection::PredecessorRefused { after } => {
                refuse(ErrorCode::PredecessorRefused).with("after", after.as_str())
            }
            Rejection::CommentNotFound { comment } => {
                refuse(ErrorCode::CommentNotFound).with("comment_id", comment.as_str())
            }
            Rejection::ThreadNotFound { thread } => {
                refuse(ErrorCode::CommentNotFound).with("thread_id", thread.as_str())
            }
            Rejection::NotTheAuthor { comment, permissions } => refuse(ErrorCode::InsufficientPermissions)
                .with("comment_id", comment.as_str())
                .with("required_permission", "document:admin")
                .with("user_permissions", permissions.clone()),
            Rejection::CommentDoesNotFit { path, expected } => {
                refuse(ErrorCode::InvalidMessage).with("path", *path).with("expected", *expected)
            }
            Rejection::TooManyComments { would_have, limit, setting, .. } => refuse(ErrorCode::DocumentTooLarge)
                .with("would_have", *would_have)
                .with("limit", *limit)
                .with("setting", *setting),
            Rejection::NoSuchDocument | Rejection::Erased => refuse(ErrorCode::DocumentNotFound),
            Rejection::MessageIdConflict => refuse(ErrorCode::MessageIdConflict),
            Rejection::StorageUnavailable { .. } => refuse(ErrorCode::StorageUnavailable),
        }
    }

    /// `data` of the `system`/`error` event.
    pub fn data<'a>(&'a self, timestamp: &'a str) -> ErrorJson<'a> {
        ErrorJson {
            error_code: self.code,
            message: &self.message,
            details: &self.details,
            recoverable: self.code.is_recoverable(),
            timestamp,
        }
    }
}
