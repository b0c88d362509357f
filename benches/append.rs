//! The raw ceiling of the event log on SQLite and on Postgres: durable events per second and the latency of an append, by
//! number of streams and events per append; how fast a long stream is read back for a fold, and the feed of all streams.
//!
//! `cargo bench --bench append -- [--json] [--seconds N] [--cells 1x1,50x16] [--replay N] [--feed N] [--ids v7|v4] [--dir PATH]
//! [--postgres LANES,LANES]`
//!
//! Without arguments it measures SQLite, and Postgres with one lane and with four: the server that
//! `TEST_DATABASE_URL` names, or a private one. `--postgres` measures only that.
//!
//! A cell `SxK` is S streams, each with one append of K events under way at any time, so that a commit
//! holds up to S × K events. Pin it with `taskset -c 0` to compare it with a service that is pinned too.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates and quantiles are estimates"
)]

use std::{error::Error, path::PathBuf, process::Command, sync::Arc, time::Duration};

use scriptorium::{
    domain::{
        Cause, ClientId, DocumentId, Edited, Event, MessageId, PositionEncoding, Seq, Timestamp, UserId, Version,
    },
    event_log::{Append, EventLog, Expected, NewEvent, Options, Position, StreamName},
    telemetry::Metrics,
    text::{Attributes, Delta},
};
use serde_json::{json, value::RawValue};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Arguments {
    json: bool,
    seconds: f64,
    cells: Vec<(usize, usize)>,
    replay: u64,
    feed: u64,
    new_id: fn() -> Uuid,
    directory: Option<PathBuf>,
    /// Whether SQLite is measured, and with how many lanes Postgres is.
    sqlite: bool,
    lanes: Vec<u32>,
}

impl Arguments {
    fn read() -> Outcome<Self> {
        let mut read = Self {
            json: false,
            seconds: 2.0,
            cells: [1, 50]
                .into_iter()
                .flat_map(|streams| [1, 8, 16, 64, 512].map(|events| (streams, events)))
                .collect(),
            replay: 260_000,
            feed: 260_000,
            new_id: Uuid::now_v7,
            directory: None,
            sqlite: true,
            lanes: Vec::new(),
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench").peekable();
        if words.peek().is_none() {
            read.lanes = vec![1, 4];
        }
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--json" => read.json = true,
                "--seconds" => read.seconds = value()?.parse()?,
                "--cells" => read.cells = value()?.split(',').map(cell).collect::<Outcome<_>>()?,
                "--replay" => read.replay = value()?.parse()?,
                "--feed" => read.feed = value()?.parse()?,
                "--ids" => read.new_id = if value()? == "v4" { Uuid::new_v4 } else { Uuid::now_v7 },
                "--dir" => read.directory = Some(value()?.into()),
                "--postgres" => {
                    read.sqlite = false;
                    read.lanes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                unknown => return Err(format!("unknown argument {unknown}").into()),
            }
        }
        Ok(read)
    }
}

fn cell(text: &str) -> Outcome<(usize, usize)> {
    let (streams, events) = text.split_once('x').ok_or("a cell is STREAMSxEVENTS")?;
    Ok((streams.parse()?, events.parse()?))
}

fn main() -> Outcome<()> {
    let arguments = Arguments::read()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&arguments))
}

#[expect(clippy::print_stdout, reason = "the results are what this program is for")]
async fn run(arguments: &Arguments) -> Outcome<()> {
    if arguments.sqlite {
        measure(arguments, &Place::Sqlite(arguments.directory.clone())).await?;
    }
    if arguments.lanes.is_empty() {
        return Ok(());
    }
    let server = match Server::find() {
        Ok(server) => server,
        Err(error) => {
            println!("postgres is not measured: {error}");
            return Ok(());
        }
    };
    for lanes in &arguments.lanes {
        measure(arguments, &Place::Postgres { server: &server, lanes: *lanes }).await?;
    }
    Ok(())
}

/// Where the log is measured.
enum Place<'a> {
    Sqlite(Option<PathBuf>),
    Postgres { server: &'a Server, lanes: u32 },
}

/// An empty log.
enum Database {
    File(#[expect(dead_code, reason = "kept until it is measured")] tempfile::TempDir),
    Schema { server: String, name: String },
}

impl Place<'_> {
    fn name(&self) -> String {
        match self {
            Self::Sqlite(_) => "sqlite".to_owned(),
            Self::Postgres { lanes, .. } => format!("postgres/{lanes}"),
        }
    }

    async fn open(&self) -> Outcome<(Database, EventLog)> {
        let (database, url, lanes) = match self {
            Self::Sqlite(parent) => {
                let directory = match parent {
                    Some(parent) => tempfile::tempdir_in(parent)?,
                    None => tempfile::tempdir()?,
                };
                let url = format!("sqlite://{}", directory.path().join("log.db").display());
                (Database::File(directory), url, 1)
            }
            Self::Postgres { server, lanes } => {
                let (name, server) = (format!("bench_{}", Uuid::new_v4().simple()), server.url.clone());
                execute(&server, format!("CREATE SCHEMA {name}")).await?;
                let separator = if server.contains('?') { '&' } else { '?' };
                let url = format!("{server}{separator}options[search_path]={name}");
                (Database::Schema { server, name }, url, *lanes)
            }
        };
        Ok((database, EventLog::open(Options { url, readers: 4, lanes, nats: None, metrics: Metrics::new() }).await?))
    }
}

impl Database {
    async fn drop(self) -> Outcome<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Schema { server, name } => execute(&server, format!("DROP SCHEMA {name} CASCADE")).await,
        }
    }
}

async fn execute(server: &str, sql: String) -> Outcome<()> {
    let mut shell = PgConnection::connect(server).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut shell).await?;
    Ok(shell.close().await?)
}

/// A Postgres: the one that is named, or a private one, which ends with this.
struct Server {
    url: String,
    folder: Option<PathBuf>,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres.sh");

impl Server {
    fn find() -> Outcome<Self> {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            return Ok(Self { url, folder: None });
        }
        // The path of a socket is short.
        let folder = PathBuf::from(format!("/tmp/scriptorium-bench-{}", Uuid::new_v4().simple()));
        let started = Command::new(SCRIPT).arg("start").arg(&folder).output()?;
        if !started.status.success() {
            return Err(String::from_utf8_lossy(&started.stderr).into());
        }
        Ok(Self { url: String::from_utf8(started.stdout)?.trim().to_owned(), folder: Some(folder) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // Whatever it says, there is nothing more to be done.
            let _stopped = Command::new(SCRIPT).arg("stop").arg(folder).status();
        }
    }
}

#[expect(clippy::print_stdout, reason = "the results are what this program is for")]
async fn measure(arguments: &Arguments, place: &Place<'_>) -> Outcome<()> {
    for (streams, events) in &arguments.cells {
        let (database, log) = place.open().await?;
        let measured = append(&log, arguments, *streams, *events).await?;
        log.close().await;
        database.drop().await?;
        println!("{}", measured.line(arguments.json, &place.name(), (*streams, *events)));
    }
    for (name, events) in [("replay", arguments.replay), ("feed", arguments.feed)].into_iter().filter(|(_, n)| *n > 0) {
        let (database, log) = place.open().await?;
        let (took, read) = if name == "feed" { feed(&log, arguments).await? } else { replay(&log, arguments).await? };
        log.close().await;
        database.drop().await?;
        let rate = read as f64 / took.as_secs_f64();
        let on = place.name();
        if arguments.json {
            println!("{}", json!({"bench": name, "on": on, "events": read, "events_per_second": rate.round()}));
        } else {
            println!("{on:<10} {name:<7} {read:>8} of {events} events decoded  {rate:>9.0} events/s");
        }
    }
    Ok(())
}

struct Measured {
    events: usize,
    took: Duration,
    latencies: Vec<Duration>,
}

impl Measured {
    fn line(&self, json: bool, on: &str, (streams, events): (usize, usize)) -> String {
        let rate = self.events as f64 / self.took.as_secs_f64();
        let micros =
            |quantile: f64| self.latencies[((self.latencies.len() - 1) as f64 * quantile) as usize].as_micros();
        let (p50, p99, max) = (micros(0.5), micros(0.99), micros(1.0));
        if json {
            json!({
                "bench": "append", "on": on, "streams": streams, "events_per_append": events, "events_per_second": rate.round(),
                "append_p50_us": p50, "append_p99_us": p99, "append_max_us": max,
            })
            .to_string()
        } else {
            format!(
                "{on:<10} {streams:>3} x {events:<4} {rate:>9.0} events/s   append p50 {p50:>7} p99 {p99:>7} max {max:>7} us"
            )
        }
    }
}

async fn append(log: &EventLog, arguments: &Arguments, streams: usize, events: usize) -> Outcome<Measured> {
    let cause = cause();
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(arguments.seconds);
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let (log, new_id, cause) = (log.clone(), arguments.new_id, Arc::clone(&cause));
        tasks.spawn(async move {
            let stream = StreamName::document(&DocumentId::parse(&format!("doc-{number}"))?);
            let mut seq = Seq(0);
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let append = edits(&stream, seq, events, new_id, &cause)?;
                let asked = Instant::now();
                seq = log.append(append).await?.seq;
                latencies.push(asked.elapsed());
            }
            Outcome::Ok((seq.0, latencies))
        });
    }
    let (mut committed, mut latencies) = (0, Vec::new());
    while let Some(task) = tasks.join_next().await {
        let (events, more) = task??;
        committed += usize::try_from(events)?;
        latencies.extend(more);
    }
    let took = began.elapsed();
    latencies.sort_unstable();
    Ok(Measured { events: committed, took, latencies })
}

/// Reads a stream as a fold would.
async fn replay(log: &EventLog, arguments: &Arguments) -> Outcome<(Duration, u64)> {
    let stream = StreamName::document(&DocumentId::parse("long")?);
    let cause = cause();
    let mut seq = Seq(0);
    while seq.0 < arguments.replay {
        let append = edits(&stream, seq, 1_000, arguments.new_id, &cause)?;
        seq = log.append(append).await?.seq;
    }
    let began = Instant::now();
    let mut at = Seq(0);
    loop {
        let changes = log.changes(&stream, at, 4_000).await?;
        let Some(last) = changes.last() else { break };
        at = last.seq;
    }
    Ok((began.elapsed(), at.0))
}

/// Reads all streams as a follower would that begins at the beginning.
async fn feed(log: &EventLog, arguments: &Arguments) -> Outcome<(Duration, u64)> {
    let cause = cause();
    let (mut seqs, mut written) = ([Seq(0); 50], 0);
    'fill: loop {
        for (number, seq) in seqs.iter_mut().enumerate() {
            let count = (arguments.feed - written).min(100);
            if count == 0 {
                break 'fill;
            }
            let stream = StreamName::document(&DocumentId::parse(&format!("doc-{number}"))?);
            *seq = log.append(edits(&stream, *seq, usize::try_from(count)?, arguments.new_id, &cause)?).await?.seq;
            written += count;
        }
    }
    let began = Instant::now();
    let (mut at, mut read) = (Position(0), 0);
    loop {
        let page = log.read_all(at, 1_000).await?;
        let Some(last) = page.last() else { break };
        at = last.position;
        read += page.len() as u64;
    }
    Ok((began.elapsed(), read))
}

fn cause() -> Arc<RawValue> {
    let received = json!({"operation": {"type": "insert", "position": 1_234, "content": "a"}, "version": 1_234});
    serde_json::value::to_raw_value(&received).expect("a value is JSON").into()
}

/// Edits as people type them: a character each.
fn edits(
    stream: &StreamName,
    expected: Seq,
    count: usize,
    new_id: fn() -> Uuid,
    received: &Arc<RawValue>,
) -> Outcome<Append> {
    let events = (expected.0..).take(count).map(|seq| {
        let cause = Arc::new(Cause {
            user: UserId::parse("user_42")?,
            client: ClientId::parse("client_42")?,
            base: Version(seq),
            origin: Version(seq),
            after: None,
            encoding: PositionEncoding::Utf16,
            received: Arc::clone(received),
        });
        let place = usize::try_from(seq)?;
        let applied = Delta::new().retain(place).insert("a", Attributes::NONE);
        let event =
            Event::Edited(Edited { applied, in_code_points: None, transformed: false, placed: Vec::new(), cause });
        Ok(NewEvent { message_id: MessageId::parse(&new_id().to_string())?, version: Version(seq + 1), event })
    });
    let events = events.collect::<Outcome<_>>()?;
    let recorded_at = Timestamp(1_700_000_000_000_000 + i64::try_from(expected.0)?);
    Ok(Append { stream: stream.clone(), expected: Expected::At(expected), recorded_at, events })
}
