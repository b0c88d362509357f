//! The statements for projections that are kept, which both databases accept, and how their rows become ours.

use crate::{
    domain::Seq,
    event_log::{
        Position, StreamName,
        sql::{Columns, unsigned},
    },
};

use super::port::{Generation, KeptPlace, KeptRow, Moved};

pub(in crate::event_log) const GENERATIONS: &str =
    "SELECT id, position, in_use, building FROM projections WHERE name = $1 ORDER BY id";
pub(in crate::event_log) const BEGIN: &str =
    "INSERT INTO projections (name, position, building, in_use) VALUES ($1, $2, '', 0) ON CONFLICT DO NOTHING";
pub(in crate::event_log) const GONE_THROUGH: &str =
    "UPDATE projections SET building = $2 WHERE id = $1 AND building < $2";
pub(in crate::event_log) const GONE_THROUGH_ALL: &str = "UPDATE projections SET building = NULL WHERE id = $1";
pub(in crate::event_log) const FOLLOWED: &str = "UPDATE projections SET position = $2 WHERE id = $1 AND position < $2";
pub(in crate::event_log) const PUT_IN_USE: &str =
    "UPDATE projections SET in_use = 1 WHERE id = $1 AND building IS NULL";
/// Some at a time: on SQLite appends wait behind it.
pub(in crate::event_log) const FORGET_STATES: &str = "DELETE FROM kept WHERE projection = $1 AND (stream, seq) IN
    (SELECT stream, seq FROM kept WHERE projection = $1 LIMIT 16)";
pub(in crate::event_log) const FORGET_GENERATION: &str = "DELETE FROM projections WHERE id = $1
    AND NOT EXISTS (SELECT 1 FROM kept WHERE projection = $1)";
pub(in crate::event_log) const KEPT: &str = "SELECT seq, content FROM kept WHERE projection = $2
    AND stream = (SELECT id FROM streams WHERE name = $1 AND erased = 0) AND seq <= $3 ORDER BY seq DESC LIMIT 1";
pub(in crate::event_log) const KEPT_PLACES: &str = "SELECT seq, size FROM kept WHERE projection = $2
    AND stream = (SELECT id FROM streams WHERE name = $1) ORDER BY seq";
/// By way of the projections, so that the primary key leads to the rows.
pub(in crate::event_log) const DROP_KEPT: &str = "DELETE FROM kept WHERE projection IN (SELECT id FROM projections)
    AND stream = (SELECT id FROM streams WHERE name = $1)";
/// The limit comes first: no plan for more events than are wanted.
pub(in crate::event_log) const MOVED: &str = "SELECT max(e.seq), max(e.position), count(*), s.name
    FROM (SELECT position, stream, seq FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3)
        AS e CROSS JOIN streams AS s WHERE s.id = e.stream GROUP BY s.name ORDER BY s.name";
/// `;` comes after `:`, so this ends with the documents.
pub(in crate::event_log) const DOCUMENTS_AFTER: &str =
    "SELECT count(*) FROM streams WHERE name > $1 AND name >= 'document:' AND name < 'document;'";

/// Saves a state where the generation is there and the stream has come so far. On Postgres a stream may be erased at the
/// same moment; what is left of it then is found as any erasure that was interrupted.
macro_rules! save_kept {
    () => {
        "INSERT INTO kept (projection, stream, seq, size, content)
            SELECT p.id, s.id, $3, $4, $5 FROM streams AS s CROSS JOIN projections AS p
            WHERE s.name = $1 AND p.id = $2 AND s.seq >= $3 AND s.erased = 0 ON CONFLICT DO NOTHING"
    };
}

/// The place of the state of a stream that has so many newer ones.
macro_rules! kept_number {
    ($newer:literal) => {
        concat!(
            "(SELECT seq FROM kept WHERE projection = $2 AND stream = (SELECT id FROM streams WHERE name = $1)
                ORDER BY seq DESC LIMIT 1 OFFSET ",
            $newer,
            ")"
        )
    };
}

/// Lets go of the state that is the second newest, if those beside it are near enough.
macro_rules! thin_kept {
    ($spacing:literal) => {
        concat!(
            "DELETE FROM kept WHERE projection = $2 AND stream = (SELECT id FROM streams WHERE name = $1) AND seq = ",
            $crate::event_log::kept::sql::kept_number!("1"),
            " AND ",
            $crate::event_log::kept::sql::kept_number!("0"),
            " - coalesce(",
            $crate::event_log::kept::sql::kept_number!("2"),
            ", 0) <= ",
            $spacing
        )
    };
}
pub(in crate::event_log) use {kept_number, save_kept, thin_kept};

/// Of [`GENERATIONS`].
pub(in crate::event_log) fn generation(row: &impl Columns) -> sqlx::Result<Generation> {
    let building = row.text_or_none(3)?.map(str::to_owned);
    let (id, position) = (row.count(0)?, Position(row.count(1)?));
    Ok(Generation { id, position, building, is_in_use: row.number(2)? != 0 })
}

/// Of [`KEPT`].
pub(in crate::event_log) fn kept(row: &impl Columns) -> sqlx::Result<KeptRow> {
    Ok(KeptRow { seq: Seq(row.count(0)?), content: String::from_utf8_lossy(row.bytes(1)?).into() })
}

/// Of [`KEPT_PLACES`].
pub(in crate::event_log) fn place(row: &impl Columns) -> sqlx::Result<KeptPlace> {
    Ok(KeptPlace { seq: Seq(row.count(0)?), size: row.count(1)? })
}

/// Of [`MOVED`].
pub(in crate::event_log) fn moved(row: &impl Columns) -> sqlx::Result<Moved> {
    let (seq, position) = (Seq(row.count(0)?), Position(row.count(1)?));
    Ok(Moved { stream: StreamName::recorded(row.text(3)?), seq, position, events: unsigned(row.number(2)?) })
}
