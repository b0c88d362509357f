//! Two services on one database, while documents are erased, backups are imported and presence is trimmed beside them:
//! everything acknowledged stays in its own document, and what is erased stays erased.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use reqwest::Method;
use scriptorium::{
    domain::{DocumentId, Timestamp},
    event_log::{EventLog, Options},
    telemetry::Metrics,
};
use serde_json::json;

use super::ground::Ground;
use crate::support::{
    edits::Chance,
    number_from_env,
    rest::answer,
    say::{commit, edit, guest, insert},
    server::Server,
    socket::Socket,
};

const STEPS: usize = 60;
/// Presence is also trimmed by the services themselves, as often as they may.
const SETTINGS: [(&str, &str); 2] = [("CLUSTER__POLL", "20ms"), ("PRESENCE__RETENTION", "1s")];

#[tokio::test]
async fn campaigns_of_interference_leave_a_sound_log_on_one_file() {
    campaigns(async || Ground::on_one_file(2, &SETTINGS).await).await;
}

#[tokio::test]
async fn campaigns_of_interference_leave_a_sound_log_on_postgres() {
    campaigns(async || Ground::on_postgres(2, &SETTINGS).await).await;
}

/// So many, one after the other, unless the environment says how many and from which seed on.
async fn campaigns(ground: impl AsyncFn() -> Ground) {
    let (home, backup) = backup().await;
    let first = number_from_env("CAMPAIGN_SEED", 1);
    for seed in first..first + number_from_env("CAMPAIGNS", 2) {
        println!("CAMPAIGN_SEED={seed}");
        let mut campaign = Campaign::on(ground().await, seed, &backup).await;
        for n in 0..STEPS {
            campaign.step(n).await;
        }
        campaign.agree().await;
    }
    drop(home);
}

/// An export with an erased document and a presence stream whose beginning was trimmed; it is in the folder of the service.
async fn backup() -> (Server, PathBuf) {
    let mut source = Server::start().await;
    for id in ["kept", "gone"] {
        source.tell("/v1/documents", &json!({"id": id, "content": "text of the backup"})).await.with(201);
    }
    for _ in 0..3 {
        guest(&source, "kept", "ann").await.close().await;
    }
    assert_eq!(erase(&source, "gone").await, 204);
    assert!(source.terminate().await.success());
    let log = open(&source.database_url()).await;
    let trimmed = log.trim_presence(&DocumentId::parse("kept").unwrap(), Timestamp(i64::MAX)).await.unwrap();
    assert!(trimmed > 0, "the backup has trimmed presence");
    log.close().await;
    let path = source.home().join("backup.ndjson");
    assert!(source.run(&["export", "--output", path.to_str().unwrap()]).await.status.success());
    (source, path)
}

async fn open(url: &str) -> EventLog {
    let options = Options { url: url.to_owned(), readers: 1, lanes: 1, nats: None, metrics: Metrics::new() };
    EventLog::open(options).await.unwrap()
}

async fn erase(server: &Server, document: &str) -> u16 {
    answer(server.ask(Method::DELETE, &format!("/v1/documents/{document}"))).await.status
}

struct Campaign {
    ground: Ground,
    chance: Chance,
    backup: PathBuf,
    /// A third process, as the command line is one.
    beside: EventLog,
    /// The pieces of text that were acknowledged, by living documents.
    written: BTreeMap<String, Vec<String>>,
    erased: BTreeSet<String>,
    guests: Vec<(String, Socket)>,
}

impl Campaign {
    async fn on(ground: Ground, seed: u64, backup: &std::path::Path) -> Self {
        let beside = open(&ground.url()).await;
        let (written, erased, guests) = Default::default();
        Self { ground, chance: Chance::of(seed), backup: backup.to_owned(), beside, written, erased, guests }
    }

    async fn step(&mut self, n: usize) {
        match self.chance.below(16) {
            0..=3 => self.create(n).await,
            4..=7 => self.write(n).await,
            8 | 9 => self.come(n).await,
            10 if !self.guests.is_empty() => {
                let at = self.chance.below(self.guests.len());
                self.guests.swap_remove(at).1.close().await;
            }
            10..=12 => self.erase(n).await,
            13 => self.import().await,
            _ => self.trim().await,
        }
    }

    fn node(&mut self) -> usize {
        self.chance.below(self.ground.nodes.len())
    }

    fn living(&mut self) -> Option<String> {
        let names: Vec<_> = self.written.keys().cloned().collect();
        (!names.is_empty()).then(|| self.chance.one_of(&names).clone())
    }

    async fn create(&mut self, n: usize) {
        let (id, text, node) = (format!("d{n}"), format!("<new {n}>"), self.node());
        let server = &self.ground.nodes[node];
        server.tell("/v1/documents", &json!({"id": id, "content": text})).await.with(201);
        // It is there at once, and it is this one.
        assert_eq!(server.look(&format!("/v1/documents/{id}")).await.with(200)["content"], text);
        self.written.insert(id, vec![text]);
    }

    async fn write(&mut self, n: usize) {
        let (Some(id), node) = (self.living(), self.node()) else { return };
        let text = format!("<edit {n}>");
        let operation = json!({"message_id": format!("m{n}"), "version": 0, "operation": insert(0, &text)});
        self.ground.nodes[node].tell(&format!("/v1/documents/{id}/operations"), &operation).await.with(201);
        self.written.get_mut(&id).unwrap().push(text);
    }

    /// A guest comes, writes and stays.
    async fn come(&mut self, n: usize) {
        let (Some(id), node) = (self.living(), self.node()) else { return };
        let mut socket = guest(&self.ground.nodes[node], &id, &format!("guest{n}")).await;
        let text = format!("<guest {n}>");
        commit(&mut socket, &edit(&format!("g{n}"), 0, insert(0, &text))).await;
        self.written.get_mut(&id).unwrap().push(text);
        self.guests.push((id, socket));
    }

    async fn erase(&mut self, n: usize) {
        let (Some(id), node) = (self.living(), self.node()) else { return };
        if self.chance.one_in(3) {
            assert!(self.ground.nodes[node].run(&["erase", "--document", &id, "--yes"]).await.status.success());
        } else {
            assert_eq!(erase(&self.ground.nodes[node], &id).await, 204);
        }
        // The other service may not have heard of it yet, and must not acknowledge anything.
        let operation = json!({"message_id": format!("late{n}"), "version": 0, "operation": insert(0, "late")});
        let other = &self.ground.nodes[1 - node];
        let late = other.tell(&format!("/v1/documents/{id}/operations"), &operation).await;
        assert!([404, 409, 410, 503].contains(&late.status), "{id} is erased: {} {}", late.status, late.json);
        self.guests.retain(|(document, _)| *document != id);
        self.written.remove(&id);
        self.erased.insert(id);
    }

    async fn import(&mut self) {
        let node = self.node();
        let done = self.ground.nodes[node].run(&["import", self.backup.to_str().unwrap()]).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.erased.insert("gone".to_owned());
        if !self.erased.contains("kept") {
            self.written.entry("kept".to_owned()).or_insert_with(|| vec!["text of the backup".to_owned()]);
        }
    }

    async fn trim(&mut self) {
        let mut all = self.beside.presence_documents(None, 1_000).await.unwrap();
        all.retain(|_| self.chance.one_in(2));
        for document in all {
            self.beside.trim_presence(&document, Timestamp(i64::MAX)).await.unwrap();
        }
    }

    async fn agree(mut self) {
        for (_, socket) in self.guests.drain(..) {
            socket.close().await;
        }
        for server in &self.ground.nodes {
            for (id, pieces) in &self.written {
                let found = server.look(&format!("/v1/documents/{id}")).await.with(200);
                let content = found["content"].as_str().unwrap();
                let length: usize = pieces.iter().map(String::len).sum();
                assert!(
                    pieces.iter().all(|piece| content.contains(piece)),
                    "{id}: {content:?} without one of {pieces:?}"
                );
                assert_eq!(content.len(), length, "{id} has nothing of any other document: {content:?}");
            }
            for id in &self.erased {
                server.look(&format!("/v1/documents/{id}")).await.problem(410);
            }
        }
        self.beside.close().await;
        self.ground.nodes[0].verify().await;
        self.ground.end().await;
    }
}
