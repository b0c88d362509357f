//! The database read and damaged from outside, past every line of the service's own code.

use std::{path::Path, sync::Arc};

use scriptorium::text::{Attributes, Delta};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

/// The database of a service, running or dead.
pub(crate) struct Database(SqliteConnection);

impl Database {
    /// Opens the file.
    pub(crate) async fn open(path: &Path) -> Self {
        Self(SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap())
    }

    /// The message ids of a document's events, in order; asserts that seq and version are dense.
    pub(crate) async fn message_ids(&mut self, document: &str) -> Vec<String> {
        let rows = sqlx::query(
            "SELECT seq, version, message_id FROM events \
             WHERE stream = (SELECT id FROM streams WHERE name = $1) ORDER BY position",
        )
        .bind(format!("document:{document}"))
        .fetch_all(&mut self.0)
        .await
        .unwrap();
        for (at, row) in rows.iter().enumerate() {
            let expected = i64::try_from(at).unwrap() + 1;
            assert_eq!(
                (row.get::<i64, _>("seq"), row.get::<i64, _>("version")),
                (expected, expected),
                "{document}: dense and in order"
            );
        }
        rows.iter().map(|row| row.get("message_id")).collect()
    }

    /// What a document's events did to it, by their message ids, in order.
    pub(crate) async fn applied(&mut self, document: &str) -> Vec<(String, Delta)> {
        let ids = self.message_ids(document).await;
        let rows = sqlx::query(
            "SELECT body FROM events WHERE stream = (SELECT id FROM streams WHERE name = $1) ORDER BY position",
        )
        .bind(format!("document:{document}"))
        .fetch_all(&mut self.0)
        .await
        .unwrap();
        ids.into_iter().zip(rows.iter().map(|row| from_stored(row.get("body")))).collect()
    }

    /// The number of all events.
    pub(crate) async fn events(&mut self) -> i64 {
        sqlx::query("SELECT count(*) FROM events").fetch_one(&mut self.0).await.unwrap().get(0)
    }

    /// Writes other text over the body of one event.
    pub(crate) async fn damage(&mut self, document: &str, version: u64, from: &str, to: &str) {
        let changed = sqlx::query(
            "UPDATE events SET body = replace(body, $1, $2) \
             WHERE stream = (SELECT id FROM streams WHERE name = $3) AND version = $4",
        )
        .bind(from)
        .bind(to)
        .bind(format!("document:{document}"))
        .bind(i64::try_from(version).unwrap())
        .execute(&mut self.0)
        .await
        .unwrap();
        assert_eq!(changed.rows_affected(), 1);
    }

    /// Says that a newer program wrote this database.
    pub(crate) async fn pretend_newer(&mut self) {
        sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99990101000000, 'from the future', TRUE, x'00', 0)")
            .execute(&mut self.0)
            .await
            .unwrap();
    }
}

/// Reads the stored form `["edited.1", op, …]`, as docs/events.md describes it.
fn from_stored(body: &str) -> Delta {
    let Value::Array(list) = serde_json::from_str(body).unwrap() else { panic!("no list: {body}") };
    assert_eq!(list[0], "edited.1");
    list[1..].iter().fold(Delta::new(), |delta, op| {
        let (what, attributes) = match op.as_array().map(Vec::as_slice) {
            Some([what, attributes]) => (what, attributes.as_object().unwrap().clone().into_iter().collect()),
            Some([what]) => (what, Attributes::NONE),
            _ => (op, Attributes::NONE),
        };
        match what {
            Value::Number(length) if length.is_u64() => {
                delta.format(usize::try_from(length.as_u64().unwrap()).unwrap(), attributes)
            }
            Value::Number(length) => delta.delete(usize::try_from(-length.as_i64().unwrap()).unwrap()),
            Value::String(text) => delta.insert(text.as_str(), attributes),
            embed => delta.embed(Arc::new(embed.as_object().unwrap().clone()), attributes),
        }
    })
}
