//! The client algebra against the model of the server: whatever the order of arrival, however long a
//! frame is under way, whoever is cut off and comes back, every client at rest shows the fold of the log.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::support::{
    core::{Core, Form, Manner},
    edits::Chance,
    model::Model,
    number_from_env, wire,
};

/// A client and the two directions of its connection.
struct Line {
    core: Core,
    to_server: VecDeque<Value>,
    to_client: VecDeque<Value>,
}

#[test]
fn every_client_at_rest_shows_the_fold_of_the_log() {
    let first = number_from_env("CAMPAIGN_SEED", 1);
    for seed in first..first + number_from_env("CAMPAIGNS", 150) {
        println!("CAMPAIGN_SEED={seed}");
        campaign(&mut Chance::of(seed));
    }
}

fn campaign(chance: &mut Chance) {
    let mut model = Model::default();
    let manner = Manner { form: Form::Delta, ..Manner::PLAIN };
    let mut lines: Vec<_> = (0..chance.below(5) + 2)
        .map(|n| Line {
            core: Core::new("model", &format!("client-{n}"), manner),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
        })
        .collect();
    for line in &mut lines {
        open(line, &model);
    }
    for _ in 0..chance.below(200) + 40 {
        let at = chance.below(lines.len());
        match chance.below(20) {
            0..=7 => {
                if lines[at].core.is_live() {
                    let envelope = lines[at].core.edit_at_random(chance);
                    lines[at].to_server.push_back(envelope);
                }
            }
            8..=12 => serve(&mut lines, at, &mut model, chance.below(4)),
            13..=18 => hear(&mut lines[at], chance.below(6)),
            _ => open(&mut lines[at], &model),
        }
    }
    for at in 0..lines.len() {
        serve(&mut lines, at, &mut model, usize::MAX);
    }
    for line in &mut lines {
        hear(line, usize::MAX);
        line.core.assert_shows(&model.document(), model.version());
    }
}

/// A new connection: what was under way on the old one is lost.
fn open(line: &mut Line, model: &Model) {
    let resumes = line.core.opening().query.iter().any(|(name, _)| name == "since");
    line.to_client.clear();
    line.to_client.push_back(envelope(
        "connection_ack",
        &json!({"client_id": line.core.client_id, "position_encoding": "utf-16", "resumed": resumes}),
    ));
    if resumes {
        for version in line.core.version + 1..=model.version() {
            let heard = tell(model, version, &line.core.client_id);
            line.to_client.push_back(heard);
        }
    } else {
        let (document, text) = (model.document(), wire::plain_text(&model.document()));
        let metadata = json!({"word_count": text.split_whitespace().count()});
        line.to_client.push_back(envelope(
            "document_sync",
            &json!({"document": {"id": "model", "version": model.version(), "content": text, "delta": wire::to_ops(&document), "metadata": metadata}, "comments": [], "active_users": []}),
        ));
    }
    line.to_server = line.core.connected().into();
}

/// The model takes up to `most` messages of one client.
fn serve(lines: &mut [Line], at: usize, model: &mut Model, most: usize) {
    for _ in 0..most {
        let Some(message) = lines[at].to_server.pop_front() else { return };
        let message_id = message["message_id"].as_str().unwrap();
        if let Some(version) = model.version_of(message_id) {
            let mut ack = tell(model, version, &lines[at].core.client_id);
            ack["data"]["duplicate"] = json!(true);
            lines[at].to_client.push_back(ack);
            continue;
        }
        let made = &lines[at].core.made[message_id];
        model.commit(&lines[at].core.client_id, message_id, made.base, &made.change);
        for line in &mut *lines {
            let heard = tell(model, model.version(), &line.core.client_id);
            line.to_client.push_back(heard);
        }
    }
}

/// What a client is told of a version.
fn tell(model: &Model, version: u64, client: &str) -> Value {
    let edit = &model.committed[usize::try_from(version).unwrap() - 1];
    let timestamp = "2025-01-07T10:30:00Z";
    let (event, data) = if edit.client == client {
        (
            "operation_ack",
            json!({"message_id": edit.message_id, "server_version": version, "timestamp": timestamp, "acknowledged": true}),
        )
    } else {
        let operation = json!({"type": "delta", "ops": wire::to_ops(&edit.applied), "author": edit.client});
        (
            "operation_broadcast",
            json!({"operation": operation, "version": version, "transformed": false, "document_id": "model", "timestamp": timestamp}),
        )
    };
    json!({"type": "operation", "event": event, "data": data, "client_id": edit.client, "message_id": edit.message_id})
}

/// A client takes up to `most` frames.
fn hear(line: &mut Line, most: usize) {
    for _ in 0..most {
        let Some(frame) = line.to_client.pop_front() else { return };
        line.core.receive(&frame);
    }
}

fn envelope(event: &str, data: &Value) -> Value {
    json!({"type": "system", "event": event, "data": data})
}
