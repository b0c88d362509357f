//! Writing many rows with few statements.
//!
//! The statements themselves check that each stream is still as the caller knew it. Another process may have written
//! since, and the unique indexes on events alone do not notice that: the events with low sequence numbers may be gone
//! (erased, trimmed, or never imported). If any stream differs, a constraint fails and nothing is committed.

use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection, sqlite::SqliteArguments};

use crate::{
    domain::{Seq, Timestamp},
    event_log::{Head, StreamName, port::NewRow, sql::signed},
};

/// A stream gets this head.
#[derive(Clone, Copy)]
pub(super) struct StreamRow<'a> {
    pub id: i64,
    pub name: &'a StreamName,
    /// Where it must end before; `None` for a stream that must not exist yet.
    pub before: Option<Seq>,
    pub head: Head,
}

/// An event comes into a stream.
pub(super) struct EventRow<'a> {
    pub stream: i64,
    pub seq: u64,
    pub recorded_at: Timestamp,
    pub row: &'a NewRow,
}

/// Who begins and commits the transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    /// These rows are one.
    Own,
    /// The caller.
    Callers,
}

/// The most rows in one statement. Powers of two up to here make up every number, so that few statements
/// are ever prepared.
const LARGEST: usize = 256;
/// How many rows share a trip to SQLite's thread, begin and commit included.
const TRIP: usize = 64;

/// Writes heads and events. Heads come first, for events refer to them.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    streams: &[StreamRow<'_>],
    events: &[EventRow<'_>],
    transaction: Transaction,
) -> sqlx::Result<()> {
    let mut trips = Trips::default();
    let own = transaction == Transaction::Own;
    if own {
        trips.now.sql.push_str("BEGIN IMMEDIATE;");
    }
    let begun: Vec<_> = streams.iter().filter(|row| row.before.is_none()).collect();
    let moved: Vec<_> = streams.iter().filter_map(|row| Some((row, row.before?))).collect();
    for chunk in chunks(&begun) {
        trips.add(chunk, (BEGIN_STREAMS, "(?,?,?,?,?,?)", ""), |to, row| bind_begun(to, row))?;
    }
    for chunk in chunks(&moved) {
        match chunk {
            [_] => trips.add(chunk, (MOVE_STREAM, "", ""), bind_moved_alone)?,
            _ => trips.add(chunk, MOVE_STREAMS, bind_moved)?,
        }
    }
    for chunk in chunks(events) {
        trips.add(chunk, (INTO_EVENTS, "(?,?,?,?,?,?,?)", ""), bind_event)?;
    }
    if own {
        trips.now.sql.push_str("COMMIT");
    }
    for trip in trips.done.into_iter().chain([trips.now]) {
        sqlx::query_with(AssertSqlSafe(trip.sql), trip.arguments).execute(&mut *connection).await?;
    }
    Ok(())
}

/// A stream whose id or name is taken violates a unique index.
const BEGIN_STREAMS: &str = "INSERT INTO streams (id,name,seq,version,recorded_at,erased) VALUES ";
/// A stream that has another name, ends elsewhere or is erased gets no `seq`, which violates NOT NULL. If its row is
/// missing, its events violate the foreign key.
const MOVE_STREAMS: (&str, &str, &str) = (
    "UPDATE streams SET seq=iif(streams.name=given.column2 AND streams.seq=given.column3 AND streams.erased=0,given.column4,NULL),\
    version=given.column5,recorded_at=given.column6,erased=given.column7 FROM (VALUES ",
    "(?,?,?,?,?,?,?)",
    ") AS given WHERE streams.id=given.column1",
);
const INTO_EVENTS: &str = "INSERT INTO events (stream,seq,version,message_id,recorded_at,body,cause) VALUES ";

/// The same for one stream, without a list to go through: a fifth of the time of a small transaction.
const MOVE_STREAM: &str =
    "UPDATE streams SET seq=iif(name=? AND seq=? AND erased=0,?,NULL),version=?,recorded_at=?,erased=? WHERE id=?";

type Bound = Result<(), sqlx::error::BoxDynError>;

fn bind_begun(to: &mut SqliteArguments, row: &StreamRow<'_>) -> Bound {
    to.add(row.id)?;
    to.add(row.name.shared())?;
    bind_head(to, row.head)
}

fn bind_moved(to: &mut SqliteArguments, (row, before): &(&StreamRow<'_>, Seq)) -> Bound {
    to.add(row.id)?;
    to.add(row.name.shared())?;
    to.add(signed(before.0))?;
    bind_head(to, row.head)
}

fn bind_moved_alone(to: &mut SqliteArguments, (row, before): &(&StreamRow<'_>, Seq)) -> Bound {
    to.add(row.name.shared())?;
    to.add(signed(before.0))?;
    bind_head(to, row.head)?;
    to.add(row.id)
}

fn bind_head(to: &mut SqliteArguments, head: Head) -> Bound {
    to.add(signed(head.seq.0))?;
    to.add(signed(head.version.0))?;
    to.add(head.recorded_at.0)?;
    to.add(i64::from(head.is_erased))
}

fn bind_event(to: &mut SqliteArguments, event: &EventRow<'_>) -> Bound {
    to.add(event.stream)?;
    to.add(signed(event.seq))?;
    to.add(signed(event.row.version.0))?;
    to.add(event.row.message_id.as_str())?;
    to.add(event.recorded_at.0)?;
    to.add(std::sync::Arc::clone(&event.row.body))?;
    to.add(std::sync::Arc::clone(&event.row.cause))
}

/// Statements that go to SQLite's thread together: each trip costs more than a row.
#[derive(Default)]
struct Trip {
    sql: String,
    arguments: SqliteArguments,
    rows: usize,
}

#[derive(Default)]
struct Trips {
    done: Vec<Trip>,
    now: Trip,
}

impl Trips {
    fn add<T>(
        &mut self,
        rows: &[T],
        (before, each, after): (&str, &str, &str),
        bind: impl Fn(&mut SqliteArguments, &T) -> Bound,
    ) -> sqlx::Result<()> {
        if self.now.rows > 0 && self.now.rows + rows.len() > TRIP {
            self.done.push(std::mem::take(&mut self.now));
        }
        let sql = &mut self.now.sql;
        sql.push_str(before);
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                sql.push(',');
            }
            sql.push_str(each);
            bind(&mut self.now.arguments, row).map_err(sqlx::Error::Encode)?;
        }
        sql.push_str(after);
        sql.push(';');
        self.now.rows += rows.len();
        Ok(())
    }
}

fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = (1 << rows.len().checked_ilog2()?).min(LARGEST);
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::chunks;

    #[test]
    fn every_number_is_made_of_powers_of_two() {
        for n in 0..2_000_usize {
            let rows = vec![(); n];
            let sizes: Vec<_> = chunks(&rows).map(<[()]>::len).collect();
            assert_eq!(sizes.iter().sum::<usize>(), n);
            assert!(sizes.iter().all(|size| size.is_power_of_two() && *size <= 256));
        }
    }
}
