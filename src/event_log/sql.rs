//! The statements that both databases accept, and how their rows become ours.

use std::time::Duration;

use sqlx::{postgres::PgRow, sqlite::SqliteRow};

use super::{
    Head, Known, Life, LifeSign, Outline, Position, StreamName,
    port::{FeedRow, Key, Row, SnapshotRow},
};
use crate::domain::{NodeId, Seq, Timestamp, Version};

/// Events of a stream after a place. Of one that has ended there is only the last, also while the rest is being removed.
macro_rules! after_place {
    () => {
        " WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq > $2
            AND seq > coalesce((SELECT seq - 1 FROM streams WHERE name = $1 AND erased = 1), 0) ORDER BY seq LIMIT $3"
    };
}
pub(super) use after_place;

pub(super) const HEAD: &str = "SELECT seq, version, recorded_at, erased FROM streams WHERE name = $1";
pub(super) const STREAMS: &str =
    "SELECT seq, version, recorded_at, erased, name FROM streams WHERE name > $1 ORDER BY name LIMIT $2";
pub(super) const ROWS: &str =
    concat!("SELECT seq, version, recorded_at, message_id, body, cause FROM events", after_place!());
pub(super) const BODIES: &str = concat!("SELECT seq, body FROM events", after_place!());
pub(super) const SNAPSHOT: &str = "SELECT seq, version, last_modified, content FROM snapshots
    WHERE stream = (SELECT id FROM streams WHERE name = $1 AND erased = 0) AND seq <= $2 ORDER BY seq DESC LIMIT 1";
pub(super) const SNAPSHOT_PLACES: &str =
    "SELECT seq FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = $1) ORDER BY seq";
pub(super) const DROP_SNAPSHOTS: &str = "DELETE FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = $1)
    AND seq >= $2 AND seq < $3";
/// Some at a time: on SQLite appends wait behind it.
pub(super) const TRIM: &str = "DELETE FROM events WHERE position IN (SELECT position FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq <= $2 ORDER BY seq LIMIT 512)";
/// Streams that have ended, with anything that is to be gone then.
pub(super) const UNFINISHED_ENDS: &str = "SELECT name FROM streams WHERE erased = 1 AND name > $1
      AND (EXISTS (SELECT 1 FROM events WHERE events.stream = streams.id AND events.seq < streams.seq)
        OR EXISTS (SELECT 1 FROM snapshots WHERE snapshots.stream = streams.id)
        OR EXISTS (SELECT 1 FROM projections JOIN kept ON kept.projection = projections.id WHERE kept.stream = streams.id))
    ORDER BY name LIMIT $2";
/// The unique index on the places has all that this reads of events.
pub(super) const OUTLINE: &str =
    "SELECT s.seq, s.version, s.recorded_at, s.erased, count(e.seq), coalesce(min(e.seq), 0), coalesce(max(e.seq), 0),
        min(CASE WHEN e.position <= e.position_before THEN e.seq END)
    FROM streams AS s LEFT JOIN
        (SELECT stream, seq, position, lag(position) OVER (ORDER BY seq) AS position_before
        FROM events WHERE stream = (SELECT id FROM streams WHERE name = $1)) AS e ON e.stream = s.id
    WHERE s.name = $1 GROUP BY s.id";
pub(super) const CHECK: &str = "INSERT INTO write_checks (id, checks) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET checks = write_checks.checks + 1";

/// A new life of a process, and its incarnation.
pub(super) const BEGIN_LIFE: &str = "INSERT INTO nodes (node, incarnation, lease, beats)
    SELECT $1, CASE WHEN max(incarnation) >= $2 THEN max(incarnation) + 1 ELSE $2 END, $3, 0
    FROM nodes WHERE node = $1 RETURNING incarnation";
pub(super) const BEAT: &str = "UPDATE nodes SET beats = beats + 1 WHERE node = $1 AND incarnation = $2 AND beats = $3";
pub(super) const END_LIFE: &str = "DELETE FROM nodes WHERE node = $1 AND incarnation = $2";
pub(super) const FORGET_PEOPLE: &str = "DELETE FROM node_streams WHERE node = $1 AND incarnation = $2";
/// Of a life that somebody else has ended nothing is noted any more.
pub(super) const NOTE_PEOPLE: &str = "INSERT INTO node_streams (node, incarnation, stream)
    SELECT node, incarnation, $3 FROM nodes WHERE node = $1 AND incarnation = $2 ON CONFLICT DO NOTHING";
pub(super) const FORGET_PEOPLE_IN: &str =
    "DELETE FROM node_streams WHERE node = $1 AND incarnation = $2 AND stream = $3";
pub(super) const LIVES: &str = "SELECT node, incarnation, lease, beats FROM nodes ORDER BY node, incarnation";
pub(super) const STREAMS_OF_LIFE: &str =
    "SELECT stream FROM node_streams WHERE node = $1 AND incarnation = $2 ORDER BY stream";

/// The place of the snapshot of a stream that has so many newer ones.
macro_rules! snapshot_number {
    ($newer:expr) => {
        concat!(
            "(SELECT seq FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = $1) ORDER BY seq DESC LIMIT 1 OFFSET ",
            $newer,
            ")"
        )
    };
}

/// Lets go of all snapshots of a stream but so many.
macro_rules! keep_newest {
    ($newest:literal) => {
        concat!(
            "DELETE FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq <= ",
            $crate::event_log::sql::snapshot_number!($newest)
        )
    };
}

/// Lets go of the snapshot of a stream that is the first one beyond so many, if those beside it are near enough.
macro_rules! keep_spaced {
    ($newest:literal, $spacing:literal) => {
        concat!(
            "DELETE FROM snapshots WHERE stream = (SELECT id FROM streams WHERE name = $1) AND seq = ",
            $crate::event_log::sql::snapshot_number!($newest),
            " AND ",
            $crate::event_log::sql::snapshot_number!(concat!($newest, " - 1")),
            " - coalesce(",
            $crate::event_log::sql::snapshot_number!(concat!($newest, " + 1")),
            ", 0) <= ",
            $spacing
        )
    };
}
pub(super) use {keep_newest, keep_spaced, snapshot_number};

/// Halves a stream until one place is left. Both keys grow along it, so no index is needed. What
/// is missing was trimmed off the front, and counts as small.
macro_rules! last_at_most {
    ($key:literal) => {
        concat!(
            "WITH RECURSIVE stream AS (SELECT id, seq FROM streams WHERE name = $1),
                search (low, high) AS (
                    SELECT CAST(0 AS BIGINT), seq FROM stream
                    UNION ALL
                    SELECT CASE WHEN coalesce(",
            $key,
            " <= $2, true) THEN (low + high + 1) / 2 ELSE low END,
                           CASE WHEN coalesce(",
            $key,
            " <= $2, true) THEN high ELSE (low + high + 1) / 2 - 1 END
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

/// A row of either database, by the places of its columns.
pub(super) trait Columns {
    fn number(&self, column: usize) -> sqlx::Result<i64>;
    fn number_or_none(&self, column: usize) -> sqlx::Result<Option<i64>>;
    /// A text as it is stored, which in a damaged database may be anything.
    fn bytes(&self, column: usize) -> sqlx::Result<&[u8]>;

    fn count(&self, column: usize) -> sqlx::Result<u64> {
        self.number(column).map(unsigned)
    }

    fn text_or_none(&self, column: usize) -> sqlx::Result<Option<&str>>;

    fn text(&self, column: usize) -> sqlx::Result<&str> {
        str::from_utf8(self.bytes(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

macro_rules! columns {
    ($($row:ty),+) => {$(
        impl Columns for $row {
            fn number(&self, column: usize) -> sqlx::Result<i64> {
                sqlx::Row::try_get(self, column)
            }
            fn number_or_none(&self, column: usize) -> sqlx::Result<Option<i64>> {
                sqlx::Row::try_get(self, column)
            }
            fn bytes(&self, column: usize) -> sqlx::Result<&[u8]> {
                sqlx::Row::try_get_unchecked(self, column)
            }
            fn text_or_none(&self, column: usize) -> sqlx::Result<Option<&str>> {
                sqlx::Row::try_get(self, column)
            }
        }
    )+};
}

columns!(PgRow, SqliteRow);

/// Of [`HEAD`].
pub(super) fn head(row: &impl Columns) -> sqlx::Result<Head> {
    let (seq, version, recorded_at) = (Seq(row.count(0)?), Version(row.count(1)?), Timestamp(row.number(2)?));
    Ok(Head { seq, version, recorded_at, is_erased: row.number(3)? != 0 })
}

/// Of [`OUTLINE`].
pub(super) fn outline(row: &impl Columns) -> sqlx::Result<Outline> {
    let out_of_order = row.number_or_none(7)?.map(|seq| Seq(unsigned(seq)));
    let (events, first, last) = (row.count(4)?, Seq(row.count(5)?), Seq(row.count(6)?));
    Ok(Outline { head: head(row)?, events, first, last, out_of_order })
}

/// Of [`STREAMS`].
pub(super) fn stream(row: &impl Columns) -> sqlx::Result<(StreamName, Head)> {
    Ok((StreamName::recorded(row.text(4)?), head(row)?))
}

/// Of [`ROWS`], and of what finds messages.
pub(super) fn event(row: &impl Columns) -> sqlx::Result<Row> {
    Ok(Row {
        seq: Seq(row.count(0)?),
        version: Version(row.count(1)?),
        recorded_at: Timestamp(row.number(2)?),
        message_id: row.bytes(3)?.to_vec(),
        body: row.bytes(4)?.to_vec(),
        cause: row.bytes(5)?.to_vec(),
    })
}

/// Of a page of the feed: an event, its position and the name of its stream.
pub(super) fn feed(row: &impl Columns) -> sqlx::Result<FeedRow> {
    let (position, stream) = (Position(row.count(6)?), StreamName::recorded(row.text(7)?));
    Ok(FeedRow { position, stream, row: event(row)? })
}

/// Of [`SNAPSHOT`].
pub(super) fn snapshot(row: &impl Columns) -> sqlx::Result<SnapshotRow> {
    let last_modified = row.number_or_none(2)?.map(Timestamp);
    let content = String::from_utf8_lossy(row.bytes(3)?).into();
    Ok(SnapshotRow { seq: Seq(row.count(0)?), version: Version(row.count(1)?), last_modified, content })
}

/// Of [`LIVES`].
pub(super) fn life_sign(row: &impl Columns) -> sqlx::Result<LifeSign> {
    let node = NodeId::parse(row.text(0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let life = Life { node, incarnation: row.count(1)? };
    let (lease, beats) = (Duration::from_micros(row.count(2)?), row.count(3)?);
    Ok(LifeSign { life, lease, beats, known: Known::Nothing })
}

/// Of [`STREAMS_OF_LIFE`] and [`UNFINISHED_ENDS`].
pub(super) fn stream_name(row: &impl Columns) -> sqlx::Result<StreamName> {
    row.text(0).map(StreamName::recorded)
}

/// A lease as it is stored.
pub(super) fn micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}

/// Databases' numbers are signed. Ours are never negative, and never beyond `i64` within the life of a disk.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A limit of rows.
pub(super) fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
