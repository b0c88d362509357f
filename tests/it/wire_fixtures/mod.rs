//! The examples of docs/protocol.md, played against the service.

mod play;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use scriptorium::protocol::ErrorCode;
use serde_json::{Value, json};

use crate::support::wire::is_time;
use play::play;

pub(crate) use play::fits;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Each fixture by its name.
pub(crate) fn fixtures() -> BTreeMap<String, Value> {
    let files = fs::read_dir(root().join("tests/fixtures/wire")).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let fixture = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fixture)
        })
        .collect()
}

#[tokio::test]
async fn every_example_happens_as_it_is_written() {
    for (name, fixture) in fixtures() {
        println!("{name}");
        play(&name, &fixture).await;
    }
}

#[test]
fn an_example_that_differs_is_noticed() {
    let example = json!({"a": [1, {"timestamp": "2025-01-07T10:30:00Z"}], "server_time": 5});
    assert!(fits(&example, &json!({"a": [1, {"timestamp": "2026-01-07T10:30:00.123Z"}], "server_time": 6})));
    for other in [
        json!({"a": [1, {"timestamp": 5}], "server_time": 5}),
        json!({"a": [1], "server_time": 5}),
        json!({"a": [1, {"timestamp": "2025-01-07T10:30:00Z"}], "server_time": 5, "more": 1}),
        json!({"a": [1, {"timestamp": "2025-01-07T10:30:00Z"}]}),
    ] {
        assert!(!fits(&example, &other), "{other}");
    }
    assert!(fits(&json!("…"), &json!("anything")) && !fits(&json!("…"), &Value::Null));
}

/// A block of docs/protocol.md that begins with ```` ```json NAME:STEP ```` shows that step of that fixture.
#[test]
fn the_protocol_page_quotes_only_what_is_tested() {
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let (fixtures, mut quoted) = (fixtures(), 0);
    for block in page.split("```json").skip(1) {
        let (mark, rest) = block.split_once('\n').unwrap();
        let example: Value =
            serde_json::from_str(rest.split("```").next().unwrap()).unwrap_or_else(|error| panic!("{mark}: {error}"));
        let (name, step) =
            mark.trim().split_once(':').unwrap_or_else(|| panic!("an example without its fixture: {example}"));
        let steps = &fixtures.get(name).unwrap_or_else(|| panic!("no fixture {name}"))["steps"];
        let step = &steps[step.parse::<usize>().unwrap() - 1];
        let tested = ["opens", "watches", "sends", "receives", "closed", "posts", "answered"]
            .iter()
            .find_map(|kind| step.get(kind));
        assert_eq!(tested, Some(&example), "{mark}");
        quoted += 1;
    }
    assert!(quoted >= fixtures.len(), "every fixture is worth quoting");
}

fn steps() -> Vec<Value> {
    fixtures().into_values().flat_map(|fixture| fixture["steps"].as_array().unwrap().clone()).collect()
}

/// Whether what was received says all that the reference does. What only the service knows may be anything of the same
/// kind: moments, names that it makes, words for people, and how much text there is.
pub(crate) fn covers(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected.iter().all(|(name, value)| {
            let is_free = matches!(&**name, "server_time" | "message" | "word_count" | "message_id" | "document");
            got.get(name).is_some_and(|got| match value {
                Value::Object(_) if name == "document" => covers_document(value, got),
                Value::Number(_) if is_free => got.is_number(),
                Value::String(_) if is_free => got.is_string(),
                value => covers(value, got),
            })
        }),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| covers(expected, got))
        }
        _ if is_time(expected) => is_time(got),
        _ => expected == got,
    }
}

fn covers_document(expected: &Value, got: &Value) -> bool {
    let mut expected = expected.clone();
    let content = expected.as_object_mut().unwrap().remove("content");
    content.is_some_and(|text| text.is_string() == got["content"].is_string()) && covers(&expected, got)
}

/// Each row in its direction, and each example: what clients send to the letter, what they receive with all that it says.
#[test]
fn the_whole_reference_is_played() {
    let reference = fs::read_to_string(root().join("tests/fixtures/reference.json")).unwrap();
    let reference: Value = serde_json::from_str(&reference).unwrap();
    let (steps, mut examples) = (steps(), reference["messages"].as_array().unwrap().clone());
    assert_eq!((reference["rows"].as_array().unwrap().len(), examples.len()), (16, 19));
    for row in reference["rows"].as_array().unwrap() {
        let [kind, event, way] = [0, 1, 2].map(|at| row[at].as_str().unwrap());
        let ways: &[_] = match way {
            "C→S" => &["sends"],
            "S→C" => &["receives"],
            "Bidirectional" => &["sends", "receives"],
            other => panic!("{other}"),
        };
        let of_row: Vec<_> = examples.extract_if(.., |it| it["type"] == kind && it["event"] == event).collect();
        assert!(!of_row.is_empty(), "{row}");
        for (way, example) in ways.iter().flat_map(|way| of_row.iter().map(move |example| (*way, example))) {
            let is_played = |step: &Value| match way {
                // Where the reference leaves something out anything may stand.
                "sends" => step.get("sends").is_some_and(|sent| fits(example, sent)),
                _ => step.get("receives").is_some_and(|got| covers(example, got)),
            };
            assert!(steps.iter().any(is_played), "nobody {way}\n{example:#}");
        }
    }
    assert!(examples.is_empty(), "{examples:?} is in no row");
}

#[test]
fn whatever_the_reference_says_is_held_against_what_was_received() {
    let example = json!({"version": 3, "users": [{"id": "a", "at": "2025-01-07T10:30:00Z"}], "message": "no"});
    let covered =
        json!({"version": 3, "users": [{"id": "a", "at": "2026-01-07T10:30:00Z", "x": 1}], "message": "never", "y": 2});
    assert!(covers(&example, &covered));
    for (path, other) in
        [("/version", json!(4)), ("/users/0/id", json!("b")), ("/users", json!([])), ("/message", json!(1))]
    {
        let mut changed = covered.clone();
        *changed.pointer_mut(path).unwrap() = other;
        assert!(!covers(&example, &changed), "{changed}");
    }
}

/// What clients may do beyond the reference.
#[test]
fn what_was_added_to_the_reference_is_played() {
    let steps = steps();
    for (way, kind, event) in [
        ("sends", "system", "document_sync"),
        ("sends", "system", "authenticate"),
        ("receives", "system", "authenticated"),
        ("receives", "system", "token_expiring"),
        ("receives", "system", "disconnect"),
        ("receives", "comment", "comment_ack"),
        ("sends", "comment", "comment_reopened"),
        ("receives", "comment", "comment_reopened"),
        ("sends", "replay", "seek"),
        ("sends", "replay", "speed"),
        ("sends", "replay", "pause"),
        ("sends", "replay", "resume"),
        ("receives", "replay", "state"),
    ] {
        let is_played = |step: &Value| step[way]["type"] == kind && step[way]["event"] == event;
        assert!(steps.iter().any(is_played), "nobody {way} {kind}/{event}");
    }
}

#[test]
fn every_error_has_an_example_and_a_line_on_the_page() {
    let (steps, page) = (steps(), fs::read_to_string(root().join("docs/protocol.md")).unwrap());
    for code in ErrorCode::ALL {
        let code = code.as_str();
        assert!(steps.iter().any(|step| step["receives"]["data"]["error_code"] == code), "no example of {code}");
        assert!(page.lines().any(|line| line.starts_with(&format!("| `{code}` | "))), "{code} is not explained");
    }
}

/// The table of ends on the page: each code with each of its reasons happens in a fixture, and no other.
#[test]
fn every_end_on_the_page_has_an_example() {
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let table = page.split("| code | reason | come back? |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut expected = BTreeSet::new();
    for row in table.lines().skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let code: u64 = cells[1].parse().unwrap();
        let reasons = cells[2].split('`').skip(1).step_by(2);
        expected.extend(reasons.map(|reason| (code, reason.to_owned())));
    }
    // The client's own goodbye is given back in its own words.
    expected.insert((1000, "done".to_owned()));
    let closed = steps().into_iter().filter_map(|step| step.get("closed").cloned());
    let played = closed.map(|it| (it["code"].as_u64().unwrap(), it["reason"].as_str().unwrap().to_owned()));
    assert_eq!(played.collect::<BTreeSet<_>>(), expected);
}
