//! A Postgres that is reached by TLS, and proves who it is.

use sqlx::{Connection, PgConnection};

use crate::support::{
    postgres::OwnServer,
    say::{commit, edit, guest, insert},
    server::Server,
};

async fn refused(url: &str) -> String {
    let mut server = Server::prepare(&[]);
    server.set_database(url);
    let (status, says) = server.refuses_to_start().await;
    assert_eq!(status.code(), Some(1), "{says}");
    says
}

#[tokio::test]
async fn a_postgres_is_trusted_that_has_a_certificate_of_the_named_authority_for_its_name() {
    let (database, stranger) = tokio::task::spawn_blocking(|| {
        let stranger = tempfile::tempdir().unwrap();
        crate::support::postgres::run_script("certify", stranger.path());
        (OwnServer::start_with_tls(), stranger)
    })
    .await
    .unwrap();
    let (url, authority) = (database.url(), database.authority());
    let verified = format!("{url}?sslmode=verify-full&sslrootcert={authority}");

    let mut server = Server::prepare(&[]);
    server.set_database(&verified);
    server.restart().await;
    let mut ann = guest(&server, "doc", "ann").await;
    let mut ben = guest(&server, "doc", "ben").await;
    commit(&mut ann, &edit("m", 0, insert(0, "hidden on the way"))).await;
    assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], 1);
    assert_eq!(server.get("/readyz").await.0, 200);
    let mut shell = PgConnection::connect(&verified).await.unwrap();
    let sessions = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
        FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'scriptorium'";
    let (hidden, open): (i64, i64) = sqlx::query_as(sessions).fetch_one(&mut shell).await.unwrap();
    assert!(hidden >= 3 && open == 0, "to write, to ring and to hear: {hidden} by TLS, {open} not");
    server.verify().await;

    for (what, url) in [
        ("no TLS", format!("{url}?sslmode=disable")),
        (
            "another authority",
            format!("{url}?sslmode=verify-full&sslrootcert={}", stranger.path().join("ca.pem").display()),
        ),
        ("an authority that nobody has named", format!("{url}?sslmode=verify-full")),
        ("another name", verified.replacen("localhost", "127.0.0.1", 1)),
    ] {
        let says = refused(&url).await;
        assert!(says.contains("cannot open the database"), "{what}: {says}");
    }
}
