//! What every log must do with what it is given: all or nothing, once, and in order. Part of the suite.

use futures_util::{FutureExt, future::join_all};

use super::{
    Append, AppendError, EventLog, Expected, Head,
    suite::{append, everything, ids, stream},
};
use crate::domain::Seq;

pub(super) async fn an_append_onto_another_head_than_the_callers_is_stale(log: EventLog) {
    let stream = stream("d");
    log.append(append(&stream, 0, &["a", "b"])).await.unwrap();
    for expected in [0, 1, 3] {
        let refused = log.append(append(&stream, expected, &["c"])).await;
        assert!(matches!(refused, Err(AppendError::Stale { head: Seq(2) })), "{expected}: {refused:?}");
    }
    let nothing = Append { events: Vec::new(), ..append(&stream, 2, &[]) };
    assert_eq!(log.append(nothing).await.unwrap().seq, Seq(2));
    assert!(matches!(log.append(append(&stream, 1, &[])).await, Err(AppendError::Stale { head: Seq(2) })));
    assert_eq!(ids(&everything(&log, &stream).await), [(1, "a"), (2, "b")]);
    assert_eq!(log.append(append(&stream, 2, &["c"])).await.unwrap().seq, Seq(3));
}

pub(super) async fn a_repeated_message_refuses_the_whole_append_and_gives_the_outcomes_back(log: EventLog) {
    let (one, other) = (stream("one"), stream("other"));
    log.append(append(&one, 0, &["a", "b", "c"])).await.unwrap();
    let Err(AppendError::Repeated(outcomes)) = log.append(append(&one, 3, &["c", "new", "a"])).await else { panic!() };
    assert_eq!(ids(&outcomes), [(1, "a"), (3, "c")]);
    assert_eq!(log.head(&one).await.unwrap().unwrap().seq, Seq(3));
    assert_eq!(log.append(append(&one, 3, &["new"])).await.unwrap().seq, Seq(4));
    // A message happens once per stream, not once in the world.
    log.append(append(&other, 0, &["a"])).await.unwrap();
    // One append with one id twice has no outcome to give back.
    let Err(AppendError::Repeated(outcomes)) = log.append(append(&one, 4, &["z", "z"])).await else { panic!() };
    assert!(outcomes.is_empty());
    assert_eq!(log.head(&one).await.unwrap().unwrap().seq, Seq(4));
}

pub(super) async fn one_bad_append_harms_no_other(log: EventLog) {
    let streams: Vec<_> = (0..40).map(|n| stream(&format!("s{n}"))).collect();
    join_all(streams.iter().map(|stream| log.append(append(stream, 0, &["first"])))).await;
    // All at once, so that they share transactions: every fourth is stale, every next one repeats.
    let appends = streams.iter().enumerate().map(|(n, stream)| match n % 4 {
        0 => append(stream, 0, &["stale"]),
        1 => append(stream, 1, &["second", "first"]),
        _ => append(stream, 1, &["second"]),
    });
    let answers = join_all(appends.map(|append| log.append(append))).await;
    for (n, answer) in answers.iter().enumerate() {
        match n % 4 {
            0 => assert!(matches!(answer, Err(AppendError::Stale { head: Seq(1) })), "{n}: {answer:?}"),
            1 => assert!(matches!(answer, Err(AppendError::Repeated(found)) if ids(found) == [(1, "first")])),
            _ => assert_eq!(answer.as_ref().unwrap().seq, Seq(2), "{n}"),
        }
        let length = if n % 4 < 2 { 1 } else { 2 };
        assert_eq!(everything(&log, &streams[n]).await.len(), length, "{n}");
    }
}

pub(super) async fn of_many_who_saw_the_same_head_one_wins(log: EventLog) {
    let stream = stream("d");
    let names: Vec<_> = (0..50).map(|n| format!("m{n}")).collect();
    let answers = join_all(names.iter().map(|id| log.append(append(&stream, 0, &[id])))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|e| matches!(e, AppendError::Stale { head: Seq(1) }))
    );
    assert_eq!(everything(&log, &stream).await.len(), 1);
}

pub(super) async fn appends_in_a_row_need_not_wait_for_each_other(log: EventLog) {
    let stream = stream("d");
    let names: Vec<_> = (0..300).map(|n| format!("m{n}")).collect();
    let mut waiting = Vec::new();
    for (id, seq) in names.iter().zip(0..) {
        // The first poll hands it over, so that they arrive in this order.
        let mut answer = log.append(append(&stream, seq, &[id])).boxed();
        match answer.as_mut().now_or_never() {
            Some(at_once) => assert_eq!(at_once.unwrap().seq, Seq(seq + 1)),
            None => waiting.push((answer, Seq(seq + 1))),
        }
    }
    for (answer, seq) in waiting {
        assert_eq!(answer.await.unwrap().seq, seq);
    }
    assert_eq!(everything(&log, &stream).await.len(), names.len());
}

pub(super) async fn who_expects_any_head_is_never_stale_and_gets_the_head_after(log: EventLog) {
    let stream = stream("d");
    let anywhere = |ids: &[&str]| Append { expected: Expected::Any, ..append(&stream, 0, ids) };
    assert_eq!(log.append(anywhere(&[])).await.unwrap(), Head::default());
    assert_eq!(log.append(anywhere(&["a", "b"])).await.unwrap().seq, Seq(2));
    // All at once, so that they share transactions, among them one that must be at a place.
    let names: Vec<_> = (0..40).map(|n| format!("m{n}")).collect();
    let at = log.append(append(&stream, 2, &["at"])).boxed();
    let others = names.iter().map(|id| log.append(anywhere(&[id, &format!("{id}-too")])).boxed());
    let answers = join_all(std::iter::once(at).chain(others)).await;
    let mut places: Vec<_> = answers.iter().skip(1).map(|answer| answer.as_ref().unwrap().seq.0).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), names.len(), "each one got its own head");
    let head = if answers[0].is_ok() { 83 } else { 82 };
    assert_eq!(log.append(anywhere(&[])).await.unwrap().seq, Seq(head));
    let events = everything(&log, &stream).await;
    assert_eq!(events.len() as u64, head);
    for (id, answer) in names.iter().zip(&answers[1..]) {
        let last = usize::try_from(answer.as_ref().unwrap().seq.0).unwrap();
        assert_eq!(events[last - 2].message_id.as_str(), id, "the events of one append stand together");
        assert_eq!(events[last - 1].message_id.as_str(), format!("{id}-too"));
    }
    // A message happens once, wherever the stream ends.
    let Err(AppendError::Repeated(found)) = log.append(anywhere(&["new", "b"])).await else { panic!() };
    assert_eq!(ids(&found), [(2, "b")]);
    assert_eq!(log.append(anywhere(&[])).await.unwrap().seq, Seq(head));
}
