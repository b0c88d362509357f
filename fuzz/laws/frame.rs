// What holds for every text frame, whoever sent it. The fuzz target `frame` and `tests/frames.rs` both run this.

use scriptorium::{
    domain::{ClientId, CommentCommand, DocumentId, PositionEncoding},
    protocol::{
        Refusal,
        document::{
            ClientEvent, CommentMessage, EditLimits, EditMessage, Reader, SentOperation, is_same_json, read_sent,
        },
    },
    text::{Attributes, CodePoints, Content, Delta, Op, Priority, RichText, Utf16},
};
use serde_json::json;

/// Small, so that frames meet them.
const LIMITS: EditLimits = EditLimits { components: 6, attributes: 3, attribute_bytes: 60 };
/// An answer to a mistake is no larger, however large the mistake.
const LARGEST_REFUSAL: usize = 8 * 1024;

/// What became of a frame's envelopes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Edits that fit the document.
    pub(crate) applied: usize,
    /// Edits that could be read and do not fit the document.
    pub(crate) unfit: usize,
    /// Other messages that could be read.
    pub(crate) other: usize,
    /// Envelopes, or whole frames, that could not be read.
    pub(crate) refused: usize,
}

/// Reads the frame as a connection in each unit would; panics where a law is broken.
pub(crate) fn check(frame: &str) -> Tally {
    let mut tally = Tally::default();
    for encoding in [PositionEncoding::Utf16, PositionEncoding::Utf32] {
        let reader = Reader {
            document_id: DocumentId::parse("doc").expect("an id"),
            client_id: ClientId::parse("ann-1").expect("an id"),
            encoding,
            limits: LIMITS,
            make_id: || "made-up".to_owned(),
        };
        match reader.read_frame(frame) {
            Err(refusal) => tally.refuse(&refusal),
            Ok(messages) => {
                for message in messages {
                    match message.map(|message| message.event) {
                        Err(refusal) => tally.refuse(&refusal),
                        Ok(ClientEvent::Edit(edit)) => tally.edit(frame, &edit, encoding),
                        Ok(ClientEvent::Comment(comment)) => tally.comment(frame, &comment),
                        Ok(
                            ClientEvent::Cursor(_)
                            | ClientEvent::Typing(_)
                            | ClientEvent::Sync { .. }
                            | ClientEvent::Authenticate { .. }
                            | ClientEvent::Ping { .. },
                        ) => tally.other += 1,
                    }
                }
            }
        }
    }
    tally
}

impl Tally {
    fn refuse(&mut self, refusal: &Refusal) {
        self.refused += 1;
        let data = serde_json::to_value(refusal.data("2026-01-01T00:00:00.000Z")).unwrap();
        assert!(data["error_code"].as_str().is_some_and(|code| !code.is_empty()), "{data}");
        assert!(data["message"].as_str().is_some_and(|words| !words.is_empty()), "{data}");
        let size = data.to_string().len();
        assert!(size <= LARGEST_REFUSAL, "a refusal of {size} bytes: {}", data["error_code"]);
    }

    fn comment(&mut self, frame: &str, comment: &CommentMessage) {
        assert!(comment.received.get().len() <= frame.len());
        assert!(is_same_json(&comment.received, &comment.received));
        if let CommentCommand::Add { content, position, .. } = &comment.command {
            assert!((1..=10_000).contains(&content.chars().count()) && content.len() <= frame.len());
            assert!(position.is_none_or(|position| position.start < position.end));
        }
        self.other += 1;
    }

    fn edit(&mut self, frame: &str, edit: &EditMessage, encoding: PositionEncoding) {
        assert!(edit.received.get().len() <= frame.len());
        assert!(is_same_json(&edit.received, &edit.received));
        let again = read_sent(&edit.received, encoding).expect("what was accepted can be read again");
        let fits = match (&edit.operation, again) {
            (SentOperation::Utf16(sent), SentOperation::Utf16(again)) => {
                assert_eq!(*sent, again, "the log says what the client said");
                small(sent.ops(), frame);
                in_utf16(sent)
            }
            (SentOperation::CodePoints(sent), SentOperation::CodePoints(again)) => {
                assert_eq!(*sent, again, "the log says what the client said");
                small(sent.ops(), frame);
                in_code_points(sent)
            }
            other => panic!("an edit changed its unit: {other:?}"),
        };
        *(if fits { &mut self.applied } else { &mut self.unfit }) += 1;
    }
}

/// An edit holds no more than its frame.
fn small(ops: &[Op], frame: &str) {
    let bytes = |op: &Op| match op {
        Op::Insert { content: Content::Text(text), .. } => text.as_str().len(),
        Op::Insert { .. } | Op::Retain { .. } | Op::Delete { .. } => 0,
    };
    assert!(ops.iter().map(bytes).sum::<usize>() <= frame.len());
    // A simple operation is a retain and one more; a composite may interleave them.
    assert!(ops.len() <= 4 * LIMITS.components + 2, "{} components", ops.len());
}

/// 28 UTF-16 units, 25 code points: letters, characters of two units, an embed, marks, formats.
fn document() -> RichText {
    let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
    let image = [("image".to_owned(), json!("a.png"))].into_iter().collect();
    let whole: Delta = Delta::new()
        .insert("hello \u{1F600} wor", Attributes::NONE)
        .insert("ld\u{10190}", bold.clone())
        .embed(image, bold)
        .insert("e\u{301}\n\u{1F469}\u{200D}x y z", Attributes::NONE);
    RichText::from_delta(&whole).expect("only inserts")
}

/// Whether the edit fits the document; then it does exactly what the algebra says.
fn in_utf16(edit: &Delta<Utf16>) -> bool {
    let before = document();
    let mut after = before.clone();
    let verdict = before.check(edit);
    assert_eq!(after.apply(edit), verdict);
    let (reach, change) = (edit.base_length(), edit.length_change());
    if verdict.is_err() {
        assert_eq!(after, before, "a refused edit leaves no trace");
        return false;
    }
    assert!(reach <= before.length::<Utf16>());
    assert_eq!(before.length::<Utf16>().checked_add_signed(change), Some(after.length::<Utf16>()));
    let whole = before.to_delta::<Utf16>();
    assert_eq!(after.to_delta::<Utf16>(), whole.compose(edit));
    let mut undone = after.clone();
    assert_eq!(undone.apply(&edit.invert(&before).expect("it fits")), Ok(()));
    assert_eq!(undone, before);

    // Beside an edit of somebody else's, both orders end at the same document.
    let other = Delta::new().retain(3).insert("\u{1F600}", Attributes::NONE).delete(3).retain(2).delete(4);
    let mut one = after;
    one.apply(&edit.transform(&other, Priority::First)).expect("carried over a fitting edit");
    let mut two = before;
    two.apply(&other).expect("it fits");
    two.apply(&other.transform(edit, Priority::Second)).expect("carried over a fitting edit");
    assert_eq!(one, two);
    true
}

/// The same, counted in code points.
fn in_code_points(edit: &Delta<CodePoints>) -> bool {
    let document = document();
    let verdict = document.check(edit);
    let (_, _) = (edit.base_length(), edit.length_change());
    match document.to_utf16(edit) {
        Ok(recounted) => {
            assert_eq!(verdict, Ok(()));
            assert!(in_utf16(&recounted), "code points cannot cut a character");
            assert_eq!(document.to_code_points(&recounted), *edit);
            true
        }
        Err(error) => {
            assert_eq!(verdict, Err(error));
            false
        }
    }
}
