//! Nobody stays in a document because the service died.

use crate::support::{
    log::Database,
    say::guest,
    server::Server,
    socket::{Incoming, Opening, Socket},
    within,
};

use super::present;

#[tokio::test]
async fn who_was_here_when_the_service_was_killed_has_left_when_it_is_back() {
    let mut server = Server::start().await;
    let mut sockets = Vec::new();
    for (document, name) in [("one", "ann"), ("one", "ben"), ("two", "ann")] {
        sockets.push(guest(&server, document, name).await);
    }
    let logged = async |document: &str, what: &str, count: usize| {
        within("the log to have it", async {
            loop {
                let events = Database::open(&server.database()).await.presence(document).await;
                if events.iter().filter(|body| body.contains(what)).count() >= count {
                    return events;
                }
            }
        })
        .await
    };
    logged("one", "joined.1", 2).await;
    logged("two", "joined.1", 1).await;
    server.kill().await;
    drop(sockets);
    server.restart().await;
    for (document, count) in [("one", 2), ("two", 1)] {
        // It was done before anybody was let in.
        let events = Database::open(&server.database()).await.presence(document).await;
        let left = events.iter().filter(|body| body.contains("left.1")).count();
        assert_eq!((events.len(), left), (2 * count, count), "{events:?}");
    }
    let mut newcomer = guest(&server, "one", "newcomer").await;
    assert_eq!(present(&mut newcomer).await.len(), 1);
    // And once is enough.
    server.kill().await;
    server.restart().await;
    let events = Database::open(&server.database()).await.presence("two").await;
    assert_eq!(events.len(), 2, "{events:?}");
}

#[tokio::test]
async fn who_was_here_when_the_service_was_stopped_has_left() {
    let mut server = Server::start().await;
    let mut ann = Socket::open(server.address(), &Opening::guest("doc", "ann")).await;
    ann.expect("system", "connection_ack").await;
    assert!(server.terminate().await.success());
    while ann.next().await != Incoming::End {}
    let events = Database::open(&server.database()).await.presence("doc").await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].contains("joined.1") && events[1].contains("left.1"), "{events:?}");
    server.restart().await;
    assert_eq!(Database::open(&server.database()).await.presence("doc").await.len(), 2);
}
