//! What every log must do with presence.

use std::{sync::Arc, time::Duration};

use super::{EventLog, NewPresence, SavedPresence, StreamName, suite};
use crate::{
    domain::{
        ClientId, ConnectionName, Cursor, DocumentId, Joined, Left, MessageId, Moved, NodeId, PresenceEvent, Profile,
        Seq, Timestamp, Typed, UserId, Version,
    },
    projection::Presence,
};

fn document(id: &str) -> DocumentId {
    DocumentId::parse(id).unwrap()
}

pub(super) fn connection(number: u64) -> ConnectionName {
    ConnectionName { node: NodeId::parse("node-a").unwrap(), incarnation: 7, number }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn client() -> ClientId {
    ClientId::parse("c-1").unwrap()
}

pub(super) fn joined(number: u64, name: &str) -> PresenceEvent {
    let profile = Profile { name: Some("Ä \"n\"".into()), avatar_url: None, color: Some("#3b82f6".into()) };
    let (connection, user, client) = (connection(number), user(name), client());
    PresenceEvent::Joined(Joined { connection, user, client, profile: Arc::new(profile) })
}

pub(super) fn left(number: u64, name: &str) -> PresenceEvent {
    PresenceEvent::Left(Left { connection: connection(number), user: user(name) })
}

pub(super) fn moved(name: &str, position: usize, selection: Option<(usize, usize)>) -> PresenceEvent {
    let message_id = selection.map(|_| MessageId::parse("m").unwrap());
    let cursor = Cursor { position, selection };
    PresenceEvent::Moved(vec![Moved { user: user(name), client: client(), message_id, cursor }])
}

pub(super) fn typed(name: &str, position: Option<usize>) -> PresenceEvent {
    let message_id = Some(MessageId::parse("t").unwrap());
    PresenceEvent::Typed(vec![Typed { user: user(name), client: client(), message_id, is_typing: true, position }])
}

/// Named by their places, the first one `from`.
fn named(from: u64, events: Vec<PresenceEvent>) -> Vec<NewPresence> {
    let name = |(id, event): (u64, PresenceEvent)| NewPresence { id: suite::message(id), version: Version(3), event };
    (from..).zip(events).map(name).collect()
}

pub(super) async fn presence_comes_back_as_it_went_in(log: EventLog) {
    let document = document("a/b");
    assert_eq!(log.presence(&document).await.unwrap(), SavedPresence::default());
    let events = vec![
        joined(1, "ann"),
        moved("ann", 5, None),
        moved("ann", 5, Some((9, 5))),
        PresenceEvent::Moved(Vec::new()),
        typed("ann", None),
        typed("ann", Some(4)),
        left(1, "ann"),
    ];
    let given = named(1, events);
    assert_eq!(log.append_presence(&document, Timestamp(5), &given).await.unwrap(), Seq(7));
    let read = log.read_presence(&document, Seq(0), 100).await.unwrap();
    assert!(read.iter().map(|it| it.seq.0).eq(1..=7));
    for (read, given) in read.iter().zip(&given) {
        assert_eq!((&read.id, read.version, &read.event), (&given.id, given.version, &given.event));
        assert_eq!(read.recorded_at, Timestamp(5));
    }
    assert_eq!(log.read_presence(&document, Seq(5), 1).await.unwrap(), read[5..6]);
}

pub(super) async fn presence_is_trimmed_and_still_tells_who_is_here(log: EventLog) {
    let document = document("d");
    let stream = StreamName::presence(&document);
    let append = async |from: u64, at: i64, events: Vec<PresenceEvent>| {
        log.append_presence(&document, Timestamp(at), &named(from, events)).await.unwrap();
    };
    append(1, 10, vec![joined(1, "ann"), joined(2, "ben"), joined(3, "ben")]).await;
    append(4, 20, (0..1_500).map(|at| moved("ann", at, None)).collect()).await;
    append(1_504, 30, vec![left(3, "ben"), moved("ben", 1, Some((1, 2)))]).await;
    let before = log.presence(&document).await.unwrap();
    assert_eq!(log.trim_presence(&document, Timestamp(10)).await.unwrap(), 0, "nothing is older");
    assert_eq!(log.trim_presence(&document, Timestamp(30)).await.unwrap(), 1_503);
    assert_eq!(log.trim_presence(&document, Timestamp(30)).await.unwrap(), 0);
    assert_eq!(log.presence(&document).await.unwrap(), before);
    let late = log.fold_presence(&document, SavedPresence::default(), Seq(u64::MAX >> 1)).await.unwrap();
    assert_eq!(late, before, "one who began to read before it was trimmed");
    // What is left is found where it was.
    let rest = log.read_presence(&document, Seq(0), 10).await.unwrap();
    assert!(rest.iter().map(|it| it.seq.0).eq([1_504, 1_505]));
    assert_eq!(log.read_presence(&document, Seq(1_000), 1).await.unwrap(), rest[..1]);
    for (moment, seq) in [(0, 1_503), (29, 1_503), (30, 1_505)] {
        assert_eq!(log.seq_at(&stream, Timestamp(moment)).await.unwrap(), Some(Seq(seq)), "moment {moment}");
    }
    assert_eq!(log.trim_presence(&document, Timestamp(31)).await.unwrap(), 1, "all but the newest may go");
    assert_eq!(log.presence(&document).await.unwrap(), before);
    append(1_506, 40, vec![left(1, "ann")]).await;
    let after = log.presence(&document).await.unwrap();
    assert_eq!(after.seq, Seq(1_506));
    assert!(after.presence.users().map(|(id, _)| id.as_str()).eq(["ben"]));
    // Without the snapshots some are forgotten, and nobody is made up.
    log.drop_snapshots(&stream).await.unwrap();
    assert_eq!(log.presence(&document).await.unwrap().presence, Presence::new());
}

pub(super) async fn presence_that_is_there_already_is_not_recorded_twice(log: EventLog) {
    let document = document("d");
    let events = named(1, vec![joined(1, "ann"), joined(2, "ben"), joined(3, "eve")]);
    assert_eq!(log.append_presence(&document, Timestamp(1), &events[..2]).await.unwrap(), Seq(2));
    assert_eq!(log.append_presence(&document, Timestamp(2), &events).await.unwrap(), Seq(3));
    assert_eq!(log.append_presence(&document, Timestamp(3), &events).await.unwrap(), Seq(3));
    let read = log.read_presence(&document, Seq(0), 10).await.unwrap();
    assert!(read.iter().map(|it| it.id.as_str()).eq(["1", "2", "3"]));
    let twice = [events[0].clone(), events[0].clone()];
    let other = self::document("other");
    assert!(log.append_presence(&other, Timestamp(1), &twice).await.is_err(), "one name, two events");
}

pub(super) async fn presence_streams_are_listed_apart(log: EventLog) {
    for id in ["a", "b", "c"] {
        suite::fill(&log, &StreamName::document(&document(id)), 1).await;
        log.append_presence(&document(id), Timestamp(1), &named(1, vec![joined(1, "ann")])).await.unwrap();
    }
    let all = [document("a"), document("b"), document("c")];
    assert_eq!(log.presence_documents(None, 10).await.unwrap(), all);
    assert_eq!(log.presence_documents(Some(&all[0]), 1).await.unwrap(), all[1..2]);
    assert!(log.presence_documents(Some(&all[2]), 10).await.unwrap().is_empty());
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

pub(super) async fn a_life_is_known_until_it_ends(log: EventLog) {
    let lease = Duration::from_secs(30);
    let first = log.begin_life(&node("a"), Timestamp(1_000), lease).await.unwrap();
    let second = log.begin_life(&node("a"), Timestamp(1_000), lease).await.unwrap();
    let other = log.begin_life(&node("b"), Timestamp(5), lease).await.unwrap();
    assert_eq!((first.incarnation, second.incarnation, other.incarnation), (1_000, 1_001, 5));
    assert_eq!(log.begin_life(&node("a"), Timestamp(9_000), lease).await.unwrap().incarnation, 9_000);
    for (document, are_there) in [("y", true), ("x", true), ("x", true), ("z", true), ("z", false), ("w", false)] {
        log.note_people(&first, &self::document(document), are_there).await.unwrap();
    }
    log.note_people(&second, &document("x"), true).await.unwrap();
    assert_eq!(log.documents_of_life(&first).await.unwrap(), [document("x"), document("y")]);
    log.end_life(&first).await.unwrap();
    assert!(log.documents_of_life(&first).await.unwrap().is_empty());
    log.note_people(&first, &document("x"), true).await.unwrap();
    assert!(log.documents_of_life(&first).await.unwrap().is_empty(), "it is over");
    assert_eq!(log.documents_of_life(&second).await.unwrap(), [document("x")]);
    let lives: Vec<_> =
        log.lives().await.unwrap().into_iter().map(|sign| (sign.life.incarnation, sign.lease)).collect();
    assert_eq!(lives, [(1_001, lease), (9_000, lease), (5, lease)]);
}

pub(super) async fn one_beat_is_beaten_once(log: EventLog) {
    let life = log.begin_life(&node("a"), Timestamp(1), Duration::from_secs(1)).await.unwrap();
    assert!(log.beat(&life, 0).await.unwrap());
    assert!(!log.beat(&life, 0).await.unwrap(), "somebody else was first");
    assert!(log.beat(&life, 1).await.unwrap());
    assert_eq!(log.lives().await.unwrap()[0].beats, 2);
    log.end_life(&life).await.unwrap();
    assert!(!log.beat(&life, 2).await.unwrap());
}
