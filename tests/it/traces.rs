//! Real editing histories, written again through real WebSockets.

use serde_json::{Value, json};

use crate::{
    cluster::ground::Ground,
    support::{
        client::Client,
        core::{Core, Form, Manner, Received},
        edits::Chance,
        log::Database,
        number_from_env,
        server::Server,
        socket::{Incoming, Opening, Socket},
        storage::on_every_database,
        trace::{self, Concurrent, Plain, Sequential},
        wire,
    },
};

on_every_database! {
    two_people_who_type_at_once_end_at_the_same_text
    two_people_end_at_the_same_text_although_the_service_is_killed_again_and_again
    a_paper_is_written_with_hundreds_of_edits_in_flight a_program_is_written_with_hundreds_of_edits_in_flight
    verify_names_the_one_event_that_was_damaged
}

/// The edits that a lone writer keeps in flight.
const IN_FLIGHT: usize = 500;

async fn two_people_who_type_at_once_end_at_the_same_text() {
    two_people(&mut [Server::start().await], &trace::concurrent("friendsforever", 6_000), &[]).await;
}

#[tokio::test]
async fn two_people_who_type_at_once_on_two_of_three_nodes_end_at_the_same_text() {
    let mut ground = Ground::on_postgres(3, &[]).await;
    two_people(&mut ground.nodes, &trace::concurrent("friendsforever", 4_000), &[]).await;
    ground.end().await;
}

#[tokio::test]
async fn two_people_end_at_the_same_text_although_the_nodes_that_they_are_on_are_killed_in_turns() {
    let mut ground = Ground::on_postgres(3, &[]).await;
    let trace = trace::concurrent("friendsforever", 3_000);
    let kills = kills(&trace);
    two_people(&mut ground.nodes, &trace, &kills).await;
    ground.end().await;
}

async fn two_people_end_at_the_same_text_although_the_service_is_killed_again_and_again() {
    let trace = trace::concurrent("friendsforever", 6_000);
    let kills = kills(&trace);
    two_people(&mut [Server::start().await], &trace, &kills).await;
}

fn kills(trace: &Concurrent) -> Vec<usize> {
    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let mut kills: Vec<_> = (0..8).map(|_| chance.below(trace.txns.len())).collect();
    kills.sort_unstable();
    kills
}

/// Replays a trace with every remote edit delivered exactly where its parents say, each person on their node if there
/// are several; before the steps in `kills` one of the nodes dies and comes back, and who was there goes to the next one.
///
/// Where the two were at one place at once, the recorded text has the first one's left. The committed edit has
/// priority, so of two concurrent edits the first person's is let through first; what each has in flight, and
/// what each has received, stays as recorded.
async fn two_people(nodes: &mut [Server], trace: &Concurrent, kills: &[usize]) {
    let mut places = [0, nodes.len() - 1];
    let mut people = [
        Client::open(&nodes[places[0]], "friends", "ann", Manner::PLAIN).await,
        Client::open(&nodes[places[1]], "friends", "ben", Manner { form: Form::Delta, ..Manner::PLAIN }).await,
    ];
    let (mut heard, mut most) = ([0, 0], 0);
    for (at, step) in trace.first_first().enumerate() {
        for (kill, _) in kills.iter().enumerate().filter(|(_, kill)| **kill == at) {
            kill_and_resume(nodes, kill % nodes.len(), &mut people, &mut places).await;
        }
        let [person, other] = people.get_disjoint_mut([step.agent, 1 - step.agent]).unwrap();
        other.wait_for_acks().await;
        let heard = &mut heard[step.agent];
        assert!(*heard <= step.seen, "nothing is delivered early");
        while *heard < step.seen {
            *heard += usize::from(matches!(person.deliver().await, Some(Received::Broadcast { .. })));
        }
        while matches!(person.socket.as_mut().unwrap().peek_now(), Some(Incoming::Envelope(frame)) if frame["event"] == "operation_ack")
        {
            person.deliver().await;
        }
        let envelope =
            person.core.edit(trace::operation(&step.patches, at % 3 == 0), trace::change(&step.patches), at % 2 == 0);
        person.send(&envelope).await;
        most = most.max(person.core.in_flight());
    }
    assert!(most > 20, "only {most} edits were in flight");
    let versions = trace.txns.len() as u64;
    for person in &mut people {
        person.deliver_until("the last version", |core| core.version == versions && core.is_settled()).await;
        assert!(
            wire::plain_text(person.core.local()) == trace.end_content,
            "{} shows another text",
            person.core.client_id
        );
    }
    people[0].core.assert_shows(people[1].core.local(), versions);
    for node in nodes.iter() {
        let newcomer = Client::open(node, "friends", "newcomer", Manner::PLAIN).await;
        newcomer.core.assert_shows(people[0].core.local(), versions);
    }
    assert!(nodes[0].replay("friends", None).await.trim_end_matches('\n') == trace.end_content.trim_end_matches('\n'));
    nodes[0].verify().await;
}

async fn kill_and_resume(nodes: &mut [Server], node: usize, people: &mut [Client; 2], places: &mut [usize; 2]) {
    nodes[node].kill().await;
    nodes[node].restart().await;
    for (place, person) in places.iter_mut().zip(people).filter(|(place, _)| **place == node) {
        *place = (*place + 1) % nodes.len();
        person.disconnect();
        person.connect(&nodes[*place]).await;
        person.deliver_until("the answer to `since`", Core::is_live).await;
    }
}

async fn a_paper_is_written_with_hundreds_of_edits_in_flight() {
    one_writer("automerge-paper", 20_000).await;
}

async fn a_program_is_written_with_hundreds_of_edits_in_flight() {
    one_writer("rustcode", 5_000).await;
}

async fn one_writer(name: &str, steps: usize) {
    let trace = trace::sequential(name, steps);
    let server = Server::start().await;
    write(&server, name, &trace).await;
    let versions = trace.txns.len() as u64;

    let mut reader = Socket::open(server.address(), &Opening::guest(name, "reader")).await;
    reader.expect("system", "connection_ack").await;
    let sync = reader.expect("system", "document_sync").await;
    assert_eq!(sync["document"]["version"], versions);
    assert!(sync["document"]["content"] == trace.end_content.as_str(), "{name} ends at another text");

    let seed = number_from_env("CAMPAIGN_SEED", 1);
    println!("CAMPAIGN_SEED={seed}");
    let mut chance = Chance::of(seed);
    let mut wanted: Vec<_> = (0..4).map(|_| chance.below(trace.txns.len() + 1)).chain([0, trace.txns.len()]).collect();
    wanted.sort_unstable();
    let (mut text, mut at) = (Plain::default(), 0);
    for version in wanted {
        trace.txns[at..version].iter().flat_map(|step| &step.patches).for_each(|patch| text.apply(patch));
        at = version;
        let replayed = server.replay(name, Some(version as u64)).await;
        assert!(
            replayed.strip_suffix('\n').unwrap_or(&replayed) == text.to_string() || replayed == text.to_string(),
            "{name} at version {version}"
        );
    }
    server.verify().await;
}

/// Sends the whole trace, never more than [`IN_FLIGHT`] edits ahead of the acks.
async fn write(server: &Server, name: &str, trace: &Sequential) {
    let mut socket = Socket::open(server.address(), &Opening::guest(name, "writer")).await;
    socket.expect("system", "connection_ack").await;
    socket.expect("system", "document_sync").await;
    let (mut sent, mut acknowledged, mut most) = (0, 0, 0);
    while acknowledged < trace.txns.len() {
        let until = trace.txns.len().min(acknowledged + IN_FLIGHT);
        let edits: Vec<_> = trace.txns[sent..until]
            .iter()
            .enumerate()
            .map(|(ahead, step)| {
                let at = sent + ahead;
                json!({
                    "type": "operation", "event": "document_edit", "message_id": format!("m{at}"),
                    "data": {"operation": trace::operation(&step.patches, at % 2 == 0), "version": acknowledged},
                })
                .to_string()
            })
            .collect();
        sent = until;
        most = most.max(sent - acknowledged);
        socket.send_all(edits).await.unwrap();
        let mut next = Some(socket.next().await);
        while let Some(Incoming::Envelope(frame)) = next {
            acknowledged += 1;
            expect_ack(&frame, acknowledged);
            next = socket.next_now();
        }
        assert!(next.is_none(), "{next:?}");
    }
    assert!(most > 100, "only {most} edits were in flight");
}

fn expect_ack(frame: &Value, version: usize) {
    assert_eq!(frame["event"], "operation_ack", "{frame}");
    assert_eq!(
        (&frame["data"]["server_version"], &frame["data"]["message_id"]),
        (&json!(version), &json!(format!("m{}", version - 1)))
    );
}

/// What may happen to an event on a disk: it can no longer be read, or it says something else.
async fn verify_names_the_one_event_that_was_damaged() {
    for (from, to) in [("edited", "edible"), ("w37 ", "W37 ")] {
        let mut server = Server::start_with(&[("SNAPSHOTS__EVERY_EVENTS", "10")]).await;
        for document in ["healthy", "damaged"] {
            let mut writer = Client::open(&server, document, "writer", Manner::PLAIN).await;
            for n in 1..=60 {
                let content = format!("w{n} ");
                let patches = [(0, 0, content)];
                let envelope = writer.core.edit(trace::operation(&patches, false), trace::change(&patches), false);
                writer.send(&envelope).await;
                writer.deliver_until("the ack", Core::is_settled).await;
            }
        }
        server.verify().await;
        assert!(server.terminate().await.success());
        Database::of(&server).await.damage("damaged", 37, from, to).await;
        let output = server.run(&["verify"]).await;
        let found = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{found}");
        assert!(found.contains("damaged") && found.contains("37"), "{found}");
        assert!(!found.contains("healthy"), "{found}");
    }
}
