//! Projections that are kept, in SQLite.

use std::sync::Arc;

use futures_util::FutureExt;
use sqlx::{Sqlite as Database, query::Query, sqlite::SqliteArguments};

use super::{Sqlite, read, writer::Task};
use crate::{
    domain::Seq,
    event_log::{
        Position, StreamName,
        kept::{Generation, KeptPlace, KeptRow, Moved, Shelf, sql},
        port::Answer,
        sql::{Columns, limited, signed},
    },
};

/// Writes of projections.
pub(super) enum KeptTask {
    Begin(Arc<str>, Position),
    GoneThrough(u64, Option<StreamName>),
    Followed(u64, Position),
    PutInUse(u64),
    ForgetStates(u64),
    ForgetGeneration(u64),
    Save { generation: u64, stream: StreamName, row: KeptRow, spacing: u64 },
    Drop(StreamName),
}

const SAVE_AND_THIN: &str = concat!("BEGIN IMMEDIATE; ", sql::save_kept!(), "; ", sql::thin_kept!("$6"), "; COMMIT");

pub(super) fn query<'q>(task: KeptTask) -> Query<'q, Database, SqliteArguments> {
    match task {
        KeptTask::Begin(form, position) => sqlx::query(sql::BEGIN).bind(form).bind(signed(position.0)),
        KeptTask::GoneThrough(generation, Some(to)) => {
            sqlx::query(sql::GONE_THROUGH).bind(signed(generation)).bind(to.shared())
        }
        KeptTask::GoneThrough(generation, None) => sqlx::query(sql::GONE_THROUGH_ALL).bind(signed(generation)),
        KeptTask::Followed(generation, to) => sqlx::query(sql::FOLLOWED).bind(signed(generation)).bind(signed(to.0)),
        KeptTask::PutInUse(generation) => sqlx::query(sql::PUT_IN_USE).bind(signed(generation)),
        KeptTask::ForgetStates(generation) => sqlx::query(sql::FORGET_STATES).bind(signed(generation)),
        KeptTask::ForgetGeneration(generation) => sqlx::query(sql::FORGET_GENERATION).bind(signed(generation)),
        KeptTask::Save { generation, stream, row, spacing } => sqlx::query(SAVE_AND_THIN)
            .bind(stream.shared())
            .bind(signed(generation))
            .bind(signed(row.seq.0))
            .bind(signed(row.content.len() as u64))
            .bind(row.content)
            .bind(signed(spacing)),
        KeptTask::Drop(stream) => sqlx::query(sql::DROP_KEPT).bind(stream.shared()),
    }
}

impl Sqlite {
    fn keep(&self, task: KeptTask) -> Answer<'_, ()> {
        async { self.write(Task::Kept(task)).await.map(|_| ()) }.boxed()
    }
}

impl Shelf for Sqlite {
    fn generations<'a>(&'a self, form: &'a str) -> Answer<'a, Vec<Generation>> {
        let query = sqlx::query(sql::GENERATIONS).bind(form);
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::generation).collect() })
    }

    fn begin_generation<'a>(&'a self, form: &'a str, position: Position) -> Answer<'a, ()> {
        self.keep(KeptTask::Begin(form.into(), position))
    }

    fn note_gone_through<'a>(&'a self, generation: u64, to: Option<&'a StreamName>) -> Answer<'a, ()> {
        self.keep(KeptTask::GoneThrough(generation, to.cloned()))
    }

    fn note_followed(&self, generation: u64, to: Position) -> Answer<'_, ()> {
        self.keep(KeptTask::Followed(generation, to))
    }

    fn put_in_use(&self, generation: u64) -> Answer<'_, ()> {
        self.keep(KeptTask::PutInUse(generation))
    }

    fn forget_generation(&self, generation: u64) -> Answer<'_, u64> {
        async move {
            match self.write(Task::Kept(KeptTask::ForgetStates(generation))).await? {
                0 => self.write(Task::Kept(KeptTask::ForgetGeneration(generation))).await,
                some => Ok(some),
            }
        }
        .boxed()
    }

    fn save_kept<'a>(&'a self, generation: u64, stream: &'a StreamName, row: KeptRow, spacing: u64) -> Answer<'a, ()> {
        self.keep(KeptTask::Save { generation, stream: stream.clone(), row, spacing })
    }

    fn kept<'a>(&'a self, generation: u64, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<KeptRow>> {
        let query = sqlx::query(sql::KEPT).bind(stream.shared()).bind(signed(generation)).bind(signed(at_most.0));
        read(async { query.fetch_optional(&self.readers).await?.as_ref().map(sql::kept).transpose() })
    }

    fn kept_places<'a>(&'a self, generation: u64, stream: &'a StreamName) -> Answer<'a, Vec<KeptPlace>> {
        let query = sqlx::query(sql::KEPT_PLACES).bind(stream.shared()).bind(signed(generation));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::place).collect() })
    }

    fn drop_kept<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, u64> {
        self.write(Task::Kept(KeptTask::Drop(stream.clone()))).boxed()
    }

    fn moved(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<Moved>> {
        let query = sqlx::query(sql::MOVED).bind(signed(after.0)).bind(signed(to.0)).bind(limited(limit));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::moved).collect() })
    }

    fn documents_after<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        read(async move { sqlx::query(sql::DOCUMENTS_AFTER).bind(name).fetch_one(&self.readers).await?.count(0) })
    }
}
