//! Random edits of every kind, and the chance that makes them.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use scriptorium::text::{CodePoints, Delta, Utf16};
use serde_json::{Map, Value, json};

use super::{core::Encoding, wire};

/// Longer documents shrink, so that edits keep meeting each other.
const CROWDED: usize = 120;
const PIECES: &[&str] = &[
    "a",
    "b",
    "xyz",
    " ",
    "\n",
    "ß",
    "中文",
    "e\u{301}",
    "\u{1F600}",
    "\u{10190}",
    "\u{1F469}\u{200D}\u{1F467}",
    "word ",
];

/// Seeded chance.
pub(crate) struct Chance(SmallRng);

impl Chance {
    /// The same seed, the same chances.
    pub(crate) fn of(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Whether a chance of one in `n` came true.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A random operation on `document` as the wire says it, and what it means in UTF-16.
pub(crate) fn random(chance: &mut Chance, document: &Delta, encoding: Encoding) -> (Value, Delta) {
    let text: Vec<char> = wire::plain_text(document).chars().collect();
    let operation = match chance.below(10) {
        0 | 1 => composite(chance, &text),
        2 | 3 => delta(chance, &text),
        _ => simple(chance, text.len()),
    };
    let change =
        wire::recount::<CodePoints, Utf16>(&wire::from_operation(&operation), &text.iter().collect::<String>());
    match encoding {
        Encoding::Utf32 => (operation, change),
        Encoding::Utf16 => (in_utf16(&operation, &text), change),
    }
}

/// Positions and lengths count code points here.
fn simple(chance: &mut Chance, length: usize) -> Value {
    let kind = if length == 0 { 0 } else { chance.below(if length > CROWDED { 10 } else { 8 }) };
    match kind {
        0..=3 => {
            let mut insert = json!({"type": "insert", "position": chance.below(length + 1)});
            if chance.one_in(6) {
                insert["embed"] = embed(chance);
            } else {
                insert["content"] = json!(words(chance));
            }
            if chance.one_in(3) {
                insert["attributes"] = attributes(chance).into();
            }
            insert
        }
        4 | 5 => {
            let (position, length) = stretch(chance, length);
            json!({"type": "format", "position": position, "length": length, "attributes": attributes(chance)})
        }
        _ => {
            let (position, length) = stretch(chance, length);
            json!({"type": "delete", "position": position, "length": length})
        }
    }
}

fn composite(chance: &mut Chance, text: &[char]) -> Value {
    let mut text = text.to_vec();
    let mut operations = Vec::new();
    for _ in 0..=chance.below(4) {
        let operation = simple(chance, text.len());
        text = edited(&text, &operation);
        operations.push(operation);
    }
    json!({"type": "composite", "operations": operations})
}

fn delta(chance: &mut Chance, text: &[char]) -> Value {
    let (mut left, mut ops) = (text.len(), Vec::new());
    loop {
        match chance.below(5) {
            0 => ops.push(json!({"insert": words(chance)})),
            1 => ops.push(json!({"insert": embed(chance), "attributes": attributes(chance)})),
            kind if left > 0 => {
                let length = chance.below(left.min(8)) + 1;
                left -= length;
                ops.push(match kind {
                    2 => json!({"retain": length}),
                    3 => json!({"retain": length, "attributes": attributes(chance)}),
                    _ => json!({"delete": length}),
                });
            }
            _ => {}
        }
        if chance.one_in(4) && !ops.is_empty() {
            return json!({"type": "delta", "ops": ops});
        }
    }
}

fn words(chance: &mut Chance) -> String {
    (0..=chance.below(3)).map(|_| *chance.one_of(PIECES)).collect()
}

fn embed(chance: &mut Chance) -> Value {
    chance.one_of(&[json!({"image": "https://example.org/a.png"}), json!({"formula": "e=mc^2"})]).clone()
}

fn attributes(chance: &mut Chance) -> Map<String, Value> {
    let mut attributes = Map::new();
    for _ in 0..=chance.below(2) {
        let (name, value) = chance
            .one_of(&[
                ("bold", json!(true)),
                ("bold", Value::Null),
                ("color", json!("red")),
                ("color", json!("blue")),
                ("color", Value::Null),
                ("heading", json!(2)),
                ("link", json!({"href": "https://example.org", "title": "😀"})),
                ("link", Value::Null),
            ])
            .clone();
        attributes.insert(name.to_owned(), value);
    }
    attributes
}

fn stretch(chance: &mut Chance, length: usize) -> (usize, usize) {
    let position = chance.below(length);
    let most = if length > CROWDED { length - position } else { (length - position).min(10) };
    (position, chance.below(most) + 1)
}

/// The plain text after an operation that counts code points.
fn edited(text: &[char], operation: &Value) -> Vec<char> {
    let whole = Delta::<CodePoints>::new()
        .insert(text.iter().collect::<String>().as_str(), scriptorium::text::Attributes::NONE);
    wire::plain_text(&whole.compose(&wire::from_operation(operation))).chars().collect()
}

/// The same operation in UTF-16 units.
fn in_utf16(operation: &Value, text: &[char]) -> Value {
    let units = |from: usize, length: usize| text[from..from + length].iter().map(|c| c.len_utf16()).sum::<usize>();
    let count = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let mut recounted = operation.clone();
    match operation["type"].as_str().unwrap() {
        "composite" => {
            let mut text = text.to_vec();
            for part in recounted["operations"].as_array_mut().unwrap() {
                let next = edited(&text, part);
                *part = in_utf16(part, &text);
                text = next;
            }
        }
        "delta" => {
            let mut at = 0;
            for op in recounted["ops"].as_array_mut().unwrap() {
                for name in ["retain", "delete"] {
                    if let Some(length) = op.get(name).map(count) {
                        op[name] = json!(units(at, length));
                        at += length;
                    }
                }
            }
        }
        _ => {
            let position = count(&operation["position"]);
            recounted["position"] = json!(units(0, position));
            if let Some(length) = operation.get("length").map(count) {
                recounted["length"] = json!(units(position, length));
            }
        }
    }
    recounted
}
