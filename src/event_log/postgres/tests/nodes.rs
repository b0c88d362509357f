//! Several nodes on one database: the log is the referee of who writes what.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join, join_all};
use sqlx::Row;

use super::{Settings, fresh, settings, with};
use crate::{
    domain::Seq,
    event_log::{
        Append, AppendError, EventLog, Expected, Ring, StreamName,
        suite::{append, ids, stream},
    },
};

#[tokio::test]
async fn who_writes_behind_our_back_is_noticed() {
    let (ours, schema) = fresh().await;
    let theirs = with(settings(&schema)).await;
    let (a, b) = (stream("a"), stream("b"));
    ours.append(append(&a, 0, &["1"])).await.unwrap();
    theirs.append(append(&a, 1, &["2"])).await.unwrap();
    theirs.append(append(&b, 0, &["1"])).await.unwrap();
    assert!(matches!(ours.append(append(&a, 1, &["x"])).await, Err(AppendError::Stale { head: Seq(2) })));
    assert!(matches!(ours.append(append(&b, 0, &["x"])).await, Err(AppendError::Stale { head: Seq(1) })));
    let Err(AppendError::Repeated(found)) = ours.append(append(&a, 2, &["2"])).await else { panic!() };
    assert_eq!(ids(&found), [(2, "2")]);
    assert_eq!(ours.append(append(&a, 2, &["3"])).await.unwrap().seq, Seq(3));
    assert_eq!(ids(&theirs.read(&a, Seq(0), 9).await.unwrap()), [(1, "1"), (2, "2"), (3, "3")]);
    join(ours.close(), theirs.close()).await;
}

/// Appends until it is first, as an open document does.
async fn insist(log: &EventLog, stream: &StreamName, id: &str) {
    let mut head = 0;
    loop {
        match log.append(append(stream, head, &[id])).await {
            Ok(_) => return,
            Err(AppendError::Stale { head: now }) => head = now.0,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Three nodes write the same streams at once, each in another order, and begin them too. Nothing is lost, nothing is
/// there twice, nobody waits in a circle, and the positions of a stream's events grow as their places do.
#[tokio::test]
async fn nodes_that_write_the_same_streams_take_turns() {
    const STREAMS: usize = 12;
    const EACH: usize = 15;
    let (first, schema) = fresh().await;
    let one_lane = Settings { lanes: 1, ..settings(&schema) };
    let nodes = [first, with(one_lane.clone()).await, with(one_lane).await];
    let streams: Vec<_> = (0..STREAMS).map(|n| stream(&format!("s{n}"))).collect();
    let writers = nodes
        .iter()
        .enumerate()
        .flat_map(|(node, log)| (0..STREAMS).map(move |n| (node, log, if node == 1 { STREAMS - 1 - n } else { n })));
    join_all(writers.map(async |(node, log, n)| {
        for turn in 0..EACH {
            insist(log, &streams[n], &format!("node{node}-{turn}")).await;
        }
    }))
    .await;
    for stream in &streams {
        let events = nodes[0].read(stream, Seq(0), 1_000).await.unwrap();
        let unique: BTreeSet<_> = events.iter().map(|event| event.message_id.as_str()).collect();
        assert_eq!((events.len(), unique.len()), (3 * EACH, 3 * EACH));
        assert_eq!(nodes[0].head(stream).await.unwrap().unwrap().seq, Seq(3 * EACH as u64));
    }
    let query = "SELECT count(*) FROM events AS one JOIN events AS next
        ON next.stream = one.stream AND next.seq > one.seq AND next.position < one.position";
    let disordered: i64 = sqlx::query(query).fetch_one(&mut schema.shell().await).await.unwrap().get(0);
    assert_eq!(disordered, 0);
    join_all(nodes.iter().map(EventLog::close)).await;
}

/// Of streams without an invariant nobody is ever too late, whoever else writes.
#[tokio::test]
async fn whoever_expects_any_head_is_never_stale_whoever_else_writes() {
    let (ours, schema) = fresh().await;
    let theirs = with(settings(&schema)).await;
    let stream = stream("presence");
    let anywhere = |id: String| Append { expected: Expected::Any, ..append(&stream, 0, &[&id]) };
    let write = async |log: &EventLog, name: &str| {
        for n in 0..50 {
            log.append(anywhere(format!("{name}-{n}"))).await.unwrap();
        }
    };
    join(write(&ours, "ours"), write(&theirs, "theirs")).await;
    let events = ours.read(&stream, Seq(0), 1_000).await.unwrap();
    assert_eq!(events.len(), 100);
    join(ours.close(), theirs.close()).await;
}

#[tokio::test]
async fn who_waits_for_a_turn_is_heard_by_the_others_and_not_by_itself() {
    let (ours, schema) = fresh().await;
    let theirs = with(settings(&schema)).await;
    let (mut here, mut there) = (ours.doorbell(), theirs.doorbell());
    // From then on each of them listens.
    assert_eq!((here.next().await, there.next().await), (Ring::Many, Ring::Many));
    let (a, b) = (stream("a"), stream("b"));
    let needs = Duration::from_millis(40);
    ours.want(&a, needs);
    assert_eq!(there.next().await, Ring::Wanted(a, needs));
    ours.append(append(&b, 0, &["1"])).await.unwrap();
    assert_eq!(here.next().await, Ring::Stream(b.clone(), Seq(1)));
    assert_eq!(there.next().await, Ring::Stream(b, Seq(1)));
    join(ours.close(), theirs.close()).await;
}

/// The same message by two nodes happens once: one of them gets the outcome of the other.
#[tokio::test]
async fn a_message_sent_to_two_nodes_at_once_happens_once() {
    let (ours, schema) = fresh().await;
    let theirs = with(settings(&schema)).await;
    for n in 0..30 {
        let stream = stream(&format!("s{n}"));
        let anywhere = || Append { expected: Expected::Any, ..append(&stream, 0, &["m"]) };
        let (one, other) = join(ours.append(anywhere()), theirs.append(anywhere())).await;
        let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
        assert_eq!(won.unwrap().seq, Seq(1));
        assert!(matches!(&lost, Err(AppendError::Repeated(found)) if ids(found) == [(1, "m")]), "{lost:?}");
    }
    join(ours.close(), theirs.close()).await;
}
