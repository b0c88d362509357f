//! Several nodes on one Postgres: what it costs when the clients of one hot document sit on two of them, and how long an
//! edit takes to the clients of the other.
//!
//! `cargo bench --bench nodes -- [throughput] [delivery]` (both by default). The server is the one that
//! `TEST_DATABASE_URL` names, or a private one. `SERVER` names another program than the one built here.
//!
//! Both nodes share core 0, this load generator has core 1 (`taskset`): two nodes have no more processor than one.

#![expect(clippy::cast_precision_loss, reason = "a measurement has fewer digits than that")]
#![expect(clippy::print_stdout, reason = "the tables are the result")]

#[path = "../tests/support/postgres.rs"]
#[allow(clippy::unwrap_used, reason = "it serves tests, and fails where it stands")]
mod postgres;
#[path = "support/program.rs"]
mod program;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use postgres::Schema;
use program::{Outcome, Program, pin_to};

type Socket = WebSocketStream<TcpStream>;

const NODES_CORE: &str = "0";
const LOAD_CORE: &str = "1";
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// Clients on each node, and edits that each has in flight.
const LOADS: [(&[usize], usize); 6] =
    [(&[2], 1), (&[1, 1], 1), (&[20], 1), (&[10, 10], 1), (&[20], 16), (&[10, 10], 16)];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|word| word == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    pin_to(LOAD_CORE, std::process::id());
    if wanted("throughput") {
        runtime.block_on(throughput())?;
    }
    if wanted("delivery") {
        runtime.block_on(delivery())?;
    }
    Ok(())
}

// --- nodes ---

fn start(database: &str) -> Outcome<Program> {
    Program::start(NODES_CORE, tempfile::tempdir()?, database, &[])
}

/// A connection that has been greeted, and the version that it was given.
async fn connect(node: &Program, client: &str) -> Outcome<(Socket, u64)> {
    let (stream, url) = node.reach("hot", client).await?;
    let mut socket = tokio_tungstenite::client_async(url, stream).await?.0;
    loop {
        let message: serde_json::Value = serde_json::from_str(&next_text(&mut socket).await?)?;
        if message["event"] == "document_sync" {
            let version = message["data"]["document"]["version"].as_u64().ok_or("a sync without a version")?;
            return Ok((socket, version));
        }
    }
}

async fn next_text(socket: &mut Socket) -> Outcome<String> {
    loop {
        if let Message::Text(text) = socket.next().await.ok_or("closed")?? {
            return Ok(text.to_string());
        }
    }
}

// --- a hot document through one node, and through two ---

#[derive(Default)]
struct Tally {
    measuring: AtomicBool,
    stop: AtomicBool,
    latencies: Mutex<Vec<Duration>>,
}

/// Inserts single characters at random places, so many at once, until it is told to stop.
async fn write(
    (mut socket, mut version): (Socket, u64),
    name: String,
    in_flight: usize,
    seed: u64,
    tally: Arc<Tally>,
) -> Outcome<()> {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut sent, mut waiting) = (0_u64, VecDeque::new());
    while !tally.stop.load(Ordering::Relaxed) {
        for _ in waiting.len()..in_flight {
            sent += 1;
            let position = random.random_range(0..=version + waiting.len() as u64);
            socket.feed(edit(&name, sent, position, version)).await?;
            waiting.push_back(Instant::now());
        }
        socket.flush().await?;
        let mut frame = Some(socket.next().await.ok_or("closed")??);
        while let Some(message) = frame {
            let text = message.to_text().unwrap_or_default();
            if text.starts_with(r#"{"type":"operation","event":"operation_ack""#) {
                version += 1;
                let since = waiting.pop_front().ok_or("an acknowledgement of nothing")?;
                if tally.measuring.load(Ordering::Relaxed) {
                    tally.latencies.lock().map_err(|_| "a writer failed")?.push(since.elapsed());
                }
            } else if text.starts_with(r#"{"type":"operation","event":"operation_broadcast""#) {
                version += 1;
            } else if text.contains("\"error\"") {
                return Err(text.to_owned().into());
            }
            frame = match socket.next().now_or_never() {
                Some(more) => Some(more.ok_or("closed")??),
                None => None,
            };
        }
    }
    Ok(())
}

fn edit(name: &str, number: u64, position: u64, version: u64) -> Message {
    let edit = format!(
        r#"{{"type":"operation","event":"document_edit","data":{{"operation":{{"type":"insert","position":{position},"content":"x"}},"version":{version}}},"client_id":"{name}","message_id":"{name}-{number:08}"}}"#
    );
    Message::Text(edit.into())
}

struct Measured {
    per_second: f64,
    /// Of the node whose clients got least, as a part of an equal share.
    least: f64,
    p50: f64,
    p99: f64,
    per_commit: f64,
    /// In a hundred appends.
    lost: f64,
}

async fn drive(clients: &[usize], in_flight: usize) -> Outcome<Measured> {
    let schema = Schema::make().await;
    let nodes = clients.iter().map(|_| start(&schema.url())).collect::<Outcome<Vec<_>>>()?;
    let tallies: Vec<_> = nodes.iter().map(|_| Arc::<Tally>::default()).collect();
    let mut writers = JoinSet::new();
    for (at, node) in nodes.iter().enumerate() {
        for client in 0..clients[at] {
            let name = format!("c{at}-{client:02}");
            let (socket, version) = connect(node, &name).await?;
            let seed = (at * 1_000 + client) as u64;
            writers.spawn(write((socket, version), name, in_flight, seed, Arc::clone(&tallies[at])));
        }
    }
    sleep(WARM_UP).await;
    let before = appends(&nodes).await?;
    for tally in &tallies {
        tally.measuring.store(true, Ordering::Relaxed);
    }
    let began = Instant::now();
    sleep(MEASURED).await;
    for tally in &tallies {
        tally.measuring.store(false, Ordering::Relaxed);
    }
    let took = began.elapsed().as_secs_f64();
    let after = appends(&nodes).await?;
    for tally in &tallies {
        tally.stop.store(true, Ordering::Relaxed);
    }
    // One who waits for an acknowledgement that nobody's edit brings any more is not waited for.
    let _late = timeout(WARM_UP, async {
        while let Some(writer) = writers.join_next().await {
            writer??;
        }
        Outcome::Ok(())
    })
    .await;
    let mut all = Vec::new();
    let mut least = f64::INFINITY;
    for tally in &tallies {
        let latencies = std::mem::take(&mut *tally.latencies.lock().map_err(|_| "a writer failed")?);
        least = least.min(latencies.len() as f64);
        all.extend(latencies);
    }
    all.sort_unstable();
    let (committed, stale) = (after.0 - before.0, after.1 - before.1);
    Ok(Measured {
        per_second: all.len() as f64 / took,
        least: least * nodes.len() as f64 / all.len().max(1) as f64,
        p50: percentile(&all, 50),
        p99: percentile(&all, 99),
        per_commit: all.len() as f64 / committed.max(1.0),
        lost: 100.0 * stale / (committed + stale).max(1.0),
    })
}

/// How many appends were committed, and how many came too late.
async fn appends(nodes: &[Program]) -> Outcome<(f64, f64)> {
    let (mut committed, mut stale) = (0.0, 0.0);
    for node in nodes {
        committed += node.metric("scriptorium_log_appends_total{outcome=\"committed\"}").await?;
        stale += node.metric("scriptorium_log_appends_total{outcome=\"stale\"}").await?;
    }
    Ok((committed, stale))
}

async fn throughput() -> Outcome<()> {
    println!("one hot document on Postgres, all nodes on one core; medians of {ROUNDS} rounds");
    println!(
        "| clients × in flight | edits/s | least node's share | p50 ms | p99 ms | edits per commit | lost races |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (clients, in_flight) in LOADS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(drive(clients, in_flight).await?);
        }
        let of = |which: fn(&Measured) -> f64| median(rounds.iter().map(which));
        let on = clients.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
        println!(
            "| {on} × {in_flight} | {:.0} | {:.0} % | {:.2} | {:.2} | {:.1} | {:.0} % |",
            of(|it| it.per_second),
            100.0 * of(|it| it.least),
            of(|it| it.p50),
            of(|it| it.p99),
            of(|it| it.per_commit),
            of(|it| it.lost),
        );
    }
    println!();
    Ok(())
}

// --- from one node to the clients of another ---

const EDITS: u64 = 500;
const PACE: Duration = Duration::from_millis(10);

async fn delivery() -> Outcome<()> {
    let schema = Schema::make().await;
    let nodes = [start(&schema.url())?, start(&schema.url())?];
    let sent = Arc::<Mutex<Vec<Instant>>>::default();
    let (mut writer, _) = connect(&nodes[0], "writer").await?;
    let mut readers = JoinSet::new();
    for (at, node) in nodes.iter().enumerate() {
        let (socket, _) = connect(node, &format!("reader-{at}")).await?;
        readers.spawn(read(at, socket, Arc::clone(&sent)));
    }
    for number in 0..EDITS {
        sent.lock().map_err(|_| "a reader failed")?.push(Instant::now());
        writer.send(edit("writer", number, 0, 0)).await?;
        sleep(PACE).await;
        while let Some(Some(frame)) = writer.next().now_or_never() {
            frame?;
        }
    }
    println!("from an edit's sending to its broadcast, {EDITS} edits, one every {PACE:?}");
    println!("| reader | p50 ms | p99 ms |");
    println!("|---|---:|---:|");
    let mut measured = Vec::new();
    while let Some(reader) = readers.join_next().await {
        measured.push(reader??);
    }
    measured.sort_by_key(|(at, _)| *at);
    for (name, (_, latencies)) in ["on the same node", "on another node"].iter().zip(&measured) {
        println!("| {name} | {:.2} | {:.2} |", percentile(latencies, 50), percentile(latencies, 99));
    }
    println!();
    Ok(())
}

async fn read(at: usize, mut socket: Socket, sent: Arc<Mutex<Vec<Instant>>>) -> Outcome<(usize, Vec<Duration>)> {
    let mut latencies = Vec::new();
    while latencies.len() < usize::try_from(EDITS)? {
        let text = next_text(&mut socket).await?;
        if text.contains("\"operation_broadcast\"") {
            let sent = sent.lock().map_err(|_| "the writer failed")?;
            latencies.push(sent[latencies.len()].elapsed());
        }
    }
    latencies.sort_unstable();
    Ok((at, latencies))
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |it| it.as_secs_f64() * 1e3)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
