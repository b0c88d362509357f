//! What SQLite's errors mean to us.

use sqlx::error::{DatabaseError, ErrorKind};

use crate::event_log::{Unavailable, UnavailableKind};

/// Why a transaction did not happen.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A constraint said no: a stream is not as it was known, or a message is repeated.
    Conflict,
    /// Anything else.
    Unavailable(Unavailable),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        use ErrorKind::{ForeignKeyViolation, NotNullViolation, UniqueViolation};
        match error.as_database_error().map(DatabaseError::kind) {
            Some(UniqueViolation | NotNullViolation | ForeignKeyViolation) => Self::Conflict,
            Some(_) | None => Self::Unavailable(unavailable(&error)),
        }
    }
}

/// Says for operators what an error means; the text of SQLite comes in brackets.
pub(super) fn unavailable(error: &sqlx::Error) -> Unavailable {
    use UnavailableKind::{Busy, Closed, Corrupt, Failed, Full, ReadOnly};
    let (kind, says) = match primary_code(error) {
        Some(5 | 6) => (Busy, "database is locked by another process"),
        Some(8) => (ReadOnly, "database is read-only"),
        Some(11) => (Corrupt, "database file is damaged"),
        Some(13) => (Full, "disk is full"),
        Some(14) => (Failed, "database file cannot be opened"),
        Some(26) => (Corrupt, "file is not a database"),
        None if matches!(error, sqlx::Error::PoolTimedOut) => (Busy, "no connection for reading became free in time"),
        None if matches!(error, sqlx::Error::PoolClosed) => (Closed, "the event log is closed"),
        Some(_) | None => (Failed, "database failed"),
    };
    Unavailable::new(kind, format!("{says} ({error})"))
}

/// The error without its details: the lowest byte of the extended code.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
