//! Somebody is called otherwise in the middle of a connection.

use serde_json::{Value, json};

use crate::support::{
    log::Database,
    say::{WITH_TOKENS, commit, edit, insert, now, opened, signed},
    server::Server,
    socket::{Opening, Socket},
    within,
};

use super::{cursor_at, present};

fn token(user: &str, more: Value) -> String {
    let mut claims = json!({"sub": user, "exp": now() + 600.0, "permissions": ["read", "write", "comment"]});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    signed(&claims)
}

fn with_token(client: &str, token: &str) -> Opening {
    Opening::of("doc").with("token", token).with("client_id", client)
}

async fn authenticate(socket: &mut Socket, token: &str) {
    socket.send(&json!({"type": "system", "event": "authenticate", "data": {"token": token}})).await;
    socket.expect("system", "authenticated").await;
}

async fn comment(socket: &mut Socket, id: &str) -> Value {
    let comment = json!({"id": id, "content": "why?", "position": {"start": 0, "end": 1}});
    let data = json!({"comment": comment, "version": 1});
    socket.send(&json!({"type": "comment", "event": "comment_added", "data": data})).await;
    socket.expect("comment", "comment_ack").await;
    socket.expect("comment", "comment_added").await["comment"]["author_name"].take()
}

#[tokio::test]
async fn what_a_new_token_says_of_its_user_counts_from_then_on() {
    let server = Server::start_with(&WITH_TOKENS).await;
    let mut ann = opened(&server, &with_token("a1", &token("ann", json!({})))).await;
    let mut bens = opened(&server, &with_token("b1", &token("ben", json!({"name": "Ben"})))).await;
    assert_eq!(ann.expect_presence("user_joined").await["user"], json!({"id": "ben", "name": "Ben"}));
    commit(&mut bens, &edit("m", 0, insert(0, "text"))).await;
    ann.expect("operation", "operation_broadcast").await;
    bens.send(&cursor_at(3, 1)).await;
    ann.expect_presence("cursor_update").await;
    assert_eq!(comment(&mut bens, "c1").await, "Ben");
    ann.expect("comment", "comment_added").await;

    authenticate(&mut bens, &token("ben", json!({"name": "Benjamin", "avatar_url": "https://example.org/b.png"})))
        .await;
    let told = ann.expect_presence("user_joined").await;
    assert_eq!(told["user"], json!({"id": "ben", "name": "Benjamin", "avatar_url": "https://example.org/b.png"}));
    assert_eq!(ann.expect_presence("cursor_update").await["cursor"]["position"], 3, "they are still where they were");
    assert_eq!(comment(&mut bens, "c2").await, "Benjamin");
    ann.expect("comment", "comment_added").await;
    let here = present(&mut ann).await;
    assert_eq!((&here[1]["name"], &here[1]["cursor_position"]), (&json!("Benjamin"), &json!(3)), "{here:?}");

    // The same once more is no news, also from another connection; another name is.
    authenticate(&mut bens, &token("ben", json!({"name": "Benjamin", "avatar_url": "https://example.org/b.png"})))
        .await;
    let second = opened(&server, &with_token("b2", &token("ben", json!({"name": "Big Ben"})))).await;
    assert_eq!(ann.expect_presence("user_joined").await["user"], json!({"id": "ben", "name": "Big Ben"}));
    ann.expect_presence("cursor_update").await;
    second.close().await;
    bens.close().await;
    ann.expect_presence("user_left").await;
    let newcomer = present(&mut ann).await;
    assert_eq!(newcomer.len(), 1, "{newcomer:?}");
    let comments = opened_comments(&server).await;
    assert_eq!([&comments[0]["author_name"], &comments[1]["author_name"]], ["Ben", "Benjamin"], "{comments:?}");
}

async fn opened_comments(server: &Server) -> Vec<Value> {
    let mut socket = Socket::open(server.address(), &with_token("late", &token("late", json!({})))).await;
    socket.expect("system", "connection_ack").await;
    socket.expect("system", "document_sync").await["comments"].as_array().unwrap().clone()
}

#[tokio::test]
async fn who_was_called_otherwise_leaves_like_everybody_else() {
    let mut server = Server::start_with(&WITH_TOKENS).await;
    let mut ann = opened(&server, &with_token("a1", &token("ann", json!({"name": "Ann"})))).await;
    // What is said twice is recorded once.
    for name in ["Anna", "Anna", "Anne"] {
        authenticate(&mut ann, &token("ann", json!({"name": name}))).await;
    }
    let events = async |count: usize| {
        within("the log to have it", async {
            loop {
                let events = Database::open(&server.database()).await.presence("doc").await;
                if events.len() >= count {
                    return events;
                }
            }
        })
        .await
    };
    let recorded = events(3).await;
    assert!(["Ann", "Anna", "Anne"].iter().zip(&recorded).all(|(name, body)| body.contains(name)), "{recorded:?}");
    ann.close().await;
    assert!(events(4).await[3].contains("left.1"));
    server.verify().await;
    let mut again = opened(&server, &with_token("a1", &token("ann", json!({"name": "Ann"})))).await;
    authenticate(&mut again, &token("ann", json!({"name": "Anna"}))).await;
    events(6).await;
    server.kill().await;
    server.restart().await;
    let recorded = Database::open(&server.database()).await.presence("doc").await;
    assert_eq!(recorded.len(), 7, "one who left once leaves once: {recorded:?}");
    assert!(recorded[6].contains("left.1"), "{recorded:?}");
    server.verify().await;
}
