//! A burst becomes its newest, for the others and in the log, and holds up nobody.

use serde_json::json;

use crate::support::{
    log::Database,
    say::{commit, edit, guest, insert},
    server::Server,
    within,
};

use super::{cursor, cursor_of};

#[tokio::test]
async fn a_burst_is_merged_to_the_newest() {
    // Long enough that a whole burst falls into it.
    let server = Server::start_with(&[("PRESENCE__MERGE_INTERVAL", "1s")]).await;
    let mut ann = guest(&server, "doc", "ann").await;
    let text = "x".repeat(1_000);
    commit(&mut ann, &edit("m1", 0, insert(0, &text))).await;
    let mut ben = guest(&server, "doc", "ben").await;
    ann.expect_presence("user_joined").await;
    ben.send(&cursor(0)).await;
    assert_eq!(ann.expect_presence("cursor_update").await["cursor"]["position"], 0, "the first goes out at once");
    ben.send_all((1..=500).map(|position| cursor(position).to_string())).await.unwrap();
    ben.send(&json!({"type": "presence", "event": "typing_indicator", "data": {"is_typing": true}})).await;
    // It is known at once where anybody asks.
    assert_eq!(cursor_of(&mut ben, "user-ben").await, Some(500));
    let mut told = 0;
    loop {
        told += 1;
        let position = ann.expect_presence("cursor_update").await["cursor"]["position"].as_u64().unwrap();
        if position == 500 {
            break;
        }
    }
    ann.expect_presence("typing_indicator").await;
    assert!(told <= 5, "{told} of 500 were told");
    let received = server.metric("scriptorium_presence_events_total{outcome=\"received\"}").await;
    let merged = server.metric("scriptorium_presence_events_total{outcome=\"merged\"}").await;
    assert!((received - 502.0).abs() < 0.1 && merged >= 490.0, "{received} came, {merged} were merged");

    within("the log to have it", async {
        loop {
            let logged = Database::open(&server.database()).await.presence("doc").await;
            if logged.iter().any(|body| body.contains("[500]")) {
                assert!(logged.len() <= 10, "the log grows by what was told: {logged:?}");
                return;
            }
        }
    })
    .await;
}

/// Fifty people who move about as fast as they can: the log has one event for each interval, not for each move.
#[tokio::test]
async fn the_log_grows_by_the_merged_rate_only() {
    const PEOPLE: usize = 50;
    const MOVES: usize = 20;
    let server = Server::start().await;
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        people.push(guest(&server, "doc", &format!("p{n:02}")).await);
    }
    commit(&mut people[0], &edit("m1", 0, insert(0, &"x".repeat(MOVES)))).await;
    let began = std::time::Instant::now();
    for at in 1..=MOVES {
        for person in &mut people {
            person.send(&cursor(at)).await;
        }
    }
    let last = format!("user-p{:02}", PEOPLE - 1);
    assert_eq!(cursor_of(&mut people[PEOPLE - 1], &last).await, Some(MOVES as u64));
    let logged = within("the log to have it", async {
        loop {
            let mut log = Database::open(&server.database()).await;
            let here = log.cursors("doc").await;
            if here.len() == PEOPLE && here.values().all(|(_, position)| *position == MOVES) {
                return log.presence("doc").await;
            }
        }
    })
    .await;
    let rounds = began.elapsed().as_millis() / 50 + 2;
    let moved = logged.iter().filter(|body| body.contains("moved.1")).count();
    println!("{} moves became {moved} events in {:?}", PEOPLE * MOVES, began.elapsed());
    assert!(moved as u128 <= rounds, "{moved} events in {rounds} intervals");
}
