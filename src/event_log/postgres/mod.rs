//! The log in Postgres: a few connections that append, each with its share of the streams, and a few that read.

mod bell;
mod doorbell;
mod end;
mod feed;
mod group;
mod import;
mod judge;
mod kept;
mod lane;
mod listen;
mod open;
mod readers;
#[cfg(test)]
mod tests;
mod trouble;
mod write;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, TryStreamExt, future::BoxFuture};
use sqlx::{
    Connection, PgConnection, Postgres as Database,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use {doorbell::Way, open::Settings};

use super::{
    AppliedMigration, Doorbell, Head, Life, LifeSign, OpenError, Outline, Position, StreamName, Unavailable,
    port::{
        Adapter, Answer, Bodies, Ends, FeedRow, Import, ImportRefusal, Keep, Key, NewRow, NewRows, PART_BYTES, Refusal,
        Rewritten, Row, Scrub, Scrubbed, SnapshotRow,
    },
    sql::{self, Columns, limited, signed},
};
use crate::{
    domain::{MessageId, NodeId, Seq, Timestamp},
    telemetry::Metrics,
};
use doorbell::Bells;
use feed::Horizon;
use lane::{Command, Doubt, Lane, QUEUE};
use open::{Shared, within};
use readers::Readers;

pub(super) struct Postgres {
    settings: Shared,
    readers: Readers,
    horizon: Horizon,
    lanes: Vec<mpsc::Sender<Command>>,
    tasks: TaskTracker,
    bells: Bells,
    stop: CancellationToken,
}

impl Postgres {
    /// Opens a database, brought up to date where needed.
    pub(super) async fn open(settings: Settings, metrics: Metrics) -> Result<Self, OpenError> {
        for migration in settings.migrate().await? {
            tracing::info!(version = migration.version, description = migration.description, "applied a migration");
        }
        let settings = Arc::new(settings);
        let readers = Readers::new(Arc::clone(&settings));
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let hung = Bells::hang(&settings, &readers, &metrics, (&tasks, &stop)).await;
        let (ringing, bells) = hung.map_err(|reason| settings.refused(reason))?;
        let doubt = Doubt::default();
        let lanes = (0..settings.lanes.max(1)).map(|_| {
            let (lane, commands) = mpsc::channel(QUEUE);
            tasks.spawn(
                Lane::new(Arc::clone(&settings), ringing.clone(), Arc::clone(&doubt), metrics.clone()).run(commands),
            );
            lane
        });
        let lanes = lanes.collect();
        tasks.close();
        let horizon = Horizon::new(Arc::clone(&settings));
        Ok(Self { settings, readers, horizon, lanes, tasks, bells, stop })
    }

    /// Only brings a database up to date.
    pub(super) async fn migrate(settings: &Settings) -> Result<Vec<AppliedMigration>, OpenError> {
        settings.migrate().await
    }

    /// Where the appends of a stream queue, in their order.
    fn lane(&self, stream: &StreamName) -> &mpsc::Sender<Command> {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        &self.lanes[usize::try_from(hasher.finish() % lanes).unwrap_or_default()]
    }

    async fn ask<T, E: From<Unavailable>>(
        lane: &mpsc::Sender<Command>,
        command: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Command,
    ) -> Result<T, E> {
        let (to, answer) = oneshot::channel();
        lane.send(command(to)).await.map_err(|_| Unavailable::closed())?;
        answer.await.map_err(|_| Unavailable::closed())?
    }

    /// What a query finds, row by row.
    async fn fetch<T>(
        &self,
        query: Query<'_, Database, PgArguments>,
        mut found: T,
        mut take: impl FnMut(&mut T, &PgRow) -> sqlx::Result<()>,
    ) -> Result<T, Unavailable> {
        let mut reader = self.readers.take().await?;
        let read = async |connection: &mut PgConnection| {
            let mut rows = query.fetch(connection);
            while let Some(row) = rows.try_next().await? {
                take(&mut found, &row)?;
            }
            Ok(())
        };
        reader.answer(read).await?;
        reader.give_back();
        Ok(found)
    }

    async fn all<T>(
        &self,
        query: Query<'_, Database, PgArguments>,
        read: impl Fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, Unavailable> {
        self.fetch(query, Vec::new(), |all, row| {
            all.push(read(row)?);
            Ok(())
        })
        .await
    }

    async fn one<T>(
        &self,
        query: Query<'_, Database, PgArguments>,
        read: impl Fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Option<T>, Unavailable> {
        Ok(self.all(query, read).await?.pop())
    }

    /// Carries out a write of one statement; answers how many rows it changed.
    async fn change(&self, query: Query<'_, Database, PgArguments>) -> Result<u64, Unavailable> {
        let mut reader = self.readers.take().await?;
        let changed = reader.answer(async |connection: &mut PgConnection| query.execute(connection).await).await?;
        reader.give_back();
        Ok(changed.rows_affected())
    }

    async fn save(&self, stream: &StreamName, snapshot: SnapshotRow, keep: Keep) -> Result<(), Unavailable> {
        let mut reader = self.readers.take().await?;
        let save = async {
            let mut transaction = reader.connection.begin().await?;
            sqlx::query(SAVE_SNAPSHOT)
                .bind(stream.as_str())
                .bind(signed(snapshot.seq.0))
                .bind(signed(snapshot.version.0))
                .bind(snapshot.last_modified.map(|moment| moment.0))
                .bind(&*snapshot.content)
                .execute(&mut *transaction)
                .await?;
            let forget = match keep {
                Keep::All => None,
                Keep::Newest(newest) => Some(sqlx::query(KEEP_NEWEST).bind(stream.as_str()).bind(i64::from(newest))),
                Keep::Spaced { newest, spacing } => {
                    let query = sqlx::query(KEEP_SPACED).bind(stream.as_str());
                    Some(query.bind(i64::from(newest)).bind(signed(spacing)))
                }
            };
            if let Some(forget) = forget {
                forget.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        within(self.settings.patience.answer, save).await?;
        reader.give_back();
        Ok(())
    }
}

const FIND: &str = "SELECT seq, version, recorded_at, message_id, body, cause FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1) AND message_id = ANY ($2) ORDER BY seq";
/// The limit comes first: no plan for more events than are wanted.
/// In one statement, for the way to the database may be long. It looks at sizes first, for which nothing long is read.
const PAGE: &str = concat!(
    "WITH page AS (SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before
        FROM (SELECT seq, octet_length(body) + octet_length(cause) AS size FROM events",
    sql::after_place!(),
    ") AS events)
    SELECT seq, version, recorded_at, message_id, body, cause FROM events
    WHERE stream = (SELECT id FROM streams WHERE name = $1)
      AND seq BETWEEN (SELECT min(seq) FROM page) AND (SELECT max(seq) FROM page WHERE before < $4) ORDER BY seq"
);
const FEED: &str = "SELECT e.seq, e.version, e.recorded_at, e.message_id, e.body, e.cause, e.position, s.name
    FROM (SELECT * FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3) AS e
    JOIN streams AS s ON s.id = e.stream ORDER BY e.position";
const SAVE_SNAPSHOT: &str = "INSERT INTO snapshots (stream, seq, version, last_modified, content)
    SELECT id, $2, $3, $4, $5 FROM streams WHERE name = $1 AND erased = 0 FOR KEY SHARE
    ON CONFLICT (stream, seq) DO UPDATE SET version = excluded.version, last_modified = excluded.last_modified,
        content = excluded.content";
const KEEP_NEWEST: &str = sql::keep_newest!("$2");
const KEEP_SPACED: &str = sql::keep_spaced!("$2", "$3");

/// A query about one life of a process.
fn of<'a>(query: &'static str, life: &'a Life) -> Query<'a, Database, PgArguments> {
    sqlx::query(query).bind(life.node.as_str()).bind(signed(life.incarnation))
}

impl Adapter for Postgres {
    fn append(&self, rows: NewRows) -> BoxFuture<'_, Result<Head, Refusal>> {
        let lane = self.lane(&rows.stream);
        Self::ask(lane, |to| Command::Append(rows, to)).boxed()
    }

    fn rows<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Vec<Row>> {
        let query = sqlx::query(sql::ROWS).bind(stream.as_str()).bind(signed(after.0)).bind(limited(limit));
        self.all(query, sql::event).boxed()
    }

    fn page<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Vec<Row>> {
        let query = sqlx::query(PAGE).bind(stream.as_str()).bind(signed(after.0)).bind(limited(limit));
        self.all(query.bind(limited(PART_BYTES)), sql::event).boxed()
    }

    fn bodies<'a>(&'a self, stream: &'a StreamName, after: Seq, limit: usize) -> Answer<'a, Bodies> {
        let query = sqlx::query(sql::BODIES).bind(stream.as_str()).bind(signed(after.0)).bind(limited(limit));
        self.fetch(query, Bodies::default(), |bodies, row| {
            bodies.push(Seq(row.count(0)?), row.bytes(1)?);
            Ok(())
        })
        .boxed()
    }

    fn find<'a>(&'a self, stream: &'a StreamName, ids: &'a [MessageId]) -> Answer<'a, Vec<Row>> {
        let ids: Vec<_> = ids.iter().map(MessageId::as_str).collect();
        self.all(sqlx::query(FIND).bind(stream.as_str()).bind(ids), sql::event).boxed()
    }

    fn head<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Head>> {
        self.one(sqlx::query(sql::HEAD).bind(stream.as_str()), sql::head).boxed()
    }

    fn ends(&self) -> Answer<'_, Ends> {
        self.horizon.ends().boxed()
    }

    fn feed(&self, after: Position, to: Position, limit: usize) -> Answer<'_, Vec<FeedRow>> {
        let query = sqlx::query(FEED).bind(signed(after.0)).bind(signed(to.0)).bind(limited(limit));
        self.all(query, sql::feed).boxed()
    }

    fn import(&self, events: Import) -> BoxFuture<'_, Result<(), ImportRefusal>> {
        async move {
            let mut reader = self.readers.take().await?;
            let verdict =
                within(self.settings.patience.answer, import::import(&mut reader.connection, &events)).await?;
            reader.give_back();
            verdict
        }
        .boxed()
    }

    fn outline<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Option<Outline>> {
        self.one(sqlx::query(sql::OUTLINE).bind(stream.as_str()), sql::outline).boxed()
    }

    fn heads<'a>(&'a self, streams: &'a [StreamName]) -> Answer<'a, Vec<(StreamName, Head)>> {
        let names: Vec<_> = streams.iter().map(StreamName::as_str).collect();
        self.all(sqlx::query(judge::HEADS).bind(names), sql::stream).boxed()
    }

    fn doorbell(&self) -> Doorbell {
        self.bells.listen(&self.tasks, &self.stop)
    }

    fn want(&self, stream: &StreamName, needs: Duration) {
        self.bells.waiting().want(stream, needs);
    }

    fn last_at_most<'a>(&'a self, stream: &'a StreamName, key: Key, value: i64) -> Answer<'a, Option<Seq>> {
        let query = sqlx::query(sql::last_at_most(key)).bind(stream.as_str()).bind(value);
        self.one(query, |row| row.count(0).map(Seq)).boxed()
    }

    fn streams<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<(StreamName, Head)>> {
        let query = sqlx::query(sql::STREAMS).bind(after.map_or("", StreamName::as_str)).bind(limited(limit));
        self.all(query, sql::stream).boxed()
    }

    fn save_snapshot<'a>(&'a self, stream: &'a StreamName, snapshot: SnapshotRow, keep: Keep) -> Answer<'a, ()> {
        self.save(stream, snapshot, keep).boxed()
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamName, at_most: Seq) -> Answer<'a, Option<SnapshotRow>> {
        let query = sqlx::query(sql::SNAPSHOT).bind(stream.as_str()).bind(signed(at_most.0));
        self.one(query, sql::snapshot).boxed()
    }

    fn snapshot_places<'a>(&'a self, stream: &'a StreamName) -> Answer<'a, Vec<Seq>> {
        self.all(sqlx::query(sql::SNAPSHOT_PLACES).bind(stream.as_str()), |row| row.count(0).map(Seq)).boxed()
    }

    fn drop_snapshots<'a>(&'a self, stream: &'a StreamName, places: Range<Seq>) -> Answer<'a, u64> {
        let query = sqlx::query(sql::DROP_SNAPSHOTS).bind(stream.as_str());
        self.change(query.bind(signed(places.start.0)).bind(signed(places.end.0))).boxed()
    }

    fn trim<'a>(&'a self, stream: &'a StreamName, to: Seq) -> Answer<'a, u64> {
        self.change(sqlx::query(sql::TRIM).bind(stream.as_str()).bind(signed(to.0))).boxed()
    }

    fn rewrite<'a>(&'a self, stream: &'a StreamName, rows: Vec<Rewritten>) -> Answer<'a, u64> {
        async move { self.rewrite_events(stream, &rows).await }.boxed()
    }

    fn end<'a>(&'a self, streams: &'a [StreamName], last: NewRow, at: Timestamp) -> Answer<'a, ()> {
        async move { self.end_streams(streams, &last, at).await }.boxed()
    }

    fn unfinished_ends<'a>(&'a self, after: Option<&'a StreamName>, limit: usize) -> Answer<'a, Vec<StreamName>> {
        self.unfinished(after, limit).boxed()
    }

    fn scrub(&self, what: Scrub) -> Answer<'_, Scrubbed> {
        self.scrub_all(what).boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn begin_life<'a>(&'a self, node: &'a NodeId, at_least: u64, lease: Duration) -> Answer<'a, u64> {
        let query = sqlx::query(sql::BEGIN_LIFE).bind(node.as_str()).bind(signed(at_least)).bind(sql::micros(lease));
        async move { Ok(self.one(query, |row| row.count(0)).await?.unwrap_or(at_least)) }.boxed()
    }

    fn beat<'a>(&'a self, life: &'a Life, beats: u64) -> Answer<'a, bool> {
        let query = of(sql::BEAT, life).bind(signed(beats));
        async move { Ok(self.change(query).await? > 0) }.boxed()
    }

    fn lives(&self) -> Answer<'_, Vec<LifeSign>> {
        self.all(sqlx::query(sql::LIVES), sql::life_sign).boxed()
    }

    fn end_life<'a>(&'a self, life: &'a Life) -> Answer<'a, ()> {
        // In this order, for once it has ended nothing more is noted of it.
        async move {
            self.change(of(sql::END_LIFE, life)).await?;
            self.change(of(sql::FORGET_PEOPLE, life)).await.map(|_| ())
        }
        .boxed()
    }

    fn note_people<'a>(&'a self, life: &'a Life, stream: &'a StreamName, are_there: bool) -> Answer<'a, ()> {
        let query = of(if are_there { sql::NOTE_PEOPLE } else { sql::FORGET_PEOPLE_IN }, life).bind(stream.as_str());
        async move { self.change(query).await.map(|_| ()) }.boxed()
    }

    fn streams_of_life<'a>(&'a self, life: &'a Life) -> Answer<'a, Vec<StreamName>> {
        self.all(of(sql::STREAMS_OF_LIFE, life), sql::stream_name).boxed()
    }

    fn check_writable(&self) -> Answer<'_, ()> {
        // The lanes differ in nothing but their streams.
        Self::ask(&self.lanes[0], Command::Check).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            for lane in &self.lanes {
                // If it is closed already, its end is still to be waited for.
                let _already = lane.send(Command::Close).await;
            }
            self.stop.cancel();
            self.tasks.wait().await;
            self.horizon.close().await;
            self.readers.close().await;
        }
        .boxed()
    }
}
