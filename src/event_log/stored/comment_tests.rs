//! Every form of comments ever shipped stays readable, and is what is written.

use std::{fs, path::Path, sync::Arc};

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{json, value::to_raw_value};

use super::{Stored, decode, decode_body, decode_snapshot, encode, encode_snapshot};
use crate::{
    domain::{
        ClientId, CommentCause, CommentChange, CommentId, Commented, Event, NewComment, NewThread, Place, Placed,
        PositionEncoding, Seq, Stretch, ThreadId, Timestamp, UserId, Version,
    },
    projection::{Comment, Comments, SavedComments, SavedDeletion, SavedPart, SavedThread, Stamp},
    text::{Attributes, Delta, RichText, Utf16},
};

/// One case of the golden file: the stored texts to the letter. Without a cause it is a snapshot.
#[derive(Deserialize)]
struct Golden {
    what: String,
    stored: String,
    cause: Option<String>,
}

fn golden() -> Vec<Golden> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/comments.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

fn comment(name: &str) -> CommentId {
    CommentId::parse(name).unwrap()
}

fn at(start: usize, end: usize) -> Stretch {
    Stretch { start, end }
}

fn place(utf16: Stretch, code_points: Stretch) -> Place {
    Place { utf16, code_points }
}

/// What the cases mean, in their order.
fn meant() -> Vec<(CommentChange, &'static str, i64)> {
    let (xyz, abc) = (comment("comment_xyz789"), thread("thread_abc123"));
    let quoted = NewThread { place: place(at(45, 89), at(44, 88)), quote: "the quoted text".into() };
    let first = NewComment {
        id: xyz.clone(),
        thread: abc.clone(),
        content: "This \"section\"\nneeds more".into(),
        author_name: Some("John Doe".into()),
        begins: Some(quoted),
    };
    let reply =
        NewComment { id: comment("c2"), thread: abc.clone(), content: "Yes.".into(), author_name: None, begins: None };
    let (comment, thread) = (|| xyz.clone(), || abc.clone());
    let content = "Updated comment text".into();
    vec![
        (CommentChange::Added(Arc::new(first)), "Ann 𐆐", 1_736_245_800_000_000),
        (CommentChange::Added(Arc::new(reply)), "user_456", 1_736_245_800_000_001),
        (CommentChange::Updated { comment: comment(), thread: thread(), content }, "user_123", 1_736_246_100_000_000),
        (CommentChange::Resolved { comment: comment(), thread: thread() }, "user_456", 1_736_246_400_000_000),
        (CommentChange::Reopened { comment: comment(), thread: thread() }, "user_456", 1_736_246_400_000_001),
        (CommentChange::Deleted { comment: comment(), thread: thread() }, "user_123", 1_736_246_700_000_000),
    ]
}

#[test]
fn every_comment_event_ever_shipped_stays_readable() {
    let (golden, meant) = (golden(), meant());
    for (Golden { what, stored, cause }, (change, by, moment)) in golden.iter().zip(&meant) {
        let cause = cause.clone().unwrap();
        let Event::Commented(read, how) = decode(stored.as_bytes(), cause.as_bytes()).unwrap() else {
            panic!("{what}")
        };
        assert_eq!(read, Commented { change: change.clone(), by: user(by), at: Timestamp(*moment) }, "{what}");
        assert!(cause.contains(how.received.get()), "{what}: to the letter");
        let written = encode(&Event::Commented(read, how)).unwrap();
        assert_eq!(written, Stored { body: stored.clone(), cause }, "{what}");
    }
    let how = |at: usize| match decode(golden[at].stored.as_bytes(), golden[at].cause.as_ref().unwrap().as_bytes()) {
        Ok(Event::Commented(_, how)) => how,
        other => panic!("{other:?}"),
    };
    assert_eq!((how(0).base, how(0).encoding), (Some(Version(16)), PositionEncoding::Utf16));
    assert_eq!((how(1).base, how(1).encoding), (None, PositionEncoding::Utf32));
    assert_eq!(how(1).client, ClientId::parse("client_def456").unwrap());
}

#[test]
fn an_edit_that_reattaches_stays_readable() {
    let Golden { stored, cause, .. } = &golden()[meant().len()];
    let cause = cause.clone().unwrap();
    let Event::Edited(read) = decode(stored.as_bytes(), cause.as_bytes()).unwrap() else { panic!() };
    let found = |name, utf16, code_points| Placed { thread: thread(name), place: place(utf16, code_points) };
    let expected = [found("thread_abc123", at(45, 89), at(44, 88)), found("t2", at(0, 3), at(0, 3))];
    assert_eq!(read.placed, expected);
    assert_eq!(read.applied, Delta::new().retain(45).insert("the text", Attributes::NONE).delete(2));
    assert_eq!(encode(&Event::Edited(read)).unwrap(), Stored { body: stored.clone(), cause });
}

#[test]
fn a_snapshot_with_comments_stays_readable() {
    let golden = golden();
    let [.., Golden { stored: earlier, .. }, Golden { stored, .. }] = golden.as_slice() else { panic!() };
    let (content, comments) = decode_snapshot(stored.as_bytes()).unwrap();
    let stamp = |name, moment| Some(Stamp { by: user(name), at: Timestamp(moment) });
    let said = |id, seq, author, content: &str, moment| Comment {
        id: comment(id),
        seq: Seq(seq),
        author: user(author),
        author_name: None,
        content: content.into(),
        created_at: Timestamp(moment),
        updated: None,
    };
    let first =
        Comment { author_name: Some("John Doe".into()), ..said("c1", 2, "user_123", "So?", 1_736_245_800_000_000) };
    let second = Comment {
        updated: stamp("admin", 1_736_245_900_000_000),
        ..said("c2", 4, "user_456", "Yes.", 1_736_245_800_000_001)
    };
    let threads = vec![
        SavedThread {
            id: thread("thread_abc123"),
            begun: Seq(2),
            at: at(0, 5),
            quote: "Hello".into(),
            resolved: stamp("user_456", 1_736_246_400_000_000),
            comments: vec![first.into(), second.into()],
        },
        SavedThread {
            id: thread("t2"),
            begun: Seq(3),
            at: at(5, 5),
            quote: "gone".into(),
            resolved: None,
            comments: vec![said("c3", 3, "user_123", "Hm", 1_736_245_800_000_002).into()],
        },
    ];
    let gone = |from, at, length, fingerprint, version, parts| SavedDeletion {
        from,
        at,
        length,
        fingerprint,
        version: Version(version),
        parts,
    };
    let deletions = vec![
        gone(3, 5, 4, 2_305_843_009_213_693_950, 3, vec![SavedPart { thread: 1, from: 0, to: 4 }]),
        gone(7, 7, 1, 98, 4, Vec::new()),
    ];
    assert_eq!(comments, SavedComments { threads, deletions });
    assert_eq!(encode_snapshot(&content, &comments).unwrap(), *stored);
    let mut with_points = comments.clone();
    with_points.deletions[0].from = 5;
    assert_eq!(decode_snapshot(earlier.as_bytes()).unwrap(), (content.clone(), with_points));
    let length = RichText::from_delta(&content).unwrap().length::<Utf16>();
    assert_eq!(Comments::restore(&comments, length).unwrap().saved(), comments, "and can be gone on with");
}

/// Stored with snapshots, so it must never change.
#[test]
fn the_fingerprint_of_a_text_is_what_it_was() {
    use crate::{domain::Effect, projection::Document};
    let mut document = Document::new();
    let edit = |applied| Effect::Edited { applied, placed: Vec::new() };
    document.apply(&edit(Delta::new().insert("a Größe 😀!", Attributes::NONE))).unwrap();
    let (change, ..) = meant().remove(0);
    let CommentChange::Added(new) = change else { unreachable!() };
    let begins = NewThread { place: place(at(0, 1), at(0, 1)), quote: "a".into() };
    let change = CommentChange::Added(Arc::new(NewComment { begins: Some(begins), ..(*new).clone() }));
    document.comment(&Commented { change, by: user("ann"), at: Timestamp(1) }).unwrap();
    document.apply(&edit(Delta::new().retain(2).delete(8))).unwrap();
    let saved = document.comments().saved();
    assert_eq!((saved.deletions[0].length, saved.deletions[0].fingerprint), (8, FINGERPRINT));
}

/// Of "Größe 😀": the polynomial of its UTF-16 units plus one, computed elsewhere.
const FINGERPRINT: u64 = 1_355_553_715_043_915_123;

#[test]
fn what_is_not_a_form_is_refused_with_a_reason() {
    for (body, why) in [
        (r#"["comment_added.1",1,"u","c","t","x",null]"#, "invalid length"),
        (r#"["comment_added.1",1,"u","c","t","x",null,null,null]"#, "trailing"),
        (r#"["comment_added.1",1,"u","c c","t","x",null,null]"#, "comment.id"),
        (r#"["comment_added.1",1,"u","c","t","x",null,[5,4,5,5,"q"]]"#, "ends before it begins"),
        (r#"["comment_resolved.1",1,"","c","t"]"#, "user_id"),
        (r#"["comment_resolved.2",1,"u","c","t"]"#, "not a known form"),
        (r#"["edited.2"]"#, "anchors"),
        (r#"["edited.2",[["t",1,2,3]],5]"#, "invalid length"),
    ] {
        let refused = decode_body(body.as_bytes()).unwrap_err();
        assert!(refused.contains(why), "{body}: {refused}");
    }
    let (body, cause) =
        (r#"["comment_deleted.1",1,"u","c","t"]"#, r#"["cause.1","u","c",3,2,null,"utf-16",false,null,{}]"#);
    assert!(decode(body.as_bytes(), cause.as_bytes()).unwrap_err().contains("another kind"));
}

proptest! {
    #[test]
    fn what_is_written_is_read(content: String, name in prop::option::of(any::<String>()), quote: String, moment: i64, ends: [u32; 4]) {
        let [a, b, c, d] = ends.map(|end| end as usize);
        let place = place(at(a.min(b), a.max(b)), at(c.min(d), c.max(d)));
        let new = NewComment {
            id: comment("c"),
            thread: thread("t"),
            content: content.clone().into(),
            author_name: name.map(Into::into),
            begins: Some(NewThread { place, quote: quote.into() }),
        };
        let cause = CommentCause {
            client: ClientId::parse("c/1").unwrap(),
            base: Some(Version(3)),
            encoding: PositionEncoding::Utf32,
            received: to_raw_value(&json!({"content": content})).unwrap().into(),
        };
        let commented = Commented { change: CommentChange::Added(Arc::new(new)), by: user("u"), at: Timestamp(moment) };
        let event = Event::Commented(commented, Arc::new(cause));
        let stored = encode(&event).unwrap();
        prop_assert!(!stored.body.contains('\n'), "a body is one line");
        let read = decode(stored.body.as_bytes(), stored.cause.as_bytes()).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{event:?}"));
    }
}
