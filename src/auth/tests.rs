use std::{path::Path, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::{domain::DocumentId, settings::Secret};

const SECRET: &str = "a secret of the tests, with more than 32 bytes";
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const NOW_SECONDS: i64 = 1_800_000_000;

fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

fn with_secret() -> Auth {
    Auth { mode: AuthMode::Jwt, hs256_secret: Some(Secret::new(SECRET)), ..Auth::default() }
}

fn with_public_key(name: &str) -> Auth {
    Auth { mode: AuthMode::Jwt, public_key_file: Some(key_file(name)), ..Auth::default() }
}

fn authenticate(auth: &Auth, token: &str) -> Result<Identity, Denied> {
    Authenticator::from_settings(auth).unwrap().authenticate(Some(token), GuestQuery::default(), NOW)
}

fn refused(auth: &Auth, token: &str) -> Reason {
    authenticate(auth, token).unwrap_err().reason
}

fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

/// Signs with one of the fixtures.
fn signed(algorithm: Algorithm, private_key: &str) -> String {
    let pem = std::fs::read(key_file(private_key)).unwrap();
    let key = match &private_key[..5] {
        "rs256" => EncodingKey::from_rsa_pem(&pem),
        "es256" => EncodingKey::from_ec_pem(&pem),
        _ => EncodingKey::from_ed_pem(&pem),
    };
    jsonwebtoken::encode(&Header::new(algorithm), &good(), &key.unwrap()).unwrap()
}

fn good() -> Value {
    json!({ "sub": "ada", "exp": NOW_SECONDS + 60, "permissions": ["read", "write"] })
}

/// The good claims with one changed, or without it where `value` is null.
fn but(name: &str, value: Value) -> Value {
    let mut claims = good();
    let map = claims.as_object_mut().unwrap();
    map.insert(name.to_owned(), value);
    map.retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_good_token_says_who_and_what() {
    let claims = json!({
        "sub": "ada", "exp": NOW_SECONDS + 60, "nbf": NOW_SECONDS, "name": "Ada", "avatar_url": "https://a/b.png",
        "color": "#f00", "role": "editor", "permissions": { "team/*": ["document:read"] },
    });
    let identity = authenticate(&with_secret(), &hs256(&claims)).unwrap();
    assert_eq!(identity.user_id.as_str(), "ada");
    assert_eq!(identity.name.as_deref(), Some("Ada"));
    assert_eq!(identity.avatar_url.as_deref(), Some("https://a/b.png"));
    assert_eq!((identity.color.as_deref(), identity.role.as_deref()), (Some("#f00"), Some("editor")));
    assert_eq!(identity.expires_at, Some(Timestamp(NOW.0 + 60_000_000)));
    let on = |id| identity.permissions.on(&DocumentId::parse(id).unwrap());
    assert!(on("team/1").allows(Permission::Read) && !on("team/1").allows(Permission::Write));
    assert_eq!(on("other"), PermissionSet::NONE);
}

#[test]
fn a_token_without_permissions_may_do_nothing() {
    let identity = authenticate(&with_secret(), &hs256(&but("permissions", Value::Null))).unwrap();
    assert_eq!(identity.permissions.on(&DocumentId::parse("d").unwrap()), PermissionSet::NONE);
}

#[test]
fn every_public_key_algorithm_is_accepted_with_its_own_key_only() {
    for (algorithm, name) in [(Algorithm::RS256, "rs256"), (Algorithm::ES256, "es256"), (Algorithm::EdDSA, "eddsa")] {
        let auth = with_public_key(&format!("{name}.public.pem"));
        let token = signed(algorithm, &format!("{name}.private.pem"));
        assert_eq!(authenticate(&auth, &token).unwrap().user_id.as_str(), "ada", "{name}");
        let forged = signed(algorithm, &format!("{name}-other.private.pem"));
        assert_eq!(refused(&auth, &forged), Reason::BadSignature, "{name}");
    }
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    for name in ["rs256", "es256", "eddsa"] {
        let public = std::fs::read(key_file(&format!("{name}.public.pem"))).unwrap();
        let key = EncodingKey::from_secret(&public);
        let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good(), &key).unwrap();
        assert_eq!(refused(&with_public_key(&format!("{name}.public.pem")), &forged), Reason::WrongAlgorithm);
    }
    let auth = Auth { hs256_secret: Some(Secret::new("-----BEGIN PUBLIC KEY-----\nMFkw")), ..with_secret() };
    assert!(matches!(Authenticator::from_settings(&auth), Err(SetupError::SecretIsPem)));
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good(), &key).unwrap();
    assert_eq!(refused(&with_secret(), &hs512), Reason::WrongAlgorithm);
    let rs512 = signed(Algorithm::RS512, "rs256.private.pem");
    assert_eq!(refused(&with_public_key("rs256.public.pem"), &rs512), Reason::WrongAlgorithm);
    assert_eq!(refused(&with_secret(), &signed(Algorithm::RS256, "rs256.private.pem")), Reason::WrongAlgorithm);
}

#[test]
fn an_unsigned_token_is_refused() {
    let token = hs256(&good());
    let body = token.split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT"}, with nothing and with the real signature behind it
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.");
    let signature = token.rsplit('.').next().unwrap();
    assert_eq!(refused(&with_secret(), &none), Reason::Malformed);
    assert_eq!(refused(&with_secret(), &format!("{none}{signature}")), Reason::Malformed);
    assert_eq!(refused(&with_secret(), token.rsplit_once('.').unwrap().0), Reason::Malformed);
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let (token, other) = (hs256(&good()), hs256(&but("sub", json!("eve"))));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (other_head, _) = other.rsplit_once('.').unwrap();
    assert_ne!(head, other_head);
    assert_eq!(refused(&with_secret(), &format!("{other_head}.{signature}")), Reason::BadSignature);
    let auth = Auth { hs256_secret: Some(Secret::new("another secret, also with 32 bytes or more")), ..with_secret() };
    assert_eq!(refused(&auth, &token), Reason::BadSignature);
}

#[test]
fn rubbish_is_malformed_and_nothing_is_missing() {
    for token in ["", "a", "a.b", "a.b.c", "....", "ä.ö.ü", &"x".repeat(100_000)] {
        assert_eq!(refused(&with_secret(), token), Reason::Malformed, "{token:.20}");
    }
    let nobody = Authenticator::from_settings(&with_secret()).unwrap().authenticate(None, GuestQuery::default(), NOW);
    assert_eq!(nobody.unwrap_err().reason, Reason::Missing);
}

#[test]
fn each_claim_is_judged() {
    let strict = Auth { issuer: Some("us".to_owned()), audience: Some("docs".to_owned()), ..with_secret() };
    let cases = [
        (with_secret(), but("sub", Value::Null), Reason::NoSubject),
        (with_secret(), but("sub", json!(7)), Reason::Malformed),
        (with_secret(), but("sub", json!("")), Reason::Malformed),
        (with_secret(), but("exp", Value::Null), Reason::NoExpiry),
        (with_secret(), but("exp", json!("tomorrow")), Reason::Malformed),
        (with_secret(), but("exp", json!(NOW_SECONDS)), Reason::Expired),
        (with_secret(), but("exp", json!(-1)), Reason::Expired),
        (with_secret(), but("nbf", json!(NOW_SECONDS + 1)), Reason::NotYetValid),
        (with_secret(), but("nbf", json!([])), Reason::Malformed),
        (with_secret(), but("permissions", json!("read")), Reason::Malformed),
        (strict.clone(), good(), Reason::WrongIssuer),
        (strict.clone(), but("iss", json!(["us"])), Reason::WrongIssuer),
        (strict.clone(), but("iss", json!("us")), Reason::WrongAudience),
    ];
    for (auth, claims, reason) in cases {
        assert_eq!(refused(&auth, &hs256(&claims)), reason, "{claims}");
    }
    for aud in [json!("docs"), json!(["mail", "docs"])] {
        let mut claims = but("iss", json!("us"));
        claims["aud"] = aud;
        assert!(authenticate(&strict, &hs256(&claims)).is_ok());
    }
}

#[test]
fn a_token_holds_until_the_very_moment_it_expires_and_through_the_leeway() {
    let lenient = Auth { leeway: Duration::from_secs(5), ..with_secret() };
    let ok = |auth: &Auth, name: &str, seconds: f64| authenticate(auth, &hs256(&but(name, json!(seconds)))).is_ok();
    let now = 1.8e9;
    assert!(ok(&with_secret(), "exp", now + 0.001) && !ok(&with_secret(), "exp", now));
    assert!(ok(&lenient, "exp", now - 4.9) && !ok(&lenient, "exp", now - 5.0));
    assert!(ok(&lenient, "nbf", now + 5.0) && !ok(&lenient, "nbf", now + 5.1));
    let far = authenticate(&lenient, &hs256(&but("exp", json!(u64::MAX)))).unwrap();
    assert_eq!(far.expires_at, Some(Timestamp(i64::MAX)));
}

#[test]
fn a_critical_extension_that_is_not_understood_is_refused() {
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["b64".to_owned()]);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    assert_eq!(refused(&with_secret(), &jsonwebtoken::encode(&header, &good(), &key).unwrap()), Reason::Malformed);
}

#[test]
fn an_unusable_key_file_is_named_with_the_reason() {
    for (file, why) in [
        ("nothing.pem", "No such file"),
        ("README.md", "not a PEM file"),
        ("es256.private.pem", "private key"),
        ("p384.public.pem", "not P-256"),
        ("rsa1024.public.pem", "shorter than 2048"),
    ] {
        let error = Authenticator::from_settings(&with_public_key(file)).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(why), "{error}");
    }
}

#[test]
fn without_authentication_a_guest_is_whom_they_say_and_may_do_everything() {
    let open = Authenticator::from_settings(&Auth::default()).unwrap();
    let query = GuestQuery::parse(Some("ada"), Some("Ada"), Some("#f00")).unwrap();
    let ada = open.authenticate(Some("ignored"), query, NOW).unwrap();
    assert_eq!((ada.user_id.as_str(), ada.name.as_deref(), ada.color.as_deref()), ("ada", Some("Ada"), Some("#f00")));
    assert_eq!(ada.permissions.on(&DocumentId::parse("d").unwrap()), PermissionSet::ALL);
    assert_eq!(ada.expires_at, None);

    let nameless = || open.authenticate(None, GuestQuery::default(), NOW).unwrap().user_id;
    assert!(nameless().as_str().starts_with("guest-"));
    assert_ne!(nameless(), nameless());
}

#[test]
fn a_guest_cannot_be_called_just_anything() {
    assert!(GuestQuery::parse(Some("a\nb"), None, None).is_err());
    assert!(GuestQuery::parse(Some(&"x".repeat(129)), None, None).is_err());
    assert!(GuestQuery::parse(None, Some(&"ä".repeat(129)), None).is_err());
    assert!(GuestQuery::parse(None, None, Some("\u{0}")).is_err());
    assert_eq!(GuestQuery::parse(Some(""), Some(""), None), Ok(GuestQuery::default()));
}

#[test]
fn a_token_made_here_is_accepted_here() {
    let strict = Auth { issuer: Some("us".to_owned()), audience: Some("docs".to_owned()), ..with_secret() };
    let claims = Claims {
        user_id: UserId::parse("ada").unwrap(),
        name: Some("Ada".to_owned()),
        permissions: json!({ "*": ["read"] }),
        issued_at: NOW,
        ttl: Duration::from_mins(1),
    };
    let identity = authenticate(&strict, &issue(&strict, &claims).unwrap()).unwrap();
    assert_eq!((identity.user_id.as_str(), identity.name.as_deref()), ("ada", Some("Ada")));
    assert_eq!(identity.expires_at, Some(Timestamp(NOW.0 + 60_000_000)));
    assert!(matches!(issue(&with_public_key("x"), &claims), Err(IssueError::NoSecret)));
    let nonsense = Claims { permissions: json!("all"), ..claims };
    assert!(matches!(issue(&strict, &nonsense), Err(IssueError::BadPermissions)));
}

#[test]
fn keys_do_not_show() {
    let shown = format!("{:?}", Authenticator::from_settings(&with_secret()).unwrap());
    assert!(!shown.contains("secret of the tests") && shown.contains("HS256"), "{shown}");
}
