//! Names and numbers as types, so that none can be taken for another.

use std::{fmt, sync::Arc};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to 128 characters of {allowed}")]
pub struct IdError {
    /// What the id names, e.g. `document_id`.
    pub what: &'static str,
    /// The characters that it may have.
    pub allowed: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the length and every character.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let accepts: fn(char) -> bool = $accepts;
                let mut length = 0;
                let fits = text.chars().all(|c| { length += 1; length <= 128 && accepts(c) });
                if fits && length > 0 { Ok(Self(text.into())) } else { Err(IdError { what: $what, allowed: $allowed }) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

impl DocumentId {
    /// Reads an id that a client sends. Beside what [`Self::parse`] asks for, no segment between slashes may be `.` or `..`:
    /// URL libraries and proxies fold these, so nobody could reach or erase such a document again. Logs of earlier versions
    /// may hold such ids, which the command line reads with [`Self::parse`].
    pub fn from_client(text: &str) -> Result<Self, IdError> {
        let allowed = "A-Z a-z 0-9 . _ - : / ~, without . or .. as a segment between slashes";
        let is_folded = text.split('/').any(|segment| matches!(segment, "." | ".."));
        if is_folded { Err(IdError { what: "document_id", allowed }) } else { Self::parse(text) }
    }
}

const fn is_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '~')
}

id!(
    /// Names a document.
    DocumentId, "document_id", "A-Z a-z 0-9 . _ - : / ~", is_id_character
);
id!(
    /// Names a client instance, the same across reconnects, unique per user.
    ClientId, "client_id", "A-Z a-z 0-9 . _ - : / ~", is_id_character
);
id!(
    /// Names a comment.
    CommentId, "comment.id", "A-Z a-z 0-9 . _ - : / ~", is_id_character
);
id!(
    /// Names a thread: a comment and the replies to it.
    ThreadId, "thread_id", "A-Z a-z 0-9 . _ - : / ~", is_id_character
);
id!(
    /// Names a user.
    UserId, "user_id", "anything but control characters", |c| !c.is_control()
);
id!(
    /// Names a token: its `jti`.
    TokenId, "jti", "anything but control characters", |c| !c.is_control()
);
id!(
    /// Names a process that serves documents, among those that share a log.
    NodeId, "node_id", "A-Z a-z 0-9 . _ - : / ~", is_id_character
);
id!(
    /// Names a message, so that it happens once however often it is sent.
    MessageId, "message_id", "anything but control characters", |c| !c.is_control()
);

/// The place of an event in its stream: 1, 2, 3, … without gaps. 0 stands before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The number of operations committed to a document. It starts at 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Seq {
    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Version {
    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_document_id_from_a_client_that_a_url_library_would_fold() {
        for folded in [".", "..", "a/..", "../a", "a/../b", "./a", "a/."] {
            let error = DocumentId::from_client(folded).unwrap_err();
            assert!(error.to_string().contains("without . or .."), "{folded}: {error}");
            assert!(DocumentId::parse(folded).is_ok(), "{folded}: an id in a log stays readable");
        }
        for kept in ["...", ".a", "a..", "a.b/..c", "a/b", "a//b"] {
            assert!(DocumentId::from_client(kept).is_ok(), "{kept}");
        }
    }
}
