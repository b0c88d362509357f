//! The service as its users meet it: acknowledged durable edits per second, the latency of an
//! acknowledgement with and without cursors moving, memory per idle connection, and opening a long document.
//!
//! `cargo bench --bench service -- [throughput] [latency] [presence] [memory] [connecting] [opening]` (all of them by default).
//! `throughput 1x20x16` measures one load only: documents x clients x in flight. `throughput --postgres 1,4` measures it on
//! Postgres with so many lanes, on the server that `TEST_DATABASE_URL` names, or a private one; without arguments both
//! databases are measured. Another service than the one built here is measured where `SERVER` names its program.
//!
//! The server runs as its own process on one core, this load generator on another (`taskset`), and the raw
//! event log is measured in the same run on the server's core, with the batches that formed.

#![expect(clippy::cast_precision_loss, reason = "a measurement has fewer digits than that")]
#![expect(clippy::print_stdout, reason = "the tables are the result")]

#[path = "../tests/support/postgres.rs"]
#[allow(clippy::unwrap_used, reason = "it serves tests, and fails where it stands")]
mod postgres;
#[path = "support/program.rs"]
mod program;

use std::{
    collections::VecDeque,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use scriptorium::{
    domain::{
        Cause, ClientId, DocumentId, Edited, Effect, Event, MessageId, PositionEncoding, Seq, Timestamp, UserId,
        Version,
    },
    event_log::{Append, EventLog, Expected, NewEvent, Options, Snapshot, StreamName},
    projection::Document,
    telemetry::Metrics,
    text::{Attributes, Delta, Utf16},
};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinSet, time::Instant};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use postgres::Schema;
use program::{Outcome, Program, pin_to};

/// That of the service: the raw log is to have no other than the log in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
/// Documents, clients of each, and edits that each has in flight.
const LOADS: [(usize, usize, usize); 4] = [(1, 20, 1), (1, 20, 16), (50, 2, 1), (50, 2, 16)];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if arguments.first().is_some_and(|word| word == "raw") {
        println!("{}", runtime.block_on(raw(&arguments[1..]))?);
        return Ok(());
    }
    pin_to(LOAD_CORE, std::process::id());
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|word| word == name);
    if wanted("throughput") {
        let chosen: Vec<_> = LOADS.into_iter().filter(|load| wanted(&name_of(load))).collect();
        let loads = if chosen.is_empty() { &LOADS[..] } else { &chosen };
        for place in places(&arguments)? {
            runtime.block_on(throughput(place, loads))?;
        }
    }
    if wanted("latency") {
        runtime.block_on(latency())?;
    }
    if wanted("presence") {
        runtime.block_on(presence())?;
    }
    if wanted("memory") {
        runtime.block_on(memory())?;
    }
    if wanted("connecting") {
        runtime.block_on(connecting())?;
    }
    if wanted("opening") {
        runtime.block_on(opening())?;
    }
    Ok(())
}

/// On which databases throughput is measured.
fn places(arguments: &[String]) -> Outcome<Vec<Place>> {
    let lanes = arguments.iter().skip_while(|word| *word != "--postgres").nth(1);
    Ok(match lanes {
        Some(lanes) => lanes.split(',').map(|lanes| Ok(Place::Postgres(lanes.parse()?))).collect::<Outcome<_>>()?,
        None if arguments.is_empty() => vec![Place::Sqlite, Place::Postgres(1), Place::Postgres(4)],
        None => vec![Place::Sqlite],
    })
}

// --- where it is stored ---

#[derive(Clone, Copy)]
enum Place {
    Sqlite,
    /// With so many lanes.
    Postgres(u32),
}

/// An empty database, gone with this.
enum Database {
    File(TempDir),
    Schema(Schema),
}

impl Place {
    async fn make(self) -> Outcome<Database> {
        Ok(match self {
            Self::Sqlite => Database::File(tempfile::tempdir()?),
            Self::Postgres(_) => Database::Schema(Schema::make().await),
        })
    }

    const fn lanes(self) -> u32 {
        match self {
            Self::Sqlite => 1,
            Self::Postgres(lanes) => lanes,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Sqlite => "SQLite".to_owned(),
            Self::Postgres(1) => "Postgres with 1 lane".to_owned(),
            Self::Postgres(lanes) => format!("Postgres with {lanes} lanes"),
        }
    }
}

impl Database {
    fn url(&self) -> String {
        match self {
            Self::File(folder) => sqlite(folder.path()),
            Self::Schema(schema) => schema.url(),
        }
    }
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("bench.db").display())
}

// --- the server under test ---

/// On SQLite, in a folder.
fn start(folder: TempDir) -> Outcome<Program> {
    let database = sqlite(folder.path());
    Program::start(SERVER_CORE, folder, &database, &[])
}

async fn connect(server: &Program, document: &str, client: &str) -> Outcome<WebSocketStream<TcpStream>> {
    let (stream, url) = server.reach(document, client).await?;
    let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
    Ok(tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?.0)
}

fn resident_bytes(server: &Program) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse::<u64>()? * 1024)
}

/// Seconds of processor time of the server so far.
fn cpu(server: &Program) -> Outcome<f64> {
    cpu_of(&server.process().to_string())
}

/// Seconds of processor time of a process (or `self`), user and system; Linux counts in hundredths.
fn cpu_of(process: &str) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no such line")?;
    let ticks = |at: usize| -> Outcome<u64> { Ok(fields.split_whitespace().nth(at).ok_or("no value")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) as f64 / 100.0)
}

// --- clients ---

#[derive(Default)]
struct Tally {
    measuring: AtomicBool,
    stop: AtomicBool,
    acks: AtomicU64,
}

/// One person typing single characters at random places, with `in_flight` edits not yet acknowledged.
struct Typist {
    socket: WebSocketStream<TcpStream>,
    name: String,
    in_flight: usize,
    /// Time between two edits; zero sends the next one as soon as one is acknowledged.
    pace: Duration,
    /// Time between two moves of the cursor, if it moves.
    moves: Option<Duration>,
    seed: u64,
}

impl Typist {
    /// Takes `connection_ack` and `document_sync`; the version that the document is at.
    async fn greeted(&mut self) -> Outcome<u64> {
        let mut version = 0;
        for _ in 0..2 {
            let frame = self.socket.next().await.ok_or("closed")??;
            if let Some((_, rest)) = frame.to_text()?.split_once("\"document_version\":") {
                version = rest.split(',').next().unwrap_or_default().parse()?;
            }
        }
        Ok(version)
    }

    /// Returns the latencies of acknowledgements while measuring.
    async fn run(mut self, tally: Arc<Tally>) -> Outcome<Vec<Duration>> {
        let mut random = SmallRng::seed_from_u64(self.seed);
        let (mut version, mut sent) = (0_u64, 0_u64);
        let mut waiting = VecDeque::new();
        let mut latencies = Vec::new();
        let mut next_edit = Instant::now() + self.pace.mul_f64(random.random());
        let mut next_move = self.moves.map(|every| Instant::now() + every.mul_f64(random.random()));
        version += self.greeted().await?;
        loop {
            if tally.stop.load(Ordering::Relaxed) {
                return Ok(latencies);
            }
            let room = if self.pace.is_zero() {
                self.in_flight - waiting.len()
            } else {
                usize::from(Instant::now() >= next_edit)
            };
            for _ in 0..room {
                sent += 1;
                // Every edit inserts one character, so a document at version n is n long.
                let position = random.random_range(0..=version + waiting.len() as u64);
                let name = &self.name;
                let edit = format!(
                    r#"{{"type":"operation","event":"document_edit","data":{{"operation":{{"type":"insert","position":{position},"content":"x"}},"version":{version}}},"client_id":"{name}","message_id":"{name}-{sent:08}"}}"#
                );
                self.socket.feed(Message::Text(edit.into())).await?;
                waiting.push_back(Instant::now());
                next_edit += self.pace;
            }
            let is_moving = next_move.is_some_and(|at| at <= Instant::now());
            if is_moving {
                next_move = next_move.zip(self.moves).map(|(at, every)| at + every);
                self.socket.feed(cursor(random.random_range(0..=version), version)).await?;
            }
            if room > 0 || is_moving {
                self.socket.flush().await?;
            }
            let mut frame = if self.pace.is_zero() {
                Some(self.socket.next().await.ok_or("closed")??)
            } else {
                tokio::select! {
                    frame = self.socket.next() => Some(frame.ok_or("closed")??),
                    () = tokio::time::sleep_until(next_move.map_or(next_edit, |at| at.min(next_edit))) => None,
                }
            };
            while let Some(message) = frame {
                if let Some(sent_at) = seen(&message, &mut version, &mut waiting)?
                    && tally.measuring.load(Ordering::Relaxed)
                {
                    tally.acks.fetch_add(1, Ordering::Relaxed);
                    latencies.push(sent_at.elapsed());
                }
                frame = match self.socket.next().now_or_never() {
                    Some(more) => Some(more.ok_or("closed")??),
                    None => None,
                };
            }
        }
    }
}

/// A cursor that is somewhere in a version.
fn cursor(position: u64, version: u64) -> Message {
    let cursor = format!(
        r#"{{"type":"presence","event":"cursor_update","data":{{"cursor":{{"position":{position}}},"version":{version}}}}}"#
    );
    Message::Text(cursor.into())
}

/// Takes in a frame; for an acknowledgement, tells when its edit was sent.
fn seen(message: &Message, version: &mut u64, waiting: &mut VecDeque<Instant>) -> Outcome<Option<Instant>> {
    let Message::Text(text) = message else { return Ok(None) };
    if text.starts_with(r#"{"type":"presence""#) {
        return Ok(None);
    }
    *version += 1;
    if text.starts_with(r#"{"type":"operation","event":"operation_ack""#) {
        return Ok(Some(waiting.pop_front().ok_or("an acknowledgement of nothing")?));
    }
    if text.starts_with(r#"{"type":"operation","event":"operation_broadcast""#) {
        return Ok(None);
    }
    Err(format!("unexpected: {text}").into())
}

struct Load {
    documents: usize,
    clients: usize,
    in_flight: usize,
    pace: Duration,
    moves: Option<Duration>,
}

struct Measured {
    per_second: f64,
    latencies: Vec<Duration>,
    edits_per_commit: f64,
    streams_per_commit: f64,
    /// Cursors and other words of presence that came, and events of presence that were recorded.
    presence_per_second: (f64, f64),
    /// Of one core, while measuring.
    server_cpu: f64,
    load_cpu: f64,
}

/// How many words of presence have come, and how many events of it have been recorded.
async fn presence_events(server: &Program) -> Outcome<(f64, f64)> {
    let count = async |outcome: &str| {
        server.metric(&format!("scriptorium_presence_events_total{{outcome=\"{outcome}\"}}")).await
    };
    Ok((count("received").await?, count("logged").await?))
}

/// Opens the documents for everybody, who then begin to type.
async fn typists(server: &Program, load: &Load, tally: &Arc<Tally>) -> Outcome<JoinSet<Outcome<Vec<Duration>>>> {
    let mut typists = JoinSet::new();
    for document in 0..load.documents {
        for client in 0..load.clients {
            let name = format!("c{document:02}-{client:02}");
            let typist = Typist {
                socket: connect(server, &format!("doc-{document}"), &name).await?,
                name,
                in_flight: load.in_flight,
                pace: load.pace,
                moves: load.moves,
                seed: (document * 1_000 + client) as u64,
            };
            typists.spawn(typist.run(Arc::clone(tally)));
        }
    }
    Ok(typists)
}

async fn drive(place: Place, load: &Load) -> Outcome<Measured> {
    let database = place.make().await?;
    let lanes = ("DATABASE__LANES", place.lanes().to_string());
    let server = Program::start(SERVER_CORE, tempfile::tempdir()?, &database.url(), &[lanes])?;
    let tally = Arc::new(Tally::default());
    let mut typists = typists(&server, load, &tally).await?;
    tokio::time::sleep(WARM_UP).await;
    let commits = "scriptorium_log_commit_events";
    let appends = "scriptorium_log_commit_appends";
    let before = (
        server.metric(&format!("{commits}_sum")).await?,
        server.metric(&format!("{commits}_count")).await?,
        server.metric(&format!("{appends}_sum")).await?,
    );
    let presence = presence_events(&server).await?;
    let cpu_before = (cpu(&server)?, cpu_of("self")?);
    tally.measuring.store(true, Ordering::Relaxed);
    let started = Instant::now();
    tokio::time::sleep(MEASURED).await;
    tally.measuring.store(false, Ordering::Relaxed);
    let took = started.elapsed();
    let cpu = (cpu(&server)? - cpu_before.0, cpu_of("self")? - cpu_before.1);
    let (presence_after, presence_took) = (presence_events(&server).await?, started.elapsed().as_secs_f64());
    let acks = tally.acks.load(Ordering::Relaxed);
    let after = (
        server.metric(&format!("{commits}_sum")).await?,
        server.metric(&format!("{commits}_count")).await?,
        server.metric(&format!("{appends}_sum")).await?,
    );
    tally.stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    while let Some(typist) = typists.join_next().await {
        latencies.extend(typist??);
    }
    latencies.sort_unstable();
    drop(server);
    let count = (after.1 - before.1).max(1.0);
    Ok(Measured {
        per_second: acks as f64 / took.as_secs_f64(),
        latencies,
        edits_per_commit: (after.0 - before.0) / count,
        streams_per_commit: (after.2 - before.2) / count,
        presence_per_second: (
            (presence_after.0 - presence.0) / presence_took,
            (presence_after.1 - presence.1) / presence_took,
        ),
        server_cpu: cpu.0 / took.as_secs_f64(),
        load_cpu: cpu.1 / took.as_secs_f64(),
    })
}

impl Measured {
    /// The batch that formed: how many streams in the commits of all lanes together, and how many events of each.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn batch(&self, place: Place, documents: usize) -> (usize, usize) {
        let streams = self.streams_per_commit.round().max(1.0);
        let events = (self.edits_per_commit / streams).round().max(1.0) as usize;
        (documents.min(streams as usize * place.lanes() as usize), events)
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |it| it.as_secs_f64() * 1e3)
}

// --- what is measured ---

fn name_of((documents, clients, in_flight): &(usize, usize, usize)) -> String {
    format!("{documents}x{clients}x{in_flight}")
}

async fn throughput(place: Place, loads: &[(usize, usize, usize)]) -> Outcome<()> {
    println!(
        "acknowledged durable edits per second on {}, server on one core, load on another; medians of {ROUNDS} rounds",
        place.name()
    );
    println!(
        "| load | edits/s | p50 ms | p99 ms | edits per commit | raw log at that batch/s | part of raw | server's core | server µs per edit | load's core |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for &(documents, clients, in_flight) in loads {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            // One right after the other: the machine's own speed changes from minute to minute.
            let load = Load { documents, clients, in_flight, pace: Duration::ZERO, moves: None };
            let measured = drive(place, &load).await?;
            let raw = raw_in_a_process(place, (measured.batch(place, documents), clients), 0).await?.per_second;
            rounds.push((measured.per_second / raw, measured, raw));
        }
        let rate = median(rounds.iter().map(|(_, measured, _)| measured.per_second));
        let p50 = median(rounds.iter().map(|(_, measured, _)| percentile(&measured.latencies, 50)));
        let p99 = median(rounds.iter().map(|(_, measured, _)| percentile(&measured.latencies, 99)));
        let batch = median(rounds.iter().map(|(_, measured, _)| measured.edits_per_commit));
        let raw = median(rounds.iter().map(|(_, _, raw)| *raw));
        let part = 100.0 * median(rounds.iter().map(|(part, ..)| *part));
        let load = format!("{documents} document(s) × {clients} clients × {in_flight} in flight");
        let cost = 1e6 * median(rounds.iter().map(|(_, measured, _)| measured.server_cpu / measured.per_second));
        let server = 100.0 * median(rounds.iter().map(|(_, measured, _)| measured.server_cpu));
        let load_core = 100.0 * median(rounds.iter().map(|(_, measured, _)| measured.load_cpu));
        println!(
            "| {load} | {rate:.0} | {p50:.2} | {p99:.2} | {batch:.1} | {raw:.0} | {part:.0} % | {server:.0} % | {cost:.1} | {load_core:.0} % |"
        );
    }
    println!();
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn latency() -> Outcome<()> {
    println!("latency of an acknowledgement at 500 edits/s, beside the raw log at 500 appends/s");
    println!("| load | edits/s | p50 ms | p99 ms | raw p50 ms | raw p99 ms | p99 / raw p99 |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (documents, clients) in [(1, 20), (50, 2)] {
        let people = documents * clients;
        let pace = Duration::from_secs_f64(f64::from(u32::try_from(people)?) / 500.0);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let load = Load { documents, clients, in_flight: 1, pace, moves: None };
            let measured = drive(Place::Sqlite, &load).await?;
            let raw = raw_in_a_process(Place::Sqlite, ((documents, 1), clients), 500).await?;
            rounds.push((
                percentile(&measured.latencies, 50),
                percentile(&measured.latencies, 99),
                measured.per_second,
                raw,
            ));
        }
        let (p50, p99) = (median(rounds.iter().map(|it| it.0)), median(rounds.iter().map(|it| it.1)));
        let (raw_p50, raw_p99) = (median(rounds.iter().map(|it| it.3.p50)), median(rounds.iter().map(|it| it.3.p99)));
        let rate = median(rounds.iter().map(|it| it.2));
        let ratio = median(rounds.iter().map(|it| it.1 / it.3.p99));
        println!(
            "| {documents} × {clients} | {rate:.0} | {p50:.2} | {p99:.2} | {raw_p50:.2} | {raw_p99:.2} | {ratio:.1} |"
        );
    }
    println!();
    Ok(())
}

/// Fifty people who type, first with their cursors still, then with all of them moving twenty times a second.
async fn presence() -> Outcome<()> {
    println!("latency of an acknowledgement, 50 people on one document, 100 edits/s");
    println!("| cursor moves/s | edits/s | p50 ms | p99 ms | p50 / still | p99 / still | rows of presence/s |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    let (mut still, mut moving) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (moves, rounds) in [(None, &mut still), (Some(Duration::from_millis(50)), &mut moving)] {
            let load = Load { documents: 1, clients: 50, in_flight: 1, pace: Duration::from_millis(500), moves };
            let measured = drive(Place::Sqlite, &load).await?;
            let latencies = &measured.latencies;
            rounds.push([
                percentile(latencies, 50),
                percentile(latencies, 99),
                measured.per_second,
                measured.presence_per_second.0,
                measured.presence_per_second.1,
            ]);
        }
    }
    let of = |rounds: &[[f64; 5]], which: usize| median(rounds.iter().map(|it| it[which]));
    for rounds in [&still, &moving] {
        let [p50, p99, rate, moves, rows] = [0, 1, 2, 3, 4].map(|which| of(rounds, which));
        let (to_p50, to_p99) = (p50 / of(&still, 0), p99 / of(&still, 1));
        println!("| {moves:.0} | {rate:.0} | {p50:.2} | {p99:.2} | {to_p50:.2} | {to_p99:.2} | {rows:.1} |");
    }
    println!();
    Ok(())
}

async fn memory() -> Outcome<()> {
    const CONNECTIONS: u64 = 2_000;
    const SETTLED: Duration = Duration::from_secs(3);
    let server = start(tempfile::tempdir()?)?;
    let mut sockets = Vec::new();
    // What the first connections cost once for all is not theirs.
    for index in 0..50 {
        sockets.push(ready(&server, index).await?);
    }
    let before = resident_bytes(&server)?;
    for index in 0..CONNECTIONS {
        sockets.push(ready(&server, 50 + index).await?);
    }
    // Idle is who has come a while ago: what measured the coming has been sorted into its buckets by then.
    tokio::time::sleep(SETTLED).await;
    let after = resident_bytes(&server)?;
    let each = (after - before) as f64 / CONNECTIONS as f64 / 1024.0;
    println!("resident memory per idle connection, {CONNECTIONS} connections on 20 documents: {each:.1} KiB\n");
    Ok(())
}

async fn ready(server: &Program, index: u64) -> Outcome<WebSocketStream<TcpStream>> {
    let mut socket = connect(server, &format!("idle-{}", index % 20), &format!("idle-{index}")).await?;
    for _ in 0..2 {
        socket.next().await.ok_or("closed")??;
    }
    Ok(socket)
}

async fn connecting() -> Outcome<()> {
    const CONNECTIONS: u64 = 10_000;
    const AT_ONCE: u64 = 16;
    let server = Arc::new(start(tempfile::tempdir()?)?);
    println!("connections opened and synced per second, {AT_ONCE} at a time, each closed again; {CONNECTIONS} a round");
    println!("| round | per second | p50 ms | p99 ms | resident MiB after it |");
    println!("|---|---:|---:|---:|---:|");
    for round in 0..=ROUNDS as u64 {
        let started = Instant::now();
        let mut people = JoinSet::new();
        for person in 0..AT_ONCE {
            let server = Arc::clone(&server);
            people.spawn(async move {
                let mut latencies = Vec::new();
                for index in (person..CONNECTIONS).step_by(usize::try_from(AT_ONCE)?) {
                    let began = Instant::now();
                    let mut socket = ready(&server, round * CONNECTIONS + index).await?;
                    latencies.push(began.elapsed());
                    socket.close(None).await?;
                    while socket.next().await.is_some() {}
                }
                Outcome::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(some) = people.join_next().await {
            latencies.extend(some??);
        }
        latencies.sort_unstable();
        let per_second = CONNECTIONS as f64 / started.elapsed().as_secs_f64();
        while server.metric("scriptorium_connections_active").await? > 0.5 {}
        let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
        let resident = resident_bytes(&server)? as f64 / f64::from(1 << 20);
        let name = if round == 0 { "warm-up".to_owned() } else { round.to_string() };
        println!("| {name} | {per_second:.0} | {p50:.2} | {p99:.2} | {resident:.1} |");
    }
    println!();
    Ok(())
}

async fn opening() -> Outcome<()> {
    const EDITS: u64 = 259_778;
    let directory = tempfile::tempdir()?;
    let document = write_history(directory.path(), EDITS).await?;
    let server = start(directory)?;
    let started = Instant::now();
    let mut socket = connect(&server, "long", "reader").await?;
    let mut bytes = 0;
    for _ in 0..2 {
        bytes = socket.next().await.ok_or("closed")??.len();
    }
    println!(
        "opening a document of {EDITS} edits cold, with a snapshot and 900 events after it: {:.1} ms to the last byte of the sync ({bytes} bytes)",
        started.elapsed().as_secs_f64() * 1e3
    );
    drop(socket);
    let directory = server.stop()?;
    refold(directory.path(), &document).await
}

async fn refold(directory: &Path, expected: &Document) -> Outcome<()> {
    let log = open(&sqlite(directory), 1).await?;
    let stream = StreamName::document(&DocumentId::parse("long")?);
    let started = Instant::now();
    let (mut folded, mut deltas) = (Document::new(), Vec::new());
    loop {
        let page = log.changes(&stream, folded.seq(), 5_000).await?;
        if page.is_empty() {
            break;
        }
        for change in page {
            folded.apply(&change.effect)?;
            if let Effect::Edited { applied, .. } = change.effect {
                deltas.push(applied);
            }
        }
    }
    let from_log = started.elapsed();
    let started = Instant::now();
    let mut in_memory = Document::new();
    for delta in &deltas {
        in_memory.edit(delta)?;
    }
    let from_memory = started.elapsed();
    if folded.content() != expected.content() || in_memory.content() != expected.content() {
        return Err("the refolded document differs".into());
    }
    let rate = |took: Duration| deltas.len() as f64 / took.as_secs_f64();
    println!(
        "refolding it from zero: {:.0} edits/s in memory, {:.0} edits/s read from SQLite\n",
        rate(from_memory),
        rate(from_log)
    );
    Ok(())
}

// --- the raw log ---

struct Raw {
    per_second: f64,
    p50: f64,
    p99: f64,
}

/// In a process on the server's core, with a number of streams and of events in each append.
async fn raw_in_a_process(
    place: Place,
    ((streams, events), clients): ((usize, usize), usize),
    pace: usize,
) -> Outcome<Raw> {
    let database = place.make().await?;
    let numbers = [place.lanes() as usize, streams, clients, events, pace].map(|number| number.to_string());
    let output = Command::new("taskset")
        .args(["-c", SERVER_CORE])
        .arg(std::env::current_exe()?)
        .args(["raw", &database.url()])
        .args(numbers)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [per_second, p50, p99] = numbers[..] else {
        return Err(format!("the raw log failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    Ok(Raw { per_second, p50, p99 })
}

/// Appends `events` at a time to each of `streams`, as fast as it goes or `pace` appends a second in all. They are what
/// as many `clients` of each stream would have written.
async fn raw(arguments: &[String]) -> Outcome<String> {
    let (url, numbers) = arguments.split_first().ok_or("raw URL LANES STREAMS CLIENTS EVENTS PACE")?;
    let numbers: Vec<usize> = numbers.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [lanes, streams, clients, events, pace] = numbers[..] else { return Err("raw takes five numbers".into()) };
    let log = open(url, u32::try_from(lanes)?).await?;
    let mut writers = JoinSet::new();
    let end = Instant::now() + WARM_UP + MEASURED;
    let measure_from = Instant::now() + WARM_UP;
    for stream in 0..streams {
        let log = log.clone();
        writers.spawn(async move {
            let name = StreamName::document(&DocumentId::parse(&format!("raw-{stream}"))?);
            let mut latencies = Vec::new();
            let mut seq = Seq(0);
            let mut random = SmallRng::seed_from_u64(stream as u64);
            let every = Duration::from_secs_f64(if pace == 0 { 0.0 } else { streams as f64 / pace as f64 });
            let mut next = Instant::now() + every.mul_f64(stream as f64 / streams as f64);
            while Instant::now() < end {
                if pace > 0 {
                    tokio::time::sleep_until(next).await;
                    next += every;
                }
                let batch = (0..events).map(|_| {
                    seq = seq.next();
                    let position = usize::try_from(random.random_range(0..seq.0))?;
                    let client = random.random_range(0..clients as u64);
                    event(&format!("c{stream:02}-{client:02}"), seq.0, position).map(|(event, _)| event)
                });
                let batch = batch.collect::<Outcome<Vec<_>>>()?;
                let expected = Expected::At(Seq(seq.0 - events as u64));
                let append = Append { stream: name.clone(), expected, recorded_at: Timestamp(1), events: batch };
                let started = Instant::now();
                log.append(append).await?;
                if started > measure_from {
                    latencies.push(started.elapsed());
                }
            }
            Outcome::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(writer) = writers.join_next().await {
        latencies.extend(writer??);
    }
    latencies.sort_unstable();
    log.close().await;
    let per_second = (latencies.len() * events) as f64 / MEASURED.as_secs_f64();
    Ok(format!("{per_second} {} {}", percentile(&latencies, 50), percentile(&latencies, 99)))
}

async fn open(url: &str, lanes: u32) -> Outcome<EventLog> {
    Ok(EventLog::open(Options { url: url.to_owned(), readers: 2, lanes, nats: None, metrics: Metrics::new() }).await?)
}

/// An edit as a client's, `version` the place that it got.
fn event(client: &str, version: u64, position: usize) -> Outcome<(NewEvent, Delta<Utf16>)> {
    let received =
        format!(r#"{{"operation":{{"type":"insert","position":{position},"content":"x"}},"version":{}}}"#, version - 1);
    let applied = Delta::new().retain(position).insert("x", Attributes::NONE);
    let cause = Cause {
        user: UserId::parse(client)?,
        client: ClientId::parse(client)?,
        base: Version(version - 1),
        origin: Version(version - 1),
        after: None,
        encoding: PositionEncoding::Utf16,
        received: Arc::from(serde_json::value::RawValue::from_string(received)?),
    };
    let cause = Arc::new(cause);
    let edited =
        Edited { applied: applied.clone(), in_code_points: None, transformed: false, placed: Vec::new(), cause };
    // Each client counts for itself: the ids grow in as many places of the index as there are clients.
    let message_id = MessageId::parse(&format!("{client}-{version:08}"))?;
    Ok((NewEvent { message_id, version: Version(version), event: Event::Edited(edited) }, applied))
}

/// A document typed character by character, with a jump now and then; a snapshot 900 events before its end.
async fn write_history(directory: &Path, edits: u64) -> Outcome<Document> {
    let log = open(&sqlite(directory), 1).await?;
    let stream = StreamName::document(&DocumentId::parse("long")?);
    let mut random = SmallRng::seed_from_u64(1);
    let (mut document, mut position) = (Document::new(), 0_usize);
    let mut version = 0;
    while version < edits {
        let expected = Expected::At(Seq(version));
        let mut events = Vec::new();
        while events.len() < 1_000 && version < edits {
            version += 1;
            if random.random_ratio(1, 50) {
                position = random.random_range(0..=document.content().length::<Utf16>());
            }
            let (event, applied) = event("c00-00", version, position)?;
            document.edit(&applied)?;
            position += 1;
            events.push(event);
            if version == edits - 900 {
                let snapshot = Snapshot::of(&document);
                // Saved once its events are in the log.
                log.append(Append { stream: stream.clone(), expected, recorded_at: Timestamp(1), events }).await?;
                log.save_snapshot(&stream, &snapshot).await?;
                events = Vec::new();
                break;
            }
        }
        if !events.is_empty() {
            log.append(Append { stream: stream.clone(), expected, recorded_at: Timestamp(1), events }).await?;
        }
    }
    log.close().await;
    Ok(document)
}
