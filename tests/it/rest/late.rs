//! The feed over HTTP on a database where events commit late: a reader that comes back again and again steps over none.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{
    edits::Chance,
    log::Database,
    number_from_env,
    say::{commit, edit, guest, insert},
    server::Server,
    storage::on_postgres,
};

const TRANSACTIONS: usize = 15;
const LAST: &str = "last";

#[tokio::test]
async fn a_reader_that_is_cut_off_steps_over_nothing_while_transactions_are_held_open() {
    on_postgres(Box::pin(async {
        let seed = number_from_env("CAMPAIGN_SEED", 1);
        println!("CAMPAIGN_SEED={seed}");
        let (mut reading, mut writing) = (Chance::of(seed), Chance::of(seed + 1_000_000));
        let server = Server::start().await;
        let mut eve = guest(&server, "late", "eve").await;
        commit(&mut eve, &edit("m", 0, insert(0, "x"))).await;
        let (seen, ()) = tokio::join!(read(&server, &mut reading), write(&server, &mut writing));
        let recorded = Database::of(&server).await.positions().await;
        let last = *seen.last().unwrap();
        assert_eq!(seen, recorded.into_iter().filter(|position| *position <= last).collect::<Vec<_>>());
    }))
    .await;
}

/// The positions of everything up to the last edit, over connections that end when it occurs to them.
async fn read(server: &Server, chance: &mut Chance) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let accept = *chance.one_of(&["application/x-ndjson", "text/event-stream"]);
        let after = seen.last().copied().unwrap_or(0);
        let mut events = server.listen(&format!("/v1/events?after={after}&follow=true"), accept).await;
        for _ in 0..=chance.below(12) {
            let event: Value = events.event().await;
            seen.push(event["position"].as_u64().unwrap());
            if event["message_id"] == LAST {
                return seen;
            }
        }
    }
}

/// Edits, while transactions that have appended an event before them are still open.
async fn write(server: &Server, chance: &mut Chance) {
    let mut ann = guest(server, "doc", "ann").await;
    let mut made = 0;
    for transaction in 0..TRANSACTIONS {
        let held = append_and_hold(server, transaction).await;
        for _ in 0..=chance.below(10) {
            commit(&mut ann, &edit(&format!("m{made}"), made, insert(0, "x"))).await;
            made += 1;
        }
        let how = if chance.one_in(3) { "ROLLBACK" } else { "COMMIT" };
        end(held, how).await;
    }
    commit(&mut ann, &edit(LAST, made, insert(0, "x"))).await;
}

async fn append_and_hold(server: &Server, number: usize) -> PgConnection {
    let Database::Postgres(mut shell) = Database::of(server).await else { panic!("this is for Postgres") };
    let sql = format!(
        "BEGIN;
         UPDATE streams SET seq = seq + 1, version = version + 1 WHERE name = 'document:late';
         INSERT INTO events (stream, seq, version, message_id, recorded_at, body, cause)
         SELECT e.stream, e.seq + 1, e.version + 1, 'late-{number}', e.recorded_at, e.body, e.cause FROM events e
         WHERE stream = (SELECT id FROM streams WHERE name = 'document:late') ORDER BY seq DESC LIMIT 1"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut shell).await.unwrap();
    shell
}

async fn end(mut held: PgConnection, how: &'static str) {
    sqlx::query(how).execute(&mut held).await.unwrap();
    held.close().await.unwrap();
}
