//! Two services on one SQLite file: no doorbell, so each looks for itself.

use crate::{
    presence,
    support::{
        client::Client,
        core::{Core, Form, Manner},
        log::Database,
        say::{commit, edit, guest, insert, opened},
        server::Server,
        socket::{Opening, Socket},
        within,
    },
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

/// Who is present, by name.
async fn present(socket: &mut Socket) -> Vec<String> {
    let mut names: Vec<_> =
        presence::present(socket).await.iter().map(|it| it["user_id"].as_str().unwrap().replace("user-", "")).collect();
    names.sort();
    names
}

/// The bodies of the document's presence events that say `what`, once there are so many.
async fn logged(server: &Server, what: &str, count: usize) -> Vec<String> {
    within("the log to have it", async {
        loop {
            let events = Database::open(&server.database()).await.presence("doc").await;
            let found: Vec<_> = events.into_iter().filter(|body| body.contains(what)).collect();
            if found.len() >= count {
                return found;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_second_process_leaves_the_people_of_the_first_alone() {
    let one = Server::start_with(&[("CLUSTER__LEASE", "300ms")]).await;
    let mut ann = guest(&one, "doc", "ann").await;
    logged(&one, "joined.1", 1).await;

    let other = one.another().await;
    // It has looked around several times when it has cleared up after a third one.
    let mut third = one.another().await;
    let ben = guest(&third, "doc", "ben").await;
    logged(&one, "joined.1", 2).await;
    third.kill().await;
    drop(ben);
    let left = logged(&other, "left.1", 1).await;

    assert!(left.len() == 1 && left[0].contains("ben"), "{left:?}");
    let mut newcomer = guest(&one, "doc", "newcomer").await;
    assert_eq!(present(&mut newcomer).await, ["ann", "newcomer"]);
    assert_eq!(commit(&mut ann, &edit("m", 0, insert(0, "x"))).await, 1);
    one.verify().await;
}

#[tokio::test]
async fn clients_go_on_at_a_new_process_when_the_old_one_is_stopped() {
    let mut old = Server::start_with(&[("CLUSTER__POLL", "20ms")]).await;
    let mut ann = guest(&old, "doc", "ann").await;
    assert_eq!(commit(&mut ann, &edit("m0", 0, insert(0, "x"))).await, 1);
    let new = old.another().await;
    let mut ben = guest(&new, "doc", "ben").await;
    assert_eq!(commit(&mut ben, &edit("m1", 1, insert(1, "y"))).await, 2);
    assert_eq!(ann.expect("operation", "operation_broadcast").await["version"], 2);

    assert!(old.terminate().await.success());
    let mut ann = opened(&new, &Opening::guest("doc", "ann").with("since", 2)).await;

    assert_eq!(commit(&mut ann, &edit("m2", 2, insert(2, "z"))).await, 3);
    assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], 3);
    let left = logged(&new, "left.1", 1).await;
    assert!(left.len() == 1 && left[0].contains("ann"), "she left the old process, once: {left:?}");
    let mut newcomer = guest(&new, "doc", "newcomer").await;
    assert_eq!(present(&mut newcomer).await, ["ann", "ben", "newcomer"]);
    new.verify().await;
}
