//! A primary that is killed and a standby that takes over, under a running service that writes.

use sqlx::{Connection, Executor, PgConnection};

use crate::{
    cluster::ground::{place, through},
    postgres_faults::{Writer, expect_acks, expect_all_there, write_while},
    support::{postgres::OwnServer, proxy::Proxy, server::Server, within},
};

/// A primary whose commits wait for a standby.
async fn primary_and_standby() -> (OwnServer, OwnServer) {
    let start = || {
        let primary = OwnServer::start();
        let standby = primary.standby();
        (primary, standby)
    };
    let (primary, standby) = tokio::task::spawn_blocking(start).await.unwrap();
    let mut admin = PgConnection::connect(primary.url()).await.unwrap();
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'").await.unwrap();
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
    within("the standby to keep step", async {
        let keeps_step = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')";
        while !sqlx::query_scalar::<_, bool>(keeps_step).fetch_one(&mut admin).await.unwrap() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    (primary, standby)
}

/// Asks until the service is not ready for this reason.
async fn expect_unready(server: &Server, why: &str) {
    within("the service to say why it is not ready", async {
        loop {
            let (status, reason) = server.get("/readyz").await;
            assert_eq!(status, 503, "{reason}");
            if reason.contains(why) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_standby_takes_over_under_load_and_nothing_acknowledged_is_lost() {
    let (primary, standby) = primary_and_standby().await;
    let way = Proxy::to(place(primary.url())).await;
    let mut server = Server::prepare(&[]);
    server.set_database(&through(primary.url(), &way));
    server.restart().await;
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(Writer::open(&server, &format!("doc{n}")).await);
    }
    for _ in 0..10 {
        expect_acks(&mut people).await;
    }
    assert_eq!(server.get("/readyz").await.0, 200);

    let primary = std::sync::Arc::new(primary);
    let killed = std::sync::Arc::clone(&primary);
    let kill = async move { tokio::task::spawn_blocking(move || killed.signal("KILL")).await.unwrap() };
    write_while(&mut people, kill).await;
    expect_unready(&server, "cannot be reached").await;

    // Whoever decides that, a load balancer or a name server, is quicker than the standby.
    way.lead_to(place(standby.url()));
    expect_unready(&server, "read-only").await;
    write_while(&mut people, standby.promoting()).await;
    expect_acks(&mut people).await;
    assert_eq!(server.get("/readyz").await.0, 200);
    assert!(people.iter().any(|person| person.refusals > 0), "nobody noticed");
    expect_all_there(&standby, &server, &mut people).await;
}
