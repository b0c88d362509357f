//! The statements that only SQLite accepts.

use crate::{
    domain::{Seq, Timestamp, Version},
    event_log::{
        port::{Rewritten, Row},
        sql::after_place,
    },
};

pub(super) const HEADS: &str =
    "SELECT seq, version, recorded_at, erased, name, id FROM streams WHERE name IN (SELECT value FROM json_each($1))";
pub(super) const NEXT_STREAM: &str = "SELECT coalesce(max(id), 0) + 1 FROM streams";
pub(super) const FIND: &str = "SELECT seq, version, recorded_at, message_id, body, cause FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1)
      AND message_id IN (SELECT value FROM json_each($2)) ORDER BY seq";
pub(super) const FIND_ONE: &str = "SELECT seq FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1)
      AND message_id IN (SELECT value FROM json_each($2)) ORDER BY seq LIMIT 1";
/// There is one writer at a time, so positions grow in the order of commits, and all that are taken are settled.
pub(super) const LAST: &str = "SELECT coalesce(max(position), 0) FROM events";
/// `CROSS JOIN` keeps SQLite from beginning with the streams.
pub(super) const FEED: &str =
    "SELECT e.seq, e.version, e.recorded_at, e.message_id, e.body, e.cause, e.position, s.name
    FROM events e CROSS JOIN streams s ON s.id = e.stream
    WHERE e.position > $1 AND e.position <= $2 ORDER BY e.position LIMIT $3";
/// A whole page in one value: what costs is the number of values that cross from SQLite's thread.
pub(super) const BODIES_JOINED: &str = concat!(
    "SELECT count(*), max(seq), group_concat(body, char(10)) FROM (SELECT seq, body FROM events",
    after_place!(),
    ")"
);

/// The same for whole events. What stands between them, and between the fields of each, is in no JSON and in no name.
pub(super) const ROWS_JOINED: &str = concat!(
    "SELECT count(*), max(seq), group_concat(version || char(31) || recorded_at || char(31) || message_id || char(31) ||
        body || char(31) || cause, char(30))
    FROM (SELECT seq, version, recorded_at, message_id, body, cause FROM events",
    after_place!(),
    ")"
);

/// The events of [`ROWS_JOINED`] that come after a place; `None` if one of them is none.
pub(super) fn split(after: Seq, joined: &[u8]) -> Option<Vec<Row>> {
    let rows = joined.split(|byte| *byte == 30).zip(after.0 + 1..);
    rows.map(|(row, seq)| {
        let mut fields = row.split(|byte| *byte == 31);
        let mut field = || fields.next();
        let (version, recorded_at, message_id, body, cause) = (field()?, field()?, field()?, field()?, field()?);
        let number = |digits: &[u8]| str::from_utf8(digits).ok()?.parse::<i64>().ok();
        let row = Row {
            seq: Seq(seq),
            version: Version(u64::try_from(number(version)?).ok()?),
            message_id: message_id.to_vec(),
            recorded_at: Timestamp(number(recorded_at)?),
            body: body.to_vec(),
            cause: cause.to_vec(),
        };
        fields.next().is_none().then_some(row)
    })
    .collect()
}

/// A list of texts as one value, for `json_each`.
pub(super) fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<_> = texts.collect();
    serde_json::to_string(&texts).expect("a list of texts is JSON")
}

/// Texts and the places that they are for as one value, for `json_each`.
pub(super) fn rewritten(rows: &[Rewritten]) -> String {
    let rows: Vec<_> = rows.iter().map(|row| (row.seq.0, &*row.body, &*row.cause)).collect();
    serde_json::to_string(&rows).expect("lists of numbers and texts are JSON")
}
