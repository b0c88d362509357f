//! Two services on one SQLite file: no doorbell, so each looks for itself.

use crate::support::{
    client::Client,
    core::{Core, Form, Manner},
    say::{commit, edit, guest, insert, opened},
    server::Server,
    socket::Opening,
};

async fn two_nodes(poll: &str) -> (Server, Server) {
    let one = Server::start_with(&[("CLUSTER__POLL", poll)]).await;
    let other = one.another().await;
    (one, other)
}

#[tokio::test]
async fn what_is_written_through_one_node_reaches_the_readers_of_another() {
    let (one, other) = two_nodes("20ms").await;
    let mut ann = guest(&one, "doc", "ann").await;
    let mut ben = guest(&other, "doc", "ben").await;
    for version in 0..5 {
        commit(&mut ann, &edit(&format!("m{version}"), version, insert(0, "x"))).await;
        assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], version + 1);
    }
    assert!(other.metric("scriptorium_cluster_delivery_lag_seconds_count").await >= 1.0, "the lag is measured");
    assert!(other.metric("scriptorium_cluster_tail_events_total").await >= 5.0);
    assert!(other.metric("scriptorium_cluster_rings_total{kind=\"look\"}").await >= 1.0);
}

#[tokio::test]
async fn who_comes_from_another_node_finds_what_they_know_already() {
    // So seldom that nothing is found by looking.
    let (one, other) = two_nodes("1h").await;
    let mut ann = guest(&one, "doc", "ann").await;
    let mut keeps_it_open = guest(&other, "doc", "reader").await;
    for version in 0..3 {
        commit(&mut ann, &edit(&format!("m{version}"), version, insert(0, "x"))).await;
    }
    let opening = Opening::guest("doc", "ann").with("since", 3);
    let mut moved = opened(&other, &opening).await;
    assert_eq!(moved.expect_silence().await, (3, "xxx".to_owned()), "what was acknowledged there is here");
    for version in 1..=3 {
        assert_eq!(keeps_it_open.expect("operation", "operation_broadcast").await["version"], version);
    }
    let newcomer = guest(&other, "doc", "newcomer").await;
    drop(newcomer);
    commit(&mut ann, &edit("m3", 3, insert(0, "y"))).await;
    let mut sync = guest(&other, "doc", "another").await;
    assert_eq!(sync.expect_silence().await, (4, "yxxx".to_owned()));
}

#[tokio::test]
async fn a_message_that_one_node_has_committed_is_answered_and_not_done_again_by_another() {
    let (one, other) = two_nodes("1h").await;
    let mut ann = guest(&one, "doc", "ann").await;
    let mut again = guest(&other, "doc", "ann").await;
    let message = edit("m", 0, insert(0, "once"));
    assert_eq!(commit(&mut ann, &message).await, 1);
    again.send(&message).await;
    let mut acks = Vec::new();
    while acks.last().is_none_or(|ack: &serde_json::Value| ack.get("duplicate").is_none()) {
        acks.push(again.expect("operation", "operation_ack").await);
    }
    assert!(acks.iter().all(|ack| ack["server_version"] == 1), "{acks:?}");
    assert_eq!(again.expect_silence().await, (1, "once".to_owned()));
}

#[tokio::test]
async fn two_nodes_that_are_written_to_at_once_take_turns_and_agree() {
    let (one, other) = two_nodes("20ms").await;
    let mut ann = Client::open(&one, "doc", "ann", Manner::PLAIN).await;
    let mut ben = Client::open(&other, "doc", "ben", Manner { form: Form::Delta, ..Manner::PLAIN }).await;
    let mut chance = crate::support::edits::Chance::of(7);
    for _ in 0..150 {
        ann.edit_at_random(&mut chance).await;
        ben.edit_at_random(&mut chance).await;
        ann.deliver_what_came(3).await;
        ben.deliver_what_came(3).await;
    }
    for client in [&mut ann, &mut ben] {
        client.deliver_until("both histories", |core| core.version == 300 && core.is_settled()).await;
    }
    ann.core.assert_shows(ben.core.local(), 300);
    let lost = one.metric("scriptorium_log_appends_total{outcome=\"stale\"}").await
        + other.metric("scriptorium_log_appends_total{outcome=\"stale\"}").await;
    assert!(lost > 0.0, "they met");
    assert!(Core::is_settled(&ann.core));
    one.verify().await;
}
