//! Whatever text a client sends, it is read or refused with a reason: the laws of `fuzz/laws/frame.rs`, which
//! `make fuzz` runs on ever new input, on the seeds of that fuzzing and on what chance makes of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail")]

#[path = "../fuzz/laws/frame.rs"]
mod law;

use std::fs;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Map, Value, json};

/// Frames that are made per test run, unless `FRAMES` says otherwise.
const FRAMES: usize = 100_000;

/// Valid frames, by their names.
fn seeds() -> Vec<(String, String)> {
    let files = fs::read_dir("fuzz/seeds/frame").unwrap().map(|entry| entry.unwrap().path());
    let mut seeds: Vec<_> = files
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

fn number_from_env(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A law that breaks panics; the frame that broke it is printed then.
fn check(frame: &str) -> law::Tally {
    std::panic::catch_unwind(|| law::check(frame)).unwrap_or_else(|_| panic!("this frame breaks a law: {frame}"))
}

#[test]
fn every_seed_says_what_its_name_says() {
    for (name, frame) in seeds() {
        let law::Tally { applied, unfit, other, refused } = check(&frame);
        // Each counts twice: once in each unit.
        let expected = match name.as_str() {
            "array" => (1, 1, 4, 2),
            // 28 units are there, but only 25 code points.
            "end" => (1, 1, 0, 0),
            "far" => (0, 2, 0, 0),
            "cursor" | "ping" | "sync" | "typing" => (0, 0, 2, 0),
            "unknown" => (0, 0, 0, 2),
            _ => (2, 0, 0, 0),
        };
        assert_eq!((applied, unfit, other, refused), expected, "{name}");
    }
}

#[test]
fn no_frame_breaks_a_law() {
    let seed = number_from_env("CAMPAIGN_SEED", 1) as u64;
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance(SmallRng::seed_from_u64(seed));
    let texts: Vec<_> = seeds().into_iter().map(|(_, frame)| frame).collect();
    let values: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let words = words(&values);
    let mut total = law::Tally::default();
    let frames = number_from_env("FRAMES", FRAMES);
    for _ in 0..frames {
        let frame = match chance.below(8) {
            0 => chance.noise(),
            1..=3 => chance.broken_text(&texts),
            _ => chance.broken_value(&values, &words).to_string(),
        };
        let law::Tally { applied, unfit, other, refused } = check(&frame);
        total.applied += applied;
        total.unfit += unfit;
        total.other += other;
        total.refused += refused;
    }
    println!("{total:?}");
    for (what, count) in [("fit", total.applied), ("do not fit", total.unfit), ("are refused", total.refused)] {
        assert!(count > frames / 100, "chance made only {count} that {what}: it tests nothing");
    }
}

#[test]
fn an_answer_is_small_however_large_the_mistake() {
    let large = "\u{1}".repeat(100_000);
    let edit = |operation: Value, version: Value| json!({"type": "operation", "event": "document_edit", "data": {"operation": operation, "version": version}});
    let insert = json!({"type": "insert", "position": 0, "content": "x"});
    for frame in [
        large.clone(),
        json!({"type": large, "event": large, "data": {}}).to_string(),
        json!({"type": "system", "event": "ping", "data": large}).to_string(),
        json!({"type": "system", "event": "ping", "data": {}, "message_id": large}).to_string(),
        json!({"type": "system", "event": "ping", "data": {}, "client_id": large}).to_string(),
        edit(insert.clone(), json!(large)).to_string(),
        edit(insert, json!({ large.clone(): 1 })).to_string(),
        edit(json!({"type": large}), json!(0)).to_string(),
        edit(json!({"type": "insert", "position": large}), json!(0)).to_string(),
        edit(json!({"type": "format", "position": 0, "length": 1, "attributes": { large.clone(): large }}), json!(0))
            .to_string(),
        edit(json!({"type": "delta", "ops": [{"insert": 1, large.clone(): large}]}), json!(0)).to_string(),
        edit(json!({"type": "delta", "ops": large}), json!(0)).to_string(),
    ] {
        let tally = law::check(&frame);
        assert_eq!(tally.refused, 2, "{}", frame.chars().take(120).collect::<String>());
    }
}

/// Everything that stands in these values.
fn words(values: &[Value]) -> Vec<Value> {
    let mut found: Vec<Value> = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(5.0),
        json!(0.5),
        json!(7),
        json!(28),
        json!(29),
        json!(9_007_199_254_740_993_i64),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\u{1F600}"),
        json!("\u{0}"),
        json!("\u{FFFC}"),
        json!([]),
        json!({}),
        json!({"insert": "\u{10190}"}),
    ]
    .into();
    let mut left: Vec<&Value> = values.iter().collect();
    while let Some(value) = left.pop() {
        found.push(value.clone());
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(map) => {
                found.extend(map.keys().map(|key| json!(key)));
                left.extend(map.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

struct Chance(SmallRng);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn character(&mut self) -> char {
        match self.below(4) {
            0 => *self.one_of(&['"', '\\', '{', '}', '[', ']', ',', ':', '0', '9', '-', '.', 'e', 'u']),
            1 => char::from(self.0.random_range(0..128_u8)),
            _ => self.0.random(),
        }
    }

    fn noise(&mut self) -> String {
        let length = self.below(80);
        let start = *self.one_of(&["", "[", "{", "{\"type\":", "[[[[", "\u{FEFF}{"]);
        start.chars().chain((0..length).map(|_| self.character())).collect()
    }

    /// A valid frame with a few wounds.
    fn broken_text(&mut self, texts: &[String]) -> String {
        let mut text: Vec<char> = self.one_of(texts).chars().collect();
        for _ in 0..=self.below(3) {
            let (from, to) = (self.below(text.len() + 1), self.below(text.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 20));
            match self.below(5) {
                0 => drop(text.drain(from..to)),
                1 => text.insert(from, self.character()),
                2 => text.extend_from_within(from..to),
                3 => drop(text.splice(from..from, text[from..to].to_vec())),
                _ => {
                    let other: Vec<char> = self.one_of(texts).chars().collect();
                    let at = self.below(other.len());
                    text.splice(from..to, other[at..].iter().copied().take(30));
                }
            }
        }
        text.into_iter().collect()
    }

    /// A valid frame that still is JSON, with a few places changed.
    fn broken_value(&mut self, values: &[Value], words: &[Value]) -> Value {
        let mut value = self.one_of(values).clone();
        for _ in 0..=self.below(3) {
            self.change(&mut value, words);
        }
        value
    }

    /// Goes down a random path, and changes what is at its end.
    fn change(&mut self, value: &mut Value, words: &[Value]) {
        let stay = self.below(6) == 0;
        match value {
            Value::Array(items) if !items.is_empty() && !stay => {
                let at = self.below(items.len());
                match self.below(8) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    2 => items.insert(at, self.one_of(words).clone()),
                    _ => self.change(&mut items[at], words),
                }
            }
            Value::Object(map) if !map.is_empty() && !stay => {
                let key = map.keys().nth(self.below(map.len())).unwrap().clone();
                match self.below(10) {
                    0 => drop(map.remove(&key)),
                    1 => self.add(map, words),
                    _ => self.change(&mut map[&key], words),
                }
            }
            Value::Number(_) if self.below(4) > 0 => *value = json!(self.below(32)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                *value = self.one_of(words).clone();
            }
        }
    }

    fn add(&mut self, map: &mut Map<String, Value>, words: &[Value]) {
        if let Value::String(key) = self.one_of(words).clone() {
            map.insert(key, self.one_of(words).clone());
        }
    }
}
