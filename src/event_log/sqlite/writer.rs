//! The one task that writes.
//!
//! It owns the only connection that writes. Everything that waits in its queue when a transaction has
//! ended goes into the next one; there is no timer. The queue is bounded, and whoever finds it full waits.

use std::{ops::Range, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    group::{Known, one_by_one, together},
    import::import,
    kept::{self, KeptTask},
    open::Settings,
    rows,
    trouble::{Trouble, unavailable},
    wal::Wal,
};
use crate::{
    domain::{NodeId, Seq, Timestamp},
    event_log::{
        Head, Life, StreamName, Unavailable, UnavailableKind,
        port::{Import, ImportRefusal, Keep, NewRow, NewRows, Refusal, Rewritten, Scrub, Scrubbed, SnapshotRow},
        sql::{self, Columns, signed},
    },
    telemetry::Metrics,
};

/// What the writer is asked to do, and whom to tell.
pub(super) enum Command {
    Append(NewRows, oneshot::Sender<Result<Head, Refusal>>),
    Import(Import, oneshot::Sender<Result<(), ImportRefusal>>),
    /// Answered with the number of rows that changed.
    Other(Task, oneshot::Sender<Result<u64, Unavailable>>),
    Scrub(Scrub, oneshot::Sender<Result<Scrubbed, Unavailable>>),
    /// Do what was asked before, and end.
    Close,
}

/// Writes other than appends.
pub(super) enum Task {
    SaveSnapshot(StreamName, SnapshotRow, Keep),
    DropSnapshots(StreamName, Range<Seq>),
    Trim(StreamName, Seq),
    Rewrite(StreamName, Vec<Rewritten>),
    End(Vec<StreamName>, NewRow, Timestamp),
    /// Answered with its incarnation.
    BeginLife(NodeId, u64, Duration),
    Beat(Life, u64),
    ForgetPeople(Life),
    EndLife(Life),
    NotePeople(Life, StreamName, bool),
    Kept(KeptTask),
    /// Write anything.
    Check,
}

/// How many commands wait at most; further callers wait for room.
pub(super) const QUEUE: usize = 1_024;
/// A transaction with this many events takes no further append.
const GROUP_EVENTS: usize = 4_096;
/// How often a transaction is tried that finds the database locked; SQLite itself waits before it says so.
const ATTEMPTS: usize = 2;

pub(super) struct Writer {
    settings: Settings,
    /// `None` after a failure that may have left it useless.
    connection: Option<SqliteConnection>,
    known: Known,
    wal: Wal,
    metrics: Metrics,
}

#[derive(Default)]
struct Group {
    appends: Vec<NewRows>,
    answers: Vec<oneshot::Sender<Result<Head, Refusal>>>,
    events: usize,
}

impl Writer {
    pub(super) fn new(settings: Settings, connection: SqliteConnection, metrics: Metrics) -> Self {
        let wal = Wal::new(&settings);
        Self { settings, connection: Some(connection), known: Known::default(), wal, metrics }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut waiting = Vec::with_capacity(QUEUE);
        while queue.recv_many(&mut waiting, QUEUE).await > 0 {
            let mut group = Group::default();
            for command in waiting.drain(..) {
                match command {
                    Command::Append(append, answer) => {
                        group.events += append.rows.len();
                        group.appends.push(append);
                        group.answers.push(answer);
                        if group.events >= GROUP_EVENTS {
                            self.commit(std::mem::take(&mut group)).await;
                        }
                    }
                    Command::Import(import, answer) => {
                        self.commit(std::mem::take(&mut group)).await;
                        let _gone = answer.send(self.import(import).await);
                    }
                    Command::Other(task, answer) => {
                        // Behind the appends that were asked for before it.
                        self.commit(std::mem::take(&mut group)).await;
                        let _gone = answer.send(self.carry_out(task).await);
                    }
                    Command::Scrub(what, answer) => {
                        self.commit(std::mem::take(&mut group)).await;
                        let _gone = answer.send(self.scrub(what).await);
                    }
                    Command::Close => queue.close(),
                }
            }
            self.commit(group).await;
        }
        if let Some(mut connection) = self.connection.take() {
            self.wal.empty(&mut connection).await;
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing the database failed; nothing is lost by that");
            }
        }
    }

    async fn commit(&mut self, group: Group) {
        let Group { appends, answers, events } = group;
        if appends.is_empty() {
            return;
        }
        let began = Instant::now();
        // A caller that has gone away misses the answer; what it asked for is done all the same.
        match self.verdicts(&appends).await {
            Ok(verdicts) => {
                self.metrics.log_commit(appends.len(), events, began.elapsed());
                answers.into_iter().zip(verdicts).for_each(|(to, verdict)| drop(to.send(verdict)));
            }
            Err(reason) => answers.into_iter().for_each(|to| drop(to.send(Err(reason.clone().into())))),
        }
        if let Some(connection) = &mut self.connection {
            self.wal.after_commit(connection, &self.metrics).await;
        }
    }

    /// Commits what can be committed, all in one transaction.
    async fn verdicts(&mut self, appends: &[NewRows]) -> Result<Vec<Result<Head, Refusal>>, Unavailable> {
        let mut attempt = 1;
        loop {
            let connection = connect(&self.settings, &mut self.connection).await?;
            let mut outcome =
                together(connection, &mut self.known, appends).await.map(|heads| heads.into_iter().map(Ok).collect());
            if let Err(Trouble::Conflict) = outcome {
                roll_back(connection).await;
                outcome = one_by_one(connection, &mut self.known, appends).await;
            }
            let reason = match outcome {
                Ok(verdicts) => return Ok(verdicts),
                Err(trouble) => self.recover(trouble).await,
            };
            if reason.kind() != UnavailableKind::Busy || attempt == ATTEMPTS {
                tracing::error!(%reason, appends = appends.len(), "events could not be written");
                return Err(reason);
            }
            attempt += 1;
        }
    }

    async fn import(&mut self, events: Import) -> Result<(), ImportRefusal> {
        let connection = connect(&self.settings, &mut self.connection).await?;
        let outcome = import(connection, &mut self.known, &events).await;
        if let Ok(Err(_)) = outcome {
            roll_back(connection).await;
        }
        match outcome {
            Ok(verdict) => {
                self.wal.after_commit(connection, &self.metrics).await;
                verdict
            }
            Err(trouble) => Err(self.recover(trouble).await.into()),
        }
    }

    async fn carry_out(&mut self, task: Task) -> Result<u64, Unavailable> {
        let connection = connect(&self.settings, &mut self.connection).await?;
        if let Task::End(..) = &task {
            // Heads move, and are not what the writer thinks.
            self.known.forget();
        }
        match perform(connection, task).await {
            Ok(changed) => Ok(changed),
            Err(error) => Err(self.recover(Trouble::from(error)).await),
        }
    }

    async fn scrub(&mut self, what: Scrub) -> Result<Scrubbed, Unavailable> {
        let connection = connect(&self.settings, &mut self.connection).await?;
        if matches!(what, Scrub::Pages { .. }) {
            // Pages that were split keep bytes of what moved to others; only a new file has none of them.
            if let Err(error) = sqlx::query("VACUUM").execute(&mut *connection).await {
                return Err(self.recover(Trouble::from(error)).await);
            }
        }
        let in_the_way = "somebody reads the database, and something may be left in its write-ahead log";
        let is_empty = self.wal.empty(connection).await;
        Ok(if is_empty { Scrubbed::Clean } else { Scrubbed::InTheWay(in_the_way.to_owned()) })
    }

    /// Makes the connection usable again after a failure, or lets go of it.
    async fn recover(&mut self, trouble: Trouble) -> Unavailable {
        self.known.forget();
        let reason = match trouble {
            Trouble::Conflict => Unavailable::new(UnavailableKind::Failed, "database contradicts itself"),
            Trouble::Unavailable(reason) => reason,
        };
        if let Some(connection) = &mut self.connection {
            roll_back(connection).await;
        }
        match reason.kind() {
            UnavailableKind::Busy | UnavailableKind::Full | UnavailableKind::ReadOnly => (),
            UnavailableKind::Corrupt
            | UnavailableKind::Unreachable
            | UnavailableKind::Closed
            | UnavailableKind::Failed => {
                if let Some(connection) = self.connection.take() {
                    // Whatever it says, the next command begins with a new one.
                    let _closed = connection.close().await;
                }
            }
        }
        reason
    }
}

/// The connection, opened again if the last one was lost.
async fn connect<'a>(
    settings: &Settings,
    connection: &'a mut Option<SqliteConnection>,
) -> Result<&'a mut SqliteConnection, Unavailable> {
    let usable = match connection.take() {
        Some(usable) => usable,
        None => settings.writer().await.map_err(|error| unavailable(&error))?,
    };
    Ok(connection.insert(usable))
}

/// Ends a transaction, if there is one; that there is none is the error not looked at.
async fn roll_back(connection: &mut SqliteConnection) {
    let _none = sqlx::query("ROLLBACK").execute(connection).await;
}

async fn perform(connection: &mut SqliteConnection, task: Task) -> sqlx::Result<u64> {
    let of = |sql, life: &Life| sqlx::query(sql).bind(life.node.to_string()).bind(signed(life.incarnation));
    let query = match task {
        Task::SaveSnapshot(stream, snapshot, keep) => {
            let statements = match keep {
                Keep::All => SAVE_SNAPSHOT,
                Keep::Newest(_) => SAVE_AND_KEEP_NEWEST,
                Keep::Spaced { .. } => SAVE_AND_KEEP_SPACED,
            };
            let query = sqlx::query(statements)
                .bind(stream.shared())
                .bind(signed(snapshot.seq.0))
                .bind(signed(snapshot.version.0))
                .bind(snapshot.last_modified.map(|moment| moment.0))
                .bind(snapshot.content);
            match keep {
                Keep::All => query,
                Keep::Newest(newest) => query.bind(i64::from(newest)),
                Keep::Spaced { newest, spacing } => query.bind(i64::from(newest)).bind(signed(spacing)),
            }
        }
        Task::DropSnapshots(stream, places) => {
            let query = sqlx::query(sql::DROP_SNAPSHOTS).bind(stream.shared());
            query.bind(signed(places.start.0)).bind(signed(places.end.0))
        }
        Task::Trim(stream, to) => sqlx::query(sql::TRIM).bind(stream.shared()).bind(signed(to.0)),
        Task::Rewrite(stream, rows) => sqlx::query(REWRITE).bind(stream.shared()).bind(rows::rewritten(&rows)),
        Task::End(streams, last, at) => sqlx::query(END)
            .bind(rows::list(streams.iter().map(StreamName::as_str)))
            .bind(last.message_id.to_string())
            .bind(at.0)
            .bind(last.body)
            .bind(last.cause),
        Task::BeginLife(node, at_least, lease) => {
            let query = sqlx::query(sql::BEGIN_LIFE).bind(node.to_string()).bind(signed(at_least));
            return query.bind(sql::micros(lease)).fetch_one(connection).await?.count(0);
        }
        Task::Beat(life, beats) => of(sql::BEAT, &life).bind(signed(beats)),
        Task::ForgetPeople(life) => of(sql::FORGET_PEOPLE, &life),
        Task::EndLife(life) => of(sql::END_LIFE, &life),
        Task::NotePeople(life, stream, true) => of(sql::NOTE_PEOPLE, &life).bind(stream.shared()),
        Task::NotePeople(life, stream, false) => of(sql::FORGET_PEOPLE_IN, &life).bind(stream.shared()),
        Task::Kept(task) => kept::query(task),
        Task::Check => sqlx::query(sql::CHECK),
    };
    Ok(query.execute(connection).await?.rows_affected())
}

macro_rules! insert_snapshot {
    () => {
        "INSERT OR REPLACE INTO snapshots (stream, seq, version, last_modified, content)
            SELECT id, $2, $3, $4, $5 FROM streams WHERE name = $1 AND erased = 0"
    };
}
const REWRITE: &str = "UPDATE events SET body = given.body, cause = given.cause
    FROM (SELECT value ->> 0 AS seq, value ->> 1 AS body, value ->> 2 AS cause FROM json_each($2)) AS given
    WHERE events.stream = (SELECT id FROM streams WHERE name = $1 AND erased = 0) AND events.seq = given.seq";
const END: &str = "BEGIN IMMEDIATE;
    INSERT OR IGNORE INTO streams (name, seq, version, recorded_at) SELECT value, 0, 0, 0 FROM json_each($1);
    INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
        SELECT id, seq + 1, version, $2, max(recorded_at, $3), $4, $5 FROM streams
        WHERE name IN (SELECT value FROM json_each($1)) AND erased = 0 ORDER BY name;
    UPDATE streams SET seq = seq + 1, recorded_at = max(recorded_at, $3), erased = 1
        WHERE name IN (SELECT value FROM json_each($1)) AND erased = 0;
    COMMIT";
const SAVE_SNAPSHOT: &str = insert_snapshot!();
const SAVE_AND_KEEP_NEWEST: &str =
    concat!("BEGIN IMMEDIATE; ", insert_snapshot!(), "; ", sql::keep_newest!("$6"), "; COMMIT");
const SAVE_AND_KEEP_SPACED: &str =
    concat!("BEGIN IMMEDIATE; ", insert_snapshot!(), "; ", sql::keep_spaced!("$6", "$7"), "; COMMIT");
