//! Addresses of databases.

use std::path::PathBuf;

use super::{OpenError, postgres};

/// A database that an address names.
pub(super) enum Database {
    /// The file of `sqlite://data/log.db` (relative) or `sqlite:///var/log.db`.
    Sqlite(PathBuf),
    Postgres(Box<postgres::Settings>),
}

impl Database {
    pub(super) fn of(url: &str) -> Result<Self, OpenError> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        match (scheme, path) {
            ("sqlite", Some(path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            ("postgres" | "postgresql", _) => postgres::Settings::parse(url).map(Box::new).map(Self::Postgres),
            // What follows the scheme may hold a password.
            _ => Err(OpenError::Url {
                url: if scheme.is_empty() { "an address without a scheme" } else { scheme }.to_owned(),
                why: "a database is sqlite://path/to/file or postgres://user:password@host:5432/database",
            }),
        }
    }
}
