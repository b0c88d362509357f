//! The pace of a replay, on a clock that moves by itself when everybody waits.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json, value::to_raw_value};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    Wish, find,
    pace::Pace,
    player::{Ask, Change, Player},
};
use crate::{
    domain::{Cause, ClientId, DocumentId, Edited, Event, MessageId, PositionEncoding, Timestamp, UserId, Version},
    event_log::{Append, EventLog, Expected, NewEvent, StreamName},
    live::{Goodbye, Item, Outbox, Retelling},
    protocol::document::{Form, Sought, Speed},
    server::{
        quota::{PATIENCE, Quota},
        rest::{REPLAY, query_of},
    },
    telemetry::Metrics,
    text::{Attributes, Delta},
};

const START: i64 = 1_767_225_600_000_000;

fn document() -> DocumentId {
    DocumentId::parse("d").unwrap()
}

/// A document that got a letter at each of these milliseconds.
async fn log_of(moments: &[i64]) -> EventLog {
    let (log, stream) = (EventLog::memory(), StreamName::document(&document()));
    for (n, moment) in (0..).zip(moments) {
        let cause = Cause {
            user: UserId::parse("ada").unwrap(),
            client: ClientId::parse("c").unwrap(),
            base: Version(n),
            origin: Version(n),
            after: None,
            encoding: PositionEncoding::Utf16,
            received: to_raw_value(&json!({})).unwrap().into(),
        };
        let applied = Delta::new().insert("a", Attributes::NONE);
        let cause = Arc::new(cause);
        let event = Event::Edited(Edited { applied, in_code_points: None, transformed: false, placed: vec![], cause });
        let message_id = MessageId::parse(&format!("m{n}")).unwrap();
        let events = vec![NewEvent { message_id, version: Version(n + 1), event }];
        let (expected, recorded_at) = (Expected::At(crate::domain::Seq(n)), Timestamp(START + moment * 1_000));
        log.append(Append { stream: stream.clone(), expected, recorded_at, events }).await.unwrap();
    }
    log
}

/// A watcher of a replay.
struct Watcher {
    outbox: Arc<Outbox>,
    asks: mpsc::Sender<Ask>,
    playing: JoinHandle<Goodbye>,
    began: Instant,
    waiting: VecDeque<Item>,
}

impl Watcher {
    async fn of(log: &EventLog, query: &str) -> Self {
        Self::with(log, query, Quota::new(1, 1)).await
    }

    async fn with(log: &EventLog, query: &str, turns: Arc<Quota>) -> Self {
        let (wish, outbox) = (Wish::read(&query_of(REPLAY, query).unwrap()).unwrap(), Arc::new(Outbox::new(1 << 20)));
        let found = find(log, &document(), wish).await.unwrap();
        let (asks, asked) = mpsc::channel(1);
        let retelling = Retelling {
            document: document(),
            form: Form::Simple,
            encoding: PositionEncoding::Utf16,
            metrics: Metrics::new(),
        };
        let player = Player {
            log: log.clone(),
            retelling,
            outbox: Arc::clone(&outbox),
            turns,
            patience: Duration::from_secs(75),
            user: UserId::parse("w").unwrap(),
            client: ClientId::parse("w").unwrap(),
            asked,
            pace: Pace::new(wish.speed, wish.max_pause, wish.paused),
            at: found.from,
            version: wish.from,
            shown: None,
            to: found.to,
            until: found.until,
            page: VecDeque::new(),
        };
        #[expect(clippy::disallowed_methods, reason = "a test is its own root task")]
        let playing = tokio::spawn(player.run());
        Self { outbox, asks, playing, began: Instant::now(), waiting: VecDeque::new() }
    }

    async fn ask(&self, change: Change) {
        assert!(self.asks.send(Ask { change, message_id: None }).await.is_ok());
    }

    /// What comes next, as `sync 1`, `state 1`, `broadcast 2`; and after how many milliseconds. `None` at the end.
    async fn next(&mut self) -> Option<(String, u128)> {
        while self.waiting.is_empty() {
            tokio::select! {
                biased;
                taken = self.outbox.take() => self.waiting.extend(taken.items),
                ended = &mut self.playing => {
                    let goodbye = ended.unwrap();
                    assert_eq!((goodbye.code, goodbye.reason), (1000, "end"));
                    return None;
                }
            }
        }
        let said = match self.waiting.pop_front()? {
            Item::Sync(sync) => format!("sync {}", sync.shared.sync.version),
            Item::Frames(frames) => {
                let message: Value = serde_json::from_slice(&frames.texts().next().unwrap()).unwrap();
                let event = message["event"].as_str().unwrap().replace("operation_", "");
                format!("{event} {}", message["data"]["version"])
            }
            Item::Control(_) => panic!("nobody pings here"),
        };
        Some((said, self.began.elapsed().as_millis()))
    }

    async fn expect(&mut self, said: &str, after: u128) {
        let (got, when) = self.next().await.unwrap();
        assert_eq!(got, said);
        // Timers go by milliseconds, and each wait is rounded up.
        assert!((after..after + 5).contains(&when), "{said} came after {when} ms instead of {after}");
    }

    async fn all(&mut self) -> Vec<(String, u128)> {
        let mut all = Vec::new();
        while let Some(one) = self.next().await {
            all.push(one);
        }
        all
    }
}

const MOMENTS: [i64; 5] = [0, 300, 1_000, 61_000, 62_000];

#[tokio::test(start_paused = true)]
async fn events_come_as_far_apart_as_they_happened() {
    let log = log_of(&MOMENTS).await;
    for (speed, factor) in [("1", 1.0), ("2", 0.5), ("0.5", 2.0), ("1000", 0.001)] {
        let mut watcher = Watcher::of(&log, &format!("speed={speed}")).await;
        watcher.expect("sync 0", 0).await;
        watcher.expect("state 0", 0).await;
        for (n, moment) in (1..).zip(MOMENTS) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "small"
            )]
            watcher.expect(&format!("broadcast {n}"), (moment as f64 * factor) as u128).await;
        }
        assert_eq!(watcher.next().await, None, "and it ends with the last one");
    }
}

#[tokio::test(start_paused = true)]
async fn at_once_takes_no_time_and_long_pauses_can_be_cut_short() {
    let log = log_of(&MOMENTS).await;
    let all = Watcher::of(&log, "speed=0").await.all().await;
    assert!(all.len() == 7 && all.iter().all(|(_, after)| *after == 0), "{all:?}");
    let mut watcher = Watcher::of(&log, "max_pause=2s&from=2&to=4&speed=2").await;
    watcher.expect("sync 2", 0).await;
    watcher.expect("state 2", 0).await;
    watcher.expect("broadcast 3", 350).await;
    watcher.expect("broadcast 4", 1_350).await;
    assert_eq!(watcher.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_and_the_rest_of_the_wait_comes_after_it() {
    let log = log_of(&MOMENTS).await;
    let mut watcher = Watcher::of(&log, "from=3").await;
    watcher.expect("sync 3", 0).await;
    watcher.expect("state 3", 0).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    watcher.ask(Change::Pause(true)).await;
    watcher.expect("state 3", 20_000).await;
    tokio::time::sleep(Duration::from_hours(10)).await;
    watcher.ask(Change::Pause(false)).await;
    watcher.expect("state 3", 36_020_000).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    // 20 s are left, and go by four times as fast.
    watcher.ask(Change::Speed(Speed::new(4.0).unwrap())).await;
    watcher.expect("state 3", 36_040_000).await;
    watcher.expect("broadcast 4", 36_045_000).await;
    watcher.ask(Change::Speed(Speed::new(0.0).unwrap())).await;
    watcher.expect("state 4", 36_045_000).await;
    watcher.expect("broadcast 5", 36_045_000).await;
    assert_eq!(watcher.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_jump_lands_where_it_should_and_goes_on_from_there() {
    let log = log_of(&MOMENTS).await;
    let mut watcher = Watcher::of(&log, "from=5&paused=true").await;
    watcher.expect("sync 5", 0).await;
    watcher.expect("state 5", 0).await;
    watcher.ask(Change::Seek(Sought::Version(Version(1)))).await;
    watcher.expect("sync 1", 0).await;
    watcher.expect("state 1", 0).await;
    watcher.ask(Change::Pause(false)).await;
    watcher.expect("state 1", 0).await;
    watcher.expect("broadcast 2", 300).await;
    // In the middle of the long pause, a second before it ends.
    watcher.ask(Change::Seek(Sought::Moment(Timestamp(START + 60_000_000)))).await;
    watcher.expect("sync 3", 300).await;
    watcher.expect("state 3", 300).await;
    watcher.expect("broadcast 4", 1_300).await;
    watcher.ask(Change::Seek(Sought::Moment(Timestamp(START - 1)))).await;
    watcher.expect("sync 0", 1_300).await;
    watcher.expect("state 0", 1_300).await;
    watcher.expect("broadcast 1", 1_300).await;
    watcher.ask(Change::Seek(Sought::Moment(Timestamp(i64::MAX)))).await;
    watcher.expect("sync 5", 1_300).await;
    watcher.expect("state 5", 1_300).await;
    assert_eq!(watcher.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_is_waited_for_and_nothing_gathers() {
    let moments: Vec<i64> = (0..5_000).collect();
    let log = log_of(&moments).await;
    let mut watcher = Watcher::of(&log, "speed=0").await;
    // It could send all of it; it stops with some that nobody has taken.
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!((60_000..80_000).contains(&watcher.outbox.waiting()), "{} bytes", watcher.outbox.waiting());
    let all = watcher.all().await;
    let last = (1..=5_000).map(|n| format!("broadcast {n}"));
    assert!(all.iter().skip(2).map(|(said, _)| said.clone()).eq(last), "and then all of it, in order");

    let watcher = Watcher::of(&log, "speed=0").await;
    let goodbye = watcher.playing.await.unwrap();
    assert_eq!((goodbye.code, goodbye.reason), (1008, "slow_consumer"), "who takes nothing for long is let go");
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_turn_for_a_jump_is_let_go_after_a_while() {
    let (log, turns) = (log_of(&MOMENTS).await, Quota::new(1, 1));
    let mut watcher = Watcher::with(&log, "from=5&paused=true", Arc::clone(&turns)).await;
    watcher.expect("sync 5", 0).await;
    watcher.expect("state 5", 0).await;
    let taken = turns.turn(&UserId::parse("another").unwrap()).await.unwrap();
    watcher.ask(Change::Seek(Sought::Version(Version(1)))).await;
    let goodbye = watcher.playing.await.unwrap();
    assert_eq!((goodbye.code, goodbye.reason), (4004, "throttled"));
    assert!((PATIENCE..PATIENCE + Duration::from_millis(5)).contains(&watcher.began.elapsed()));
    drop(taken);
}
