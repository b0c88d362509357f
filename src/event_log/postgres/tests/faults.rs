//! What goes wrong between us and the database.

use std::{fmt::Write as _, time::Duration};

use futures_util::future::{join, join_all};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, timeout};

use super::{
    Schema, Settings, fresh,
    postgres::OwnServer,
    proxy::{Place, Proxy, Way},
    settings, short, with,
};
use crate::{
    domain::{Seq, Version},
    event_log::{
        AppendError, EventLog, Position, ReadError, Ring, Snapshot, UnavailableKind,
        postgres::open::Patience,
        suite::{append, fill, ids, stream},
    },
    text::Delta,
};

fn kind<T: std::fmt::Debug>(refused: Result<T, AppendError>) -> UnavailableKind {
    match refused {
        Err(AppendError::Unavailable(reason)) => reason.kind(),
        other => panic!("{other:?}"),
    }
}

/// A log whose wire to the database can be cut. It has one lane and one reader, so that the test knows which connection
/// does what.
async fn on_a_wire(patience: Patience) -> (EventLog, Proxy, Schema) {
    on_a_wire_with(patience, 1).await
}

async fn on_a_wire_with(patience: Patience, readers: u32) -> (EventLog, Proxy, Schema) {
    let schema = Schema::make().await;
    let address: PgConnectOptions = schema.url().parse().unwrap();
    let place = match (address.get_socket(), address.get_host()) {
        (Some(socket), _) => Place::Unix(socket.join(format!(".s.PGSQL.{}", address.get_port()))),
        (None, host) if host.starts_with('/') => Place::Unix(format!("{host}/.s.PGSQL.{}", address.get_port()).into()),
        (None, host) => Place::Tcp(format!("{host}:{}", address.get_port())),
    };
    let proxy = Proxy::to(place).await;
    let mut settings = settings(&schema);
    settings.address = proxied(&schema, &proxy);
    settings.patience = patience;
    let log = with(Settings { lanes: 1, readers, ..settings }).await;
    (log, proxy, schema)
}

/// The address of the schema by the proxy.
fn proxied(schema: &Schema, proxy: &Proxy) -> PgConnectOptions {
    let address: PgConnectOptions = schema.url().parse().unwrap();
    let mut url = String::from("postgres://");
    write!(url, "{}@127.0.0.1:{}/", address.get_username(), proxy.address().port()).unwrap();
    url += address.get_database().unwrap_or("");
    schema.through(&url).parse().unwrap()
}

#[tokio::test]
async fn closing_writes_what_was_accepted_and_refuses_what_comes_after() {
    let (log, _schema) = fresh().await;
    let streams: Vec<_> = (0..30).map(|n| stream(&format!("s{n}"))).collect();
    let appends = join_all(streams.iter().map(|stream| log.append(append(stream, 0, &["m"]))));
    let (accepted, ()) = join(appends, log.close()).await;
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    assert_eq!(kind(log.append(append(&streams[0], 1, &["late"])).await), UnavailableKind::Closed);
    assert!(matches!(log.head(&streams[0]).await, Err(ReadError::Unavailable(_))));
    assert!(log.check_writable().await.is_err());
    log.close().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    let (log, proxy, _schema) = on_a_wire_with(Patience::default(), 4).await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    // As many connections as there may be, and all of them are thought to be alive.
    join_all((0..4).map(|_| log.read(&stream, Seq(0), 9))).await.into_iter().for_each(|read| assert!(read.is_ok()));
    proxy.cut();
    assert_eq!(kind(log.append(append(&stream, 3, &["x"])).await), UnavailableKind::Unreachable);
    assert!(matches!(log.head(&stream).await, Err(ReadError::Unavailable(_))));
    assert_eq!(log.head(&stream).await.unwrap().unwrap().seq, Seq(3), "one speaks for all");
    assert_eq!(log.append(append(&stream, 3, &["x"])).await.unwrap().seq, Seq(4));
    log.check_writable().await.unwrap();
    log.close().await;
}

/// The commit happened, its answer was lost: that is said, and the log tells what happened.
#[tokio::test]
async fn an_append_whose_answer_is_lost_is_not_said_to_have_failed_or_happened() {
    let (log, proxy, schema) = on_a_wire(short()).await;
    let other = with(settings(&schema)).await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    proxy.set(Way::Deaf);
    assert_eq!(kind(log.append(append(&stream, 3, &["lost"])).await), UnavailableKind::Unreachable);
    proxy.set(Way::Open);
    assert_eq!(ids(&other.read(&stream, Seq(3), 9).await.unwrap()), [(4, "lost")], "it is there");
    let again = log.append(append(&stream, 3, &["lost"])).await;
    assert!(matches!(again, Err(AppendError::Stale { head: Seq(4) })), "{again:?}");
    let Err(AppendError::Repeated(found)) = log.append(append(&stream, 4, &["lost"])).await else { panic!() };
    assert_eq!(ids(&found), [(4, "lost")]);
    join(log.close(), other.close()).await;
}

/// A network that has forgotten every connection and says so to nobody: each has to be found out, but not one after the other.
#[tokio::test]
async fn connections_that_were_lost_without_a_word_are_made_again() {
    let patience = Patience { connect: Duration::from_secs(2), fresh: Duration::ZERO, ..short() };
    let (log, proxy, schema) = on_a_wire_with(patience, 8).await;
    let other = with(settings(&schema)).await;
    let (mut doorbell, stream, theirs) = (log.doorbell(), stream("d"), stream("e"));
    fill(&log, &stream, 3).await;
    // So many at once need a connection each.
    assert!(join_all((0..8).map(|_| log.head(&stream))).await.iter().all(Result::is_ok));
    proxy.set(Way::Lost);
    assert_eq!(kind(log.append(append(&stream, 3, &["x"])).await), UnavailableKind::Unreachable);
    proxy.set(Way::Open);
    let began = Instant::now();
    assert_eq!(log.head(&stream).await.unwrap().unwrap().seq, Seq(3), "what was lost never comes");
    assert!(began.elapsed() < 3 * patience.connect, "one was waited for, and told for all: {:?}", began.elapsed());
    assert_eq!(log.append(append(&stream, 3, &["x"])).await.unwrap().seq, Seq(4));
    // The doorbell is heard again as well: of something that was written since.
    for written in 1.. {
        fill(&other, &theirs, written).await;
        let ring = timeout(Duration::from_mins(1), doorbell.next()).await.expect("a ring");
        if matches!(ring, Ring::Stream(stream, _) if stream == theirs) {
            break;
        }
    }
    join(log.close(), other.close()).await;
}

/// A server that is stopped (SIGSTOP), or a network that is away for a while: there is an answer in time.
#[tokio::test]
async fn a_database_that_does_not_answer_is_not_waited_for_for_ever() {
    let (log, proxy, _schema) = on_a_wire(Patience { connect: Duration::from_millis(600), ..short() }).await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    proxy.set(Way::Held);
    for _ in 0..2 {
        // The second time there is no connection left, and none can be made.
        assert_eq!(kind(log.append(append(&stream, 3, &["x"])).await), UnavailableKind::Unreachable);
        let Err(ReadError::Unavailable(reason)) = log.head(&stream).await else { panic!() };
        assert_eq!(reason.kind(), UnavailableKind::Unreachable, "{reason}");
        assert_eq!(log.check_writable().await.unwrap_err().kind(), UnavailableKind::Unreachable);
    }
    proxy.set(Way::Open);
    // What was given up may still arrive at the database. Either way it happens once.
    let mut head = log.head(&stream).await.unwrap().unwrap().seq;
    while head < Seq(4) {
        match log.append(append(&stream, 3, &["x"])).await {
            Ok(_) | Err(AppendError::Stale { .. }) => head = log.head(&stream).await.unwrap().unwrap().seq,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(ids(&log.read(&stream, Seq(3), 9).await.unwrap()), [(4, "x")]);
    log.close().await;
}

/// It is on the primary's disk, and would be lost with it.
#[tokio::test]
async fn a_commit_that_no_standby_has_is_not_acknowledged() {
    let server = tokio::task::spawn_blocking(OwnServer::start).await.unwrap();
    let schema = Schema::make_on(server.url()).await;
    let log = with(Settings { lanes: 1, patience: short(), ..settings(&schema) }).await;
    let stream = stream("d");
    fill(&log, &stream, 1).await;
    wait_for_standby(&schema, "nobody").await;
    for _ in 0..2 {
        // The second one finds the first in its way.
        kind(log.append(append(&stream, 1, &["x"])).await);
        assert_eq!(log.head(&stream).await.unwrap().unwrap().seq, Seq(1), "nobody is told of it");
    }
    wait_for_standby(&schema, "").await;
    while log.head(&stream).await.unwrap().unwrap().seq < Seq(2) {
        // It may have happened meanwhile.
        let _either_way = log.append(append(&stream, 1, &["x"])).await;
    }
    assert_eq!(ids(&log.read(&stream, Seq(1), 9).await.unwrap()), [(2, "x")], "once");
    log.close().await;
}

/// From now on commits wait for this standby; for none if it has no name.
async fn wait_for_standby(schema: &Schema, name: &str) {
    schema.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'")).await;
    schema.run("SELECT pg_reload_conf()").await;
    loop {
        let shown = sqlx::query_scalar::<_, String>("SHOW synchronous_standby_names");
        if shown.fetch_one(&mut schema.shell().await).await.unwrap() == name {
            return;
        }
    }
}

#[tokio::test]
async fn a_lock_is_waited_for_but_not_for_ever() {
    let schema = Schema::make().await;
    let log = with(Settings { patience: short(), ..settings(&schema) }).await;
    let stream = stream("d");
    fill(&log, &stream, 1).await;
    let mut other = schema.shell().await;
    let lock = async |other: &mut PgConnection| {
        sqlx::raw_sql("BEGIN; SELECT * FROM streams FOR UPDATE").execute(other).await.unwrap();
    };
    lock(&mut other).await;
    assert_eq!(kind(log.append(append(&stream, 1, &["x"])).await), UnavailableKind::Busy);
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(log.append(append(&stream, 1, &["x"])).await.unwrap().seq, Seq(2), "nothing had happened");
    log.close().await;

    let log = with(settings(&schema)).await;
    lock(&mut other).await;
    let release = async { sqlx::query("COMMIT").execute(&mut other).await.unwrap() };
    assert_eq!(join(log.append(append(&stream, 2, &["y"])), release).await.0.unwrap().seq, Seq(3));
    other.close().await.unwrap();
    log.close().await;
}

#[tokio::test]
async fn a_database_without_connections_is_busy() {
    let schema = Schema::make().await;
    let log = with(Settings { readers: 1, patience: short(), ..settings(&schema) }).await;
    let stream = stream("d");
    fill(&log, &stream, 1).await;
    // The only reader waits for a lock; the next one does not get its turn.
    let mut other = schema.shell().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE events").execute(&mut other).await.unwrap();
    let (one, two) = join(log.read(&stream, Seq(0), 9), log.read(&stream, Seq(0), 9)).await;
    for refused in [one, two] {
        let Err(ReadError::Unavailable(reason)) = refused else { panic!("{refused:?}") };
        assert_eq!(reason.kind(), UnavailableKind::Busy, "{reason}");
    }
    other.close().await.unwrap();
    assert_eq!(log.read(&stream, Seq(0), 9).await.unwrap().len(), 1);
    log.close().await;
}

#[tokio::test]
async fn a_database_that_must_not_be_written_is_read_all_the_same() {
    let (log, schema) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    log.close().await;
    // What a standby says, and what an administrator may choose.
    let url = format!("{}&options[default_transaction_read_only]=on", schema.url());
    let log = with(Settings::parse(&url).unwrap()).await;
    assert_eq!(kind(log.append(append(&stream, 3, &["x"])).await), UnavailableKind::ReadOnly);
    let reason = log.check_writable().await.unwrap_err();
    assert!(reason.to_string().starts_with("database is read-only"), "{reason}");
    assert_eq!(log.read(&stream, Seq(0), 9).await.unwrap().len(), 3);
    log.close().await;
}

#[tokio::test]
async fn a_damaged_event_names_itself_and_the_others_stay_readable() {
    for (sql, why) in [
        ("UPDATE events SET body = '[\"edited.1\",' WHERE seq = 7", "EOF"),
        ("UPDATE events SET body = '[\"edited.9\",1]' WHERE seq = 7", "\"edited.9\" is not a known form"),
        ("DELETE FROM events WHERE seq = 7", "it is missing"),
    ] {
        let (log, schema) = fresh().await;
        let stream = stream("d");
        fill(&log, &stream, 20).await;
        schema.run(sql).await;
        for refused in [
            log.read(&stream, Seq(0), 20).await.map(|_| ()),
            log.changes(&stream, Seq(0), 20).await.map(|_| ()),
            log.changes(&stream, Seq(6), 1).await.map(|_| ()),
        ] {
            let Err(ReadError::Damaged(damaged)) = refused else { panic!("{sql}: {refused:?}") };
            assert!(damaged.seq == Seq(7) && damaged.stream == stream, "{sql}: {damaged}");
            assert!(damaged.why.contains(why), "{sql}: {damaged}");
        }
        assert_eq!(log.read(&stream, Seq(0), 6).await.unwrap().len(), 6);
        assert_eq!(log.changes(&stream, Seq(7), 100).await.unwrap().len(), 13);
        log.close().await;
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over() {
    let (log, schema) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 9).await;
    for seq in [4, 8] {
        let comments = crate::projection::SavedComments::default();
        let (seq, version, content) = (Seq(seq), Version(seq), Delta::new());
        let snapshot = Snapshot { seq, version, last_modified: None, content, comments };
        log.save_snapshot(&stream, &snapshot).await.unwrap();
    }
    schema.run("UPDATE snapshots SET content = '[\"snapshot.1\",{}]' WHERE seq = 8").await;
    assert_eq!(log.snapshot(&stream, Seq(9)).await.unwrap().unwrap().seq, Seq(4));
    schema.run("UPDATE snapshots SET content = 'x'").await;
    assert_eq!(log.snapshot(&stream, Seq(9)).await.unwrap(), None);
    log.close().await;
}

#[tokio::test]
async fn a_generation_is_forgotten_although_a_node_still_saves_into_it() {
    let (log, schema) = fresh().await;
    let stream = stream("d");
    fill(&log, &stream, 3).await;
    log.adapter.begin_generation("odd.1", Position(0)).await.unwrap();
    let id = log.adapter.generations("odd.1").await.unwrap()[0].id;
    let connect = async || PgConnection::connect(&schema.url()).await.unwrap();
    let (mut node, mut onlooker) = (connect().await, connect().await);
    node.execute("BEGIN").await.unwrap();
    let save = "INSERT INTO kept SELECT $1, id, 3, 1, 'x' FROM streams WHERE name = $2";
    let save = sqlx::query(save).bind(i64::try_from(id).unwrap()).bind(stream.as_str());
    save.execute(&mut node).await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM projections%'";
    let commit = async {
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut onlooker).await.unwrap() == 0 {}
        node.execute("COMMIT").await.unwrap();
    };
    let (forgotten, ()) = join(log.adapter.forget_generation(id), commit).await;
    assert_eq!(forgotten.unwrap(), 1, "there is more to forget");
    while log.adapter.forget_generation(id).await.unwrap() > 0 {}
    assert_eq!(log.adapter.generations("odd.1").await.unwrap(), []);
}
