use std::{collections::BTreeSet, path::PathBuf};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::{
    auth::{Authenticator, GuestQuery, Identity},
    domain::Timestamp,
    settings::AuthMode,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

fn with_set(path: PathBuf) -> Auth {
    Auth { mode: AuthMode::Jwt, jwks_file: Some(path), ..Auth::default() }
}

fn signed(algorithm: Algorithm, key: &str, kid: Option<&str>) -> String {
    let pem = || fs::read(fixture(key)).unwrap();
    let key = match key.split('.').next().unwrap() {
        "rs256" | "rs256-other" => EncodingKey::from_rsa_pem(&pem()).unwrap(),
        "es256" | "es256-other" => EncodingKey::from_ec_pem(&pem()).unwrap(),
        "eddsa" | "eddsa-other" => EncodingKey::from_ed_pem(&pem()).unwrap(),
        secret => EncodingKey::from_secret(secret.as_bytes()),
    };
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &json!({"sub": "ada", "exp": 1_800_000_060}), &key).unwrap()
}

fn verify(authenticator: &Authenticator, token: &str) -> Result<Identity, Reason> {
    authenticator.authenticate(Some(token), GuestQuery::default(), NOW).map_err(|denied| denied.reason)
}

const SECRET: &str = "a secret of the tests, with more than 32 bytes";

#[test]
fn the_kid_chooses_the_key_and_the_key_the_algorithm() {
    let set = Authenticator::from_settings(&with_set(fixture("set.jwks.json"))).unwrap();
    for (algorithm, key, other, kid) in [
        (Algorithm::RS256, "rs256.private.pem", "rs256-other.private.pem", "rs"),
        (Algorithm::ES256, "es256.private.pem", "es256-other.private.pem", "es"),
        (Algorithm::EdDSA, "eddsa.private.pem", "eddsa-other.private.pem", "ed"),
        (Algorithm::HS256, SECRET, "another secret, as long as the other one", "hs"),
    ] {
        assert_eq!(verify(&set, &signed(algorithm, key, Some(kid))).unwrap().user_id.as_str(), "ada", "{kid}");
        assert_eq!(verify(&set, &signed(algorithm, other, Some(kid))), Err(Reason::BadSignature), "{kid}");
        assert_eq!(verify(&set, &signed(algorithm, key, Some("unknown"))), Err(Reason::UnknownKey));
        assert_eq!(verify(&set, &signed(algorithm, key, None)), Err(Reason::UnknownKey), "which of the four?");
    }
    for (algorithm, key, kid) in [
        (Algorithm::RS512, "rs256.private.pem", "rs"),
        (Algorithm::RS256, "rs256.private.pem", "es"),
        (Algorithm::HS512, SECRET, "hs"),
        // The public numbers are no secret: nobody may sign with them.
        (Algorithm::HS256, SECRET, "rs"),
    ] {
        assert_eq!(verify(&set, &signed(algorithm, key, Some(kid))), Err(Reason::WrongAlgorithm), "{kid}");
    }
    for kid in ["es384", "for-encryption", "rs512", "short", "short-secret", "from-the-future"] {
        assert_eq!(verify(&set, &signed(Algorithm::RS256, "rs256.private.pem", Some(kid))), Err(Reason::UnknownKey));
    }
}

#[test]
fn what_was_loaded_and_what_not_is_told() {
    let told = Authenticator::from_settings(&with_set(fixture("set.jwks.json"))).unwrap().keys().unwrap();
    let (loaded, passed_over) = told.split_once("; passed over: ").unwrap();
    assert_eq!(
        loaded.split(", ").collect::<BTreeSet<_>>(),
        BTreeSet::from([r#""ed" (EdDSA)"#, r#""es" (ES256)"#, r#""hs" (HS256)"#, r#""rs" (RS256)"#])
    );
    for (kid, why) in [
        ("es384", "its kind or curve is not supported"),
        ("for-encryption", "it is not for signatures"),
        ("rs512", "its algorithm is not supported"),
        ("short", "it has a wrong length"),
        ("from-the-future", "its kind or curve is not supported"),
    ] {
        assert!(passed_over.contains(&format!("{kid:?} ({why})")), "{kid}: {passed_over}");
    }
}

/// A set with the elliptic key of the fixtures, changed.
fn set(change: impl Fn(&mut Vec<Value>)) -> String {
    let mut set: Value = serde_json::from_str(&fs::read_to_string(fixture("set.jwks.json")).unwrap()).unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    keys.retain(|key| key["kid"] == "es");
    change(keys);
    set.to_string()
}

#[test]
fn a_bad_set_is_named_with_the_reason_and_the_old_keys_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    fs::write(&path, set(|_| ())).unwrap();
    let auth = with_set(path.clone());
    let authenticator = Authenticator::from_settings(&auth).unwrap();
    let token = signed(Algorithm::ES256, "es256.private.pem", Some("es"));
    for (text, why) in [
        (String::new(), "it is not JSON"),
        ("{}".to_owned(), "not a JWK Set"),
        (set(Vec::clear), "it holds no key that can be used"),
        (set(|keys| keys[0]["crv"] = json!("P-521")), "no key that can be used: \"es\""),
        (set(|keys| keys[0]["x"] = json!("AAAA")), "no key that can be used: \"es\""),
        (set(|keys| keys.push(keys[0].clone())), "two keys are called \"es\""),
        (set(|keys| keys[0]["d"] = json!("AAAA")), "\"es\" is a private key"),
    ] {
        fs::write(&path, &text).unwrap();
        let refused = authenticator.reload(&auth).unwrap_err().to_string();
        assert!(refused.starts_with("auth.jwks_file ") && refused.contains(why), "{refused}");
        assert!(Authenticator::from_settings(&auth).is_err());
        assert!(verify(&authenticator, &token).is_ok(), "the old key stays");
    }
    fs::remove_file(&path).unwrap();
    assert!(authenticator.reload(&auth).unwrap_err().to_string().contains("No such file"));
    fs::write(&path, set(|keys| keys[0]["kid"] = json!("new"))).unwrap();
    authenticator.reload(&auth).unwrap();
    assert_eq!(verify(&authenticator, &token), Err(Reason::UnknownKey));
    assert!(verify(&authenticator, &signed(Algorithm::ES256, "es256.private.pem", Some("new"))).is_ok());
    assert!(verify(&authenticator, &signed(Algorithm::ES256, "es256.private.pem", None)).is_ok(), "the only one");
}
