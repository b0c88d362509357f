//! Ending streams for good, writing events anew, and leaving nothing in the files.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{
    Postgres,
    open::within,
    trouble::{Trouble, unavailable},
};
use crate::{
    domain::{Seq, Timestamp},
    event_log::{
        StreamName, Unavailable, UnavailableKind,
        port::{NewRow, Rewritten, Scrub, Scrubbed},
        sql::{self, Columns, limited, signed},
    },
};

/// One statement, one transaction. It locks the rows of the streams against all, also against who saves a snapshot at
/// this moment: either comes first, and what is saved is then found and removed, or nothing is saved any more.
const END: &str = "WITH
    locked AS MATERIALIZED (
        SELECT id, name, seq, version, recorded_at, erased FROM streams WHERE name = ANY ($1) ORDER BY name FOR UPDATE),
    moved AS (
        UPDATE streams SET seq = locked.seq + 1, recorded_at = greatest(locked.recorded_at, $2), erased = 1
        FROM locked WHERE streams.id = locked.id AND locked.erased = 0
        RETURNING streams.id, streams.name, streams.seq, streams.version, streams.recorded_at),
    begun AS (
        INSERT INTO streams (name, seq, version, recorded_at, erased)
        SELECT name, 1, 0, greatest($2, 0), 1 FROM unnest($1::text[]) AS given (name)
        WHERE NOT EXISTS (SELECT FROM locked WHERE locked.name = given.name) ORDER BY name
        RETURNING id, name, seq, version, recorded_at),
    ended AS MATERIALIZED (SELECT * FROM moved UNION ALL SELECT * FROM begun),
    written AS (
        INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
        SELECT id, seq, version, $3, recorded_at, $4, $5 FROM ended ORDER BY name)
    SELECT seq, name FROM ended";
const REWRITE_EVENTS: &str = "UPDATE events SET body = given.body, cause = given.cause
    FROM unnest($2::bigint[], $3::text[], $4::text[]) AS given (seq, body, cause)
    WHERE events.stream = (SELECT id FROM streams WHERE name = $1 AND erased = 0) AND events.seq = given.seq";
/// How often it is tried while others begin the same streams.
const ATTEMPTS: usize = 10;
/// Only a table that is written anew has nothing of what was deleted in it, with its indexes and what is kept aside.
const REWRITE: [&str; 3] = ["VACUUM (FULL) events", "VACUUM (FULL) snapshots", "VACUUM (FULL) kept"];

/// The transaction that comes next: whatever is committed by now has a lower number.
const NEXT_TRANSACTION: &str = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
/// Lists what is older than a transaction and may keep rows that were deleted before it: a session with a snapshot in this database, or
/// with a transaction in any, for the snapshots that are taken meanwhile are as old as that; a prepared transaction; a
/// replication slot; a standby that tells what it reads. Of sessions of others a role without `pg_read_all_stats` sees
/// nothing.
const OLDER: &str = "WITH older AS (
    SELECT format('session %s of %s%s, %s since %s', pid, coalesce(usename, '?'),
            coalesce(' (' || nullif(application_name, '') || ')', ''), coalesce(state, backend_type), coalesce(xact_start, backend_start)) AS what
        FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND (age(backend_xid) > age($1::xid8::xid) OR age(backend_xmin) > age($1::xid8::xid)
            AND (datname = current_database() OR backend_type = 'walsender'))
    UNION ALL
    SELECT format('prepared transaction %L of %s, since %s', gid, owner, prepared)
        FROM pg_prepared_xacts WHERE age(transaction) > age($1::xid8::xid)
    UNION ALL
    SELECT format('replication slot %I', slot_name) FROM pg_replication_slots WHERE age(xmin) > age($1::xid8::xid)
    UNION ALL
    SELECT format('session %s of %s, of which this role cannot see how old it is (grant it pg_read_all_stats)', pid, usename)
        FROM pg_stat_activity WHERE datname = current_database() AND query = '<insufficient privilege>')
    SELECT what FROM older
    UNION ALL
    SELECT 'a transaction that this role cannot see (grant it pg_read_all_stats)'
        WHERE pg_snapshot_xmin(pg_current_snapshot()) < $1::xid8 AND NOT EXISTS (SELECT FROM older)";
/// How often it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Postgres {
    pub(super) async fn end_streams(
        &self,
        streams: &[StreamName],
        last: &NewRow,
        at: Timestamp,
    ) -> Result<(), Unavailable> {
        let names: Vec<_> = streams.iter().map(StreamName::as_str).collect();
        for _ in 0..ATTEMPTS {
            let mut reader = self.readers.take().await?;
            let query = sqlx::query(END)
                .bind(&names)
                .bind(at.0)
                .bind(last.message_id.as_str())
                .bind(&*last.body)
                .bind(&*last.cause);
            let outcome = tokio::time::timeout(self.settings.patience.answer, query.fetch_all(&mut reader.connection));
            let Ok(outcome) = outcome.await else {
                return Err(Unavailable::new(UnavailableKind::Unreachable, "database does not answer"));
            };
            match outcome.map_err(Trouble::from) {
                Ok(rows) => {
                    reader.give_back();
                    for row in &rows {
                        let told =
                            || -> sqlx::Result<_> { Ok((Seq(row.count(0)?), StreamName::recorded(row.text(1)?))) };
                        let (seq, stream) = told().map_err(|error| unavailable(&error))?;
                        self.bells.waiting().ring(&stream, seq);
                    }
                    return Ok(());
                }
                // Nothing happened: somebody has begun one of them at the same moment.
                Err(Trouble::Conflict | Trouble::Again) => reader.give_back(),
                Err(Trouble::Unavailable(reason)) => return Err(reason),
            }
        }
        Err(Unavailable::new(UnavailableKind::Busy, "others always write first"))
    }

    pub(super) async fn rewrite_events(&self, stream: &StreamName, rows: &[Rewritten]) -> Result<u64, Unavailable> {
        let seqs: Vec<_> = rows.iter().map(|row| signed(row.seq.0)).collect();
        let bodies: Vec<_> = rows.iter().map(|row| &*row.body).collect();
        let causes: Vec<_> = rows.iter().map(|row| &*row.cause).collect();
        self.change(sqlx::query(REWRITE_EVENTS).bind(stream.as_str()).bind(seqs).bind(bodies).bind(causes)).await
    }

    pub(super) async fn unfinished(
        &self,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, Unavailable> {
        let query = sqlx::query(sql::UNFINISHED_ENDS).bind(after.map_or("", StreamName::as_str));
        self.all(query.bind(limited(limit)), sql::stream_name).await
    }

    pub(super) async fn scrub_all(&self, what: Scrub) -> Result<Scrubbed, Unavailable> {
        if let Scrub::Pages { patience } = what {
            let mut session = self.settings.connect_for_long().await?;
            if let Some(in_the_way) =
                older_transactions(&mut session, patience).await.map_err(|why| unavailable(&why))?
            {
                return Ok(Scrubbed::InTheWay(in_the_way));
            }
            for statement in REWRITE {
                sqlx::query(statement).execute(&mut session).await.map_err(|error| unavailable(&error))?;
            }
            // It is done, whatever closing says.
            let _closed = within(self.settings.patience.connect, session.close()).await;
        }
        Ok(Scrubbed::Clean)
    }
}

/// Waits until no transaction is left that may see what has been deleted so far: a table that is written anew takes along
/// what one of them may see. Once none is left, none comes: whoever begins later sees no more than is there. Answers what is
/// still in the way after so long.
async fn older_transactions(session: &mut PgConnection, patience: Duration) -> sqlx::Result<Option<String>> {
    let now: String = sqlx::query_scalar(NEXT_TRANSACTION).fetch_one(&mut *session).await?;
    let until = Instant::now() + patience;
    loop {
        let older: Vec<String> = sqlx::query_scalar(OLDER).bind(&now).fetch_all(&mut *session).await?;
        if older.is_empty() {
            return Ok(None);
        }
        if Instant::now() >= until {
            return Ok(Some(older.join("; ")));
        }
        sleep(LOOK_AGAIN).await;
    }
}
