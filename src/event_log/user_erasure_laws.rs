//! What every log must do when a person is erased. Part of the suite.

use std::{sync::Arc, time::Duration};

use serde_json::{json, value::to_raw_value};

use super::{
    Append, Effort, EventLog, NewEvent, NewPresence, Position, Projection, Snapshot, StoredEvent, StreamName,
    UserErasure,
    suite::{append, edited, joined, left, message, moved, stream},
};
use crate::{
    domain::{
        Cause, ClientId, CommentCause, CommentChange, CommentId, Commented, DocumentId, Edited, Event, Joined,
        NewComment, NewThread, Place, PositionEncoding, PresenceEvent, Profile, Revocation, Revoked, Seq, Stretch,
        ThreadId, Timestamp, UserId, Version,
    },
    projection::{Blame, Document},
    text::{Attributes, Delta},
};

const NOON: Timestamp = Timestamp(9_000_000);
const GRACE: Duration = Duration::ZERO;
/// What must not be found again, apart from the id.
const NAME: &str = "Quagmire Quill";
const SAID: &str = "Quagmire said";
const CLIENT: &str = "Quagmire-phone";

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn id(name: &str) -> DocumentId {
    DocumentId::parse(name).unwrap()
}

fn client(name: &str) -> ClientId {
    ClientId::parse(if name == "quill" { CLIENT } else { "phone" }).unwrap()
}

/// What somebody is called, and says.
fn words(name: &str) -> [&'static str; 2] {
    if name == "quill" { [NAME, SAID] } else { ["Ben", "Ben answered"] }
}

fn edit_by(name: &str, text: &str) -> Event {
    let Event::Edited(it) = edited(Delta::new().insert(text, Attributes::NONE)) else { unreachable!("an edit") };
    let received = to_raw_value(&json!({"operation": {"content": text, "author": name}, "version": 3})).unwrap();
    let cause = Cause { user: user(name), client: client(name), received: received.into(), ..(*it.cause).clone() };
    Event::Edited(Edited { cause: Arc::new(cause), ..it })
}

fn comment_by(name: &str, change: CommentChange) -> Event {
    let cause = CommentCause {
        client: client(name),
        base: None,
        encoding: PositionEncoding::Utf16,
        received: to_raw_value(&json!({"by": name, "content": words(name)[1]})).unwrap().into(),
    };
    Event::Commented(Commented { change, by: user(name), at: Timestamp(7) }, Arc::new(cause))
}

fn said(comment: &str, name: &str, begins: bool) -> CommentChange {
    let place = Place { utf16: Stretch { start: 0, end: 2 }, code_points: Stretch { start: 0, end: 2 } };
    CommentChange::Added(Arc::new(NewComment {
        id: CommentId::parse(comment).unwrap(),
        thread: ThreadId::parse("t").unwrap(),
        content: words(name)[1].into(),
        author_name: Some(words(name)[0].into()),
        begins: begins.then(|| NewThread { place, quote: "te".into() }),
    }))
}

fn updated(comment: &str, content: &str) -> CommentChange {
    let (comment, thread) = (CommentId::parse(comment).unwrap(), ThreadId::parse("t").unwrap());
    CommentChange::Updated { comment, thread, content: content.into() }
}

/// Quill and Ben write a document and talk about it, with everything that is folded from that and saved.
async fn written(log: &EventLog, name: &str) {
    let stream = stream(name);
    let mut story: Vec<Event> =
        (0..700).map(|n| edit_by(if n % 3 == 0 { "quill" } else { "ben" }, &format!("text {n} "))).collect();
    story.push(comment_by("quill", said("c", "quill", true)));
    story.push(comment_by("ben", said("r", "ben", false)));
    story.push(comment_by("quill", updated("c", &format!("{SAID} better"))));
    let thread = ThreadId::parse("t").unwrap();
    story.push(comment_by("quill", CommentChange::Resolved { comment: CommentId::parse("r").unwrap(), thread }));
    let events = story.into_iter().enumerate().map(|(at, event)| {
        let version = Version((at as u64 + 1).min(700));
        NewEvent { message_id: message(at), version, event }
    });
    log.append(Append { events: events.collect(), ..append(&stream, 0, &[]) }).await.unwrap();
    for seq in [300, 701, 704] {
        let document = log.document(&stream, Seq(seq)).await.unwrap();
        log.clone().keeping_history(100).save_snapshot(&stream, &Snapshot::of(&document)).await.unwrap();
    }
    let named = |event| match event {
        PresenceEvent::Joined(it) => PresenceEvent::Joined(Joined {
            client: client(it.user.as_str()),
            profile: Arc::new(Profile { name: Some(words(it.user.as_str())[0].to_owned()), ..Profile::default() }),
            ..it
        }),
        other @ (PresenceEvent::Left(_) | PresenceEvent::Moved(_) | PresenceEvent::Typed(_)) => other,
    };
    let events = [
        joined(1, "quill"),
        joined(2, "ben"),
        moved("quill", 3, None),
        joined(3, "quill"),
        super::suite_presence::typed("quill", None),
        left(1, "quill"),
    ];
    for (n, event) in (1_u64..).zip(events) {
        let new = NewPresence { id: message(n), version: Version(3), event: named(event) };
        log.append_presence(&id(name), Timestamp(5_000 + i64::try_from(n).unwrap()), &[new]).await.unwrap();
    }
    // The beginning is gone, and a snapshot stands for it.
    log.trim_presence(&id(name), Timestamp(5_004)).await.unwrap();
}

async fn kept(log: &EventLog) {
    for projection in Projection::ALL {
        while !log.tend(projection, &mut Effort::full(&mut |_| ())).await.unwrap().is_done {}
    }
}

async fn stored(log: &EventLog) -> Vec<StoredEvent> {
    let (mut exporter, mut all) = (log.export(Position(0)).await.unwrap(), Vec::new());
    loop {
        let page = exporter.next().await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Every text that the log has of these documents.
async fn texts(log: &EventLog, documents: &[&str]) -> Vec<String> {
    let mut texts: Vec<_> =
        stored(log).await.iter().flat_map(|it| [it.body.to_string(), it.cause.to_string()]).collect();
    for name in documents {
        for stream in [stream(name), StreamName::presence(&id(name))] {
            for seq in log.snapshot_places(&stream).await.unwrap() {
                texts.push(log.adapter.snapshot(&stream, seq).await.unwrap().unwrap().content.to_string());
            }
            for projection in Projection::ALL {
                for seq in log.kept_places(projection, &stream).await.unwrap() {
                    texts.push(format!("{seq} {:?}", log.kept_at::<Blame>(&stream, seq).await.unwrap()));
                }
            }
        }
    }
    texts
}

fn mentions(texts: &[String]) -> Vec<&String> {
    let words = ["quill", NAME, SAID, CLIENT];
    texts.iter().filter(|text| words.iter().any(|word| text.contains(word))).collect()
}

/// A new name for somebody who is erased.
async fn nobody(log: &EventLog) -> UserId {
    user(&format!("erased-{}", log.head(&StreamName::erasures()).await.unwrap().unwrap_or_default().seq.0 + 1))
}

async fn erase(log: &EventLog, name: &str) -> (UserErasure, u64) {
    let erasure = log.begin_user_erasure(&user(name), nobody(log).await, NOON).await.unwrap();
    let rewriting = log.complete_user_erasure(&erasure, (NOON, GRACE), |_| ()).await.unwrap();
    (erasure, rewriting.events)
}

/// Quill's own ban that has run out, one that is in force, and one of Ben's that Quill said.
async fn banned(log: &EventLog) {
    let ban = |who: &str, until, by: &str| Revocation {
        revoked: Revoked::User(user(who)),
        until: Timestamp(until),
        reason: Some(NAME.to_owned()),
        by: user(by),
    };
    for (n, ban) in [ban("quill", 5, "boss"), ban("ben", 5, "quill"), ban("dora", 5, "boss")].iter().enumerate() {
        log.append_revocation(message(n), ban, Timestamp(1)).await.unwrap();
    }
}

pub(super) async fn of_an_erased_person_nothing_is_left_but_a_name_that_means_nothing(log: EventLog) {
    let log = log.keeping_projections(100);
    for name in ["d", "e"] {
        written(&log, name).await;
    }
    banned(&log).await;
    kept(&log).await;
    let (before, document) = (stored(&log).await, log.document(&stream("d"), Seq(704)).await.unwrap());
    assert!(mentions(&texts(&log, &["d", "e"]).await).len() > 400);
    assert!(!log.kept_places(Projection::Blame, &stream("d")).await.unwrap().is_empty());

    let (erasure, events) = erase(&log, "quill").await;
    let texts = texts(&log, &["d", "e"]).await;
    // The third ban was of somebody else by somebody else: what it says stays.
    let left: Vec<_> =
        mentions(&texts).into_iter().filter(|text| !text.starts_with(r#"["revoked-by.1","boss""#)).collect();
    assert_eq!(left, Vec::<&String>::new());

    let after = stored(&log).await;
    assert_eq!(after.len(), before.len() + 1, "the erasure itself");
    let mut changed = 0;
    for (before, after) in before.iter().zip(&after) {
        let place = |it: &StoredEvent| (it.stream.clone(), it.seq, it.version, it.message_id.clone(), it.recorded_at);
        assert_eq!((before.position, place(before)), (after.position, place(after)));
        let is_theirs = before.body.contains("quill") || before.cause.contains("quill");
        assert_eq!(before.body != after.body || before.cause != after.cause, is_theirs, "{before:?}");
        changed += u64::from(is_theirs);
    }
    assert_eq!(changed, events);
    let end = after.last().unwrap();
    assert_eq!(&*end.body, format!(r#"["user_erased.1","{}"]"#, erasure.pseudonym));
    assert_eq!((&end.stream, end.recorded_at), (&StreamName::erasures(), NOON));

    // The text is as it was at every place, and everything folds.
    let now = log.document(&stream("d"), Seq(704)).await.unwrap();
    assert_eq!(now.content(), document.content());
    let mut folded = Document::new();
    log.fold(&stream("d"), &mut folded, Seq(704), |_| ()).await.unwrap();
    assert_eq!(folded.comments(), now.comments());
    let threads = now.comments().threads();
    let said: Vec<_> = threads[0].0.comments.iter().map(|it| (it.author.clone(), &*it.content)).collect();
    assert_eq!(said, [(erasure.pseudonym.clone(), ""), (user("ben"), "Ben answered")]);
    let blame: Blame = log.kept(&stream("d"), Seq(704)).await.unwrap();
    let authors: std::collections::BTreeSet<_> = blame.runs().map(|run| run.author.clone()).collect();
    assert_eq!(authors, [erasure.pseudonym.clone(), user("ben")].into());
    // Who is there is, under that name.
    let there = log.presence(&id("d")).await.unwrap().presence;
    let there: Vec<_> =
        there.users().map(|(user, it)| (user.clone(), it.connections.len(), it.profile.name.clone())).collect();
    assert_eq!(there, [(user("ben"), 1, Some("Ben".to_owned())), (erasure.pseudonym.clone(), 1, None)]);
}

/// What a process that starts now folds from the revocations: until when people are shut out, by their own names.
async fn bans(log: &EventLog) -> Vec<(UserId, Timestamp)> {
    let mut bans = std::collections::BTreeMap::new();
    for (_, Revocation { revoked, until, .. }) in log.revocations(Seq(0)).await.unwrap() {
        if let Revoked::User(user) = revoked {
            bans.insert(user, until);
        }
    }
    bans.into_iter().filter(|(user, until)| *until > NOON && !user.as_str().starts_with("erased-")).collect()
}

pub(super) async fn erasing_a_person_changes_nobody_who_is_shut_out(log: EventLog) {
    let later = |hours: i64| Timestamp(NOON.0 + hours);
    let stories = [
        ("lifted", vec![later(5), Timestamp(3)]),
        ("shortened", vec![later(5), later(2)]),
        ("lifted and banned again", vec![later(5), Timestamp(3), later(4)]),
        ("run out", vec![Timestamp(3)]),
        ("banned once", vec![later(1)]),
    ];
    for (number, (who, until)) in
        stories.iter().flat_map(|(who, all)| all.iter().map(move |until| (who, until))).enumerate()
    {
        let ban = Revocation { revoked: Revoked::User(user(who)), until: *until, reason: None, by: user("boss") };
        log.append_revocation(message(number), &ban, Timestamp(1)).await.unwrap();
    }
    let before = bans(&log).await;
    assert_eq!(before.len(), 3, "{before:?}");
    for (who, _) in &stories {
        erase(&log, who).await;
        assert_eq!(bans(&log).await, before, "after erasing the one who was {who}");
    }
    let left = texts(&log, &[]).await;
    let names = |who: &str| left.iter().filter(|text| text.contains(&format!("\"{who}\""))).count();
    assert_eq!(
        stories.each_ref().map(|(who, _)| names(who)),
        [0, 1, 1, 0, 1],
        "a ban in force is the only one that keeps a name"
    );
}

pub(super) async fn erasing_a_person_that_was_interrupted_is_known_and_goes_on(log: EventLog) {
    written(&log, "d").await;
    assert_eq!(log.unfinished_user_erasures().await.unwrap(), []);
    let begun = log.begin_user_erasure(&user("quill"), nobody(&log).await, NOON).await.unwrap();
    let other = log.begin_user_erasure(&user("dora"), nobody(&log).await, NOON).await.unwrap();
    // Another process, later.
    assert_eq!(log.begin_user_erasure(&user("quill"), nobody(&log).await, Timestamp(99)).await.unwrap(), begun);
    assert_eq!(log.unfinished_user_erasures().await.unwrap(), [begun.clone(), other.clone()]);
    let rewriting = log.complete_user_erasure(&begun, (NOON, GRACE), |_| ()).await.unwrap();
    assert_eq!((rewriting.events > 200, rewriting.documents), (true, 1));
    assert_eq!(log.unfinished_user_erasures().await.unwrap(), std::slice::from_ref(&other));
    let nothing = log.complete_user_erasure(&other, (NOON, GRACE), |_| ()).await.unwrap();
    assert_eq!((nothing.events, nothing.documents), (0, 0));
    // Once more changes nothing, and whoever comes back is another person.
    let done = &log.user_erasures(Seq(0)).await.unwrap()[0];
    assert_eq!((&done.user, &done.pseudonym, done.at), (&None, &begun.pseudonym, NOON));
    let before = stored(&log).await;
    log.complete_user_erasure(done, (NOON, GRACE), |_| ()).await.unwrap();
    assert_eq!(stored(&log).await, before);
    let again = NewEvent { message_id: message("again"), version: Version(701), event: edit_by("quill", "x") };
    log.append(Append { events: vec![again], ..append(&stream("d"), 704, &[]) }).await.unwrap();
    let (second, events) = erase(&log, "quill").await;
    assert_eq!(events, 1);
    assert_ne!(second.pseudonym, begun.pseudonym);
}

pub(super) async fn nothing_folded_is_saved_while_a_person_is_erased(log: EventLog) {
    let log = log.keeping_history(100).keeping_projections(100);
    written(&log, "d").await;
    let document = log.document(&stream("d"), Seq(500)).await.unwrap();
    let places = async || {
        let kept = log.kept_places(Projection::Blame, &stream("d")).await.unwrap();
        (log.snapshot_places(&stream("d")).await.unwrap(), kept)
    };
    let before = places().await;
    log.hold_saving(true);
    log.save_snapshot(&stream("d"), &Snapshot::of(&document)).await.unwrap();
    let mut folded = Document::new();
    log.fold_with_landmarks(&stream("d"), &mut folded, Seq(704), |_| ()).await.unwrap();
    log.kept::<Blame>(&stream("d"), Seq(704)).await.unwrap();
    kept(&log).await;
    assert_eq!(log.trim_presence(&id("d"), Timestamp(i64::MAX)).await.unwrap(), 0);
    assert_eq!(places().await, before);
    log.hold_saving(false);
    log.save_snapshot(&stream("d"), &Snapshot::of(&document)).await.unwrap();
    log.rebuild_kept(&stream("d"), Seq(704), &mut Effort::full(&mut |_| ())).await.unwrap();
    let after = places().await;
    assert!(after.0.len() > before.0.len() && after.1.len() > before.1.len(), "{after:?}");
    assert!(log.trim_presence(&id("d"), Timestamp(i64::MAX)).await.unwrap() > 0);
}

pub(super) async fn an_event_is_written_over_where_it_stands_or_not_at_all(log: EventLog) {
    use super::port::Rewritten;
    let other = |seq| Rewritten { seq: Seq(seq), body: r#"["edited.1","O\u0000𐆐\"\n"]"#.into(), cause: "[]".into() };
    super::suite::fill(&log, &stream("d"), 5).await;
    super::suite::fill(&log, &stream("e"), 5).await;
    let before = stored(&log).await;
    assert_eq!(log.adapter.rewrite(&stream("d"), vec![other(2), other(4), other(9)]).await.unwrap(), 2);
    assert_eq!(log.adapter.rewrite(&stream("never"), vec![other(1)]).await.unwrap(), 0);
    let after = stored(&log).await;
    for (before, after) in before.into_iter().zip(after) {
        let is_other = before.stream == stream("d") && [2, 4].contains(&before.seq.0);
        let expected = StoredEvent { body: other(1).body, cause: other(1).cause, ..before.clone() };
        assert_eq!(after, if is_other { expected } else { before });
    }
    log.erase_document(&id("e"), NOON, |_| ()).await.unwrap();
    assert_eq!(log.adapter.rewrite(&stream("e"), vec![other(6)]).await.unwrap(), 0, "a tombstone stays one");
}
