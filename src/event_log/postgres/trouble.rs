//! What Postgres' errors mean to us.

use crate::event_log::{Unavailable, UnavailableKind};

/// Why a statement did not happen.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A unique index said no: a message is repeated, or somebody else began the stream.
    Conflict,
    /// Two transactions were in each other's way, and this one was undone.
    Again,
    /// Anything else; whether it happened may be unknown.
    Unavailable(Unavailable),
}

impl From<Unavailable> for Trouble {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        match code(&error).as_deref() {
            Some("23505") => Self::Conflict,
            Some("40001" | "40P01") => Self::Again,
            _ => Self::Unavailable(unavailable(&error)),
        }
    }
}

/// Says for operators what an error means; the text of Postgres comes in brackets.
pub(super) fn unavailable(error: &sqlx::Error) -> Unavailable {
    use UnavailableKind::{Busy, Closed, Corrupt, Failed, Full, ReadOnly, Unreachable};
    let (kind, says) = match code(error).as_deref() {
        Some("25006") => (ReadOnly, "database is read-only"),
        Some("53100") => (Full, "database's disk is full"),
        Some("53300") => (Busy, "database has no connection left"),
        Some("55P03") => (Busy, "database is locked by somebody else"),
        Some("57014") => (Busy, "database takes too long"),
        Some("57P01" | "57P02" | "57P03" | "57P05") => (Unreachable, "database is stopping or starting"),
        Some("3D000") => (Failed, "database does not exist"),
        Some("28000" | "28P01") => (Failed, "database lets nobody in by this name and password"),
        Some("42501") => (Failed, "database does not permit it"),
        Some("XX001" | "XX002") => (Corrupt, "database is damaged"),
        // Class 08 is about connections.
        Some(code) if code.starts_with("08") => (Unreachable, "database cannot be reached"),
        None if matches!(error, sqlx::Error::Io(_)) => (Unreachable, "database cannot be reached"),
        None if matches!(error, sqlx::Error::PoolClosed) => (Closed, "the event log is closed"),
        Some(_) | None => (Failed, "database failed"),
    };
    Unavailable::new(kind, format!("{says} ({error})"))
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}
