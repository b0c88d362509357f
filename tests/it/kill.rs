//! `kill -9`, a hundred times: what was acknowledged is in the log, once.

use std::collections::BTreeSet;

use crate::support::{
    client::Client,
    core::{Core, Manner},
    edits::Chance,
    log::Database,
    model::referee,
    number_from_env,
    server::Server,
    storage::on_every_database,
};

on_every_database! {
    what_was_acknowledged_is_in_the_log_once_however_often_the_service_is_killed
}

const DOCUMENTS: [&str; 3] = ["one", "two", "three"];

async fn what_was_acknowledged_is_in_the_log_once_however_often_the_service_is_killed() {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let mut server = Server::start().await;
    let mut clients: Vec<_> = (0..6)
        .map(|n| {
            Client::new(DOCUMENTS[n % DOCUMENTS.len()], &format!("client-{n}"), Manner::ALL[n % Manner::ALL.len()])
        })
        .collect();
    for _ in 0..100 {
        for client in &mut clients {
            client.connect(&server).await;
        }
        write_until_it_dies(&mut server, &mut clients, &mut chance).await;
        for client in &mut clients {
            hear_the_last_words(client).await;
        }
        server.restart().await;
    }
    settle(&server, &mut clients).await;

    let mut log = Database::of(&server).await;
    let mut acknowledged = 0;
    for document in DOCUMENTS {
        let applied = log.applied(document).await;
        let authors: Vec<_> =
            clients.iter().map(|client| &client.core).filter(|core| core.document == document).collect();
        let unique: BTreeSet<_> = applied.iter().map(|(message_id, _)| message_id).collect();
        assert_eq!(unique.len(), applied.len(), "{document}: no message is in the log twice");
        for core in &authors {
            for (message_id, version) in &core.acknowledged {
                let (recorded, _) = &applied[usize::try_from(*version).unwrap() - 1];
                assert_eq!(recorded, message_id, "{document}: an ack tells the truth");
            }
            assert_eq!(core.acknowledged.len(), core.made.len(), "{document}: every edit was acknowledged in the end");
            acknowledged += core.acknowledged.len();
        }
        assert_eq!(
            applied.len(),
            authors.iter().map(|core| core.made.len()).sum::<usize>(),
            "{document}: and nothing else"
        );
        referee(&applied, &authors);
    }
    assert!(acknowledged > 1_000, "only {acknowledged} edits were made");
    server.verify().await;
}

/// Everybody writes; after a random number of steps the service is killed with edits in flight.
async fn write_until_it_dies(server: &mut Server, clients: &mut [Client], chance: &mut Chance) {
    for _ in 0..=chance.below(200) {
        let client = &mut clients[chance.below(clients.len())];
        client.deliver_what_came(20).await;
        if client.core.is_live() && client.core.in_flight() < 50 {
            client.edit_at_random(chance).await;
        } else {
            client.deliver().await;
        }
    }
    server.kill().await;
}

/// Acks that were on the network when the service died still count.
async fn hear_the_last_words(client: &mut Client) {
    while client.deliver().await.is_some() {}
}

async fn settle(server: &Server, clients: &mut [Client]) {
    for client in &mut *clients {
        client.connect(server).await;
    }
    for document in DOCUMENTS {
        let mut newest = 0;
        for client in clients.iter_mut().filter(|client| client.core.document == document) {
            client.deliver_until("the last ack", Core::is_settled).await;
            newest = newest.max(client.core.version);
        }
        let newcomer = Client::open(server, document, "newcomer", Manner::PLAIN).await;
        newest = newest.max(newcomer.core.version);
        for client in clients.iter_mut().filter(|client| client.core.document == document) {
            client.deliver_until("the newest version", |core| core.version == newest && core.is_settled()).await;
            client.core.assert_shows(newcomer.core.local(), newest);
        }
    }
}
