//! Appending to many streams with one statement.

use sqlx::postgres::PgRow;

use super::{group::Unit, open::Session, trouble::Trouble};
use crate::{
    domain::{Seq, Timestamp, Version},
    event_log::{
        Expected, Head,
        port::NewRows,
        sql::{self, Columns, signed},
    },
};

/// A whole flush, in one trip: durable when it has answered.
///
/// - The rows of the streams are locked in the order of their names, so that two nodes never wait for each other in
///   a circle, and what is read of them then is newest and stays so until the commit.
/// - A stream that does not end where it should, or has ended for good, is left out, with its events; that harms no other stream.
/// - A stream that is not there begins. If somebody else begins it at the same moment the unique index objects.
/// - Events come last: their positions are taken from the sequence when the transaction has its id and the rows of
///   their streams are locked. The global feed stands on that.
const WRITE: &str = "WITH
    given AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
            WITH ORDINALITY AS given (name, expected, events, version, recorded_at, unit)),
    locked AS MATERIALIZED (
        SELECT id, name, seq, version, recorded_at, erased FROM streams WHERE name = ANY ($1) ORDER BY name
            FOR NO KEY UPDATE),
    moved AS (
        UPDATE streams SET seq = locked.seq + given.events, version = given.version,
            recorded_at = greatest(locked.recorded_at, given.recorded_at)
        FROM locked JOIN given USING (name)
        WHERE streams.id = locked.id AND locked.erased = 0 AND (given.expected IS NULL OR given.expected = locked.seq)
        RETURNING streams.id, given.unit, locked.seq, locked.recorded_at),
    begun AS (
        INSERT INTO streams (name, seq, version, recorded_at)
        SELECT name, events, version, greatest(recorded_at, 0) FROM given
        WHERE (SELECT count(*) FROM locked) < (SELECT count(*) FROM given)
            AND coalesce(expected, 0) = 0 AND NOT EXISTS (SELECT FROM locked WHERE locked.name = given.name)
        ORDER BY name
        RETURNING id, name),
    units AS MATERIALIZED (
        SELECT id, unit, seq, recorded_at FROM moved
        UNION ALL
        SELECT begun.id, given.unit, 0, 0 FROM begun JOIN given USING (name)),
    written AS (
        INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
        SELECT units.id, units.seq + new.place, new.version, new.message_id,
            greatest(units.recorded_at, new.recorded_at), new.body, new.cause
        FROM unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::text[], $12::text[])
            WITH ORDINALITY AS new (unit, place, version, message_id, recorded_at, body, cause, number)
        JOIN units USING (unit) ORDER BY number)
    SELECT coalesce(locked.seq, 0), coalesce(locked.version, 0), coalesce(locked.recorded_at, 0),
        coalesce(locked.erased, 0),
        (units.unit IS NOT NULL)::int::bigint
    FROM given LEFT JOIN locked USING (name) LEFT JOIN units USING (unit) ORDER BY unit";

/// What became of a unit.
pub(super) struct Outcome {
    /// Where the stream ended before.
    pub before: Head,
    /// Whether it moved.
    pub moved: bool,
}

/// Writes what fits, and answers for each unit. All of it happens or nothing.
pub(super) async fn write(
    session: &mut Session,
    appends: &[NewRows],
    units: &[Unit<'_>],
) -> Result<Vec<Outcome>, Trouble> {
    let mut heads = Heads::default();
    let mut events = Events::default();
    for (unit, number) in units.iter().zip(1..) {
        heads.push(unit);
        let mut places = 1..;
        // The time of an event is at least that of the one before it, also within the unit.
        let mut recorded_at = Timestamp(i64::MIN);
        for append in unit.appends.iter().map(|index| &appends[*index]) {
            recorded_at = recorded_at.max(append.recorded_at);
            for (row, place) in append.rows.iter().zip(&mut places) {
                events.units.push(number);
                events.places.push(place);
                events.versions.push(signed(row.version.0));
                events.messages.push(row.message_id.as_str());
                events.times.push(recorded_at.0);
                events.bodies.push(&row.body);
                events.causes.push(&row.cause);
            }
        }
    }
    let query = sqlx::query(WRITE)
        .bind(heads.names)
        .bind(heads.expected)
        .bind(heads.events)
        .bind(heads.versions)
        .bind(heads.times)
        .bind(events.units)
        .bind(events.places)
        .bind(events.versions)
        .bind(events.messages)
        .bind(events.times)
        .bind(events.bodies)
        .bind(events.causes);
    let rows = session.fetch_all(query).await?;
    let outcome =
        |row: &PgRow| -> sqlx::Result<_> { Ok(Outcome { before: sql::head(row)?, moved: row.number(4)? == 1 }) };
    Ok(rows.iter().map(outcome).collect::<Result<_, _>>()?)
}

/// A column for each fact about a stream.
#[derive(Default)]
struct Heads<'a> {
    names: Vec<&'a str>,
    expected: Vec<Option<i64>>,
    events: Vec<i64>,
    versions: Vec<i64>,
    times: Vec<i64>,
}

impl<'a> Heads<'a> {
    fn push(&mut self, unit: &Unit<'a>) {
        self.names.push(unit.stream.as_str());
        self.expected.push(match unit.expected {
            Expected::At(Seq(seq)) => Some(signed(seq)),
            Expected::Any => None,
        });
        self.events.push(signed(unit.events));
        let Version(version) = unit.version;
        self.versions.push(signed(version));
        self.times.push(unit.recorded_at.0);
    }
}

/// A column for each fact about an event.
#[derive(Default)]
struct Events<'a> {
    units: Vec<i64>,
    places: Vec<i64>,
    versions: Vec<i64>,
    messages: Vec<&'a str>,
    times: Vec<i64>,
    bodies: Vec<&'a str>,
    causes: Vec<&'a str>,
}
