use std::sync::Arc;

use super::*;
use crate::domain::{ClientId, Cursor, Joined, Left, NodeId, Profile};

fn connection(number: u64) -> ConnectionName {
    ConnectionName { node: NodeId::parse("n").unwrap(), incarnation: 1, number }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn joined(number: u64, name: &str) -> Joined {
    let client = ClientId::parse("c").unwrap();
    Joined { connection: connection(number), user: user(name), client, profile: Arc::new(Profile::default()) }
}

fn left(number: u64, name: &str) -> PresenceEvent {
    PresenceEvent::Left(Left { connection: connection(number), user: user(name) })
}

fn moved(name: &str, position: usize) -> Moved {
    let cursor = Cursor { position, selection: None };
    Moved { user: user(name), client: ClientId::parse("c").unwrap(), message_id: None, cursor }
}

/// A log that is away: nothing is taken, and yet what waits does not grow with what happens.
#[test]
fn what_waits_is_bounded_by_the_people_and_no_one_is_lost() {
    let (unlogged, metrics) = (Unlogged::default(), Metrics::new());
    let mut here = Presence::new();
    let stays = joined(0, "stays");
    here.join(&stays);
    unlogged.add(Version(0), PresenceEvent::Joined(stays), true, &metrics);
    unlogged.add(Version(0), left(1_000_000, "was here before"), true, &metrics);
    for number in 1..20_000 {
        unlogged.add(Version(0), PresenceEvent::Joined(joined(number, "guest")), true, &metrics);
        unlogged.add(Version(0), left(number, "guest"), true, &metrics);
        let told = moved("stays", usize::try_from(number).unwrap());
        unlogged.add_told(Version(0), &here, (vec![told], Vec::new()), &metrics);
    }
    let events = unlogged.take().unwrap().events;
    assert!(events.len() <= MOST + 2, "{}", events.len());
    let mut folded = Presence::new();
    for (version, event) in &events {
        folded.fold(*version, event);
    }
    assert_eq!(folded.users().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["stays"]);
    assert_eq!(folded.cursor(&user("stays")).unwrap().cursor.position, 19_999);
    assert!(events.iter().any(|(_, event)| *event == left(1_000_000, "was here before")));
    assert_eq!(unlogged.take(), None);
}

#[test]
fn one_task_writes_until_there_is_nothing() {
    let (unlogged, metrics) = (Unlogged::default(), Metrics::new());
    assert!(unlogged.add(Version(0), left(1, "a"), true, &metrics), "the first starts it");
    assert!(!unlogged.add(Version(0), left(2, "b"), true, &metrics));
    assert_eq!(unlogged.take().map(|taken| taken.events.len()), Some(2));
    assert!(!unlogged.add(Version(0), left(3, "c"), true, &metrics), "it is still at it");
    assert_eq!(unlogged.take().map(|taken| taken.events.len()), Some(1));
    assert_eq!(unlogged.take(), None);
    assert!(unlogged.add(Version(0), left(4, "d"), true, &metrics), "and is started anew");
}

#[test]
fn places_that_wait_move_along_with_the_text() {
    let (unlogged, metrics) = (Unlogged::default(), Metrics::new());
    let mut here = Presence::new();
    for (number, name) in [(1, "a"), (2, "b"), (3, "gone")] {
        here.join(&joined(number, name));
    }
    let told = |name, position| (vec![moved(name, position)], Vec::new());
    unlogged.add_told(Version(1), &here, told("a", 5), &metrics);
    unlogged.add_told(Version(1), &here, told("gone", 5), &metrics);
    // Three characters were inserted before it.
    let placed = crate::projection::Placed { version: Version(2), cursor: Cursor { position: 8, selection: None } };
    here.place(&user("a"), placed);
    unlogged.add_told(Version(2), &here, told("b", 1), &metrics);
    let events = unlogged.take().unwrap().events;
    assert_eq!(events, [(Version(2), PresenceEvent::Moved(vec![moved("a", 8), moved("b", 1)]))]);
}

/// Where people are is noted before the first of them is recorded, and no longer once the last has gone.
#[test]
fn it_is_known_when_the_first_came_and_the_last_has_gone() {
    let (unlogged, metrics) = (Unlogged::default(), Metrics::new());
    let come = |number| unlogged.add(Version(0), PresenceEvent::Joined(joined(number, "ann")), true, &metrics);
    let go = |number| unlogged.add(Version(0), left(number, "ann"), true, &metrics);
    for _ in 0..2 {
        come(1);
        assert!(unlogged.take().unwrap().is_first);
        come(2);
        assert!(!unlogged.take().unwrap().is_first && !unlogged.was_last());
        go(1);
        go(2);
        assert!(!unlogged.was_last(), "that they went is not written yet");
        unlogged.take().unwrap();
        assert!(unlogged.was_last());
        assert!(!unlogged.was_last(), "once is enough");
    }
}

/// One that is in the log already and says anew who its user is has not come just now: its end is never forgotten.
#[test]
fn the_end_of_one_who_was_called_otherwise_is_not_forgotten() {
    let (unlogged, metrics) = (Unlogged::default(), Metrics::new());
    let mut folded = Presence::new();
    let fold = |folded: &mut Presence| {
        for (version, event) in unlogged.take().unwrap().events {
            folded.fold(version, &event);
        }
    };
    unlogged.add(Version(0), PresenceEvent::Joined(joined(1, "ann")), true, &metrics);
    fold(&mut folded);
    unlogged.add_renamed(Version(0), joined(1, "ann"), &metrics);
    unlogged.add(Version(0), left(1, "ann"), true, &metrics);
    unlogged.add(Version(0), PresenceEvent::Joined(joined(2, "ben")), true, &metrics);
    unlogged.add_renamed(Version(0), joined(2, "ben"), &metrics);
    unlogged.add(Version(0), left(2, "ben"), true, &metrics);
    for number in 3..MOST as u64 + 3 {
        unlogged.add(Version(0), PresenceEvent::Joined(joined(number, "guest")), true, &metrics);
        unlogged.add(Version(0), left(number, "guest"), true, &metrics);
    }
    fold(&mut folded);
    assert_eq!(folded.count(), 0, "{folded:?}");
    assert!(unlogged.was_last(), "and nobody counts twice");
}
