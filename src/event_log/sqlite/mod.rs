//! The log in SQLite: one file, one connection that writes, a few that read.

mod group;
mod import;
mod insert;
mod kept;
mod lives;
mod open;
mod rows;
#[cfg(test)]
mod tests;
mod trouble;
mod wal;
mod writer;

use std::{ops::Range, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use lives::LifeLocks;
pub(super) use open::Settings;

use super::{
    AppliedMigration, Head, Life, LifeSign, OpenError, Outline, Position, StreamName, Unavailable,
    port::{
        Adapter, Answer, Bodies, Ends, FeedRow, Import, ImportRefusal, Keep, Key, NewRow, NewRows, Refusal, Rewritten,
        Row, Scrub, Scrubbed, SnapshotRow,
    },
    sql::{self, Columns, limited, signed, unsigned},
};
use crate::{
    domain::{MessageId, NodeId, Seq, Timestamp},
    telemetry::Metrics,
};
use rows::list;
use trouble::unavailable;
use writer::{Command, QUEUE, Task, Writer};

pub(super) struct Sqlite {
    readers: SqlitePool,
    queue: mpsc::Sender<Command>,
    tasks: TaskTracker,
    locks: LifeLocks,
}

impl Sqlite {
    /// Opens a database, made and brought up to date where needed.
    pub(super) async fn open(settings: Settings, metrics: Metrics) -> Result<Self, OpenError> {
        let (connection, applied) = settings.open().await?;
        for migration in applied {
            tracing::info!(version = migration.version, description = migration.description, "applied a migration");
        }
        let locks = settings.life_locks()?;
        let (queue, commands) = mpsc::channel(QUEUE);
        let readers = settings.reader_pool();
        let tasks = TaskTracker::new();
        tasks.spawn(Writer::new(settings, connection, metrics).run(commands));
        tasks.close();
        Ok(Self { readers, queue, tasks, locks })
    }

    /// Only brings a database up to date.
    pub(super) async fn migrate(settings: &Settings) -> Result<Vec<AppliedMigration>, OpenError> {
        let (connection, applied) = settings.open().await?;
        sqlx::Connection::close(connection).await.map_err(|error| settings.failed(&error))?;
        Ok(applied)
    }

    async fn ask<T, E: From<Unavailable>>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Command,
    ) -> Result<T, E> {
        let (to, answer) = oneshot::channel();
        self.queue.send(command(to)).await.map_err(|_| Unavailable::closed())?;
        answer.await.map_err(|_| Unavailable::closed())?
    }

    async fn write(&self, task: Task) -> Result<u64, Unavailable> {
        self.ask(|to| Command::Other(task, to)).await
    }

    /// A page as one value, or `None` if something in it needs a closer look: a gap, or a body that is not
    /// one line of UTF-8.
    async fn joined(&self, stream: &StreamName, after: Seq, limit: i64) -> sqlx::Result<Option<Bodies>> {
        let query = sqlx::query(rows::BODIES_JOINED).bind(stream.shared()).bind(signed(after.0)).bind(limit);
        let row = query.fetch_one(&self.readers).await?;
        let count = row.count(0)?;
        if count == 0 {
            return Ok(Some(Bodies::default()));
        }
        let last = Seq(row.count(1)?);
        let bytes = row.bytes(2)?.to_vec();
        let mut ends: Vec<_> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        ends.push(bytes.len());
        let whole = ends.len() as u64 == count && last.0 - after.0 == count;
        Ok(whole.then(|| Bodies { seqs: (after.0 + 1..=last.0).map(Seq).collect(), bytes, ends }))
    }

    /// A page of whole events in the same way.
    async fn joined_rows(&self, stream: &StreamName, after: Seq, limit: i64) -> sqlx::Result<Option<Vec<Row>>> {
        let query = sqlx::query(rows::ROWS_JOINED).bind(stream.shared()).bind(signed(after.0)).bind(limit);
        let row = query.fetch_one(&self.readers).await?;
        let count = row.count(0)?;
        if count == 0 {
            return Ok(Some(Vec::new()));
        }
        let rows = rows::split(after, row.bytes(2)?);
        Ok(rows.filter(|rows| rows.len() as u64 == count && row.count(1).is_ok_and(|last| last - after.0 == count)))
    }

    async fn row_by_row(&self, stream: &StreamName, after: Seq, limit: i64) -> sqlx::Result<Bodies> {
        let query = sqlx::query(sql::BODIES).bind(stream.shared()).bind(signed(after.0)).bind(limit);
        let mut bodies = Bodies::default();
        for row in query.fetch_all(&self.readers).await? {
            bodies.push(Seq(row.count(0)?), row.bytes(1)?);
        }
        Ok(bodies)
    }
}

fn read<'a, T>(what: impl Future<Output = sqlx::Result<T>> + Send + 'a) -> Answer<'a, T> {
    async { what.await.map_err(|error| unavailable(&error)) }.boxed()
}

impl Adapter for Sqlite {
    fn append(&self, rows: NewRows) -> BoxFuture<'_, Result<Head, Refusal>> {
        self.ask(|to| Command::Append(rows, to)).boxed()
    }

    fn rows<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Vec<Row>> {
        read(async move {
            // What is damaged, or too long for one value, is read row by row, and so is what fails for another reason.
            if let Ok(Some(rows)) = self.joined_rows(stream, after, limited(limit)).await {
                return Ok(rows);
            }
            let query = sqlx::query(sql::ROWS).bind(stream.shared()).bind(signed(after.0)).bind(limited(limit));
            query.fetch_all(&self.readers).await?.iter().map(sql::event).collect()
        })
    }

    fn bodies<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Bodies> {
        read(async move {
            match self.joined(stream, after, limited(limit)).await? {
                Some(bodies) => Ok(bodies),
                None => self.row_by_row(stream, after, limited(limit)).await,
            }
        })
    }

    fn find<'a>(&'a self, stream: &'a StreamName, ids: &'a [MessageId]) -> Answer<'a, Vec<Row>> {
        let query = sqlx::query(rows::FIND).bind(stream.shared()).bind(list(ids.iter().map(MessageId::as_str)));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::event).collect() })
    }

    fn head<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Head>> {
        let query = sqlx::query(sql::HEAD).bind(stream.shared());
        read(async { query.fetch_optional(&self.readers).await?.as_ref().map(sql::head).transpose() })
    }

    fn ends(&self) -> Answer<'_, Ends> {
        read(async {
            let last = Position(unsigned(sqlx::query_scalar(rows::LAST).fetch_one(&self.readers).await?));
            Ok(Ends { settled: last, taken: last })
        })
    }

    fn feed(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<FeedRow>> {
        let query = sqlx::query(rows::FEED).bind(signed(after.0)).bind(signed(to.0)).bind(limited(limit));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::feed).collect() })
    }

    fn import(&self, import: Import) -> BoxFuture<'_, Result<(), ImportRefusal>> {
        self.ask(|to| Command::Import(import, to)).boxed()
    }

    fn outline<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Outline>> {
        let query = sqlx::query(sql::OUTLINE).bind(stream.shared());
        read(async { query.fetch_optional(&self.readers).await?.as_ref().map(sql::outline).transpose() })
    }

    fn heads<'a>(&'a self, streams: &'a [StreamName]) -> Answer<'a, Vec<(StreamName, Head)>> {
        let query = sqlx::query(rows::HEADS).bind(list(streams.iter().map(StreamName::as_str)));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::stream).collect() })
    }

    fn last_at_most<'a>(&'a self, stream: &'a StreamName, key: Key, value: i64) -> Answer<'a, Option<Seq>> {
        let query = sqlx::query(sql::last_at_most(key)).bind(stream.shared()).bind(value);
        read(async { query.fetch_optional(&self.readers).await?.map(|row| row.count(0).map(Seq)).transpose() })
    }

    fn streams<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<(StreamName, Head)>> {
        let query = sqlx::query(sql::STREAMS).bind(after.map_or("", StreamName::as_str)).bind(limited(limit));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::stream).collect() })
    }

    fn save_snapshot<'a>(&'a self, stream: &'a StreamName, snapshot: SnapshotRow, keep: Keep) -> Answer<'a, ()> {
        async move { self.write(Task::SaveSnapshot(stream.clone(), snapshot, keep)).await.map(|_| ()) }.boxed()
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<SnapshotRow>> {
        let query = sqlx::query(sql::SNAPSHOT).bind(stream.shared()).bind(signed(at_most.0));
        read(async { query.fetch_optional(&self.readers).await?.as_ref().map(sql::snapshot).transpose() })
    }

    fn snapshot_places<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Vec<Seq>> {
        let query = sqlx::query(sql::SNAPSHOT_PLACES).bind(stream.shared());
        read(async { query.fetch_all(&self.readers).await?.iter().map(|row| row.count(0).map(Seq)).collect() })
    }

    fn drop_snapshots<'a>(&'a self, stream: &'a StreamName, places: Range<Seq>) -> Answer<'a, u64> {
        self.write(Task::DropSnapshots(stream.clone(), places)).boxed()
    }

    fn trim<'a>(&'a self, stream: &'a StreamName, to: Seq) -> Answer<'a, u64> {
        self.write(Task::Trim(stream.clone(), to)).boxed()
    }

    fn rewrite<'a>(&'a self, stream: &'a StreamName, rows: Vec<Rewritten>) -> Answer<'a, u64> {
        self.write(Task::Rewrite(stream.clone(), rows)).boxed()
    }

    fn end<'a>(&'a self, streams: &'a [StreamName], last: NewRow, at: Timestamp) -> Answer<'a, ()> {
        async move { self.write(Task::End(streams.to_vec(), last, at)).await.map(|_| ()) }.boxed()
    }

    fn unfinished_ends<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<StreamName>> {
        let query = sqlx::query(sql::UNFINISHED_ENDS).bind(after.map_or("", StreamName::as_str)).bind(limited(limit));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::stream_name).collect() })
    }

    fn scrub(&self, what: Scrub) -> Answer<'_, Scrubbed> {
        self.ask(move |to| Command::Scrub(what, to)).boxed()
    }

    fn begin_life<'a>(&'a self, node: &'a NodeId, at_least: u64, lease: Duration) -> Answer<'a, u64> {
        async move {
            // The lock comes first: nobody may ever see a life without one, and take it for over.
            let life = |incarnation| Life { node: node.clone(), incarnation };
            let mut wanted = at_least;
            loop {
                if !self.locks.take(&life(wanted))? {
                    wanted += 1;
                    continue;
                }
                match self.write(Task::BeginLife(node.clone(), wanted, lease)).await {
                    Ok(begun) if begun == wanted => return Ok(begun),
                    Ok(begun) => {
                        self.locks.remove(&life(wanted));
                        self.end_life(&life(begun)).await?;
                        wanted = begun + 1;
                    }
                    Err(reason) => {
                        self.locks.remove(&life(wanted));
                        return Err(reason);
                    }
                }
            }
        }
        .boxed()
    }

    fn beat<'a>(&'a self, life: &'a Life, beats: u64) -> Answer<'a, bool> {
        async move { Ok(self.write(Task::Beat(life.clone(), beats)).await? > 0) }.boxed()
    }

    fn lives(&self) -> Answer<'_, Vec<LifeSign>> {
        let query = sqlx::query(sql::LIVES);
        async {
            let signs: Vec<_> =
                read(async { query.fetch_all(&self.readers).await?.iter().map(sql::life_sign).collect() }).await?;
            let look = |sign: LifeSign| Ok(LifeSign { known: self.locks.look(&sign.life)?, ..sign });
            signs.into_iter().map(look).collect()
        }
        .boxed()
    }

    fn end_life<'a>(&'a self, life: &'a Life) -> Answer<'a, ()> {
        // In this order, for once it has ended nothing more is noted of it.
        async move {
            self.write(Task::EndLife(life.clone())).await?;
            self.write(Task::ForgetPeople(life.clone())).await?;
            self.locks.remove(life);
            Ok(())
        }
        .boxed()
    }

    fn note_people<'a>(&'a self, life: &'a Life, stream: &'a StreamName, are_there: bool) -> Answer<'a, ()> {
        let task = Task::NotePeople(life.clone(), stream.clone(), are_there);
        async move { self.write(task).await.map(|_| ()) }.boxed()
    }

    fn streams_of_life<'a>(&'a self, life: &'a Life) -> Answer<'a, Vec<StreamName>> {
        let query = sqlx::query(sql::STREAMS_OF_LIFE).bind(life.node.as_str()).bind(signed(life.incarnation));
        read(async { query.fetch_all(&self.readers).await?.iter().map(sql::stream_name).collect() })
    }

    fn check_writable(&self) -> Answer<'_, ()> {
        async { self.write(Task::Check).await.map(|_| ()) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            // If it is closed already, its end is still to be waited for.
            let _already = self.queue.send(Command::Close).await;
            self.tasks.wait().await;
            self.readers.close().await;
            self.locks.release();
        }
        .boxed()
    }
}
