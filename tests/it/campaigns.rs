//! Seeded campaigns against the real service: edits of every kind, slow networks, lost connections,
//! take-overs, repeats, and a service that stops, dies and comes back. At rest all agree: every client, a
//! fresh sync in every manner, a replay from zero, and the model that says what the contract says.

use std::collections::BTreeMap;

use scriptorium::text::{Delta, Priority};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    core::{Core, Manner},
    edits::Chance,
    log::Database,
    model::referee,
    number_from_env,
    remarks::Remarks,
    say::guest,
    server::Server,
    socket::{Incoming, Socket},
    storage::on_every_database,
    wire, within,
};

on_every_database! {
    at_rest_everybody_agrees
}

async fn at_rest_everybody_agrees() {
    let first = number_from_env("CAMPAIGN_SEED", 1);
    for seed in first..first + number_from_env("CAMPAIGNS", 40) {
        println!("CAMPAIGN_SEED={seed}");
        campaign(&mut Chance::of(seed)).await;
    }
}

/// A campaign: the service, its clients, and connections that were taken over.
struct Campaign<'a> {
    server: Server,
    clients: Vec<Client>,
    chance: &'a mut Chance,
}

async fn campaign(chance: &mut Chance) {
    // Small bounds, so that short histories meet them.
    let resume = *chance.one_of(&["10000", "25"]);
    let recent = *chance.one_of(&["2000", "8"]);
    let snapshots = *chance.one_of(&["1000", "7"]);
    let settings = [
        ("DOCUMENTS__MAX_RESUME_EVENTS", resume),
        ("DOCUMENTS__RECENT_EDITS", recent),
        ("SNAPSHOTS__EVERY_EVENTS", snapshots),
        // Nothing is merged, so that all is told before anybody is answered who asks.
        ("PRESENCE__MERGE_INTERVAL", "0ms"),
    ];
    let server = Server::start_with(&settings).await;
    let mut clients = Vec::new();
    for n in 0..chance.below(5) + 2 {
        let manner = *chance.one_of(&Manner::ALL);
        let mut client = Client::new("campaign", &format!("client-{n}"), manner);
        client.connect(&server).await;
        clients.push(client);
    }
    let mut campaign = Campaign { server, clients, chance };
    for _ in 0..campaign.chance.below(250) + 50 {
        campaign.step().await;
    }
    campaign.rest().await;
    campaign.agree().await;
}

impl Campaign<'_> {
    async fn step(&mut self) {
        let at = self.chance.below(self.clients.len());
        match self.chance.below(100) {
            0..=36 => self.edit(at).await,
            37..=44 => self.cursor(at).await,
            45..=52 => self.remark(at).await,
            53..=79 => {
                let most = self.chance.below(8);
                self.clients[at].deliver_what_came(most).await;
            }
            80..=84 => {
                // Whoever is not at rest is waiting for something that comes.
                if !self.clients[at].core.is_settled() {
                    self.clients[at].deliver().await;
                }
            }
            85..=88 => self.repeat(at).await,
            89 | 90 => self.refused(at).await,
            91 | 92 => {
                if self.clients[at].core.is_live() && self.clients[at].socket.is_some() {
                    let request = self.clients[at].core.ask_for_sync();
                    self.clients[at].send(&request).await;
                }
            }
            93..=95 => {
                self.clients[at].disconnect();
                self.clients[at].connect(&self.server).await;
            }
            96 | 97 => self.take_over(at).await,
            98 => {
                self.clients[at].disconnect();
            }
            _ => self.restart().await,
        }
    }

    async fn edit(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.socket.is_none() {
            client.connect(&self.server).await;
        }
        if client.core.is_live() {
            client.edit_at_random(self.chance).await;
        } else {
            client.deliver().await;
        }
    }

    /// Somebody shows where they are.
    async fn cursor(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.core.is_live() && client.socket.is_some() {
            let cursor = client.core.cursor_at_random(self.chance);
            client.send(&cursor).await;
        }
    }

    /// A comment, an answer, or what else can be said.
    async fn remark(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.core.is_live() && client.socket.is_some() {
            client.remark_at_random(self.chance).await;
        }
    }

    /// The same message once more: answered, not done again.
    async fn repeat(&mut self, at: usize) {
        if let Some(envelope) = self.clients[at].core.repeat_at_random(self.chance) {
            self.clients[at].send(&envelope).await;
        }
    }

    /// An impossible edit, and one that builds on it.
    async fn refused(&mut self, at: usize) {
        self.clients[at].edit_in_vain().await;
    }

    /// The same client on a new connection; the older one is told.
    async fn take_over(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let old = client.disconnect();
        client.connect(&self.server).await;
        if let Some(old) = old {
            expect_superseded(old).await;
        }
    }

    async fn restart(&mut self) {
        if self.chance.one_in(2) {
            self.server.kill().await;
        } else {
            assert!(self.server.terminate().await.success(), "a stop that was asked for exits 0");
        }
        self.server.restart().await;
        for client in &mut self.clients {
            if self.chance.one_in(2) {
                // What was on the network still arrives.
                while client.deliver().await.is_some() {}
            }
            client.disconnect();
            client.connect(&self.server).await;
        }
    }

    /// Everybody comes back and hears everything.
    async fn rest(&mut self) {
        for client in &mut self.clients {
            if client.socket.is_none() {
                client.connect(&self.server).await;
            }
            client.deliver_until("the last ack", Core::is_settled).await;
        }
        let newest = Client::open(&self.server, "campaign", "newcomer", Manner::PLAIN).await.core.version;
        for client in &mut self.clients {
            client.deliver_until("the newest version", |core| core.version >= newest && core.is_settled()).await;
        }
        // Comments are no versions: who asks for the document has heard of all that came before. And each holds against a sync where it shows the others: first all cursors arrive, then all are told.
        for _ in 0..2 {
            for client in &mut self.clients {
                let request = client.core.ask_for_sync();
                client.send(&request).await;
                client.deliver_until("a last sync", Core::is_settled).await;
            }
        }
    }

    async fn agree(mut self) {
        let version = self.clients[0].core.version;
        let document = self.clients[0].core.local().clone();
        let remarks = self.clients[0].core.remarks().clone();
        for client in &self.clients {
            client.core.assert_shows(&document, version);
            assert_eq!(*client.core.remarks(), remarks, "{}'s comments", client.core.client_id);
        }
        for manner in Manner::ALL {
            let newcomer = Client::open(&self.server, "campaign", "newcomer", manner).await;
            newcomer.core.assert_shows(&document, version);
            assert_eq!(*newcomer.core.remarks(), remarks, "a newcomer's comments");
        }
        let text = wire::plain_text(&document);
        if version > 0 {
            let whole = self.server.run(&["replay", "campaign", "--format", "json"]).await;
            let whole: Value = serde_json::from_slice(&whole.stdout).unwrap();
            assert_eq!(Remarks::replayed(&whole["comments"]), remarks, "a replay's comments");
            let replayed = self.server.replay("campaign", None).await;
            assert!(
                replayed == text || replayed.strip_suffix('\n') == Some(&text),
                "a replay gives {replayed:?}, everybody has {text:?}"
            );
        }
        self.server.verify().await;
        let log = Database::of(&self.server).await.applied("campaign").await;
        let model = referee(&log, &self.clients.iter().map(|client| &client.core).collect::<Vec<_>>());
        assert_eq!((model.version(), model.document()), (version, document), "the service did what the contract says");
        self.compare_with_the_presence_stream(&log).await;
        assert!(self.server.terminate().await.success());
    }

    /// What the log has of cursors, moved over the edits since, is what a sync shows.
    async fn compare_with_the_presence_stream(&self, log: &[(String, Delta)]) {
        let mut socket = guest(&self.server, "campaign", "onlooker").await;
        socket.send(&json!({"type": "system", "event": "document_sync", "data": {}})).await;
        let sync = socket.expect("system", "document_sync").await;
        let shown: BTreeMap<_, _> = sync["active_users"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|user| Some((user["user_id"].as_str().unwrap().to_owned(), user["cursor_position"].as_u64()?)))
            .collect();
        within("the presence stream to have all of it", async {
            loop {
                let recorded = Database::of(&self.server).await.cursors("campaign").await;
                let now = recorded.into_iter().map(|(user, (version, position))| {
                    let since = &log[usize::try_from(version).unwrap()..];
                    let carried = since.iter().fold(position, |position, (message, edit)| {
                        let author = format!("user-{}", message.split(':').nth(1).unwrap());
                        let priority = if author == user { Priority::Second } else { Priority::First };
                        edit.transform_position(position, priority)
                    });
                    (user, carried as u64)
                });
                if now.collect::<BTreeMap<_, _>>() == shown {
                    return;
                }
            }
        })
        .await;
    }
}

async fn expect_superseded(mut old: Socket) {
    loop {
        match old.next().await {
            Incoming::Close(code, reason) => {
                assert_eq!((code, reason.as_str()), (1008, "superseded"));
                return;
            }
            // The connection may have been lost before it could be told.
            Incoming::End => return,
            Incoming::Envelope(_) | Incoming::Pong(_) => {}
        }
    }
}
