//! The laws of the algebra and of the tree, on generated documents and edits.

mod concurrent;
mod laws;
mod model;
mod oracle;
mod tree;

use proptest::{prelude::*, sample::select, test_runner::Config};
use serde_json::json;

use super::{Attributes, Content, Delta, Embed, Op, Utf16};
use model::Model;

/// Cases for laws; failures print their seed and the smallest case, nothing is written to disk.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// What an edit does next, before it is fitted to a document: lengths count characters.
#[derive(Debug, Clone)]
enum Step {
    Retain(usize, Attributes),
    Insert(Content, Attributes),
    Delete(usize),
}

fn attributes(pairs: &[(&str, serde_json::Value)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    select(vec![
        Attributes::NONE,
        Attributes::NONE,
        attributes(&[("bold", json!(true))]),
        attributes(&[("bold", json!(null))]),
        attributes(&[("bold", json!(true)), ("color", json!("red"))]),
        attributes(&[("color", json!("blue"))]),
        attributes(&[("color", json!(null)), ("size", json!(1))]),
        attributes(&[("size", json!(1.0))]),
        attributes(&[("font", json!({"name": "mono", "size": 2}))]),
    ])
}

fn embed(name: &str) -> Embed {
    [("image".to_owned(), json!(name))].into_iter().collect()
}

fn any_content() -> impl Strategy<Value = Content> {
    prop_oneof![
        4 => select(vec!["a", "B", "cd", " ", "é", "ß\n", "€", "𐆐", "😀x", "a😀", "\u{FFFC}"])
            .prop_map(|text| Content::Text(text.into())),
        1 => "[a-c😀𐆐é]{20,60}".prop_map(|text| Content::Text(text.into())),
        1 => select(vec![embed("1.png"), embed("2.png")]).prop_map(Content::Embed),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6_usize, any_attributes()).prop_map(|(length, attributes)| Step::Retain(length, attributes)),
        3 => (any_content(), any_attributes()).prop_map(|(content, attributes)| Step::Insert(content, attributes)),
        2 => (1..5_usize).prop_map(Step::Delete),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any_step(), 0..8)
}

fn any_document() -> impl Strategy<Value = Model> {
    prop::collection::vec((any_content(), any_attributes()), 0..6).prop_map(|inserts| {
        let op = |(content, attributes)| Op::Insert { content, attributes };
        Model::default().apply(&inserts.into_iter().map(op).collect::<Delta<Utf16>>())
    })
}
