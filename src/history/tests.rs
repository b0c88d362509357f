use std::{sync::Arc, time::Duration};

use proptest::{prelude::*, sample::Index};
use serde_json::{json, value::to_raw_value};

use super::*;
use crate::{
    domain::{
        Cause, ClientId, CommentCause, CommentChange, CommentId, Commented, ConnectionName, Cursor, DocumentId, Edited,
        Event, Joined, Left, MessageId, Moved, NewComment, NewThread, NodeId, PositionEncoding, PresenceEvent, Profile,
        Seq, Stretch, ThreadId, UserId,
    },
    event_log::{Append, EventLog, Expected, NewEvent, NewPresence, Snapshot, StreamName},
    projection::Document,
    text::{Attributes, Delta, RichText, Utf16},
};

/// One step of a story.
#[derive(Debug, Clone)]
enum Step {
    Insert(Index, &'static str, bool),
    Delete(Index, usize),
    Format(Index, usize),
    Comment(Index, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let texts = prop::sample::select(vec!["a", "bc ", "é", "\u{1F600}", "中文", "\n"]);
    prop_oneof![
        6 => (any::<Index>(), texts, any::<bool>()).prop_map(|(at, text, bold)| Step::Insert(at, text, bold)),
        3 => (any::<Index>(), 1..6_usize).prop_map(|(at, length)| Step::Delete(at, length)),
        1 => (any::<Index>(), 1..6_usize).prop_map(|(at, length)| Step::Format(at, length)),
        1 => (any::<Index>(), 1..6_usize).prop_map(|(at, length)| Step::Comment(at, length)),
    ]
}

fn id() -> DocumentId {
    DocumentId::parse("d").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn edited(applied: Delta, by: &str) -> Event {
    let cause = Cause {
        user: user(by),
        client: ClientId::parse("c").unwrap(),
        base: Version(0),
        origin: Version(0),
        after: None,
        encoding: PositionEncoding::Utf16,
        received: to_raw_value(&json!({})).unwrap().into(),
    };
    Event::Edited(Edited {
        applied,
        in_code_points: None,
        transformed: false,
        placed: Vec::new(),
        cause: Arc::new(cause),
    })
}

fn bold(is_bold: bool) -> Attributes {
    is_bold.then(|| ("bold".to_owned(), json!(true))).into_iter().collect()
}

/// A document that is written step by step, with everything that it ever was.
struct Story {
    log: EventLog,
    /// After each event, from before the first.
    states: Vec<Document>,
}

impl Story {
    fn new(log: EventLog) -> Self {
        Self { log, states: vec![Document::new()] }
    }

    fn now(&self) -> &Document {
        self.states.last().unwrap()
    }

    /// Cut at characters.
    fn stretch(&self, at: Index, length: usize) -> Stretch {
        let content = self.now().content();
        let ends: Vec<usize> = std::iter::once(0)
            .chain(content.text().chars().scan(0, |at, c| {
                *at += c.len_utf16();
                Some(*at)
            }))
            .collect();
        let from = at.index(ends.len());
        Stretch { start: ends[from], end: ends[(from + length).min(ends.len() - 1)] }
    }

    async fn take(&mut self, step: &Step, at: i64, by: &str) {
        let event = match step {
            Step::Insert(place, text, is_bold) => {
                let place = self.stretch(*place, 0).start;
                edited(Delta::new().retain(place).insert(*text, bold(*is_bold)), by)
            }
            Step::Delete(place, length) => {
                let Stretch { start, end } = self.stretch(*place, *length);
                edited(Delta::new().retain(start).delete(end - start), by)
            }
            Step::Format(place, length) => {
                let Stretch { start, end } = self.stretch(*place, *length);
                edited(Delta::new().retain(start).format(end - start, bold(true)), by)
            }
            Step::Comment(place, length) => self.comment(self.stretch(*place, *length), at, by),
        };
        self.record(event, at).await;
    }

    fn comment(&self, at: Stretch, time: i64, by: &str) -> Event {
        let number = self.now().seq().0;
        let begins = Some(NewThread { place: self.now().place(at).unwrap(), quote: "…".into() });
        let new = NewComment {
            id: CommentId::parse(&format!("c{number}")).unwrap(),
            thread: ThreadId::parse(&format!("t{number}")).unwrap(),
            content: "?".into(),
            author_name: None,
            begins,
        };
        let commented = Commented { change: CommentChange::Added(Arc::new(new)), by: user(by), at: Timestamp(time) };
        let cause = CommentCause {
            client: ClientId::parse("c").unwrap(),
            base: None,
            encoding: PositionEncoding::Utf16,
            received: to_raw_value(&json!({})).unwrap().into(),
        };
        Event::Commented(commented, Arc::new(cause))
    }

    async fn record(&mut self, event: Event, at: i64) {
        let mut next = self.now().clone();
        let event = match event {
            Event::Edited(edited) => {
                let points = next.content().to_code_points(&edited.applied);
                let in_code_points = (points != edited.applied.recount()).then_some(points);
                let placed = next.edit(&edited.applied).unwrap();
                next.modified_at(Timestamp(at));
                Event::Edited(Edited { in_code_points, placed, ..edited })
            }
            Event::Commented(commented, cause) => {
                next.comment(&commented).unwrap();
                Event::Commented(commented, cause)
            }
        };
        let message_id = MessageId::parse(&format!("m{}", next.seq())).unwrap();
        let events = vec![NewEvent { message_id, version: next.version(), event }];
        let expected = Expected::At(self.now().seq());
        let stream = StreamName::document(&id());
        self.log.append(Append { stream, expected, recorded_at: Timestamp(at), events }).await.unwrap();
        self.states.push(next);
    }

    /// The last state of a version.
    fn of_version(&self, version: u64) -> &Document {
        self.states.iter().rfind(|state| state.version().0 <= version).unwrap()
    }
}

async fn state(log: &EventLog, when: When) -> Result<Document, Untold> {
    Ok(document(log, &find(log, &id(), when).await?, |_| ()).await?)
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever snapshots there are, and whatever was asked before.
    #[test]
    fn the_past_is_what_it_was(
        steps in prop::collection::vec((step(), 0..3_i64), 1..60),
        saved in prop::collection::vec(any::<bool>(), 60),
        every in 0..9_u64,
        asked in prop::collection::vec(any::<Index>(), 24),
    ) {
        run(async {
            let mut story = Story::new(EventLog::memory().keeping_history(every));
            let (mut at, mut times) = (10, vec![9]);
            for ((step, pause), saved) in steps.iter().zip(saved) {
                at += pause;
                story.take(step, at, "ann").await;
                times.push(at);
                if saved {
                    let stream = StreamName::document(&id());
                    story.log.save_snapshot(&stream, &Snapshot::of(story.now())).await.unwrap();
                }
            }
            let versions = story.now().version().0;
            for asked in asked {
                let version = asked.index(usize::try_from(versions).unwrap() + 1) as u64;
                let then = state(&story.log, When::Version(Version(version))).await.unwrap();
                assert_eq!(&then, story.of_version(version), "version {version}");
                let moment = 9 + i64::try_from(asked.index(usize::try_from(at).unwrap())).unwrap();
                let then = state(&story.log, When::Moment(Timestamp(moment))).await.unwrap();
                let last = times.iter().rposition(|time| *time <= moment).unwrap();
                assert_eq!(&then, &story.states[last], "moment {moment}");
            }
            assert_eq!(&state(&story.log, When::Now).await.unwrap(), story.now());
            let ahead = state(&story.log, When::Version(Version(versions + 1))).await;
            assert_eq!(ahead, Err(Untold::Ahead { wanted: Version(versions + 1), current: Version(versions) }));
        });
    }

    #[test]
    fn the_sum_of_diffs_is_the_whole_and_a_diff_leads_both_ways(
        steps in prop::collection::vec(step(), 1..60),
        cuts in prop::collection::vec(any::<Index>(), 5),
    ) {
        run(async {
            let mut story = Story::new(EventLog::memory());
            for step in &steps {
                story.take(step, 1, "ann").await;
            }
            let end = usize::try_from(story.now().version().0).unwrap();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(end + 1) as u64).collect();
            let between = async |from: u64, to: u64| {
                let from = find(&story.log, &id(), When::Version(Version(from))).await.unwrap();
                let to = find(&story.log, &id(), When::Version(Version(to))).await.unwrap();
                diff(&story.log, &from, &to).await.unwrap()
            };
            for pair in cuts.windows(2) {
                let mut content: RichText = story.of_version(pair[0]).content().clone();
                content.apply(&between(pair[0], pair[1]).await).unwrap();
                assert_eq!(&content, story.of_version(pair[1]).content(), "{pair:?}");
            }
            cuts.extend([0, end as u64]);
            cuts.sort_unstable();
            let mut sum = Delta::<Utf16>::new();
            for pair in cuts.windows(2) {
                sum = sum.compose(&between(pair[0], pair[1]).await);
            }
            let whole: Delta = story.now().content().to_delta();
            assert_eq!(sum, between(0, end as u64).await);
            assert_eq!(sum, whole);
        });
    }

    #[test]
    fn sessions_tell_everything_once_however_they_are_paged(
        steps in prop::collection::vec((step(), 0..4_i64, any::<bool>()), 1..60),
        limit in 1..5_usize,
    ) {
        run(async {
            let mut story = Story::new(EventLog::memory());
            let mut at = 10;
            for (step, pause, is_ann) in &steps {
                at += pause * 1_000_000;
                story.take(step, at, if *is_ann { "ann" } else { "ben" }).await;
            }
            let place = find(&story.log, &id(), When::Now).await.unwrap();
            let page = async |after, limit| {
                sessions(&story.log, &place, (after, limit), Duration::from_secs(2)).await.unwrap()
            };
            let (all, next) = page(Version(0), 1_000).await;
            assert_eq!(next, None);
            let (mut paged, mut after) = (Vec::new(), Some(Version(0)));
            while let Some(from) = after {
                let (more, next) = page(from, limit).await;
                assert!(more.len() <= limit);
                paged.extend(more);
                after = next;
            }
            assert_eq!(paged, all);
            let mut version = Version(0);
            for session in &all {
                assert_eq!(session.from_version, version);
                version = session.to_version;
                assert_eq!(session.total().edits, session.to_version.0 - session.from_version.0);
            }
            assert_eq!(version, story.now().version());
            let near = |pair: &[Session]| pair[1].from.0 - pair[0].to.0 <= 2_000_000;
            assert!(!all.windows(2).any(near), "a session ends with a pause");
            let (added, removed) = all.iter().fold((0, 0), |(added, removed), session| {
                (added + session.total().added, removed + session.total().removed)
            });
            assert_eq!(added - removed, story.now().content().text().chars().count() as u64);
        });
    }
}

#[tokio::test]
async fn a_session_is_never_without_end() {
    let mut story = Story::new(EventLog::memory());
    let text = edited(Delta::new().insert("a", Attributes::NONE), "ann");
    for _ in 0..LONGEST_AND_MORE {
        story.record(text.clone(), 1).await;
    }
    let place = find(&story.log, &id(), When::Now).await.unwrap();
    let (all, next) = sessions(&story.log, &place, (Version(0), 10), Duration::from_secs(1)).await.unwrap();
    let ends: Vec<_> = all.iter().map(|session| (session.from_version.0, session.to_version.0)).collect();
    assert_eq!((ends, next), (vec![(0, sessions::LONGEST), (sessions::LONGEST, LONGEST_AND_MORE)], None));
    let ahead = sessions(&story.log, &place, (Version(u64::MAX), 10), Duration::from_secs(1)).await;
    assert!(matches!(ahead, Err(Untold::Ahead { .. })));
}

const LONGEST_AND_MORE: u64 = sessions::LONGEST + 7;

fn presence(number: u64, version: u64, event: PresenceEvent) -> NewPresence {
    NewPresence { id: MessageId::parse(&format!("p{number}")).unwrap(), version: Version(version), event }
}

fn connection() -> ConnectionName {
    ConnectionName { node: NodeId::parse("n").unwrap(), incarnation: 1, number: 1 }
}

#[tokio::test]
async fn who_was_there_and_where_is_known_for_as_long_as_it_is_kept() {
    let mut story = Story::new(EventLog::memory());
    let log = story.log.clone();
    let typed = |at: usize, by: &str| edited(Delta::new().retain(at).insert("xy", Attributes::NONE), by);
    let joined = |name: &str| {
        let (connection, client) = (connection(), ClientId::parse("c").unwrap());
        PresenceEvent::Joined(Joined { connection, user: user(name), client, profile: Arc::new(Profile::default()) })
    };
    let moved = |position| {
        let cursor = Cursor { position, selection: None };
        let client = ClientId::parse("c").unwrap();
        PresenceEvent::Moved(vec![Moved { user: user("ann"), client, message_id: None, cursor }])
    };
    let left = PresenceEvent::Left(Left { connection: connection(), user: user("ann") });
    assert!(matches!(people(&log, &id(), When::Now).await, Err(Untold::NoDocument)));
    story.record(typed(0, "ben"), 10).await;
    log.append_presence(&id(), Timestamp(20), &[presence(1, 1, joined("ann"))]).await.unwrap();
    log.append_presence(&id(), Timestamp(30), &[presence(2, 1, moved(1))]).await.unwrap();
    story.record(typed(0, "ben"), 40).await;
    log.append_presence(&id(), Timestamp(50), &[presence(3, 2, left)]).await.unwrap();
    story.record(typed(0, "ben"), 60).await;
    let was_there = async |when| {
        let people = people(&log, &id(), when).await?;
        let cursors: Vec<_> = people.people.into_iter().map(|it| (it.user, it.cursor.map(|it| it.position))).collect();
        Ok::<_, Untold>((people.document.version().0, cursors))
    };
    let at = |moment| When::Moment(Timestamp(moment));
    let ann = |position| vec![(user("ann"), position)];
    assert_eq!(was_there(at(5)).await, Ok((0, vec![])));
    assert_eq!(was_there(at(19)).await, Ok((1, vec![])));
    assert_eq!(was_there(at(20)).await, Ok((1, ann(None))));
    assert_eq!(was_there(at(39)).await, Ok((1, ann(Some(1)))));
    assert_eq!(was_there(at(40)).await, Ok((2, ann(Some(3)))), "text before a cursor moves it");
    assert_eq!(was_there(When::Version(Version(2))).await, Ok((2, ann(Some(3)))));
    assert_eq!(was_there(When::Version(Version(3))).await, Ok((3, vec![])));
    assert_eq!(was_there(When::Version(Version(0))).await, Ok((0, vec![])));
    assert_eq!(was_there(When::Now).await, Ok((3, vec![])));
    // What is kept for a while only, and what is left can still be told.
    assert_eq!(log.trim_presence(&id(), Timestamp(30)).await.unwrap(), 1);
    assert_eq!(was_there(at(29)).await, Err(Untold::Forgotten { at: Timestamp(29) }));
    assert_eq!(was_there(at(30)).await, Ok((1, ann(Some(1)))));
    assert_eq!(was_there(at(45)).await, Ok((2, ann(Some(3)))));
    assert_eq!(was_there(When::Version(Version(1))).await, Err(Untold::Forgotten { at: Timestamp(10) }));
}

/// However it came about that a log has no snapshots on the way: the first one who goes there leaves some.
#[tokio::test]
async fn the_second_way_into_an_old_log_is_short() {
    let mut story = Story::new(EventLog::memory());
    let text = edited(Delta::new().insert("ab", Attributes::NONE), "ann");
    for _ in 0..1_000 {
        story.record(text.clone(), 1).await;
    }
    let log = story.log.clone().keeping_history(100);
    let folded = async |version| {
        let place = find(&log, &id(), When::Version(Version(version))).await.unwrap();
        let from = log.restore(&place.stream, place.seq).await.unwrap().seq();
        assert_eq!(&document(&log, &place, |_| ()).await.unwrap(), story.of_version(version));
        place.seq.0 - from.0
    };
    assert_eq!(folded(777).await, 777);
    for version in [0, 1, 99, 100, 101, 350, 777] {
        assert!(folded(version).await <= 100, "version {version}");
    }
    let stream = StreamName::document(&id());
    assert_eq!(log.snapshot_places(&stream).await.unwrap().len(), 7);
    log.rebuild_snapshots(&stream, Seq(1_000), |_| ()).await.unwrap();
    let places: Vec<_> = log.snapshot_places(&stream).await.unwrap().iter().map(|seq| seq.0).collect();
    assert_eq!(places, (1..=10).map(|n| n * 100).collect::<Vec<_>>());
    assert!(folded(999).await <= 100);
}
