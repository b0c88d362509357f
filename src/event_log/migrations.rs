//! What makes a database ours. Both kinds have the same migrations, by name and by meaning.

use sqlx::{
    SqlSafeStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

use super::{AppliedMigration, OpenError};

/// The migrations of one kind of database.
pub(super) struct Migrations(&'static [(i64, &'static str, &'static str)]);

macro_rules! of {
    ($kind:literal) => {
        Migrations(&[
            (1, "event log", include_str!(concat!("../../migrations/", $kind, "/0001_event_log.sql"))),
            (2, "presence", include_str!(concat!("../../migrations/", $kind, "/0002_presence.sql"))),
            (3, "projections", include_str!(concat!("../../migrations/", $kind, "/0003_projections.sql"))),
            (4, "erasure", include_str!(concat!("../../migrations/", $kind, "/0004_erasure.sql"))),
        ])
    };
}

pub(super) const SQLITE: Migrations = of!("sqlite");
pub(super) const POSTGRES: Migrations = of!("postgres");

impl Migrations {
    /// Whether a database has seen all of them.
    pub(super) fn are_among(&self, applied: &[i64]) -> bool {
        self.0.iter().all(|(version, ..)| applied.contains(version))
    }

    /// Applies those that a database has not seen. It must be locked against others who do the same.
    pub(super) async fn bring_up_to_date(
        &self,
        connection: &mut impl Migrate,
        applied: &[i64],
        database: &str,
        failed: impl Fn(&sqlx::Error) -> OpenError,
    ) -> Result<Vec<AppliedMigration>, OpenError> {
        let mut migrator = Migrator::with_migrations(self.0.iter().map(migration).collect());
        migrator.set_locking(false);
        let known = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
        if let Some(found) = applied.iter().copied().filter(|version| *version > known).max() {
            return Err(OpenError::Newer { database: database.to_owned(), found, known });
        }
        let outcome = if self.are_among(applied) {
            // What cannot be written, as a standby, is read all the same.
            same(&migrator, connection).await
        } else {
            migrator.run_direct(None, connection, false).await
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is sqlx's, and may grow")]
        outcome.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(&error),
            other => OpenError::Migration { database: database.to_owned(), why: other.to_string() },
        })?;
        let new = migrator.iter().filter(|migration| !applied.contains(&migration.version));
        Ok(new.map(|new| AppliedMigration { version: new.version, description: new.description.to_string() }).collect())
    }
}

/// Whether what was applied is what this program has.
async fn same(migrator: &Migrator, connection: &mut impl Migrate) -> Result<(), MigrateError> {
    if let Some(version) = connection.dirty_version(&migrator.table_name).await? {
        return Err(MigrateError::Dirty(version));
    }
    let applied = connection.list_applied_migrations(&migrator.table_name).await?;
    let ours = |version| migrator.iter().find(|migration| migration.version == version);
    match applied.iter().find(|it| ours(it.version).is_some_and(|ours| ours.checksum != it.checksum)) {
        Some(other) => Err(MigrateError::VersionMismatch(other.version)),
        None => Ok(()),
    }
}

fn migration((version, description, sql): &(i64, &'static str, &'static str)) -> Migration {
    Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
}

#[cfg(test)]
mod tests {
    use super::{POSTGRES, SQLITE};

    #[test]
    fn both_databases_have_the_same_migrations() {
        let named = |of: &[(i64, &'static str, &'static str)]| of.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>();
        assert_eq!(named(SQLITE.0), named(POSTGRES.0));
    }
}
