//! Looking back: `cargo bench --bench history -- [--edits N] [--trace FILE.json.gz] [--every N] [--postgres]`.
//!
//! Writes a document edit by edit into a log with the snapshots that the service would save, and measures: the way to a
//! random version (the first of each on a log just opened; warm; and on SQLite cold, with the log opened anew for each question
//! and its files in no cache of the system), the bytes of events and of snapshots per edit, the
//! feed, `rebuild`, who wrote what, and `export` and `import`, by a file from SQLite to Postgres or the other way, and back.
//! Without a trace the edits are made up: at random places, three inserts for each deletion. `--postgres` writes them there:
//! to the server that `TEST_DATABASE_URL` names, or a private one.

#![expect(clippy::disallowed_methods, reason = "measures real time")]
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::cast_precision_loss, reason = "a measurement has fewer digits than that")]

#[path = "../tests/support/postgres.rs"]
#[allow(clippy::unwrap_used, reason = "it serves tests, and fails where it stands")]
mod postgres;
#[path = "support/program.rs"]
mod program;

use std::{fs::File, io::BufReader, path::Path, process::Command, sync::Arc, time::Instant};

use flate2::read::GzDecoder;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use scriptorium::{
    domain::{
        Cause, ClientId, DocumentId, Edited, Event, MessageId, PositionEncoding, Seq, Timestamp, UserId, Version,
    },
    event_log::{Append, Effort, EventLog, Expected, NewEvent, Options, Position, Projection, Snapshot, StreamName},
    history::{self, When},
    projection::Document,
    telemetry::Metrics,
    text::{Attributes, Delta, Utf16},
};
use serde_json::{Value, json, value::to_raw_value};
use sqlx::{Connection, PgConnection, SqliteConnection};

use postgres::Schema;
use program::Outcome;

/// Events in one append.
const BATCH: usize = 500;
/// Questions for random versions.
const QUESTIONS: usize = 500;
/// After so many events the service saves a snapshot, when it has no other settings.
const SAVED_EVERY: usize = 1_000;

fn main() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}

#[expect(clippy::too_many_lines, reason = "one measurement after the other")]
async fn run() -> Outcome<()> {
    let (mut edits, mut trace, mut every, mut is_postgres) = (259_778, None, 2_500, false);
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--edits" => edits = value()?.parse()?,
            "--trace" => trace = Some(value()?),
            "--every" => every = value()?.parse()?,
            "--postgres" => is_postgres = true,
            unknown => return Err(format!("unknown argument {unknown}").into()),
        }
    }
    let changes = match trace {
        Some(file) => recorded(&file)?,
        None => made_up(edits),
    };
    let folder = tempfile::tempdir()?;
    let schema = Schema::make().await;
    let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let (url, other) = if is_postgres { (schema.url(), file("log.db")) } else { (file("log.db"), schema.url()) };
    let open = async || -> Outcome<EventLog> {
        let options = Options { url: url.clone(), readers: 4, lanes: 4, nats: None, metrics: Metrics::new() };
        Ok(EventLog::open(options).await?.keeping_history(every))
    };
    let (id, log) = (DocumentId::parse("long")?, open().await?);
    write(&log, &id, &changes).await?;
    log.close().await;
    println!("{} edits, a snapshot at least every {every}", changes.len());

    let mut chance = SmallRng::seed_from_u64(1);
    let log = open().await?;
    let mut any = || Version(chance.random_range(0..=changes.len() as u64));
    for name in ["the first time", "warm"] {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            times.push(look_back(&log, &id, any()).await?);
        }
        tell(name, times);
    }
    if !is_postgres {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS / 5 {
            let cold = open().await?;
            forget(&folder.path().join("log.db"))?;
            times.push(look_back(&cold, &id, any()).await?);
            cold.close().await;
        }
        tell("cold", times);
    }
    who_wrote_what(&log, &id, changes.len() as u64, &mut chance).await?;
    let [events, snapshots, kept] = bytes(&url).await?;
    let per_edit = |bytes: i64| bytes as f64 / changes.len() as f64;
    println!(
        "texts of events {:6.1} bytes per edit, of snapshots {:6.1}, kept {:6.1}",
        per_edit(events),
        per_edit(snapshots),
        per_edit(kept)
    );

    let (began, mut position, mut read) = (Instant::now(), Position(0), 0);
    loop {
        let page = log.read_all(position, 1_000).await?;
        let Some(last) = page.last() else { break };
        (position, read) = (last.position, read + page.len());
    }
    println!("the feed {:9.0} events per second", read as f64 / began.elapsed().as_secs_f64());
    let began = Instant::now();
    log.rebuild_snapshots(&StreamName::document(&id), Seq(changes.len() as u64), |_| ()).await?;
    println!("rebuild  {:9.0} events per second", changes.len() as f64 / began.elapsed().as_secs_f64());
    log.close().await;
    move_by_file(folder.path(), (&url, &other), changes.len())?;
    move_by_file(folder.path(), (&other, &file("back.db")), changes.len())
}

/// Milliseconds to a document as it was.
async fn look_back(log: &EventLog, id: &DocumentId, version: Version) -> Outcome<f64> {
    let began = Instant::now();
    let place = history::find(log, id, When::Version(version)).await?;
    let document = history::document(log, &place, |_| ()).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    assert_eq!(document.version(), version);
    Ok(took)
}

fn tell(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("a random version, {name:<14}: p50 {:7.2} ms, p99 {:7.2} ms", at(50), at(99));
}

/// Has the system drop what it has cached of a database; it has to be on the disk already.
fn forget(database: &Path) -> Outcome<()> {
    let name = database.display();
    for file in [name.to_string(), format!("{name}-wal")].iter().filter(|file| Path::new(file).exists()) {
        let input = format!("if={file}");
        let done =
            Command::new("dd").args([&*input, "of=/dev/null", "iflag=nocache", "count=0", "status=none"]).status()?;
        if !done.success() {
            return Err(format!("dd failed to drop {file} from the cache").into());
        }
    }
    Ok(())
}

/// By the commands, from the start of each to its end.
fn move_by_file(folder: &Path, (from, to): (&str, &str), events: usize) -> Outcome<()> {
    for (url, arguments) in [(from, ["export", "--output", "log.ndjson"].as_slice()), (to, &["import", "log.ndjson"])] {
        let began = Instant::now();
        let mut command = Command::new(program::path());
        let output = command.args(arguments).current_dir(folder).env("DATABASE_URL", url).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let (kind, _) = url.split_once(':').ok_or("an address has a scheme")?;
        let speed = events as f64 / began.elapsed().as_secs_f64();
        println!("{} {kind:<8} {speed:9.0} events per second", arguments[0]);
    }
    Ok(std::fs::remove_file(folder.join("log.ndjson"))?)
}

/// Builds what is kept from the old events, and asks for the blame of random versions.
async fn who_wrote_what(log: &EventLog, id: &DocumentId, edits: u64, chance: &mut SmallRng) -> Outcome<()> {
    for projection in Projection::ALL {
        let began = Instant::now();
        while !log.tend(projection, &mut Effort::full(&mut |_| ())).await?.is_done {}
        let speed = edits as f64 / began.elapsed().as_secs_f64();
        println!("{} built from old events: {speed:9.0} events per second", projection.name());
    }
    let mut times = Vec::new();
    for _ in 0..QUESTIONS / 10 {
        let place = history::find(log, id, When::Version(Version(chance.random_range(0..=edits)))).await?;
        let began = Instant::now();
        let runs = history::blame(log, &place).await?.runs().count();
        times.push((began.elapsed().as_secs_f64() * 1e3, runs));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |part: usize| times[(times.len() - 1) * part / 100].0;
    println!("blame of a random version: p50 {:7.2} ms, p99 {:7.2} ms", at(50), at(99));
    Ok(())
}

async fn write(log: &EventLog, id: &DocumentId, changes: &[Delta<Utf16>]) -> Outcome<()> {
    let (stream, mut document) = (StreamName::document(id), Document::new());
    let (user, client) = (UserId::parse("ann")?, ClientId::parse("ann-1")?);
    for batch in changes.chunks(BATCH) {
        let (expected, recorded_at) = (Expected::At(document.seq()), Timestamp(document.version().0.cast_signed()));
        let mut events = Vec::with_capacity(batch.len());
        for applied in batch {
            let data = json!({"operation": {"type": "insert", "position": applied.base_length(), "content": "x"}, "version": document.version()});
            let cause = Cause {
                user: user.clone(),
                client: client.clone(),
                base: document.version(),
                origin: document.version(),
                after: None,
                encoding: PositionEncoding::Utf16,
                received: to_raw_value(&data)?.into(),
            };
            document.edit(applied)?;
            let edited = Edited {
                applied: applied.clone(),
                in_code_points: None,
                transformed: false,
                placed: Vec::new(),
                cause: Arc::new(cause),
            };
            let message_id = MessageId::parse(&uuid::Uuid::now_v7().to_string())?;
            events.push(NewEvent { message_id, version: document.version(), event: Event::Edited(edited) });
        }
        log.append(Append { stream: stream.clone(), expected, recorded_at, events }).await?;
        if document.seq().0.is_multiple_of(SAVED_EVERY as u64) {
            log.save_snapshot(&stream, &Snapshot::of(&document)).await?;
        }
    }
    Ok(())
}

fn made_up(edits: usize) -> Vec<Delta<Utf16>> {
    let (mut chance, mut length) = (SmallRng::seed_from_u64(7), 0_usize);
    let one = |_| {
        let at = chance.random_range(0..=length);
        if chance.random_range(0..4) == 0 && at < length {
            length -= 1;
            Delta::new().retain(at).delete(1)
        } else {
            length += 1;
            Delta::new().retain(at).insert("x", Attributes::NONE)
        }
    };
    (0..edits).map(one).collect()
}

/// An editing trace whose transactions are `{"patches": [[at, deleted, inserted], …]}`.
fn recorded(file: &str) -> Outcome<Vec<Delta<Utf16>>> {
    let trace: Value = serde_json::from_reader(BufReader::new(GzDecoder::new(File::open(file)?)))?;
    let patch = |delta: Delta<Utf16>, patch: &Value| {
        let count = |index: usize| usize::try_from(patch[index].as_u64().unwrap_or_default()).unwrap_or_default();
        let text = patch[2].as_str().unwrap_or_default();
        delta.compose(&Delta::new().retain(count(0)).insert(text, Attributes::NONE).delete(count(1)))
    };
    let change = |step: &Value| step["patches"].as_array().into_iter().flatten().fold(Delta::new(), patch);
    Ok(trace["txns"].as_array().ok_or("the trace has no transactions")?.iter().map(change).collect())
}

/// Of the texts of all events, of all snapshots, and of all that is kept.
async fn bytes(url: &str) -> Outcome<[i64; 3]> {
    const EVENTS: &str = "SELECT CAST(sum(length(body) + length(cause) + length(message_id)) AS BIGINT) FROM events";
    const SNAPSHOTS: &str = "SELECT CAST(coalesce(sum(length(content)), 0) AS BIGINT) FROM snapshots";
    const KEPT: &str = "SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM kept";
    let mut found = [0; 3];
    for (found, sql) in found.iter_mut().zip([EVENTS, SNAPSHOTS, KEPT]) {
        *found = if url.starts_with("sqlite") {
            sqlx::query_scalar(sql).fetch_one(&mut SqliteConnection::connect(url).await?).await?
        } else {
            sqlx::query_scalar(sql).fetch_one(&mut PgConnection::connect(url).await?).await?
        };
    }
    Ok(found)
}
