//! Nodes on one database that ring by NATS: for as long as it is there nobody waits for a node to look by itself, and
//! while it is away nothing is lost.

use super::ground::Ground;
use crate::support::{
    proxy::Way,
    say::{commit, content, edit, guest, insert},
    server::Server,
    socket::Socket,
    within,
};

/// Nodes that look by themselves so seldom that nothing is found by it.
const SELDOM: [(&str, &str); 2] = [("CLUSTER__POLL", "1h"), ("AUTH__REVOCATIONS_POLL", "1h")];
const HEARD: &str = "scriptorium_cluster_doorbell_heard";
const RINGS: &str = "scriptorium_cluster_rings_total{kind=\"stream\"}";

/// Waits until every node hears the doorbell, or none does.
async fn doorbell_is(ground: &Ground, is_heard: bool) {
    for node in &ground.nodes {
        within("the doorbell to be heard, or not", async {
            while (node.metric(HEARD).await > 0.5) != is_heard {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn set_all(ground: &Ground, way: Way) {
    ground.bells.iter().for_each(|bell| bell.set(way));
}

/// Somebody who writes on one node, and somebody who reads that on another.
struct Pair {
    writer: Socket,
    reader: Socket,
    version: u64,
}

impl Pair {
    async fn meet(document: &str, (writes, reads): (&Server, &Server)) -> Self {
        let (writer, reader) = (guest(writes, document, "ann").await, guest(reads, document, "ben").await);
        Self { writer, reader, version: 0 }
    }

    async fn write(&mut self) {
        let id = format!("m{}", self.version);
        let version = commit(&mut self.writer, &edit(&id, self.version, insert(0, "x"))).await;
        self.version += 1;
        assert_eq!(version, self.version);
    }

    /// Every version once, and in order.
    async fn read_from(&mut self, version: u64) {
        for version in version + 1..=self.version {
            assert_eq!(self.reader.expect("operation", "operation_broadcast").await["version"], version);
        }
    }
}

#[tokio::test]
async fn what_is_written_through_one_node_reaches_the_readers_of_another_by_nats_alone() {
    let ground = Ground::ringing_by_nats(2, &SELDOM).await;
    let [one, other] = &ground.nodes[..] else { panic!("two nodes") };
    doorbell_is(&ground, true).await;
    let mut pair = Pair::meet("doc", (one, other)).await;
    for version in 0..20 {
        pair.write().await;
        pair.read_from(version).await;
    }
    assert!(other.metric(RINGS).await >= 1.0, "it was told, and for this document");
    ground.end().await;
}

#[tokio::test]
async fn what_is_written_while_nats_is_away_is_heard_of_when_it_is_back() {
    let ground = Ground::ringing_by_nats(2, &SELDOM).await;
    let [one, other] = &ground.nodes[..] else { panic!("two nodes") };
    doorbell_is(&ground, true).await;
    let mut there = Pair::meet("there", (one, other)).await;
    let mut back = Pair::meet("back", (other, one)).await;
    for round in 0..4 {
        let before = there.version;
        set_all(&ground, Way::Cut);
        // From before it is noticed until after it is back.
        for n in 0..10 {
            if n == 3 {
                doorbell_is(&ground, false).await;
            }
            there.write().await;
            back.write().await;
        }
        set_all(&ground, Way::Open);
        there.read_from(before).await;
        back.read_from(before).await;
        doorbell_is(&ground, true).await;
        let rings = other.metric(RINGS).await;
        for _ in 0..3 {
            let before = there.version;
            there.write().await;
            back.write().await;
            there.read_from(before).await;
            back.read_from(before).await;
        }
        assert!(other.metric(RINGS).await > rings, "round {round}: it is told again what moved");
    }
    for document in ["there", "back"] {
        let text = "x".repeat(usize::try_from(there.version).unwrap());
        for node in &ground.nodes {
            assert_eq!(content(node, document).await, (there.version, text.clone()));
        }
    }
    one.verify().await;
    ground.end().await;
}

#[tokio::test]
async fn without_nats_nodes_start_and_look_by_themselves() {
    let settings = [("CLUSTER__POLL", "50ms")];
    let mut ground = Ground::ringing_by_nats(2, &settings).await;
    set_all(&ground, Way::Cut);
    for node in &mut ground.nodes {
        assert!(node.terminate().await.success());
        node.restart().await;
    }
    let [one, other] = &ground.nodes[..] else { panic!("two nodes") };
    let mut pair = Pair::meet("doc", (one, other)).await;
    for version in 0..5 {
        pair.write().await;
        pair.read_from(version).await;
    }
    doorbell_is(&ground, false).await;
    assert!(other.metric("scriptorium_cluster_rings_total{kind=\"look\"}").await >= 1.0);
    let says = |node: &Server, words: &str| node.log().iter().filter(|line| line.contains(words)).count();
    within("a word about it", async {
        while says(one, "the doorbell is not heard") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(one.get("/readyz").await.0, 200, "nothing depends on it");
    set_all(&ground, Way::Open);
    doorbell_is(&ground, true).await;
    within("a word about it", async {
        while says(one, "the doorbell is heard again") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(says(one, "the doorbell is not heard"), 1, "and not one for each attempt");
    ground.end().await;
}
