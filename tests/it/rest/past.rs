//! Real editing histories, looked at afterwards: every version and every moment is what it was.

use scriptorium::text::{Delta, Utf16};
use serde_json::{Value, json};

use crate::support::{
    edits::Chance,
    number_from_env,
    server::Server,
    socket::Incoming,
    socket::Opening,
    socket::Socket,
    storage::on_every_database,
    trace,
    trace::{Plain, Sequential},
    wire,
};

use super::authors_traces::Versions;

on_every_database! {
    a_program_is_what_it_was_at_every_version_and_moment
    a_paper_is_what_it_was_at_every_version_and_moment
}

async fn a_program_is_what_it_was_at_every_version_and_moment() {
    look_back("rustcode", 4_000).await;
}

async fn a_paper_is_what_it_was_at_every_version_and_moment() {
    look_back("automerge-paper", 6_000).await;
}

/// Edits that a test writes; the whole of a recorded one with `LONG_TRACES=1`.
const SHORT: usize = 8_000;

#[expect(clippy::too_many_lines, reason = "one story")]
async fn look_back(name: &str, steps: usize) {
    let mut trace = trace::sequential(name, steps);
    if number_from_env("LONG_TRACES", 0) == 0 {
        trace.txns.truncate(SHORT);
    }
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let server = Server::start_with(&[("SNAPSHOTS__EVERY_EVENTS", "300"), ("SNAPSHOTS__HISTORY_EVERY", "700")]).await;
    write(&server, name, &trace).await;
    let events = server.listen(&format!("/v1/documents/{name}/events"), "application/x-ndjson").await.all().await;
    assert_eq!(events.len(), trace.txns.len());

    let versions = trace.txns.len();
    let mut wanted: Vec<usize> = (0..200).map(|_| chance.below(versions + 1)).chain([0, 1, versions]).collect();
    wanted.sort_unstable();
    let (mut text, mut of_units, mut at) = (Plain::default(), Versions::default(), 0);
    let mut texts = Vec::new();
    for (number, version) in wanted.into_iter().enumerate() {
        for (step, made) in trace.txns[at..version].iter().zip(at as u64 + 1..) {
            step.patches.iter().for_each(|patch| text.apply(patch));
            of_units.edit(&trace::change(&step.patches), made);
        }
        at = version;
        texts.push((version, text.to_string()));
        if number % 40 == 2 || version == versions {
            let blame = server.look(&format!("/v1/documents/{name}/blame?version={version}")).await.with(200);
            assert_blames(&blame, (&text.to_string(), &of_units), &events);
        }
    }
    for (version, text) in &texts {
        let then = server.look(&format!("/v1/documents/{name}?version={version}")).await.with(200);
        assert_eq!(then["version"], *version);
        assert!(then["content"] == text.as_str(), "{name} at version {version}");
    }
    for (version, text) in chance_of(&mut chance, &texts, 50) {
        if version == 0 {
            continue;
        }
        let time = events[version - 1]["time"].as_str().unwrap();
        let then = server.look(&format!("/v1/documents/{name}?at={time}")).await.with(200);
        let last = then["version"].as_u64().unwrap();
        let last = usize::try_from(last).unwrap();
        assert!(last >= version && events[last - 1]["time"] == time, "{name} at {time}");
        assert!(events.get(last).is_none_or(|next| next["time"].as_str().unwrap() > time));
        if last == version {
            assert!(then["content"] == text, "{name} at {time}");
        }
    }
    let mut cuts: Vec<usize> = (0..6).map(|_| chance.below(versions + 1)).chain([0, versions]).collect();
    cuts.sort_unstable();
    let mut sum = Delta::<Utf16>::new();
    for pair in cuts.windows(2) {
        let diff = server.look(&format!("/v1/documents/{name}/diff?from={}&to={}", pair[0], pair[1])).await.with(200);
        sum = sum.compose(&wire::from_ops(&diff["delta"]));
    }
    let whole = server.look(&format!("/v1/documents/{name}")).await.with(200);
    assert!(wire::to_ops(&sum) == whole["delta"], "the sum of diffs is the whole");
    assert!(written_once_more(&server, name).await == (versions, texts[texts.len() - 1].1.clone()), "{name}");
    server.verify().await;
    // What the snapshots were is made again, and is the same.
    let (version, text) = &texts[texts.len() / 2];
    assert!(server.run(&["rebuild"]).await.status.success());
    server.verify().await;
    let then = server.look(&format!("/v1/documents/{name}?version={version}")).await.with(200);
    assert!(then["content"] == text.as_str());
}

/// What is told of every piece is what is known of its units, and when that was is in the log.
fn assert_blames(blame: &Value, (text, units): (&str, &Versions), events: &[Value]) {
    let (mut told, mut versions) = (String::new(), Vec::new());
    for run in blame["runs"].as_array().unwrap() {
        let (piece, version) = (run["text"].as_str().unwrap(), run["version"].as_u64().unwrap());
        told.push_str(piece);
        versions.extend(std::iter::repeat_n(version, piece.encode_utf16().count()));
        assert_eq!(run["time"], events[usize::try_from(version).unwrap() - 1]["time"], "{run}");
    }
    assert!(told == text && units.iter().eq(versions), "blame of version {}", blame["version"]);
}

/// What a change of the wire does, place by place; in the traces every unit is the same.
fn patches(ops: &Value) -> Vec<trace::Patch> {
    let (mut at, mut patches) = (0, Vec::new());
    for op in ops.as_array().unwrap() {
        let length = |name: &str| usize::try_from(op[name].as_u64().unwrap_or_default()).unwrap();
        at += length("retain");
        let text = op["insert"].as_str().unwrap_or_default().to_owned();
        let inserted = text.chars().count();
        patches.push((at, length("delete"), text));
        at += inserted;
    }
    patches
}

/// What a replay at once shows: how many edits, and the text that they make.
async fn written_once_more(server: &Server, name: &str) -> (usize, String) {
    let opening = Opening::replay(name).with("speed", 0).with("operations", "delta");
    let mut watcher = Socket::open(server.address(), &opening).await;
    let (mut text, mut told) = (Plain::default(), 0);
    while let Incoming::Envelope(frame) = watcher.next().await {
        if frame["event"] == "operation_broadcast" {
            told += 1;
            assert_eq!(frame["data"]["version"], told);
            for patch in &patches(&frame["data"]["operation"]["ops"]) {
                text.apply(patch);
            }
        }
    }
    (told, text.to_string())
}

fn chance_of(chance: &mut Chance, texts: &[(usize, String)], count: usize) -> Vec<(usize, String)> {
    (0..count).map(|_| chance.one_of(texts).clone()).collect()
}

/// Sends the whole trace with some edits in flight.
async fn write(server: &Server, name: &str, trace: &Sequential) {
    const IN_FLIGHT: usize = 500;
    let mut socket = Socket::open(server.address(), &Opening::guest(name, "writer")).await;
    socket.expect("system", "connection_ack").await;
    socket.expect("system", "document_sync").await;
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < trace.txns.len() {
        let until = trace.txns.len().min(acknowledged + IN_FLIGHT);
        let edit = |(ahead, step): (usize, &trace::Step)| {
            let operation = trace::operation(&step.patches, true);
            let data = json!({"operation": operation, "version": acknowledged});
            let id = format!("m{}", sent + ahead);
            json!({"type": "operation", "event": "document_edit", "message_id": id, "data": data}).to_string()
        };
        let edits: Vec<_> = trace.txns[sent..until].iter().enumerate().map(edit).collect();
        sent = until;
        socket.send_all(edits).await.unwrap();
        let mut next = Some(socket.next().await);
        while let Some(Incoming::Envelope(frame)) = next {
            assert_eq!(frame["event"], "operation_ack", "{frame}");
            acknowledged += 1;
            next = socket.next_now();
        }
        assert!(next.is_none(), "{next:?}");
    }
    socket.close().await;
}
