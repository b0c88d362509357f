//! One document that is written to through two nodes as fast as they can.

use std::time::{Duration, Instant};

use serde_json::json;

use super::ground::Ground;
use crate::support::{
    number_from_env,
    proxy::Way,
    say::{edit, insert, opened},
    server::Server,
    socket::{Incoming, Opening, Socket},
};

/// Edits that each writer keeps in flight who writes as fast as they can.
const IN_FLIGHT: u64 = 100;

#[tokio::test]
async fn two_nodes_that_write_one_document_as_fast_as_they_can_both_get_on() {
    let edits = number_from_env("HOT_EDITS", 1_000);
    let ground = Ground::on_postgres(2, &[]).await;
    let began = Instant::now();
    let alone = write(&ground.nodes[0], "alone", "ann", (edits, IN_FLIGHT)).await;
    println!("one node: {edits} edits in {:?}", began.elapsed());
    assert_eq!(alone, edits);

    let began = Instant::now();
    let (ann, ben) = tokio::join!(
        timed(write(&ground.nodes[0], "hot", "ann", (edits, IN_FLIGHT)), began),
        timed(write(&ground.nodes[1], "hot", "ben", (edits, IN_FLIGHT)), began),
    );
    assert_eq!((ann.0, ben.0), (edits, edits), "every edit was acknowledged");
    let (first, last) = (ann.1.min(ben.1), ann.1.max(ben.1));
    let mut lost = Vec::new();
    for node in &ground.nodes {
        let stale = node.metric("scriptorium_log_appends_total{outcome=\"stale\"}").await;
        let all = stale + node.metric("scriptorium_log_appends_total{outcome=\"committed\"}").await;
        lost.push(format!("{stale} of {all}"));
    }
    println!(
        "two nodes: {edits} edits each, the first done after {first:?}, both after {last:?}; lost races: {lost:?}"
    );
    assert_eq!(ground.applied("hot").await.len() as u64, 2 * edits);
    ground.end().await;
}

/// The end that it reads to must not move on while it reads.
#[tokio::test]
async fn a_node_far_from_the_database_opens_a_document_that_another_writes_without_a_pause() {
    let ground = Ground::on_postgres(2, &[]).await;
    let [far, near] = &ground.nodes[..] else { panic!("two nodes") };
    // So that it is open there, and its tail is what is to be read.
    let _reader = opened(far, &Opening::guest("hot", "carol")).await;
    ground.ways[0].set(Way::Slow);
    let late = Opening::guest("hot", "ann");
    tokio::select! {
        _late = opened(far, &late) => (),
        written = write(near, "hot", "ben", (u64::MAX, 1)) => panic!("{written} edits were not enough"),
    }
    ground.ways[0].set(Way::Open);
    ground.end().await;
}

/// Who is far says how long it needs, and is left alone for so long.
#[tokio::test]
async fn a_node_far_from_the_database_gets_its_edits_in_although_another_writes_without_a_pause() {
    let ground = Ground::on_postgres(2, &[]).await;
    let [far, near] = &ground.nodes[..] else { panic!("two nodes") };
    let _reader = opened(far, &Opening::guest("hot", "carol")).await;
    ground.ways[0].set(Way::Slow);
    let edits = number_from_env("FAR_EDITS", 100);
    tokio::select! {
        written = write(far, "hot", "ann", (edits, 10)) => assert_eq!(written, edits),
        written = write(near, "hot", "ben", (u64::MAX, 1)) => panic!("{written} edits were not enough"),
    }
    let stale = far.metric("scriptorium_log_appends_total{outcome=\"stale\"}").await;
    let committed = far.metric("scriptorium_log_appends_total{outcome=\"committed\"}").await;
    println!("the far node lost {stale} races and won {committed}");
    assert!(stale <= 4.0 * committed, "{stale} races were lost, {committed} won");
    ground.ways[0].set(Way::Open);
    ground.end().await;
}

async fn timed<T>(work: impl Future<Output = T>, began: Instant) -> (T, Duration) {
    let done = work.await;
    (done, began.elapsed())
}

/// Sends edits, never more than so many ahead of the acks; answers how many were acknowledged.
async fn write(node: &Server, document: &str, name: &str, (edits, in_flight): (u64, u64)) -> u64 {
    let mut socket: Socket = opened(node, &Opening::guest(document, name)).await;
    let (mut sent, mut acknowledged, mut version) = (0, 0, 0);
    while acknowledged < edits {
        let until = edits.min(acknowledged + in_flight);
        let batch = (sent..until).map(|n| edit(&format!("{name}:{n}"), version, insert(0, "x")).to_string());
        socket.send_all(batch).await.unwrap();
        sent = until;
        loop {
            let Incoming::Envelope(envelope) = socket.next().await else { panic!("the connection ended") };
            match envelope["event"].as_str() {
                Some("operation_ack") => {
                    (acknowledged, version) = (acknowledged + 1, envelope["data"]["server_version"].as_u64().unwrap());
                    break;
                }
                Some("operation_broadcast") => {}
                _ => assert_eq!(envelope["type"], json!("presence"), "{envelope}"),
            }
        }
    }
    acknowledged
}
