//! The doorbell by way of NATS: the same laws, and what becomes of rings when it is away.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;

use super::{
    Schema, Settings,
    proxy::{Place, Proxy, Way as Wire},
    settings, with,
};
use crate::{
    domain::Seq,
    event_log::{
        Doorbell, EventLog, OpenError, Ring, StreamName,
        nats::Address,
        postgres::Way,
        suite::{self, append, fill, stream},
    },
};

#[path = "../../../../tests/support/nats.rs"]
mod support;
pub(super) use support::{OwnNats, server};

/// How long anything that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn by_nats(schema: &Schema, url: &str) -> Settings {
    Settings { rings: Way::Nats(Address::parse(url).unwrap()), ..settings(schema) }
}

async fn fresh() -> (EventLog, Schema) {
    let schema = Schema::make().await;
    (with(by_nats(&schema, server())).await, schema)
}

suite::for_every_law!(@ fresh(); who_listens_hears_which_stream_has_moved_and_how_far);

/// The next ring that names a stream. Whoever connects rings for anything.
async fn named(doorbell: &mut Doorbell) -> Ring {
    loop {
        let ring = timeout(PATIENCE, doorbell.next()).await.expect("a ring");
        if ring != Ring::Many {
            return ring;
        }
    }
}

/// Listens, and waits until it hears.
async fn listening(log: &EventLog) -> Doorbell {
    let mut doorbell = log.doorbell();
    assert_eq!(timeout(PATIENCE, doorbell.next()).await.expect("a ring"), Ring::Many);
    doorbell
}

fn moved(name: &str, seq: u64) -> Ring {
    Ring::Stream(stream(name), Seq(seq))
}

#[tokio::test]
async fn who_waits_for_a_turn_is_heard_by_the_others_and_not_by_itself() {
    let (ours, schema) = fresh().await;
    let theirs = with(by_nats(&schema, server())).await;
    let (mut here, mut there) = (listening(&ours).await, listening(&theirs).await);
    let needs = Duration::from_millis(40);
    ours.want(&stream("a"), needs);
    assert_eq!(named(&mut there).await, Ring::Wanted(stream("a"), needs));
    fill(&ours, &stream("b"), 1).await;
    assert_eq!(named(&mut here).await, moved("b", 1));
    assert_eq!(named(&mut there).await, moved("b", 1));
    join(ours.close(), theirs.close()).await;
}

#[tokio::test]
async fn two_logs_on_one_nats_do_not_hear_each_other() {
    let ((one, _schema), (other, _other_schema)) = (fresh().await, fresh().await);
    let (mut here, mut there) = (listening(&one).await, listening(&other).await);
    fill(&one, &stream("a"), 1).await;
    assert_eq!(named(&mut here).await, moved("a", 1));
    fill(&other, &stream("b"), 1).await;
    assert_eq!(named(&mut there).await, moved("b", 1), "and nothing of the other log before");
    join(one.close(), other.close()).await;
}

/// More streams at once than a listener keeps apart: it is said that any may have moved.
#[tokio::test]
async fn what_is_too_much_to_say_means_any() {
    let (log, _schema) = fresh().await;
    let mut doorbell = listening(&log).await;
    for n in 0..2_000 {
        log.want(&StreamName::recorded(&format!("document:{n}-{}", "x".repeat(100))), Duration::ZERO);
    }
    fill(&log, &stream("a"), 1).await;
    assert_eq!(timeout(PATIENCE, doorbell.next()).await.expect("a ring"), Ring::Many);
    log.close().await;
}

/// The way of a log to its NATS.
async fn on_a_wire() -> (EventLog, Proxy, Schema) {
    let proxy = Proxy::to(Place::Tcp(server().trim_start_matches("nats://").to_owned())).await;
    let schema = Schema::make().await;
    (with(by_nats(&schema, &format!("nats://{}", proxy.address()))).await, proxy, schema)
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_and_what_was_missed_is_looked_for() {
    let (ours, proxy, schema) = on_a_wire().await;
    let theirs = with(by_nats(&schema, server())).await;
    let (mut here, mut there) = (listening(&ours).await, listening(&theirs).await);
    for round in 1..=5 {
        proxy.cut();
        // Whether it is cut before or after this was said, it is heard of.
        fill(&ours, &stream("a"), round).await;
        for doorbell in [&mut here, &mut there] {
            loop {
                match timeout(PATIENCE, doorbell.next()).await.expect("a ring") {
                    Ring::Many => break,
                    ring @ (Ring::Stream(..) | Ring::Wanted(..)) => assert_eq!(ring, moved("a", round)),
                }
            }
        }
        // And then it rings as before.
        fill(&theirs, &stream("b"), round).await;
        while named(&mut here).await != moved("b", round) {}
        while named(&mut there).await != moved("b", round) {}
    }
    join(ours.close(), theirs.close()).await;
}

#[tokio::test]
async fn a_nats_that_is_not_there_holds_up_nothing() {
    let schema = Schema::make().await;
    let log = with(by_nats(&schema, "nats://127.0.0.1:1")).await;
    let _doorbell = log.doorbell();
    fill(&log, &stream("a"), 1_000).await;
    log.want(&stream("a"), Duration::ZERO);
    timeout(PATIENCE, log.close()).await.expect("the end");
}

#[tokio::test]
async fn a_nats_that_takes_nothing_in_any_more_holds_up_nothing() {
    let (log, proxy, _schema) = on_a_wire().await;
    let mut doorbell = listening(&log).await;
    proxy.set(Wire::Held);
    // More than the wire and all buffers on the way hold.
    for n in 0..200_u32 {
        let many = (0..500).map(|m| StreamName::recorded(&format!("document:{n}-{m}-{}", "x".repeat(100))));
        many.for_each(|stream| log.want(&stream, Duration::ZERO));
        log.append(append(&stream("a"), u64::from(n), &[&n.to_string()])).await.unwrap();
    }
    proxy.set(Wire::Open);
    while named(&mut doorbell).await != moved("b", 1) {
        if log.head(&stream("b")).await.unwrap().is_none() {
            fill(&log, &stream("b"), 1).await;
        }
    }
    proxy.set(Wire::Held);
    fill(&log, &stream("c"), 1).await;
    timeout(PATIENCE, log.close()).await.expect("the end");
}

#[tokio::test]
async fn who_needs_a_password_gives_it() {
    let nats = OwnNats::start(&["--user", "ann", "--pass", "s@fe"]);
    let place = nats.url().trim_start_matches("nats://");
    let schema = Schema::make().await;
    let log = with(by_nats(&schema, &format!("nats://ann:s%40fe@{place}"))).await;
    let mut doorbell = listening(&log).await;
    fill(&log, &stream("a"), 1).await;
    assert_eq!(named(&mut doorbell).await, moved("a", 1));
    log.close().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_being_quoted() {
    let schema = Schema::make().await;
    let (url, metrics) = (schema.url(), crate::telemetry::Metrics::new());
    let nats = Some("http://ann:sesame@one".to_owned());
    let options = crate::event_log::Options { url, readers: 1, lanes: 1, nats, metrics };
    let Err(refused @ OpenError::Url { .. }) = EventLog::open(options).await else { panic!("it was taken") };
    assert!(!format!("{refused} {refused:?}").contains("sesame"), "{refused}");
}
