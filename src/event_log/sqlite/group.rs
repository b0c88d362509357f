//! Group commit: the appends of all streams that wait become one transaction.
//!
//! First all together, trusting what is remembered of the streams. The statements check each stream again (`insert.rs`),
//! and the unique indexes each event. If anything differs, all is rolled back and forgotten, and each append is looked at by
//! itself inside the transaction, so that one that is stale or repeats a message harms none of the others.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;

use super::{
    insert::{EventRow, StreamRow, Transaction, write},
    rows,
    trouble::Trouble,
};
use crate::event_log::{
    Head, StreamName,
    port::{NewRows, Refusal},
    sql::{self, Columns as _},
};

/// What the writer remembers of streams, so that it need not ask.
#[derive(Default)]
pub(super) struct Known {
    streams: HashMap<StreamName, Place>,
    next_id: Option<i64>,
}

/// A stream's row.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub id: i64,
    /// `None` before its first event: the row does not exist, and the id is only planned.
    pub head: Option<Head>,
}

impl Place {
    /// The stream as it is, to be moved on from here.
    pub(super) fn row(self, name: &StreamName) -> StreamRow<'_> {
        let before = self.head.map(|head| head.seq);
        StreamRow { id: self.id, name, before, head: self.head.unwrap_or_default() }
    }
}

/// How many streams are remembered; beyond, all are forgotten.
const REMEMBERED: usize = 65_536;

impl Known {
    /// Forgets everything: somebody else has written.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What was learned of a stream.
    pub(super) fn place(&self, stream: &StreamName) -> Option<Place> {
        self.streams.get(stream).copied()
    }

    /// Learns where these streams end. A stream that is not there yet gets an id.
    pub(super) async fn learn<'a>(
        &mut self,
        connection: &mut SqliteConnection,
        streams: impl Iterator<Item = &'a StreamName> + Clone,
    ) -> sqlx::Result<()> {
        let mut unknown: HashSet<_> = streams.clone().collect();
        unknown.retain(|stream| !self.streams.contains_key(*stream));
        if unknown.is_empty() {
            return Ok(());
        }
        if self.streams.len() + unknown.len() > REMEMBERED {
            self.streams.clear();
            unknown.extend(streams);
        }
        let names = rows::list(unknown.iter().map(|stream| stream.as_str()));
        for row in sqlx::query(rows::HEADS).bind(names).fetch_all(&mut *connection).await? {
            let (name, head) = sql::stream(&row)?;
            self.streams.insert(name, Place { id: row.number(5)?, head: Some(head) });
        }
        unknown.retain(|stream| !self.streams.contains_key(*stream));
        if unknown.is_empty() {
            return Ok(());
        }
        let mut id = match self.next_id {
            Some(id) => id,
            None => sqlx::query_scalar(rows::NEXT_STREAM).fetch_one(connection).await?,
        };
        for stream in unknown {
            self.streams.insert(stream.clone(), Place { id, head: None });
            id += 1;
        }
        self.next_id = Some(id);
        Ok(())
    }
}

/// Commits all the appends, or says what is in the way; then nothing is committed, but a transaction may
/// still be open.
pub(super) async fn together(
    connection: &mut SqliteConnection,
    known: &mut Known,
    group: &[NewRows],
) -> Result<Vec<Head>, Trouble> {
    known.learn(connection, group.iter().map(|append| &append.stream)).await?;
    let plan = Plan::of(known, group).ok_or(Trouble::Conflict)?;
    plan.write(connection, Transaction::Own).await?;
    Ok(plan.remember(known))
}

/// What to write for a group.
struct Plan<'a> {
    streams: HashMap<&'a StreamName, StreamRow<'a>>,
    events: Vec<EventRow<'a>>,
    /// The head that each append leaves.
    heads: Vec<Head>,
}

impl<'a> Plan<'a> {
    /// `None` if one of the appends does not fit onto its stream as it is known.
    fn of(known: &Known, group: &'a [NewRows]) -> Option<Self> {
        let mut plan = Self { streams: HashMap::new(), events: Vec::new(), heads: Vec::new() };
        for append in group {
            let (name, place) = (&append.stream, known.place(&append.stream)?);
            let row = plan.streams.entry(name).or_insert_with(|| place.row(name));
            if !append.expected.admits(row.head) {
                return None;
            }
            let seqs = row.head.seq.0 + 1..;
            row.head = append.head_after(row.head);
            plan.heads.push(row.head);
            let (stream, recorded_at) = (row.id, row.head.recorded_at);
            plan.events.extend(append.rows.iter().zip(seqs).map(|(row, seq)| EventRow {
                stream,
                seq,
                recorded_at,
                row,
            }));
        }
        Some(plan)
    }

    async fn write(&self, connection: &mut SqliteConnection, transaction: Transaction) -> sqlx::Result<()> {
        let streams: Vec<_> = self.streams.values().copied().collect();
        write(connection, &streams, &self.events, transaction).await
    }

    /// Remembers where the streams end once it is written; answers the head that each append left.
    fn remember(self, known: &mut Known) -> Vec<Head> {
        let place = |row: StreamRow<'_>| (row.name.clone(), Place { id: row.id, head: Some(row.head) });
        known.streams.extend(self.streams.into_values().map(place));
        self.heads
    }
}

/// Commits those of the appends that fit, in one transaction, and says what is wrong with each other one.
pub(super) async fn one_by_one(
    connection: &mut SqliteConnection,
    known: &mut Known,
    group: &[NewRows],
) -> Result<Vec<Result<Head, Refusal>>, Trouble> {
    known.forget();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let mut verdicts = Vec::with_capacity(group.len());
    for append in group {
        // Nobody else can write now, so what is found stays true until the commit.
        let verdict = match objection(connection, known, append).await? {
            Some(refusal) => Err(refusal),
            None => Ok(alone(connection, known, append).await?),
        };
        verdicts.push(verdict);
    }
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(verdicts)
}

async fn objection(
    connection: &mut SqliteConnection,
    known: &mut Known,
    append: &NewRows,
) -> Result<Option<Refusal>, Trouble> {
    known.learn(connection, std::iter::once(&append.stream)).await?;
    let head = known.place(&append.stream).and_then(|place| place.head).unwrap_or_default();
    if !append.expected.admits(head) {
        return Ok(Some(Refusal::Stale { head: head.seq }));
    }
    let ids: HashSet<_> = append.rows.iter().map(|row| row.message_id.as_str()).collect();
    let twice = ids.len() < append.rows.len();
    let found = sqlx::query(rows::FIND).bind(append.stream.shared()).bind(rows::list(ids.into_iter()));
    let repeated: Vec<_> = found.fetch_all(connection).await?.iter().map(sql::event).collect::<Result<_, _>>()?;
    Ok((twice || !repeated.is_empty()).then_some(Refusal::Repeated(repeated)))
}

async fn alone(connection: &mut SqliteConnection, known: &mut Known, append: &NewRows) -> Result<Head, Trouble> {
    let plan = Plan::of(known, std::slice::from_ref(append)).ok_or(Trouble::Conflict)?;
    plan.write(connection, Transaction::Callers).await?;
    plan.remember(known).pop().ok_or(Trouble::Conflict)
}
