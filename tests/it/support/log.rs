//! The database read and damaged from outside, past every line of the service's own code.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use scriptorium::text::{Attributes, Delta};
use serde_json::Value;
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::server::Server;

/// The database of a service, running or dead.
pub(crate) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Does the same on either.
macro_rules! on {
    ($database:expr, $connection:ident => $does:expr) => {
        match $database {
            Database::Sqlite($connection) => $does.await.unwrap(),
            Database::Postgres($connection) => $does.await.unwrap(),
        }
    };
}

/// `seq`, `version`, `message_id`, `body`.
type Event = (i64, i64, String, String);

const PRESENCE: &str = "SELECT version, body FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1) ORDER BY seq";
const DOCUMENT_EVENTS: &str =
    "SELECT count(*) FROM events JOIN streams ON streams.id = stream WHERE name LIKE 'document:%'";
const EVENTS: &str = "SELECT seq, version, message_id, body FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1) ORDER BY position";
/// How many of the files of tables and indexes, with what is kept aside for them, have these bytes in them.
const FILES_WITH: &str = "WITH tables AS (SELECT oid, reltoastrelid FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'),
    kept AS (SELECT oid FROM tables UNION SELECT reltoastrelid FROM tables WHERE reltoastrelid <> 0),
    relations AS (SELECT oid FROM kept UNION SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM kept))
    SELECT count(*) FROM relations
    WHERE position(convert_to($1, 'UTF8') IN pg_read_binary_file(pg_relation_filepath(oid))) > 0";
const DAMAGE: &str = "UPDATE events SET body = replace(body, $1, $2)
    WHERE stream = (SELECT id FROM streams WHERE name = $3) AND version = $4";

impl Database {
    /// Opens the file.
    pub(crate) async fn open(path: &Path) -> Self {
        Self::at(&format!("sqlite://{}", path.display())).await
    }

    /// Opens the database of a service.
    pub(crate) async fn of(server: &Server) -> Self {
        Self::at(&server.database_url()).await
    }

    pub(crate) async fn at(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(SqliteConnection::connect(url).await.unwrap())
        } else {
            Self::Postgres(PgConnection::connect(url).await.unwrap())
        }
    }

    /// Whether these words are anywhere in the files of the database, as far as those are its own: not in what a server
    /// keeps of all its databases to recover.
    pub(crate) async fn holds(&mut self, word: &str) -> bool {
        match self {
            Self::Sqlite(database) => {
                let file: String = sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'")
                    .fetch_one(database)
                    .await
                    .unwrap();
                let files = ["", "-wal"].map(|end| std::fs::read(format!("{file}{end}")).unwrap_or_default());
                files.iter().any(|bytes| bytes.windows(word.len()).any(|part| part == word.as_bytes()))
            }
            Self::Postgres(database) => {
                sqlx::query("CHECKPOINT").execute(&mut *database).await.unwrap();
                let found: i64 = sqlx::query_scalar(FILES_WITH).bind(word).fetch_one(database).await.unwrap();
                found > 0
            }
        }
    }

    /// How many events of a document there are.
    pub(crate) async fn left_of(&mut self, document: &str) -> usize {
        let stream = format!("document:{document}");
        let rows: Vec<Event> = on!(self, it => sqlx::query_as(EVENTS).bind(stream).fetch_all(it));
        rows.len()
    }

    /// The message ids of a document's events, in order; asserts that seq is dense, and version among the edits.
    pub(crate) async fn message_ids(&mut self, document: &str) -> Vec<String> {
        let recorded = self.recorded(document).await;
        let mut edits = 0;
        for ((seq, version, _, body), expected) in recorded.iter().zip(1..) {
            edits += i64::from(is_edit(body));
            assert_eq!((*seq, *version), (expected, edits), "{document}: dense and in order");
        }
        recorded.into_iter().map(|(_, _, message_id, _)| message_id).collect()
    }

    /// What a document's edits did to it, by their message ids, in order.
    pub(crate) async fn applied(&mut self, document: &str) -> Vec<(String, Delta)> {
        let ids = self.message_ids(document).await;
        let recorded = self.recorded(document).await;
        let edits = ids.into_iter().zip(&recorded).filter(|(_, (.., body))| is_edit(body));
        edits.map(|(id, (.., body))| (id, from_stored(body))).collect()
    }

    async fn recorded(&mut self, document: &str) -> Vec<Event> {
        let name = format!("document:{document}");
        on!(self, connection => sqlx::query_as(EVENTS).bind(&name).fetch_all(connection))
    }

    /// The bodies of a document's presence stream, in order.
    pub(crate) async fn presence(&mut self, document: &str) -> Vec<String> {
        self.presence_events(document).await.into_iter().map(|(_, body)| body).collect()
    }

    /// The same, each with the version that it refers to.
    async fn presence_events(&mut self, document: &str) -> Vec<(i64, String)> {
        let name = format!("presence:{document}");
        on!(self, connection => sqlx::query_as(PRESENCE).bind(&name).fetch_all(connection))
    }

    /// The cursors that a document's presence stream leaves, with the version that each refers to.
    pub(crate) async fn cursors(&mut self, document: &str) -> BTreeMap<String, (u64, usize)> {
        let (mut cursors, mut here) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<String>>::new());
        for (version, body) in self.presence_events(document).await {
            let version = u64::try_from(version).unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            let user = || body[2].as_str().unwrap().to_owned();
            match body[0].as_str().unwrap() {
                "joined.1" => drop(here.entry(user()).or_default().insert(body[1].to_string())),
                "left.1" => {
                    let connections = here.entry(user()).or_default();
                    connections.remove(&body[1].to_string());
                    if connections.is_empty() {
                        cursors.remove(&user());
                    }
                }
                "moved.1" => {
                    for moved in body.as_array().unwrap().iter().skip(1) {
                        let (user, position) = (moved[0].as_str().unwrap(), moved[3][0].as_u64().unwrap());
                        if here.get(user).is_some_and(|connections| !connections.is_empty()) {
                            cursors.insert(user.to_owned(), (version, usize::try_from(position).unwrap()));
                        }
                    }
                }
                "typed.1" => {}
                other => panic!("{other} in a presence stream"),
            }
        }
        cursors
    }

    /// Makes people who are being erased look as if that had begun long ago; how many were ever erased.
    pub(crate) async fn age_erasures(&mut self) -> u64 {
        const AGE: &str =
            "UPDATE events SET recorded_at = 0 WHERE stream = (SELECT id FROM streams WHERE name = 'service:erasures')";
        on!(self, it => async { sqlx::query(AGE).execute(it).await.map(|done| done.rows_affected()) })
    }

    /// How many people are being erased.
    pub(crate) async fn unfinished_erasures(&mut self) -> i64 {
        const UNFINISHED: &str = "SELECT count(*) FROM events WHERE body LIKE '[\"erasing_user.%'";
        on!(self, it => sqlx::query_scalar(UNFINISHED).fetch_one(it))
    }

    /// The number of all events of documents.
    pub(crate) async fn events(&mut self) -> i64 {
        on!(self, connection => sqlx::query_scalar(DOCUMENT_EVENTS).fetch_one(connection))
    }

    /// The places of all events in the feed, in order.
    pub(crate) async fn positions(&mut self) -> Vec<u64> {
        let sql = "SELECT position FROM events ORDER BY position";
        let positions: Vec<i64> = on!(self, connection => sqlx::query_scalar(sql).fetch_all(connection));
        positions.into_iter().map(|position| u64::try_from(position).unwrap()).collect()
    }

    /// Writes other text over the body of one event.
    pub(crate) async fn damage(&mut self, document: &str, version: u64, from: &str, to: &str) {
        let (name, version) = (format!("document:{document}"), i64::try_from(version).unwrap());
        let changed = on!(self, connection => async {
            let query = sqlx::query(DAMAGE).bind(from).bind(to).bind(&name).bind(version);
            query.execute(connection).await.map(|done| done.rows_affected())
        });
        assert_eq!(changed, 1);
    }

    /// The generations of all projections: their number, their form, and 1 for one that is in use.
    pub(crate) async fn generations(&mut self) -> Vec<(i64, String, i64)> {
        const GENERATIONS: &str = "SELECT id, name, in_use FROM projections ORDER BY id";
        on!(self, connection => sqlx::query_as(GENERATIONS).fetch_all(connection))
    }

    /// The place of the last snapshot of a document; 0 without one.
    pub(crate) async fn last_snapshot(&mut self, document: &str) -> i64 {
        const LAST: &str = "SELECT coalesce(max(seq), 0) FROM snapshots
            WHERE stream = (SELECT id FROM streams WHERE name = $1)";
        let name = format!("document:{document}");
        on!(self, connection => sqlx::query_scalar(LAST).bind(&name).fetch_one(connection))
    }

    /// How many states are kept of a document, of all projections.
    pub(crate) async fn kept(&mut self, document: &str) -> i64 {
        const KEPT: &str = "SELECT count(*) FROM kept WHERE stream = (SELECT id FROM streams WHERE name = $1)";
        let name = format!("document:{document}");
        on!(self, connection => sqlx::query_scalar(KEPT).bind(&name).fetch_one(connection))
    }

    /// Removes everything that is kept.
    pub(crate) async fn forget_projections(&mut self) {
        for sql in ["DELETE FROM kept", "DELETE FROM projections"] {
            on!(self, connection => async { sqlx::query(sql).execute(connection).await.map(drop) });
        }
    }

    /// Writes other text into everything that is kept.
    pub(crate) async fn damage_kept(&mut self, from: &str, to: &str) {
        const DAMAGE_KEPT: &str = "UPDATE kept SET content = replace(content, $1, $2)";
        on!(self, connection => async { sqlx::query(DAMAGE_KEPT).bind(from).bind(to).execute(connection).await.map(drop) });
    }

    /// Says that a newer program wrote this database.
    pub(crate) async fn pretend_newer(&mut self) {
        let sql = match self {
            Self::Sqlite(_) => {
                "INSERT INTO _sqlx_migrations VALUES (99990101000000, 'from the future', CURRENT_TIMESTAMP, TRUE, x'00', 0)"
            }
            Self::Postgres(_) => {
                "INSERT INTO _sqlx_migrations VALUES (99990101000000, 'from the future', now(), TRUE, '', 0)"
            }
        };
        on!(self, connection => async { sqlx::query(sql).execute(connection).await.map(drop) });
    }
}

fn is_edit(body: &str) -> bool {
    body.starts_with("[\"edited.")
}

/// Reads the stored forms `["edited.1", op, …]` and `["edited.2", anchors, op, …]`, as docs/events.md describes them.
fn from_stored(body: &str) -> Delta {
    let Value::Array(list) = serde_json::from_str(body).unwrap() else { panic!("no list: {body}") };
    let ops = match list[0].as_str() {
        Some("edited.1") => &list[1..],
        Some("edited.2") => &list[2..],
        other => panic!("{other:?} is no edit"),
    };
    ops.iter().fold(Delta::new(), |delta, op| {
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
            embed => delta.embed(embed.as_object().unwrap().clone().into_iter().collect(), attributes),
        }
    })
}
