//! What comments cost the edits around them: `cargo bench --bench comments`; `-- 0 100` for these numbers of threads alone.
//!
//! A document of 100 KB, edited at places all over it, with more and more threads: the mean of an edit, and of
//! an edit on a fresh clone, as the first one of each batch is.

#![expect(clippy::disallowed_methods, reason = "measures real time")]
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::cast_precision_loss, reason = "a measurement has fewer digits than that")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set its scene is to fail")]

use std::{hint::black_box, sync::Arc, time::Instant};

use scriptorium::{
    domain::{CommentChange, CommentId, Commented, NewComment, NewThread, Stretch, ThreadId, Timestamp, UserId},
    projection::Document,
    text::{Attributes, Delta, Utf16},
};

const LENGTH: usize = 100_000;
const EDITS: usize = 20_000;

fn main() {
    println!("{:<10} {:>12} {:>12} {:>16} {:>16}", "threads", "insert", "delete", "insert, cloned", "delete, cloned");
    let named: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let all = if named.is_empty() { vec![0, 1, 100, 1_000, 10_000, 100_000] } else { named };
    for threads in all {
        let document = document(threads);
        let insert = |at: usize| Delta::new().retain(at % LENGTH).insert("x", Attributes::NONE);
        let delete = |at: usize| Delta::new().retain(at % (LENGTH - EDITS)).delete(1);
        let [a, b, c, d] = [
            mean(&document, insert, Keep::Nothing),
            mean(&document, delete, Keep::Nothing),
            mean(&document, insert, Keep::Each),
            mean(&document, delete, Keep::Each),
        ];
        println!("{threads:<10} {a:>9.2} us {b:>9.2} us {c:>13.2} us {d:>13.2} us");
    }
}

fn document(threads: usize) -> Document {
    let mut document = Document::new();
    document.edit(&Delta::new().insert("lorem ipsu".repeat(LENGTH / 10), Attributes::NONE)).unwrap();
    for n in 0..threads {
        let start = n * 7_919 % (LENGTH - 50);
        let begins = NewThread {
            place: document.place(Stretch { start, end: start + 5 + n % 40 }).unwrap(),
            quote: "lorem".into(),
        };
        let new = NewComment {
            id: CommentId::parse(&format!("c{n}")).unwrap(),
            thread: ThreadId::parse(&format!("t{n}")).unwrap(),
            content: "why?".into(),
            author_name: None,
            begins: Some(begins),
        };
        let change = CommentChange::Added(Arc::new(new));
        document.comment(&Commented { change, by: UserId::parse("ann").unwrap(), at: Timestamp(1) }).unwrap();
    }
    document
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Keep {
    Nothing,
    Each,
}

fn mean(document: &Document, edit: impl Fn(usize) -> Delta<Utf16>, keep: Keep) -> f64 {
    let (mut document, mut place) = (document.clone(), 7_usize);
    let edits: Vec<_> = (0..EDITS)
        .map(|_| {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            edit(place >> 33)
        })
        .collect();
    let start = Instant::now();
    for edit in &edits {
        let kept = (keep == Keep::Each).then(|| document.clone());
        document.edit(edit).unwrap();
        drop(black_box(kept));
    }
    start.elapsed().as_nanos() as f64 / 1e3 / EDITS as f64
}
