//! Real editing histories, or generated ones of the same shape where the real ones are not at hand.
//!
//! Positions count Unicode code points; all the traces stay in the Basic Multilingual Plane, where UTF-16
//! units are the same numbers.

use std::{fs::File, path::PathBuf};

use flate2::read::GzDecoder;
use scriptorium::text::{Attributes, Delta};
use serde::Deserialize;
use serde_json::{Value, json};

use super::edits::Chance;

/// At a position, delete so many characters and insert this text.
pub(crate) type Patch = (usize, usize, String);

/// One person's writing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sequential {
    pub(crate) end_content: String,
    pub(crate) txns: Vec<Step>,
}

/// What was done at once.
#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) patches: Vec<Patch>,
}

/// The writing of two people at once.
pub(crate) struct Concurrent {
    pub(crate) end_content: String,
    pub(crate) txns: Vec<Transaction>,
}

impl Concurrent {
    /// All transactions, each after everything that it had seen, and of two concurrent ones the first
    /// person's first.
    pub(crate) fn first_first(&self) -> impl Iterator<Item = &Transaction> {
        let mut of = [0, 1].map(|agent| self.txns.iter().filter(move |step| step.agent == agent).peekable());
        let mut done = 0;
        std::iter::from_fn(move || {
            let is_firsts_turn = of[0].peek().is_some_and(|step| step.seen <= done);
            if is_firsts_turn {
                return of[0].next();
            }
            done += 1;
            of[1].next()
        })
    }
}

/// What one of the two did, on the document as they saw it.
pub(crate) struct Transaction {
    /// 0 or 1.
    pub(crate) agent: usize,
    /// How many transactions of the other one they had seen.
    pub(crate) seen: usize,
    pub(crate) patches: Vec<Patch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedTrace {
    end_content: String,
    txns: Vec<RecordedTransaction>,
}

#[derive(Deserialize)]
struct RecordedTransaction {
    parents: Vec<usize>,
    agent: usize,
    patches: Vec<Patch>,
}

/// The recorded trace, or a generated one of `steps` steps.
pub(crate) fn sequential(name: &str, steps: usize) -> Sequential {
    recorded(name).unwrap_or_else(|| generated(steps))
}

/// The recorded trace, or a generated one of `steps` steps.
pub(crate) fn concurrent(name: &str, steps: usize) -> Concurrent {
    recorded(name).map_or_else(|| generated_concurrent(steps), from_recorded)
}

fn recorded<T: for<'de> Deserialize<'de>>(name: &str) -> Option<T> {
    let folder = std::env::var_os("EDITING_TRACES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"), PathBuf::from);
    let path = folder.join(format!("{name}.json.gz"));
    if !path.exists() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{} is missing, and CI=true demands it",
            path.display()
        );
        println!("{} is missing: running on a generated trace", path.display());
        return None;
    }
    Some(serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(File::open(path).unwrap()))).unwrap())
}

/// From the parents of each transaction to the number of foreign ones in its past: the transactions of one
/// agent are a chain, so that number says which.
fn from_recorded(trace: RecordedTrace) -> Concurrent {
    let mut pasts: Vec<[usize; 2]> = Vec::new();
    let mut txns = Vec::new();
    for RecordedTransaction { parents, agent, patches } in trace.txns {
        let mut past = parents
            .iter()
            .fold([0, 0], |past, parent| [0, 1].map(|agent: usize| past[agent].max(pasts[*parent][agent])));
        txns.push(Transaction { agent, seen: past[1 - agent], patches });
        past[agent] += 1;
        pasts.push(past);
    }
    Concurrent { end_content: trace.end_content, txns }
}

const LETTERS: &[&str] = &["a", "e", "n", "r", "s", "t", " ", "é", "中", "\n"];

fn generated(steps: usize) -> Sequential {
    let (mut chance, mut text, mut at) = (Chance::of(1), Plain::default(), 0);
    let mut txns = Vec::new();
    for _ in 0..steps {
        let mut patches = Vec::new();
        for _ in 0..=usize::from(chance.one_in(40)) * chance.below(6) {
            if chance.one_in(50) {
                at = chance.below(text.length() + 1);
            }
            let patch = typed(&mut chance, at, text.length());
            at = patch.0 + patch.2.chars().count();
            text.apply(&patch);
            patches.push(patch);
        }
        txns.push(Step { patches });
    }
    Sequential { end_content: text.to_string(), txns }
}

/// A key press: mostly a letter, sometimes a backspace.
fn typed(chance: &mut Chance, at: usize, length: usize) -> Patch {
    if at > 0 && at <= length && chance.one_in(6) {
        (at - 1, 1, String::new())
    } else {
        (at, 0, (*chance.one_of(LETTERS)).to_owned())
    }
}

/// Two people, each in a part of their own: the first before a separator, the other one behind it.
fn generated_concurrent(steps: usize) -> Concurrent {
    let mut chance = Chance::of(2);
    let mut parts = [Plain::default(), Plain::default()];
    // The length of the first part after each of the first one's transactions, the separator included.
    let mut first_lengths = vec![0, 1];
    let mut txns = vec![Transaction { agent: 0, seen: 0, patches: vec![(0, 0, "\n".to_owned())] }];
    let (mut done, mut seen) = ([1_usize, 0], [0, 1]);
    for _ in 1..steps {
        let agent = chance.below(2);
        let behind = done[1 - agent] - seen[agent];
        seen[agent] += behind.saturating_sub(chance.below(50));
        let at = chance.below(parts[agent].length() + 1);
        let patch = typed(&mut chance, at, parts[agent].length());
        parts[agent].apply(&patch);
        let start = if agent == 0 { 0 } else { first_lengths[seen[1]] };
        txns.push(Transaction { agent, seen: seen[agent], patches: vec![(patch.0 + start, patch.1, patch.2)] });
        done[agent] += 1;
        if agent == 0 {
            first_lengths.push(parts[0].length() + 1);
        }
    }
    Concurrent { end_content: format!("{}\n{}", parts[0], parts[1]), txns }
}

/// Plain text that is edited where it was edited before: a gap buffer.
#[derive(Default)]
pub(crate) struct Plain {
    before: Vec<char>,
    /// Backwards.
    after: Vec<char>,
}

impl Plain {
    /// Its length in code points.
    pub(crate) fn length(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Applies one patch.
    pub(crate) fn apply(&mut self, (position, deleted, inserted): &Patch) {
        while self.before.len() > *position {
            self.after.extend(self.before.pop());
        }
        while self.before.len() < *position {
            self.before.push(self.after.pop().expect("a position inside the text"));
        }
        self.after.truncate(self.after.len() - deleted);
        self.before.extend(inserted.chars());
    }
}

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.before.iter().chain(self.after.iter().rev()).collect::<String>())
    }
}

/// The patches as one operation of the wire; `delta` chooses the form where it can be either.
pub(crate) fn operation(patches: &[Patch], delta: bool) -> Value {
    match patches {
        [(position, deleted, inserted)] if delta => {
            let mut ops = Vec::new();
            ops.extend((*position > 0).then(|| json!({"retain": position})));
            ops.extend((!inserted.is_empty()).then(|| json!({"insert": inserted})));
            ops.extend((*deleted > 0).then(|| json!({"delete": deleted})));
            json!({"type": "delta", "ops": ops})
        }
        [patch] if patch.1 == 0 || patch.2.is_empty() => simple(patch).remove(0),
        _ => json!({"type": "composite", "operations": patches.iter().flat_map(simple).collect::<Vec<_>>()}),
    }
}

fn simple((position, deleted, inserted): &Patch) -> Vec<Value> {
    let delete = (*deleted > 0).then(|| json!({"type": "delete", "position": position, "length": deleted}));
    let insert = (!inserted.is_empty()).then(|| json!({"type": "insert", "position": position, "content": inserted}));
    delete.into_iter().chain(insert).collect()
}

/// The patches as a change.
pub(crate) fn change(patches: &[Patch]) -> Delta {
    patches.iter().fold(Delta::new(), |change, (position, deleted, inserted)| {
        change.compose(&Delta::new().retain(*position).insert(inserted.as_str(), Attributes::NONE).delete(*deleted))
    })
}

#[test]
fn generated_traces_end_where_they_say() {
    let trace = generated(5_000);
    let mut text = Plain::default();
    trace.txns.iter().flat_map(|step| &step.patches).for_each(|patch| text.apply(patch));
    assert_eq!(text.to_string(), trace.end_content);
    assert!(trace.txns.iter().any(|step| step.patches.len() > 1), "some steps have several patches");
    let trace = generated_concurrent(5_000);
    assert!(trace.txns.iter().any(|t| t.agent == 1 && t.seen > 0) && trace.end_content.len() > 1_000);
}
