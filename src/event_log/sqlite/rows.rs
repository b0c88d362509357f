//! The statements that read, and how their rows become ours.

use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    domain::{Seq, Timestamp, Version},
    event_log::{
        Head, StreamName,
        port::{Key, Row, SnapshotRow},
    },
};

pub(super) const HEADS: &str =
    "SELECT name, id, seq, version, recorded_at FROM streams WHERE name IN (SELECT value FROM json_each($1))";
pub(super) const NEXT_STREAM: &str = "SELECT coalesce(max(id), 0) + 1 FROM streams";
pub(super) const HEAD: &str = "SELECT seq, version, recorded_at FROM streams WHERE name = $1";
pub(super) const STREAMS: &str =
    "SELECT seq, version, recorded_at, name FROM streams WHERE name > $1 ORDER BY name LIMIT $2";
pub(super) const ROWS: &str = "SELECT seq, version, recorded_at, message_id, body, cause FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq > $2 ORDER BY seq LIMIT $3";
pub(super) const FIND: &str = "SELECT seq, version, recorded_at, message_id, body, cause FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1)
      AND message_id IN (SELECT value FROM json_each($2)) ORDER BY seq";
/// A whole page in one value: what costs is the number of values that cross from SQLite's thread.
pub(super) const BODIES_JOINED: &str = "SELECT count(*), max(seq), group_concat(body, char(10))
    FROM (SELECT seq, body FROM events WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq > $2
          ORDER BY seq LIMIT $3)";
pub(super) const BODIES: &str = "SELECT seq, body FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq > $2 ORDER BY seq LIMIT $3";
pub(super) const SNAPSHOT: &str = "SELECT seq, version, last_modified, content FROM snapshots
    WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq <= $2 ORDER BY seq DESC LIMIT 1";

/// Halves a stream until one place is left. Both keys grow along it, so no index is needed.
macro_rules! last_at_most {
    ($key:literal) => {
        concat!(
            "WITH RECURSIVE stream AS (SELECT id, seq FROM streams WHERE name = $1),
                search (low, high) AS (
                    SELECT 0, seq FROM stream
                    UNION ALL
                    SELECT CASE WHEN ",
            $key,
            " <= $2 THEN (low + high + 1) / 2 ELSE low END,
                           CASE WHEN ",
            $key,
            " <= $2 THEN high ELSE (low + high + 1) / 2 - 1 END
                    FROM search LEFT JOIN events
                      ON events.stream = (SELECT id FROM stream) AND events.seq = (low + high + 1) / 2
                    WHERE low < high)
            SELECT low FROM search WHERE low = high"
        )
    };
}

pub(super) const fn last_at_most(key: Key) -> &'static str {
    match key {
        Key::Version => last_at_most!("version"),
        Key::RecordedAt => last_at_most!("recorded_at"),
    }
}

pub(super) fn head(row: &SqliteRow) -> sqlx::Result<Head> {
    Ok(Head { seq: seq(row, "seq")?, version: version(row)?, recorded_at: Timestamp(row.try_get("recorded_at")?) })
}

pub(super) fn id(row: &SqliteRow) -> sqlx::Result<i64> {
    row.try_get("id")
}

pub(super) fn stream(row: &SqliteRow) -> sqlx::Result<(StreamName, Head)> {
    Ok((StreamName::recorded(row.try_get("name")?), head(row)?))
}

pub(super) fn event(row: &SqliteRow) -> sqlx::Result<Row> {
    let bytes = |column| row.try_get_unchecked::<&[u8], _>(column).map(<[u8]>::to_vec);
    Ok(Row {
        seq: seq(row, 0)?,
        version: Version(unsigned(row.try_get(1)?)),
        recorded_at: Timestamp(row.try_get(2)?),
        message_id: bytes(3)?,
        body: bytes(4)?,
        cause: bytes(5)?,
    })
}

pub(super) fn snapshot(row: &SqliteRow) -> sqlx::Result<SnapshotRow> {
    let last_modified = row.try_get::<Option<i64>, _>("last_modified")?.map(Timestamp);
    let content = String::from_utf8_lossy(row.try_get_unchecked::<&[u8], _>("content")?).into();
    Ok(SnapshotRow { seq: seq(row, "seq")?, version: version(row)?, last_modified, content })
}

pub(super) fn seq(row: &SqliteRow, column: impl sqlx::ColumnIndex<SqliteRow>) -> sqlx::Result<Seq> {
    Ok(Seq(unsigned(row.try_get(column)?)))
}

fn version(row: &SqliteRow) -> sqlx::Result<Version> {
    Ok(Version(unsigned(row.try_get("version")?)))
}

/// SQLite's numbers are signed. Ours are never negative, and never beyond `i64` within the life of a disk.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A list of texts as one value, for `json_each`.
pub(super) fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<_> = texts.collect();
    serde_json::to_string(&texts).expect("a list of texts is JSON")
}
