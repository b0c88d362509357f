//! Keys that are rotated while the service runs.

use std::{fs, path::Path};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{
    say::{commit, edit, insert, now, opened},
    server::Server,
    socket::{Opening, Socket},
    within,
};

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)).unwrap()
}

/// A key set with these keys of the fixtures.
fn set(kids: &[&str]) -> String {
    let mut set: Value = serde_json::from_str(&fixture("set.jwks.json")).unwrap();
    set["keys"].as_array_mut().unwrap().retain(|key| kids.contains(&key["kid"].as_str().unwrap()));
    set.to_string()
}

fn token(kid: &str) -> String {
    let (algorithm, key) = match kid {
        "rs" => (Algorithm::RS256, EncodingKey::from_rsa_pem(fixture("rs256.private.pem").as_bytes())),
        _ => (Algorithm::ES256, EncodingKey::from_ec_pem(fixture("es256.private.pem").as_bytes())),
    };
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    let claims = json!({"sub": kid, "exp": now() + 600.0, "permissions": ["read", "write"]});
    jsonwebtoken::encode(&header, &claims, &key.unwrap()).unwrap()
}

fn opening(kid: &str) -> Opening {
    Opening::of("doc").with("client_id", kid).with("token", token(kid))
}

async fn refused(server: &Server, kid: &str) {
    let mut socket = Socket::open(server.address(), &opening(kid)).await;
    assert_eq!(socket.expect_error("UNAUTHORIZED").await["details"]["reason"], "unknown_key");
    socket.expect_close(4003).await;
}

/// Sends SIGHUP and waits for the line that says what came of it.
async fn reload(server: &Server, expected: &str) {
    let before = server.log().len();
    server.signal("HUP");
    within(expected, async {
        while !server.log()[before..].iter().any(|line| line.contains(expected)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn keys_are_rotated_without_a_restart() {
    let mut server = Server::prepare(&[("AUTH__MODE", "jwt"), ("AUTH__JWKS_FILE", "jwks.json")]);
    let path = server.home().join("jwks.json");
    fs::write(&path, set(&["rs"])).unwrap();
    server.restart().await;
    let mut old = opened(&server, &opening("rs")).await;
    refused(&server, "es").await;

    fs::write(&path, set(&["rs", "es", "es384"])).unwrap();
    reload(&server, r#"\"es\" (ES256), \"rs\" (RS256); passed over: \"es384\""#).await;
    let mut new = opened(&server, &opening("es")).await;
    opened(&server, &opening("rs").with("since", 0)).await.close().await;
    fs::write(&path, set(&["es384"])).unwrap();
    reload(&server, "the old ones stay").await;
    fs::write(&path, "no set").unwrap();
    reload(&server, "it is not JSON").await;
    let again = Opening::of("doc").with("client_id", "again").with("token", token("es"));
    opened(&server, &again).await.close().await;

    fs::write(&path, set(&["es"])).unwrap();
    reload(&server, "read the keys again").await;
    refused(&server, "rs").await;
    assert_eq!(commit(&mut new, &edit("m1", 0, insert(0, "x"))).await, 1);
    old.expect_close(1008).await;
}

#[tokio::test]
async fn a_public_key_is_read_again_too() {
    let mut server = Server::prepare(&[("AUTH__MODE", "jwt"), ("AUTH__PUBLIC_KEY_FILE", "key.pem")]);
    let path = server.home().join("key.pem");
    fs::write(&path, fixture("rs256.public.pem")).unwrap();
    server.restart().await;
    let mut rs = opened(&server, &opening("rs")).await;
    fs::write(&path, fixture("es256.public.pem")).unwrap();
    reload(&server, "one key (ES256)").await;
    opened(&server, &opening("es")).await;
    assert_eq!(commit(&mut rs, &edit("m", 0, insert(0, "x"))).await, 1, "who was there stays");
    let mut socket = Socket::open(server.address(), &opening("rs")).await;
    assert_eq!(socket.expect_error("UNAUTHORIZED").await["details"]["reason"], "wrong_algorithm");
}
