//! Clients that stand still over plain sockets: none is kept for ever, and none keeps others away.

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    rest::{Answer, answer},
    server::Server,
    within,
};

const IMPATIENT: (&str, &str) = ("SERVER__IO_TIMEOUT", "300ms");

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

/// A connection over which this was sent.
async fn begin(server: &Server, request: &str) -> TcpStream {
    let mut stream = connect(server).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that the service says until it closes the connection.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let ended = within("the service to close", stream.read_to_end(&mut said)).await;
    // A connection that is closed while bytes are under way is reset.
    assert!(ended.is_ok() || ended.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
    String::from_utf8_lossy(&said).into_owned()
}

/// Asks until the answer has this status.
async fn until(status: u16, mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    within("an answer with another status", async {
        loop {
            let answer = ask().await;
            if answer.status == status {
                return answer;
            }
        }
    })
    .await
}

fn import(name: &str, length: usize) -> String {
    let path = format!("/v1/documents/{name}/import?message_id=m&user_id={name}");
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_connection_that_says_nothing_more_is_closed() {
    let server = Server::start_with(&[IMPATIENT]).await;
    assert_eq!(rest_of(connect(&server).await).await, "", "nothing was asked");
    let half = rest_of(begin(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await).await;
    assert!(!half.contains("200"), "{half}");
    let idle = rest_of(begin(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await).await;
    assert!(idle.starts_with("HTTP/1.1 200 ") && idle.matches("HTTP/1.1").count() == 1, "{idle}");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_refused() {
    let server = Server::start_with(&[IMPATIENT]).await;
    for head in [
        import("doc", 1_000),
        "GET /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n".to_owned(),
        "POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
    ] {
        let said = rest_of(begin(&server, &head).await).await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("REQUEST_TIMEOUT"), "{said}");
    }
    assert_eq!(server.look("/v1/documents/doc").await.status, 404);
}

#[tokio::test]
async fn every_connection_counts_and_those_beyond_the_limit_are_told() {
    let server = Server::start_with(&[("LIMITS__CONNECTIONS", "2")]).await;
    let (first, second) = (connect(&server).await, begin(&server, &import("doc", 1_000)).await);
    let refused = server.look("/v1/documents").await.problem(503);
    assert!(refused.contains("too many connections"), "{refused}");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.look(path).await.status, 200, "{path} can be asked all the same");
    }
    let handshake = "GET /v1/ws/documents/doc HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let refused = rest_of(begin(&server, handshake).await).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("TOO_MANY_CONNECTIONS"), "{refused}");
    let surplus: Vec<_> = futures_util::future::join_all((0..64).map(|_| connect(&server))).await;
    assert_eq!(rest_of(connect(&server).await).await, "", "and still more are closed at once");
    drop((first, second, surplus));
    // Those that are closing still count for a moment: until then a new one may be closed at once as well.
    within("room for another one", async {
        loop {
            let asked = server.ask(Method::GET, "/v1/documents").send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let server = Server::start_with(&[IMPATIENT, ("LIMITS__CONNECTIONS", "1")]).await;
    let text = "x".repeat(8_000_000);
    let made = server.ask(Method::POST, "/v1/documents/doc/import?format=text&message_id=m").body(text);
    answer(made).await.with(201);
    let reader = within("an answer that begins", async {
        loop {
            let mut reader = reader_of(&server, "/v1/documents/doc/export").await;
            let mut start = [0; 12];
            // The connection before may be closing still.
            if reader.read_exact(&mut start).await.is_ok() && start == *b"HTTP/1.1 200" {
                return reader;
            }
        }
    })
    .await;
    until(200, async || server.look("/v1/documents").await).await;
    assert!(rest_of(reader).await.len() < 8_000_000, "not all of it");
}

/// Asks for something over a connection that can hold little.
async fn reader_of(server: &Server, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut reader = within("a connection", socket.connect(server.address())).await.unwrap();
    reader.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    reader
}

/// Room for the bodies of two imports of 64 KiB, of two users.
const LITTLE_ROOM: [(&str, &str); 4] = [
    ("LIMITS__BODY_BYTES", "256KiB"),
    ("LIMITS__IMPORT_BYTES", "64KiB"),
    ("LIMITS__MESSAGE_BYTES", "64KiB"),
    ("LIMITS__OUTBOX_BYTES", "64KiB"),
];

async fn take_in(server: &Server, document: &str, user: &str) -> Answer {
    let path = format!("/v1/documents/{document}/import?format=text&message_id=m&user_id={user}");
    answer(server.ask(Method::POST, &path).body("x".repeat(20 * 1024))).await
}

/// Imports of these users that stop before their end, and what another one, of `user`, is told meanwhile.
async fn stop_halfway(server: &Server, users: &[&str], user: &str) -> (Vec<TcpStream>, String) {
    within("a refusal", async {
        loop {
            let mut held = Vec::new();
            for name in users {
                held.push(begin(server, &(import(name, 64 * 1024) + &"x".repeat(60 * 1024))).await);
            }
            // It may have come before them; then they are refused.
            let answer = take_in(server, &format!("of-{user}"), user).await;
            if answer.status == 503 {
                return (held, answer.problem(503));
            }
        }
    })
    .await
}

#[tokio::test]
async fn bodies_under_way_have_room_for_some_and_other_requests_go_on() {
    let server = Server::start_with(&LITTLE_ROOM).await;
    let (held, refused) = stop_halfway(&server, &["ann", "ben"], "cem").await;
    assert!(refused.contains("`limits.body_bytes`"), "{refused}");
    let body = json!({"id": "d", "content": "x".repeat(60 * 1024)}).to_string();
    answer(server.ask(Method::POST, "/v1/documents?user_id=cem").body(body)).await.with(201);
    drop(held);
    until(201, async || take_in(&server, "doc", "dee").await).await;
}

#[tokio::test]
async fn one_user_cannot_take_all_the_room_for_imports() {
    let server = Server::start_with(&LITTLE_ROOM).await;
    let (_held, refused) = stop_halfway(&server, &["ann"], "ann").await;
    assert!(refused.contains("`limits.body_bytes`"), "{refused}");
    take_in(&server, "other", "ben").await.with(201);
}
