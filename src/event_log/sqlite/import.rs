//! Events of another log, as they are: one transaction, in which everything is looked at before anything is written.

use sqlx::SqliteConnection;

use super::{
    group::Known,
    insert::{EventRow, StreamRow, Transaction, write},
    rows,
    trouble::Trouble,
};
use crate::{
    domain::Seq,
    event_log::{
        Expected,
        port::{Import, ImportRefusal, ImportRow},
        sql::Columns,
    },
};

/// Imports all or nothing. Unless it has committed, a transaction may still be open.
pub(super) async fn import<'a>(
    connection: &mut SqliteConnection,
    known: &mut Known,
    import: &'a Import,
) -> Result<Result<(), ImportRefusal>, Trouble> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    // Nobody else can write now, so what is learned stays true until the commit. Nothing of it is kept.
    known.forget();
    known.learn(connection, import.streams.iter().map(|stream| &stream.name)).await?;
    let learned = std::mem::take(known);
    let mut heads = Vec::with_capacity(import.streams.len());
    for (index, stream) in import.streams.iter().enumerate() {
        let place = learned.place(&stream.name).ok_or(Trouble::Conflict)?;
        let row = place.row(&stream.name);
        if !Expected::At(stream.after).admits(row.head) {
            return Ok(Err(ImportRefusal::Stale));
        }
        if let Some(refusal) = repeated(connection, import, index).await? {
            return Ok(Err(refusal));
        }
        heads.push(StreamRow { head: stream.head, ..row });
    }
    let event = |new: &'a ImportRow| {
        let (stream, seq, recorded_at) = (heads[new.stream].id, new.seq.0, new.recorded_at);
        EventRow { stream, seq, recorded_at, row: &new.row }
    };
    let events: Vec<_> = import.rows.iter().map(event).collect();
    write(connection, &heads, &events, Transaction::Callers).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(Ok(()))
}

/// A message that is in the stream already.
async fn repeated(
    connection: &mut SqliteConnection,
    import: &Import,
    index: usize,
) -> Result<Option<ImportRefusal>, Trouble> {
    let name = &import.streams[index].name;
    let ids = rows::list(import.of(index).map(|new| new.row.message_id.as_str()));
    let found = sqlx::query(rows::FIND_ONE).bind(name.shared()).bind(ids);
    let there = found.fetch_optional(connection).await?.map(|row| row.count(0).map(Seq)).transpose()?;
    Ok(there.map(|seq| ImportRefusal::Repeated { stream: name.clone(), seq }))
}
