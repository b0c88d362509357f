//! Projections that are kept, in Postgres.

use futures_util::FutureExt;
use sqlx::{Connection, Postgres as Database, postgres::PgArguments, query::Query};

use super::{Postgres, open::within};
use crate::{
    domain::Seq,
    event_log::{
        Position, StreamName, Unavailable,
        kept::{Generation, KeptPlace, KeptRow, Moved, Shelf, sql},
        port::Answer,
        sql::{Columns, limited, signed},
    },
};

const SAVE_KEPT: &str = sql::save_kept!();
const THIN_KEPT: &str = sql::thin_kept!("$3");

impl Postgres {
    fn note<'a>(&'a self, query: Query<'a, Database, PgArguments>) -> Answer<'a, ()> {
        async { self.change(query).await.map(|_| ()) }.boxed()
    }

    async fn keep(&self, generation: u64, stream: &StreamName, row: KeptRow, spacing: u64) -> Result<(), Unavailable> {
        let mut reader = self.readers.take().await?;
        let save = async {
            let mut transaction = reader.connection.begin().await?;
            sqlx::query(SAVE_KEPT)
                .bind(stream.as_str())
                .bind(signed(generation))
                .bind(signed(row.seq.0))
                .bind(signed(row.content.len() as u64))
                .bind(&*row.content)
                .execute(&mut *transaction)
                .await?;
            let thin = sqlx::query(THIN_KEPT).bind(stream.as_str()).bind(signed(generation)).bind(signed(spacing));
            thin.execute(&mut *transaction).await?;
            transaction.commit().await
        };
        // Of a generation that somebody has just forgotten there is nothing to keep.
        let save = async { save.await.or_else(|error| if is_of_another(&error) { Ok(()) } else { Err(error) }) };
        within(self.settings.patience.answer, save).await?;
        reader.give_back();
        Ok(())
    }

    /// Forgets a generation that has no states, or had none a moment ago.
    async fn forget_empty(&self, generation: u64) -> Result<u64, Unavailable> {
        let mut reader = self.readers.take().await?;
        let forget = async {
            match sqlx::query(sql::FORGET_GENERATION).bind(signed(generation)).execute(&mut reader.connection).await {
                // A node that did not know yet that it is out of use has just saved one more.
                Err(error) if is_of_another(&error) => Ok(1),
                done => Ok(done?.rows_affected()),
            }
        };
        let forgotten = within(self.settings.patience.answer, forget).await?;
        reader.give_back();
        Ok(forgotten)
    }
}

/// Whether a state and the generation that it is of were written and forgotten at the same moment.
fn is_of_another(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}

impl Shelf for Postgres {
    fn generations<'a>(&'a self, form: &'a str) -> Answer<'a, Vec<Generation>> {
        self.all(sqlx::query(sql::GENERATIONS).bind(form), sql::generation).boxed()
    }

    fn begin_generation<'a>(&'a self, form: &'a str, position: Position) -> Answer<'a, ()> {
        self.note(sqlx::query(sql::BEGIN).bind(form).bind(signed(position.0)))
    }

    fn note_gone_through<'a>(&'a self, generation: u64, to: Option<&'a StreamName>) -> Answer<'a, ()> {
        self.note(match to {
            Some(to) => sqlx::query(sql::GONE_THROUGH).bind(signed(generation)).bind(to.as_str()),
            None => sqlx::query(sql::GONE_THROUGH_ALL).bind(signed(generation)),
        })
    }

    fn note_followed(&self, generation: u64, to: Position) -> Answer<'_, ()> {
        self.note(sqlx::query(sql::FOLLOWED).bind(signed(generation)).bind(signed(to.0)))
    }

    fn put_in_use(&self, generation: u64) -> Answer<'_, ()> {
        self.note(sqlx::query(sql::PUT_IN_USE).bind(signed(generation)))
    }

    fn forget_generation(&self, generation: u64) -> Answer<'_, u64> {
        async move {
            match self.change(sqlx::query(sql::FORGET_STATES).bind(signed(generation))).await? {
                0 => self.forget_empty(generation).await,
                some => Ok(some),
            }
        }
        .boxed()
    }

    fn save_kept<'a>(&'a self, generation: u64, stream: &'a StreamName, row: KeptRow, spacing: u64) -> Answer<'a, ()> {
        self.keep(generation, stream, row, spacing).boxed()
    }

    fn kept<'a>(&'a self, generation: u64, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<KeptRow>> {
        let query = sqlx::query(sql::KEPT).bind(stream.as_str()).bind(signed(generation)).bind(signed(at_most.0));
        self.one(query, sql::kept).boxed()
    }

    fn kept_places<'a>(&'a self, generation: u64, stream: &'a StreamName) -> Answer<'a, Vec<KeptPlace>> {
        self.all(sqlx::query(sql::KEPT_PLACES).bind(stream.as_str()).bind(signed(generation)), sql::place).boxed()
    }

    fn drop_kept<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, u64> {
        self.change(sqlx::query(sql::DROP_KEPT).bind(stream.as_str())).boxed()
    }

    fn moved(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<Moved>> {
        let query = sqlx::query(sql::MOVED).bind(signed(after.0)).bind(signed(to.0)).bind(limited(limit));
        self.all(query, sql::moved).boxed()
    }

    fn documents_after<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        let query = sqlx::query(sql::DOCUMENTS_AFTER).bind(name);
        async { Ok(self.one(query, |row| row.count(0)).await?.unwrap_or_default()) }.boxed()
    }
}
