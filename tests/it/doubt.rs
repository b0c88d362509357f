//! A log of which nobody knows what it has done: appends fail that have happened, or happen when they were given up,
//! and reads fail in between. Whatever is answered has to be true all the same.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use scriptorium::{
    app::App,
    auth::Authenticator,
    clock::Clock,
    domain::{DocumentId, Event, Seq},
    event_log::{Asked, EventLog, Fate, Recorded, StreamName},
    settings::Settings,
    telemetry::Metrics,
    text::Delta,
};

use crate::support::{
    client::Client,
    core::{Core, Manner},
    edits::Chance,
    model::referee,
    number_from_env,
};

const EVENTS: usize = 10_000;

#[tokio::test]
async fn at_rest_everybody_agrees_although_nobody_knows_what_the_log_has_done() {
    let first = number_from_env("CAMPAIGN_SEED", 1);
    for seed in first..first + number_from_env("CAMPAIGNS", 10) {
        println!("CAMPAIGN_SEED={seed}");
        campaign(seed).await;
    }
}

/// A log that fails one time in so many, until it is well.
fn log_that_fails(mut chance: Chance, is_well: Arc<AtomicBool>) -> EventLog {
    let (appends, reads) = (*chance.one_of(&[3, 10, 50]), *chance.one_of(&[5, 20, 100, usize::MAX]));
    EventLog::memory_that_fails(move |stream, asked| {
        // Who is there is written again and again until it is, with a pause.
        if is_well.load(Ordering::Relaxed) || stream.document_id().is_none() {
            return Fate::Answered;
        }
        match asked {
            Asked::Append if chance.one_in(appends) => *chance.one_of(&[Fate::Fails, Fate::Unsaid, Fate::Late]),
            Asked::Read if chance.one_in(reads) => Fate::Fails,
            Asked::Read if chance.one_in(4) => Fate::Late,
            Asked::Append | Asked::Read => Fate::Answered,
        }
    })
}

fn settings(chance: &mut Chance) -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    // What is sent together is decided together, or each alone.
    settings.documents.batch = *chance.one_of(&[512, 1]);
    settings.documents.recent_edits = *chance.one_of(&[2_000, 8]);
    settings.documents.max_resume_events = *chance.one_of(&[10_000, 25]);
    settings.snapshots.every_events = *chance.one_of(&[1_000, 7]);
    settings.cluster.poll = Duration::from_millis(20);
    settings
}

struct Campaign {
    address: SocketAddr,
    clients: Vec<Client>,
    chance: Chance,
}

async fn campaign(seed: u64) {
    let mut chance = Chance::of(seed);
    let (is_well, settings) = (Arc::new(AtomicBool::new(false)), settings(&mut chance));
    let log = log_that_fails(Chance::of(seed + 1_000_000), Arc::clone(&is_well));
    let authenticator = Authenticator::from_settings(&settings.auth).unwrap();
    let with = (Clock::system(), Metrics::new());
    let running = App::start_on(log.clone(), authenticator, settings, with).await.unwrap();

    let mut client = |n| client(*chance.one_of(&Manner::ALL), &format!("client-{n}"));
    let clients = vec![client(0), client(1), client(2)];
    let mut campaign = Campaign { address: running.address(), clients, chance };
    for _ in 0..campaign.chance.below(200) + 50 {
        campaign.step().await;
    }
    is_well.store(true, Ordering::Relaxed);
    campaign.rest().await;
    campaign.agree(&recorded(&log).await).await;
    drop(campaign);
    assert!(running.shutdown().await);
}

fn client(manner: Manner, name: &str) -> Client {
    let mut client = Client::new("doc", name, manner);
    client.core.expects_outages = true;
    client
}

/// What the edits in the log did, by their message ids, in order.
async fn recorded(log: &EventLog) -> Vec<(String, Delta)> {
    let stream = StreamName::document(&DocumentId::parse("doc").unwrap());
    let recorded = log.read(&stream, Seq(0), EVENTS).await.unwrap();
    let edit = |it: Recorded| match it.event {
        Event::Edited(edited) => (it.message_id.to_string(), edited.applied),
        Event::Commented(..) => panic!("nobody comments"),
    };
    recorded.into_iter().map(edit).collect()
}

impl Campaign {
    async fn step(&mut self) {
        let Self { address, clients, chance } = self;
        let at = chance.below(clients.len());
        let client = &mut clients[at];
        if client.socket.is_none() || chance.one_in(if client.core.has_been_refused() { 8 } else { 60 }) {
            client.disconnect();
            client.connect_to(*address).await;
        }
        match chance.below(10) {
            0..=4 if client.core.is_live() => {
                for _ in 0..=chance.below(4) {
                    client.edit_at_random(chance).await;
                    if chance.one_in(4)
                        && let Some(envelope) = client.core.repeat_at_random(chance)
                    {
                        client.send(&envelope).await;
                    }
                }
            }
            7..=8 if !client.core.is_settled() && !client.core.has_been_refused() => drop(client.deliver().await),
            _ => drop(client.deliver_what_came(chance.below(8)).await),
        }
    }

    /// Everybody comes back, and hears what became of everything.
    async fn rest(&mut self) {
        for client in &mut self.clients {
            while !client.core.is_settled() {
                client.connect_to(self.address).await;
                client.deliver_until_over(Core::is_settled).await;
            }
        }
    }

    async fn agree(&mut self, recorded: &[(String, Delta)]) {
        let model = referee(recorded, &self.clients.iter().map(|client| &client.core).collect::<Vec<_>>());
        let (document, version) = (model.document(), model.version());
        for client in &mut self.clients {
            client.deliver_until("the newest version", |core| core.version >= version && core.is_settled()).await;
            client.core.assert_shows(&document, version);
            for (message_id, told) in &client.core.acknowledged {
                assert_eq!(model.version_of(message_id), Some(*told), "{message_id} was acknowledged");
            }
            assert_eq!(client.core.acknowledged.len(), client.core.made.len(), "all has happened in the end");
        }
        let mut newcomer = client(Manner::PLAIN, "newcomer");
        newcomer.connect_to(self.address).await;
        newcomer.deliver_until("the document", Core::is_live).await;
        newcomer.core.assert_shows(&document, version);
    }
}
