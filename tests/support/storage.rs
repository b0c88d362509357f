//! On which database a test runs.

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use super::postgres::Schema;

tokio::task_local! {
    static IS_POSTGRES: bool;
}

/// Runs a test on Postgres: what it stores goes there.
pub(crate) async fn on_postgres(test: impl Future<Output = ()>) {
    IS_POSTGRES.scope(true, test).await;
}

/// Declares each of these tests for every database.
macro_rules! on_every_database {
    ($($test:ident)+) => {
        mod on_sqlite {$(
            #[tokio::test]
            async fn $test() {
                super::$test().await;
            }
        )+}
        mod on_postgres {$(
            #[tokio::test]
            async fn $test() {
                $crate::support::storage::on_postgres(super::$test()).await;
            }
        )+}
    };
}
pub(crate) use on_every_database;

/// An empty database, gone with the test.
pub(crate) enum Storage {
    Sqlite(PathBuf),
    Postgres(Schema),
}

impl Storage {
    /// Of the kind that this test runs on; a file is in this folder.
    pub(crate) fn of_this_test(folder: &Path) -> Self {
        match IS_POSTGRES.try_with(|is_postgres| *is_postgres) {
            Ok(true) => Self::Postgres(Schema::make_now()),
            _ => Self::Sqlite(folder.join("log.db")),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite://{}", file.display()),
            Self::Postgres(schema) => schema.url(),
        }
    }
}
