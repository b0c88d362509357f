//! What every log must do with comments: events of a document's stream that are no edits.

use std::sync::Arc;

use serde_json::{json, value::to_raw_value};

use super::{
    Append, EventLog, NewEvent, Snapshot,
    suite::{append, edited, effect_of, everything, message, stream},
};
use crate::{
    domain::{
        ClientId, CommentCause, CommentChange, CommentId, Commented, Edited, Event, NewComment, NewThread, Place,
        Placed, PositionEncoding, Seq, Stretch, ThreadId, Timestamp, UserId, Version,
    },
    projection::Document,
    text::{Attributes, Delta},
};

/// A comment, as the event after others: it takes a place and no version.
fn commented(id: &str, change: CommentChange) -> Event {
    let commented = Commented { change, by: UserId::parse("ann").unwrap(), at: Timestamp(7) };
    let cause = CommentCause {
        client: ClientId::parse("ann-1").unwrap(),
        base: Some(Version(1)),
        encoding: PositionEncoding::Utf32,
        received: to_raw_value(&json!({"comment": {"id": id}})).unwrap().into(),
    };
    Event::Commented(commented, Arc::new(cause))
}

/// What happens to a document, with the version after each event.
fn story() -> Vec<(u64, Event)> {
    let (id, thread) = (CommentId::parse("c").unwrap(), ThreadId::parse("t").unwrap());
    let place = Place { utf16: Stretch { start: 2, end: 4 }, code_points: Stretch { start: 1, end: 3 } };
    let new = |id: &CommentId, begins| NewComment {
        id: id.clone(),
        thread: thread.clone(),
        content: "line\nbreak\0".into(),
        author_name: Some("Ann 𐆐".into()),
        begins,
    };
    let begins = Some(NewThread { place, quote: "ab".into() });
    let reply = CommentId::parse("reply").unwrap();
    let (delete, back) = (Delta::new().retain(2).delete(2), Delta::new().retain(2).insert("ab", Attributes::NONE));
    let placed = vec![Placed { thread: thread.clone(), place }];
    let edit = |applied, placed| match edited(applied) {
        Event::Edited(edited) => Event::Edited(Edited { placed, ..edited }),
        other @ Event::Commented(..) => other,
    };
    vec![
        (1, edited(Delta::new().insert("𐆐ab.", Attributes::NONE))),
        (1, commented("c", CommentChange::Added(Arc::new(new(&id, begins))))),
        (2, edit(delete, Vec::new())),
        (2, commented("r", CommentChange::Added(Arc::new(new(&reply, None))))),
        (3, edit(back, placed)),
        (3, commented("c", CommentChange::Resolved { comment: id.clone(), thread: thread.clone() })),
        (3, commented("c", CommentChange::Reopened { comment: id.clone(), thread: thread.clone() })),
        (
            3,
            commented(
                "c",
                CommentChange::Updated { comment: reply.clone(), thread: thread.clone(), content: "é".into() },
            ),
        ),
        (3, commented("c", CommentChange::Deleted { comment: id, thread: thread.clone() })),
    ]
}

/// Edits and comments of one document, through the log and back, and folded from there with and without snapshots.
pub(super) async fn comments_are_events_among_the_edits(log: EventLog) {
    let stream = stream("d");
    let (mut document, events) = (Document::new(), story());
    let mut seq = 0;
    for (version, event) in &events {
        document.apply(&effect_of(event)).unwrap();
        assert_eq!(document.version(), Version(*version));
        let events = vec![NewEvent { message_id: message(seq), version: Version(*version), event: event.clone() }];
        log.append(Append { events, ..append(&stream, seq, &[]) }).await.unwrap();
        seq += 1;
        if let Event::Edited(_) = event {
            document.modified_at(Timestamp(1_000 + i64::try_from(seq - 1).unwrap()));
        }
        assert_eq!(log.document(&stream, Seq(seq)).await.unwrap(), document, "after event {seq}");
        if seq % 2 == 0 {
            log.save_snapshot(&stream, &Snapshot::of(&document)).await.unwrap();
            assert_eq!(log.restore(&stream, Seq(seq)).await.unwrap(), document, "snapshot {seq}");
        }
    }
    let recorded = everything(&log, &stream).await;
    let changes = log.changes(&stream, Seq(0), 100).await.unwrap();
    for ((recorded, change), (_, event)) in recorded.iter().zip(&changes).zip(&events) {
        assert_eq!(format!("{:?}", recorded.event), format!("{event:?}"));
        assert_eq!(change.effect, effect_of(event));
    }
    assert_eq!(log.seq_of_version(&stream, Version(2)).await.unwrap(), Some(Seq(4)));
    let at = document.comments().thread(&ThreadId::parse("t").unwrap()).unwrap().1;
    assert_eq!(at, Stretch { start: 2, end: 4 }, "the thread lives on in its reply, where its text came back");
}
