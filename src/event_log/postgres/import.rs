//! Events of another log, as they are: one transaction, in which everything is looked at before anything is written.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::{
    domain::Seq,
    event_log::{
        Expected, Head, StreamName,
        port::{Import, ImportRefusal},
        sql::{self, Columns, signed, unsigned},
    },
};

/// In the order of their names, as appends do.
const LOCK: &str =
    "SELECT seq, 0::bigint, 0::bigint, erased, name FROM streams WHERE name = ANY ($1) ORDER BY name FOR NO KEY UPDATE";
const REPEATED: &str = "SELECT events.seq, streams.name
    FROM unnest($1::text[], $2::text[]) AS new (name, message_id)
    JOIN streams ON streams.name = new.name
    JOIN events ON events.stream = streams.id AND events.message_id = new.message_id LIMIT 1";
/// A stream that another node has begun since the rows were locked ends elsewhere, and is left out.
const MOVE: &str =
    "UPDATE streams SET seq = new.seq, version = new.version, recorded_at = new.recorded_at, erased = new.erased
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS new (name, before, seq, version, recorded_at, erased)
    WHERE streams.name = new.name AND streams.seq = new.before AND streams.erased = 0";
/// A stream that another node has begun at the same moment is left out.
const BEGIN: &str = "INSERT INTO streams (name, seq, version, recorded_at, erased)
    SELECT name, seq, version, recorded_at, erased
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS new (name, before, seq, version, recorded_at, erased)
    WHERE before = 0 ORDER BY name ON CONFLICT (name) DO NOTHING";
const WRITE: &str = "INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
    SELECT streams.id, new.seq, new.version, new.message_id, new.recorded_at, new.body, new.cause
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[])
        WITH ORDINALITY AS new (name, seq, version, message_id, recorded_at, body, cause, number)
    JOIN streams ON streams.name = new.name ORDER BY number";

/// Imports all or nothing.
pub(super) async fn import(connection: &mut PgConnection, import: &Import) -> sqlx::Result<Result<(), ImportRefusal>> {
    let mut transaction = connection.begin().await?;
    let refusal = write(&mut transaction, import).await?;
    match refusal {
        None => transaction.commit().await?,
        Some(_) => transaction.rollback().await?,
    }
    Ok(refusal.map_or(Ok(()), Err))
}

async fn write(transaction: &mut Transaction<'_, Postgres>, import: &Import) -> sqlx::Result<Option<ImportRefusal>> {
    let names: Vec<_> = import.streams.iter().map(|stream| stream.name.as_str()).collect();
    let mut ends = HashMap::new();
    for row in sqlx::query(LOCK).bind(&names).fetch_all(&mut **transaction).await? {
        let (name, head) = sql::stream(&row)?;
        ends.insert(name, head);
    }
    let end = |stream: &StreamName| ends.get(stream).copied().unwrap_or_default();
    if import.streams.iter().any(|stream| !Expected::At(stream.after).admits(end(&stream.name))) {
        return Ok(Some(ImportRefusal::Stale));
    }
    let streams: Vec<_> = import.rows.iter().map(|new| names[new.stream]).collect();
    let messages: Vec<_> = import.rows.iter().map(|new| new.row.message_id.as_str()).collect();
    let repeated = sqlx::query(REPEATED).bind(&streams).bind(&messages).fetch_optional(&mut **transaction).await?;
    if let Some(row) = repeated {
        let (seq, stream) = (Seq(unsigned(row.number(0)?)), StreamName::recorded(row.text(1)?));
        return Ok(Some(ImportRefusal::Repeated { stream, seq }));
    }
    if begin_and_move(transaction, import, &names).await? < names.len() as u64 {
        return Ok(Some(ImportRefusal::Stale));
    }
    let rows = &import.rows;
    sqlx::query(WRITE)
        .bind(streams)
        .bind(rows.iter().map(|new| signed(new.seq.0)).collect::<Vec<_>>())
        .bind(rows.iter().map(|new| signed(new.row.version.0)).collect::<Vec<_>>())
        .bind(messages)
        .bind(rows.iter().map(|new| new.recorded_at.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|new| &*new.row.body).collect::<Vec<_>>())
        .bind(rows.iter().map(|new| &*new.row.cause).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(None)
}

/// How many streams have got their heads; fewer than there are if another node has written to one of them.
async fn begin_and_move(
    transaction: &mut Transaction<'_, Postgres>,
    import: &Import,
    names: &[&str],
) -> sqlx::Result<u64> {
    let column = |of: fn(&Head) -> i64| import.streams.iter().map(|stream| of(&stream.head)).collect::<Vec<_>>();
    let mut written = 0;
    for sql in [MOVE, BEGIN] {
        let query = sqlx::query(sql)
            .bind(names)
            .bind(import.streams.iter().map(|stream| signed(stream.after.0)).collect::<Vec<_>>())
            .bind(column(|head| signed(head.seq.0)))
            .bind(column(|head| signed(head.version.0)))
            .bind(column(|head| head.recorded_at.0))
            .bind(column(|head| i64::from(head.is_erased)));
        written += query.execute(&mut **transaction).await?.rows_affected();
    }
    Ok(written)
}
