//! What every log must do, whatever its database. Each adapter runs all of it.

use std::sync::Arc;

use serde_json::{json, value::to_raw_value};

pub(super) use super::suite_presence::*;
use super::{Append, AppendError, Change, EventLog, Expected, Head, NewEvent, Recorded, StreamName};
use crate::{
    domain::{
        Cause, ClientId, DocumentId, Edited, Effect, Event, MessageId, PositionEncoding, Revocation, Revoked, Seq,
        Timestamp, UserId, Version,
    },
    text::{Attributes, Delta},
};

pub(super) use super::comment_laws::comments_are_events_among_the_edits;

pub(super) fn stream(id: &str) -> StreamName {
    StreamName::document(&DocumentId::parse(id).unwrap())
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and literals, as they are at hand")]
pub(super) fn message(id: impl ToString) -> MessageId {
    MessageId::parse(&id.to_string()).unwrap()
}

pub(super) fn edited(applied: Delta) -> Event {
    Event::Edited(Edited {
        applied,
        in_code_points: None,
        transformed: false,
        placed: Vec::new(),
        cause: Arc::new(Cause {
            user: UserId::parse("ann").unwrap(),
            client: ClientId::parse("ann-1").unwrap(),
            base: Version(3),
            origin: Version(2),
            after: Some(message("before")),
            encoding: PositionEncoding::Utf16,
            received: to_raw_value(&json!({"operation": {"kind": "insert"}, "version": 3})).unwrap().into(),
        }),
    })
}

fn effect(applied: Delta) -> Effect {
    Effect::Edited { applied, placed: Vec::new() }
}

pub(super) fn effect_of(event: &Event) -> Effect {
    match event {
        Event::Edited(edited) => Effect::Edited { applied: edited.applied.clone(), placed: edited.placed.clone() },
        Event::Commented(commented, _) => Effect::Commented(commented.clone()),
    }
}

/// The event after `seq` events: inserts `text`.
pub(super) fn typed(seq: u64, id: impl ToString, text: &str) -> NewEvent {
    let event = edited(Delta::new().insert(text, Attributes::NONE));
    NewEvent { message_id: message(id), version: Version(seq + 1), event }
}

/// An append of one event for each id.
pub(super) fn append(stream: &StreamName, expected: u64, ids: &[&str]) -> Append {
    let events = ids.iter().zip(expected..).map(|(id, seq)| typed(seq, id, &format!("text of {id}"))).collect();
    let recorded_at = Timestamp(1_000 + i64::try_from(expected).unwrap());
    Append { stream: stream.clone(), expected: Expected::At(Seq(expected)), recorded_at, events }
}

pub(super) fn ids(events: &[Recorded]) -> Vec<(u64, &str)> {
    events.iter().map(|event| (event.seq.0, event.message_id.as_str())).collect()
}

/// Fills a stream with `count` events, `m1` and so on.
pub(super) async fn fill(log: &EventLog, stream: &StreamName, count: u64) {
    let mut from = log.head(stream).await.unwrap().unwrap_or_default().seq.0;
    while from < count {
        let to = (from + 500).min(count);
        let ids: Vec<_> = (from + 1..=to).map(|n| format!("m{n}")).collect();
        log.append(append(stream, from, &ids.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap();
        from = to;
    }
}

pub(super) async fn everything(log: &EventLog, stream: &StreamName) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let page = log.read(stream, all.last().map_or(Seq(0), |last| last.seq), 100_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub(super) async fn what_goes_in_comes_out(log: EventLog) {
    let stream = stream("a/b");
    assert_eq!(log.head(&stream).await.unwrap(), None);
    let given = append(&stream, 0, &["x", "y"]);
    let head = log.append(given.clone()).await.unwrap();
    assert_eq!(head, Head { seq: Seq(2), version: Version(2), recorded_at: Timestamp(1_000), is_erased: false });
    assert_eq!(log.head(&stream).await.unwrap(), Some(head));

    let events = everything(&log, &stream).await;
    assert_eq!(ids(&events), [(1, "x"), (2, "y")]);
    for (event, given) in events.iter().zip(&given.events) {
        assert_eq!((event.version, event.recorded_at), (given.version, Timestamp(1_000)));
        assert_eq!(format!("{:?}", event.event), format!("{:?}", given.event));
    }
}

pub(super) async fn a_stream_is_read_in_pages(log: EventLog) {
    let stream = stream("d");
    fill(&log, &stream, 1_234).await;
    for size in [1, 7, 500, 2_000] {
        let mut after = Seq(if size == 1 { 1_200 } else { 0 });
        loop {
            let (events, changes) =
                (log.read(&stream, after, size).await.unwrap(), log.changes(&stream, after, size).await.unwrap());
            assert_eq!(events.len(), changes.len());
            assert_eq!(events.len() as u64, (1_234 - after.0).min(size as u64));
            for (event, change) in events.iter().zip(&changes) {
                after = after.next();
                assert_eq!((event.seq, change.seq), (after, after));
                assert_eq!(effect_of(&event.event), change.effect);
            }
            if events.is_empty() {
                break;
            }
        }
        assert_eq!(after, Seq(1_234));
    }
    assert!(log.changes(&stream, Seq(9_999), 5).await.unwrap().is_empty());
    assert!(log.changes(&self::stream("none"), Seq(0), 5).await.unwrap().is_empty());
}

pub(super) async fn a_page_may_hold_large_and_odd_texts(log: EventLog) {
    let stream = stream("d");
    let texts = [
        "\0".to_owned(),
        "line\nbreak\r\n\u{2028}".to_owned(),
        "\u{1}\u{1f}\u{7f}\"\\/".to_owned(),
        "𐆐e\u{301}👩‍👩‍👧".to_owned(),
        "x".repeat(3 << 20),
        "\u{feff}'; DROP TABLE events; --".to_owned(),
    ];
    let events = texts.iter().zip(0..).map(|(text, seq)| typed(seq, seq, text)).collect();
    log.append(Append { events, ..append(&stream, 0, &[]) }).await.unwrap();
    let expected = |text: &String| effect(Delta::new().insert(text.as_str(), Attributes::NONE));
    let changes = log.changes(&stream, Seq(0), 100).await.unwrap();
    assert!(changes.iter().map(|change| &change.effect).eq(texts.iter().map(expected).collect::<Vec<_>>().iter()));
    assert_eq!(everything(&log, &stream).await.len(), texts.len());
    // What is long ends a page, and is never left out for it.
    let mut page = log.read(&stream, Seq(4), 100).await.unwrap();
    assert_eq!(page.remove(0).seq, Seq(5));
    let long: Vec<_> = (6..12).map(|seq| typed(seq, seq, &"y".repeat(600 << 10))).collect();
    log.append(Append { events: long, ..append(&stream, 6, &[]) }).await.unwrap();
    let all = everything(&log, &stream).await;
    assert!(all.iter().map(|it| it.seq).eq((1..=12).map(Seq)));
}

pub(super) async fn messages_are_found_by_their_ids(log: EventLog) {
    let (here, there) = (stream("here"), stream("there"));
    log.append(append(&here, 0, &["a", "b", "c\"é", "d"])).await.unwrap();
    assert_eq!(log.find(&here, &message("b")).await.unwrap().unwrap().seq, Seq(2));
    assert!(log.find(&here, &message("x")).await.unwrap().is_none());
    assert!(log.find(&there, &message("b")).await.unwrap().is_none());
    let found = log.find_all(&here, &[message("d"), message("x"), message("c\"é"), message("d")]).await.unwrap();
    assert_eq!(ids(&found), [(3, "c\"é"), (4, "d")]);
    assert!(log.find_all(&here, &[]).await.unwrap().is_empty());
}

pub(super) async fn versions_and_moments_lead_to_places(log: EventLog) {
    let stream = stream("d");
    assert_eq!(log.seq_of_version(&stream, Version(1)).await.unwrap(), None);
    // Versions 1, 1, 2, 2, 3, 3, …: not every event of a stream is an edit.
    for seq in 0..20 {
        let event = NewEvent { version: Version(seq / 2 + 1), ..typed(seq, seq, "x") };
        let recorded_at = Timestamp(i64::try_from(seq).unwrap() * 10);
        log.append(Append { recorded_at, events: vec![event], ..append(&stream, seq, &[]) }).await.unwrap();
    }
    for (version, seq) in [(0, 0), (1, 2), (2, 4), (9, 18), (10, 20), (11, 20), (u64::MAX, 20)] {
        assert_eq!(log.seq_of_version(&stream, Version(version)).await.unwrap(), Some(Seq(seq)), "version {version}");
    }
    for (moment, seq) in [(-1, 0), (0, 1), (9, 1), (10, 2), (189, 19), (190, 20), (i64::MAX, 20)] {
        assert_eq!(log.seq_at(&stream, Timestamp(moment)).await.unwrap(), Some(Seq(seq)), "moment {moment}");
    }
}

pub(super) async fn time_never_runs_backwards_in_a_stream(log: EventLog) {
    let stream = stream("d");
    let at = |seq, moment| Append { recorded_at: Timestamp(moment), ..append(&stream, seq, &[&seq.to_string()]) };
    assert_eq!(log.append(at(0, 500)).await.unwrap().recorded_at, Timestamp(500));
    assert_eq!(log.append(at(1, 400)).await.unwrap().recorded_at, Timestamp(500));
    let times: Vec<_> = everything(&log, &stream).await.iter().map(|event| event.recorded_at.0).collect();
    assert_eq!(times, [500, 500]);
}

pub(super) async fn revocations_are_read_in_the_order_in_which_they_came(log: EventLog) {
    assert_eq!(log.revocations(Seq(0)).await.unwrap(), []);
    let user = |name: &str| UserId::parse(name).unwrap();
    let revocation = |n: i64| Revocation {
        revoked: Revoked::User(user(&format!("u{n}"))),
        until: Timestamp(n),
        reason: (n % 2 == 0).then(|| "\"spam\"".to_owned()),
        by: user("admin"),
    };
    for n in 0..3 {
        log.append_revocation(message(n), &revocation(n), Timestamp(5 - n)).await.unwrap();
    }
    log.append_revocation(message(2), &revocation(2), Timestamp(9)).await.unwrap();
    let expected = |from: i64| (from..3).map(|n| (Seq(n.unsigned_abs() + 1), revocation(n))).collect::<Vec<_>>();
    assert_eq!(log.revocations(Seq(0)).await.unwrap(), expected(0), "one that is repeated is there once");
    assert_eq!(log.revocations(Seq(2)).await.unwrap(), expected(2));
    assert_eq!(log.revocations(Seq(3)).await.unwrap(), []);
}

pub(super) async fn streams_are_listed_by_name(log: EventLog) {
    for name in ["b", "a", "c"] {
        fill(&log, &stream(name), 2).await;
    }
    let all = log.streams(None, 10).await.unwrap();
    assert_eq!(
        all.iter().map(|(name, head)| (name.as_str(), head.seq.0)).collect::<Vec<_>>(),
        [("document:a", 2), ("document:b", 2), ("document:c", 2)]
    );
    assert_eq!(log.streams(Some(&stream("a")), 1).await.unwrap(), all[1..2]);
    assert!(log.streams(Some(&stream("c")), 1).await.unwrap().is_empty());
}

pub(super) async fn attributes_and_embeds_come_back_exactly(log: EventLog) {
    let stream = stream("d");
    let attributes: Attributes =
        [("bold", json!(true)), ("size", json!(0.1 + 0.2)), ("x", json!({"deep": [null, 1e300, "\0"]}))]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect();
    let fields = [("n", json!(5e-324)), ("image", json!("u"))].map(|(name, value)| (name.to_owned(), value));
    let embed: crate::text::Embed = fields.into_iter().collect();
    let applied =
        Delta::new().format(3, attributes.clone()).embed(embed.clone(), attributes).embed(embed, Attributes::NONE);
    let event = NewEvent { event: edited(applied.clone()), ..typed(0, "m", "") };
    log.append(Append { events: vec![event], ..append(&stream, 0, &[]) }).await.unwrap();
    assert_eq!(log.changes(&stream, Seq(0), 1).await.unwrap(), [Change { seq: Seq(1), effect: effect(applied) }]);
}

pub(super) async fn what_could_not_be_read_is_not_written(log: EventLog) {
    let stream = stream("d");
    let mut value = json!(1);
    for _ in 0..200 {
        value = json!([value]);
    }
    let applied = Delta::new().insert("x", [("deep".to_owned(), value)].into_iter().collect());
    let event = NewEvent { event: edited(applied), ..typed(0, "m", "") };
    let refused = log.append(Append { events: vec![event], ..append(&stream, 0, &[]) }).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert_eq!(log.head(&stream).await.unwrap(), None);
}

pub(super) use super::{
    append_laws::*, doorbell_laws::*, erasure_laws::*, feed_laws::*, kept::*, snapshot_laws::*, user_erasure_laws::*,
};

/// Declares a test of each law for one kind of log.
macro_rules! for_every_law {
    ($make:expr) => {
        $crate::event_log::suite::for_every_law!(@ $make;
            what_goes_in_comes_out an_append_onto_another_head_than_the_callers_is_stale
            a_repeated_message_refuses_the_whole_append_and_gives_the_outcomes_back one_bad_append_harms_no_other
            of_many_who_saw_the_same_head_one_wins appends_in_a_row_need_not_wait_for_each_other
            who_expects_any_head_is_never_stale_and_gets_the_head_after
            a_stream_is_read_in_pages a_page_may_hold_large_and_odd_texts messages_are_found_by_their_ids
            versions_and_moments_lead_to_places time_never_runs_backwards_in_a_stream
            snapshots_are_kept_for_a_while_and_can_be_dropped snapshots_along_a_stream_keep_every_place_near
            snapshots_are_made_again_from_the_log revocations_are_read_in_the_order_in_which_they_came streams_are_listed_by_name
            attributes_and_embeds_come_back_exactly comments_are_events_among_the_edits what_could_not_be_read_is_not_written
            presence_comes_back_as_it_went_in presence_is_trimmed_and_still_tells_who_is_here
            presence_that_is_there_already_is_not_recorded_twice presence_streams_are_listed_apart
            a_life_is_known_until_it_ends one_beat_is_beaten_once
            the_feed_has_all_streams_in_the_order_of_their_commits the_feed_is_resumed_from_any_position
            a_reader_killed_again_and_again_sees_every_event_once a_feed_waits_for_what_comes
            events_of_another_log_are_taken_in_to_the_letter
            an_import_goes_on_where_it_was_interrupted_and_takes_what_is_new
            an_import_refuses_what_the_log_says_otherwise_and_takes_nothing_of_its_batch a_message_is_imported_once
            a_stream_whose_front_was_trimmed_is_imported_as_it_is
            an_import_and_an_append_at_once_leave_the_stream_whole
            the_heads_of_many_streams_are_asked_for_at_once
            states_are_kept_by_place_and_thinned a_generation_notes_how_far_it_has_come_and_never_goes_back
            a_stretch_of_the_feed_tells_which_streams_have_moved a_projection_of_an_old_log_is_built_and_kept_up
            a_projection_is_built_anew_beside_the_one_in_use_and_takes_its_place
            what_is_begun_by_one_is_finished_by_another a_damaged_state_is_passed_over
            of_an_erased_document_only_tombstones_are_left
            an_erasure_that_was_interrupted_is_gone_for_readers_and_is_finished
            a_tombstone_is_imported_and_what_is_erased_does_not_come_back
            of_an_erased_person_nothing_is_left_but_a_name_that_means_nothing
            erasing_a_person_changes_nobody_who_is_shut_out erasing_a_person_that_was_interrupted_is_known_and_goes_on nothing_folded_is_saved_while_a_person_is_erased
            an_event_is_written_over_where_it_stands_or_not_at_all
        );
    };
    (@ $make:expr; $($law:ident)+) => {$(
        #[tokio::test]
        async fn $law() {
            let (log, _kept) = $make.await;
            $crate::event_log::suite::$law(log.clone()).await;
            log.close().await;
        }
    )+};
}
pub(super) use for_every_law;

/// Declares a test of each law about two processes that write to one log.
macro_rules! for_every_sharing_law {
    ($make:expr) => {
        $crate::event_log::suite::for_every_sharing_law!(@ $make;
            an_append_to_a_stream_that_another_process_erased_is_stale
            presence_of_a_document_that_another_process_erased_is_not_recorded
            a_stream_that_another_process_began_is_not_begun_again
            a_new_stream_leaves_one_alone_that_another_process_began_and_erased
            a_new_stream_leaves_one_alone_that_another_process_began_and_trimmed
            a_new_stream_leaves_those_alone_that_another_process_imported
            a_refused_append_reserves_nothing
            an_append_to_a_stream_that_another_process_trimmed_comes_after_its_end
            an_import_into_a_stream_that_another_process_erased_adds_nothing
            processes_that_take_turns_at_random_leave_every_stream_sound
        );
    };
    (@ $make:expr; $($law:ident)+) => {$(
        #[tokio::test]
        async fn $law() {
            let (ours, theirs, _kept) = $make.await;
            $crate::event_log::sharing_laws::$law(ours.clone(), theirs.clone()).await;
            ours.close().await;
            theirs.close().await;
        }
    )+};
}
pub(super) use for_every_sharing_law;

mod memory {
    super::for_every_sharing_law!(async {
        let log = crate::event_log::EventLog::memory();
        (log.clone(), log, ())
    });
    super::for_every_law!(async { (crate::event_log::EventLog::memory(), ()) });
    super::for_every_law!(@ async { (crate::event_log::EventLog::memory(), ()) };
        who_listens_hears_which_stream_has_moved_and_how_far);
}
