//! What the algebra and the tree cost: `cargo bench --bench text`.
//!
//! Plain clocks and a table, no statistics: each number is the mean of a run long enough to be stable, with
//! what one in a hundred edits exceeds beside it where that matters.

#![expect(clippy::disallowed_methods, reason = "measures real time")]
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::cast_precision_loss, reason = "a measurement has fewer digits than that")]

use std::{hint::black_box, io::Read, time::Instant};

use scriptorium::text::{Attributes, Carried, Delta, Footprint, Priority, RichText, Splice, Utf16};
use serde_json::{Value, json};

const RUNS: usize = 20_000;
const RUN_LENGTH: usize = 500;
const TRACE_EDITS: usize = 259_778;

fn main() {
    let (large, small) = (document(RUNS, RUN_LENGTH), document(200, RUN_LENGTH));
    println!("{:<66} {:>12} {:>12}", "what", "mean", "1 in 100");
    whole_document(&large);
    for (document, name) in [(&small, "100 KB, 200 runs"), (&large, "10 MB, 20,000 runs")] {
        let length = document.length::<Utf16>();
        let insert = move |at| Delta::new().retain(at % length).insert("x", Attributes::NONE);
        let delete = move |at| Delta::new().retain(at % (length / 2)).delete(1);
        edits(&format!("insert of one character, {name}"), document, Keep::Nothing, insert);
        edits(&format!("insert with a snapshot kept of every version, {name}"), document, Keep::Snapshot, insert);
        edits(&format!("delete of one character, {name}"), document, Keep::Nothing, delete);
        let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
        let format = move |at| Delta::new().retain(at % (length - 20)).format(20, bold.clone());
        edits(&format!("format of 20 characters, {name}"), document, Keep::Nothing, format);
    }
    let mut wide = document(RUNS, RUN_LENGTH);
    wide.apply(&Delta::new().retain(RUN_LENGTH).insert("😀", Attributes::NONE)).expect("inside");
    edits("insert of one character, 10 MB with surrogate pairs", &wide, Keep::Nothing, |at| {
        Delta::new().retain(at % (RUNS * RUN_LENGTH - 9) + 9).insert("x", Attributes::NONE)
    });
    refold();
    transforms();
}

/// Not random, but without a pattern that a cache could learn.
struct Places(u64);

impl Places {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits")
    }
}

fn document(runs: usize, length: usize) -> RichText {
    let text = "lorem ipsum ".repeat(length / 12 + 1);
    let mut delta = Delta::<Utf16>::new();
    for run in 0..runs {
        let color = [("color".to_owned(), json!(run % 7))].into_iter().collect();
        delta = delta.insert(&text[..length], color);
    }
    RichText::from_delta(&delta).expect("only inserts")
}

fn row(what: &str, mean: f64, rare: f64) {
    let time = |ns: f64| match ns {
        ns if ns.is_nan() => String::new(),
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    };
    println!("{what:<66} {:>12} {:>12}", time(mean), time(rare));
}

fn timed<T>(what: &str, times: usize, mut run: impl FnMut() -> T) {
    let start = Instant::now();
    for _ in 0..times {
        black_box(run());
    }
    row(what, start.elapsed().as_nanos() as f64 / times as f64, f64::NAN);
}

fn whole_document(large: &RichText) {
    let delta = large.to_delta::<Utf16>();
    timed("from_delta, 10 MB, 20,000 runs", 5, || RichText::from_delta(&delta));
    timed("to_delta, 10 MB, 20,000 runs", 5, || large.to_delta::<Utf16>());
    let plain = Delta::<Utf16>::new().insert("lorem ipsum ".repeat(850_000), Attributes::NONE);
    timed("from_delta, 10 MB, one run", 5, || RichText::from_delta(&plain));
    timed("paste of 10 MB into an empty document", 5, || RichText::new().apply(&plain));
    timed("text, 10 MB", 5, || large.text());
    timed("word_count, 10 MB", 5, || large.word_count());
    timed("clone, 10 MB", 1_000_000, || large.clone());
}

#[derive(Clone, Copy)]
enum Keep {
    Nothing,
    Snapshot,
}

fn edits(what: &str, document: &RichText, keep: Keep, edit: impl Fn(usize) -> Delta) {
    let (mut document, mut places) = (document.clone(), Places(7));
    // Nothing is shared with the original any more after this.
    document = RichText::from_delta(&document.to_delta::<Utf16>()).expect("only inserts");
    let edits: Vec<_> = (0..20_000).map(|_| edit(places.next())).collect();
    let mut times = Vec::with_capacity(edits.len());
    for edit in &edits {
        let kept = if let Keep::Snapshot = keep { Some(document.clone()) } else { None };
        let start = Instant::now();
        document.apply(edit).expect("inside");
        times.push(start.elapsed().as_nanos() as f64);
        drop(black_box(kept));
    }
    times.sort_by(f64::total_cmp);
    row(what, times.iter().sum::<f64>() / times.len() as f64, times[times.len() / 100 * 99]);
}

fn refold() {
    let (name, edits) = recorded_trace().unwrap_or_else(|| ("generated trace", generated_trace()));
    let mut document = RichText::new();
    let start = Instant::now();
    for edit in &edits {
        document.apply(edit).expect("inside");
    }
    let elapsed = start.elapsed();
    row(&format!("refold of {} edits, {name}", edits.len()), elapsed.as_nanos() as f64, f64::NAN);
    println!("{:<66} {:>12.0} per s", "", edits.len() as f64 / elapsed.as_secs_f64());
    println!("{:<66} {:>12}", "    pieces of the document after it", document.chunks().count());
    timed("compose of the first 2,000 edits, one after the other", 1, || {
        edits[..2_000].iter().fold(Delta::new(), |all, edit| all.compose(edit))
    });
}

/// The writing of a paper, keystroke by keystroke, where the traces are at hand.
fn recorded_trace() -> Option<(&'static str, Vec<Delta>)> {
    let folder = std::env::var("EDITING_TRACES").unwrap_or_else(|_| "../shared/traces".to_owned());
    let file = std::fs::File::open(format!("{folder}/automerge-paper.json.gz")).ok()?;
    let mut json = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut json).expect("a readable trace");
    let trace: Value = serde_json::from_str(&json).expect("JSON");
    let transactions = trace["txns"].as_array().expect("transactions").iter();
    let patches = transactions.flat_map(|transaction| transaction["patches"].as_array().expect("patches"));
    let length = |value: &Value| usize::try_from(value.as_u64().expect("a length")).expect("fits");
    let edit = |patch: &Value| {
        let insert = patch[2].as_str().expect("text");
        Delta::new().retain(length(&patch[0])).insert(insert, Attributes::NONE).delete(length(&patch[1]))
    };
    Some(("automerge-paper", patches.map(edit).collect()))
}

/// Bursts of typing at places of which most are near, with a delete for every fourth insert.
fn generated_trace() -> Vec<Delta> {
    let (mut places, mut at, mut length) = (Places(1), 0, 0_usize);
    let mut edit = |_| {
        if places.next() % 40 == 0 {
            at = places.next() % (length + 1);
        }
        if at > 0 && places.next() % 4 == 0 {
            (at, length) = (at - 1, length - 1);
            return Delta::new().retain(at).delete(1);
        }
        (at, length) = (at + 1, length + 1);
        Delta::new().retain(at - 1).insert("e", Attributes::NONE)
    };
    (0..TRACE_EDITS).map(&mut edit).collect()
}

fn transforms() {
    let mut places = Places(3);
    let edits: Vec<Delta> = (0..600)
        .map(|at| {
            let edit = Delta::new().retain(places.next() % 100_000);
            if at % 4 == 0 { edit.delete(1) } else { edit.insert("x", Attributes::NONE) }
        })
        .collect();
    let incoming = Delta::new().retain(50_000).insert("y", Attributes::NONE);
    let footprints: Vec<Footprint> = edits.iter().map(Footprint::of).collect();
    let splices: Vec<Splice> = edits.iter().filter_map(Splice::of).collect();
    let splice = Splice::of(&incoming).expect("one place");

    timed("600 Splice::transform", 2_000, || {
        splices.iter().try_fold(splice, |incoming, splice| splice.transform(black_box(incoming), Priority::First))
    });
    timed("600 Delta::transform", 500, || {
        edits.iter().fold(incoming.clone(), |incoming, edit| edit.transform(&incoming, Priority::First))
    });
    timed("Carried::cross with 600 footprints, and the footprints' copy", 1_000, || {
        let (mut carried, mut footprints) = (Carried::new(incoming.clone()), footprints.clone());
        for footprint in &mut footprints {
            carried.cross(footprint);
        }
        carried.into_delta()
    });
    timed("Carried::over 600 footprints", 2_000, || {
        let mut carried = Carried::new(incoming.clone());
        for footprint in &footprints {
            carried.over(footprint);
        }
        carried.into_delta()
    });
    timed("Delta of one typed character", 1_000_000, || {
        Delta::<Utf16>::new().retain(black_box(5)).insert("x", Attributes::NONE)
    });
}
