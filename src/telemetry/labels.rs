//! The values that a label may have: closed sets, so that no client can grow the number of series.

/// A label whose values are known beforehand.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Self::index`].
    const ALL: &'static [Self];
    /// The value as text.
    fn value(self) -> &'static str;
    /// The place in [`Self::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident as $label:literal { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$value),+];
            fn value(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// The wire format that a client speaks.
    Dialect as "dialect" {
        /// `/v1/ws/documents/{document_id}`.
        Document = "document",
        /// `/v1/ws/documents/{document_id}/replay`.
        Replay = "replay",
    }

    /// Why a connection ended.
    CloseReason as "reason" {
        /// The client said goodbye.
        ClientClosed = "client_closed",
        /// The client vanished: the connection broke without a goodbye.
        ClientLost = "client_lost",
        /// Nothing was heard from the client for `heartbeat.timeout`.
        HeartbeatTimeout = "heartbeat_timeout",
        /// A newer connection of the same client took over.
        Superseded = "superseded",
        /// The token was bad or missing, or does not allow reading.
        Unauthorized = "unauthorized",
        /// The token ran out during the connection.
        TokenExpired = "token_expired",
        /// The user or the token was shut out.
        Banned = "banned",
        /// The client went on sending too fast, or its user opened connections too fast.
        Throttled = "throttled",
        /// The document does not exist and may not be made.
        DocumentNotFound = "document_not_found",
        /// A frame was larger than `limits.message_bytes`.
        MessageTooLarge = "message_too_large",
        /// The client read too slowly; its outbox was full.
        SlowConsumer = "slow_consumer",
        /// The client broke a rule of WebSocket.
        PolicyViolation = "policy_violation",
        /// A replay came to its end.
        Ended = "ended",
        /// A replay was to begin or end where the document has not come yet.
        VersionAhead = "version_ahead",
        /// The server is stopping.
        ShuttingDown = "shutting_down",
        /// The document is opened anew: somebody was erased.
        Reopened = "reopened",
        /// A mistake of ours.
        Internal = "internal",
    }

    /// Why a request for a WebSocket was refused before the upgrade.
    Refusal as "reason" {
        /// A malformed id, query or handshake.
        BadRequest = "bad_request",
        /// An `Origin` that is not allowed.
        ForbiddenOrigin = "forbidden_origin",
        /// No valid identity.
        Unauthorized = "unauthorized",
        /// No such route.
        NotFound = "not_found",
        /// The address opens connections too fast.
        Throttled = "throttled",
        /// `limits.connections` is reached.
        TooManyConnections = "too_many_connections",
        /// The server is stopping.
        ShuttingDown = "shutting_down",
    }

    /// How a connection with `since` began.
    Resume as "outcome" {
        /// With what it had missed, and nothing else.
        Resumed = "resumed",
        /// With the whole document, for a reason other than the two below.
        FullSync = "full_sync",
        /// With the whole document: more was missed than `documents.max_resume_events`.
        TooOld = "too_old",
        /// With the whole document: the client was ahead of the log.
        Ahead = "ahead",
    }

    /// Whose limit of messages was reached.
    Limited as "of" {
        /// The connection's own.
        Connection = "connection",
        /// That of all connections of the user.
        User = "user",
        /// That of all connections from the address.
        Address = "address",
        /// That of what a user asks for over HTTP.
        HttpUser = "http_user",
        /// That of what is asked for over HTTP from an address.
        HttpAddress = "http_address",
    }

    /// What a client sent.
    Received as "kind" {
        /// `operation`/`document_edit`.
        DocumentEdit = "document_edit",
        /// `comment`/`comment_added`.
        CommentAdded = "comment_added",
        /// `comment`/`comment_updated`.
        CommentUpdated = "comment_updated",
        /// `comment`/`comment_resolved`.
        CommentResolved = "comment_resolved",
        /// `comment`/`comment_reopened`.
        CommentReopened = "comment_reopened",
        /// `comment`/`comment_deleted`.
        CommentDeleted = "comment_deleted",
        /// `system`/`document_sync`.
        DocumentSync = "document_sync",
        /// `presence`/`cursor_update`.
        CursorUpdate = "cursor_update",
        /// `presence`/`typing_indicator`.
        TypingIndicator = "typing_indicator",
        /// `system`/`authenticate`.
        Authenticate = "authenticate",
        /// `replay`/`seek`, `speed`, `pause` and `resume`.
        Replay = "replay",
        /// `system`/`ping`.
        Ping = "ping",
        /// An event that the server does not know.
        Unknown = "unknown",
        /// Not JSON, or not as the contract says.
        Invalid = "invalid",
    }

    /// What the server sent.
    Sent as "kind" {
        /// `operation_ack`.
        Ack = "ack",
        /// `operation_broadcast`.
        Broadcast = "broadcast",
        /// `comment_ack`.
        CommentAck = "comment_ack",
        /// `comment_added` and what else happens to comments.
        Comment = "comment",
        /// `document_sync`.
        Sync = "sync",
        /// `user_joined`, `user_left`, `cursor_update`, `typing_indicator`.
        Presence = "presence",
        /// `error`.
        Error = "error",
        /// `pong`.
        Pong = "pong",
        /// Anything else: `connection_ack`, `disconnect`, …
        Other = "other",
    }

    /// How one append to the log ended.
    Append as "outcome" {
        /// Durable.
        Committed = "committed",
        /// The stream had moved on; the caller reads the tail and tries again.
        Stale = "stale",
        /// The log had every message already.
        Repeated = "repeated",
        /// The log could not be written.
        Unavailable = "unavailable",
    }

    /// What became of presence.
    PresenceOutcome as "outcome" {
        /// A client said it.
        Received = "received",
        /// Something newer of the same user took its place, on its way to the others or to the log.
        Merged = "merged",
        /// It is in the log, with what was recorded beside it in one event.
        Logged = "logged",
        /// It was let go: its connection was gone already, or the log was away for too long.
        Dropped = "dropped",
    }

    /// A projection that is kept.
    KeptProjection as "projection" {
        /// Who wrote what is there.
        Blame = "blame",
        /// Who has done how much.
        Contributions = "contributions",
    }

    /// A sign that other nodes may have written.
    Rung as "kind" {
        /// Another node waits to write to a document.
        Wanted = "wanted",
        /// The doorbell, for one stream.
        Stream = "stream",
        /// The doorbell, for any number of streams.
        Many = "many",
        /// A look at the heads of all open documents found one moved.
        Look = "look",
    }

    /// Why the end of a document was read from the log.
    TailRead as "why" {
        /// It was rung for.
        Rung = "rung",
        /// Somebody opened it here.
        Opening = "opening",
        /// Others had appended first.
        LostRace = "lost_race",
        /// An append had an unknown outcome.
        Unsure = "unsure",
        /// What others recorded of who is there refers to it.
        Presence = "presence",
    }

    /// Whether something succeeded.
    Outcome as "outcome" {
        /// It did.
        Ok = "ok",
        /// It did not.
        Failed = "failed",
    }

    /// The `error_code` of an error event.
    ErrorCode as "code" {
        /// The frame is not JSON.
        InvalidJson = "INVALID_JSON",
        /// The event is not as the contract says.
        InvalidMessage = "INVALID_MESSAGE",
        /// An id is malformed.
        InvalidId = "INVALID_ID",
        /// No such event.
        UnknownEvent = "UNKNOWN_EVENT",
        /// A `message_id` was used again with other content.
        MessageIdConflict = "MESSAGE_ID_CONFLICT",
        /// The `client_id` is not the connection's.
        ClientIdMismatch = "CLIENT_ID_MISMATCH",
        /// No valid token.
        Unauthorized = "UNAUTHORIZED",
        /// The token ran out.
        TokenExpired = "TOKEN_EXPIRED",
        /// The token does not allow this.
        InsufficientPermissions = "INSUFFICIENT_PERMISSIONS",
        /// The operation does not fit the document.
        InvalidOperation = "INVALID_OPERATION",
        /// The version is ahead of the document.
        VersionAhead = "VERSION_AHEAD",
        /// The edit before this one was refused.
        PredecessorRefused = "PREDECESSOR_REFUSED",
        /// No such document.
        DocumentNotFound = "DOCUMENT_NOT_FOUND",
        /// The document would be too long.
        DocumentTooLarge = "DOCUMENT_TOO_LARGE",
        /// The message is too long.
        MessageTooLarge = "MESSAGE_TOO_LARGE",
        /// No such comment.
        CommentNotFound = "COMMENT_NOT_FOUND",
        /// Too many messages.
        RateLimited = "RATE_LIMITED",
        /// The client reads too slowly.
        SlowConsumer = "SLOW_CONSUMER",
        /// The log could not be written.
        StorageUnavailable = "STORAGE_UNAVAILABLE",
        /// A mistake of ours.
        Internal = "INTERNAL",
        /// A code that is not in this list; add it.
        Other = "OTHER",
    }

    /// The close code of a connection.
    CloseCode as "code" {
        /// Normal.
        Normal = "1000",
        /// Going away.
        GoingAway = "1001",
        /// Protocol error.
        Protocol = "1002",
        /// Unsupported data.
        Unsupported = "1003",
        /// None was given.
        NoStatus = "1005",
        /// The connection broke.
        Abnormal = "1006",
        /// Text that is not UTF-8.
        InvalidPayload = "1007",
        /// Policy violation.
        Policy = "1008",
        /// Message too big.
        TooBig = "1009",
        /// Internal error.
        InternalError = "1011",
        /// The server restarts.
        Restarting = "1012",
        /// Unauthorized.
        Unauthorized = "4003",
        /// Banned or throttled.
        Banned = "4004",
        /// A code of the client's own.
        Other = "other",
    }
}

impl CloseCode {
    /// The label of a close code off the wire.
    pub fn of(code: u16) -> Self {
        Self::ALL.iter().copied().find(|known| known.value().parse() == Ok(code)).unwrap_or(Self::Other)
    }
}

impl ErrorCode {
    /// The label of an `error_code`.
    pub fn of(code: &str) -> Self {
        Self::ALL.iter().copied().find(|known| known.value() == code).unwrap_or(Self::Other)
    }
}
