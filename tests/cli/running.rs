//! How commands are told what to do, and how they say what they did.

use serde_json::{Value, json};

use crate::{
    scene::{Scene, command_in},
    support::{
        command::{Done, command},
        storage::{Storage, on_every_database},
    },
};

on_every_database! {
    migrate_makes_the_database_and_then_has_nothing_to_do
    what_was_done_is_said_in_json_where_that_is_asked_for
}

async fn migrate_makes_the_database_and_then_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::of_this_test(folder.path());
    let run = |name| Done::from(command(folder.path(), &storage.url(), &[name]).output().unwrap());
    let migrate = || run("migrate").fine();
    assert!(migrate().contains("applied 1, "));
    assert!(migrate().contains("is up to date"));
    let verify = run("verify");
    assert_eq!(verify.fine(), "verified 0 streams, 0 events, 0 snapshots: 0 differences\n");
}

#[test]
fn looking_at_a_database_that_is_not_there_does_not_make_one() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["events", "verify", "rebuild"] {
        let complaint = Done::from(command_in(folder.path(), &[command]).output().unwrap()).failed(1);
        assert!(complaint.contains("there is no database at sqlite://"), "{complaint}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn settings_that_are_not_usable_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, value: &str| {
        Done::from(command_in(folder.path(), &["serve"]).env(name, value).output().unwrap()).failed(2)
    };
    assert!(run("SCRIPTORIUM__SERVER__LISTN", "x").contains("did you mean server.listen?"));
    assert!(run("SCRIPTORIUM__SERVER__LISTEN", "0.0.0.0:0").contains("auth.allow_open = true"));
    assert!(run("DATABASE_URL", "mysql://x").contains("database.url (in the environment variable DATABASE_URL)"));
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/default.toml"), "[limits]\nconnections = \"many\"").unwrap();
    assert!(run("X", "").contains("limits.connections (in config/default.toml): must be a whole number"));
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn what_was_done_is_said_in_json_where_that_is_asked_for() {
    let scene = Scene::new().await;
    let run = |arguments: &[&str]| lines(&scene.run(&[arguments, &["--json"]].concat()).fine());
    assert_eq!(run(&["migrate"]), [json!({"applied": []})]);
    assert_eq!(run(&["rebuild"]), [json!({"documents": 2, "failed": 0})]);
    let counts = json!({"streams": 2, "erased": 0, "events": 6, "snapshots": 2});
    assert_eq!(run(&["verify"]), [json!({"verified": counts, "differences": 0})]);
    assert_eq!(run(&["export", "--output", "log.ndjson"]), [json!({"exported": 6, "position": 6})]);
    assert_eq!(run(&["import", "log.ndjson"]), [json!({"imported": 0, "present": 6, "position": 6})]);
    let piped = scene.run(&["export", "--json"]);
    assert_eq!(lines(&piped.err), [json!({"exported": 6, "position": 6})]);
    assert_eq!(lines(&piped.fine()).len(), 8, "the events, their beginning and their end");

    scene.tamper("UPDATE events SET body = 'rubbish' WHERE seq = 4").await;
    let verify = scene.run(&["verify", "--json"]);
    let out = lines(&verify.out);
    assert_eq!((out.len(), &out[0]["stream"], &out[1]["differences"]), (2, &json!("document:a"), &json!(1)));
    assert!(out[0]["difference"].as_str().unwrap().starts_with("event 4 is damaged: "));
    verify.failed(1);
    assert_eq!(lines(&scene.run(&["rebuild", "--json"]).out), [json!({"documents": 1, "failed": 1})]);
}

#[test]
fn a_token_comes_with_its_end_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut token =
        command_in(folder.path(), &["token", "--sub", "ada", "--permissions", "read", "--ttl", "2h", "--json"]);
    let secret = "a secret of at least thirty-two bytes, for tests";
    let token = token.env("SCRIPTORIUM__AUTH__MODE", "jwt").env("SCRIPTORIUM__AUTH__HS256_SECRET", secret);
    let said: Value = serde_json::from_str(&Done::from(token.output().unwrap()).fine()).unwrap();
    assert_eq!((&said["sub"], &said["permissions"]), (&json!("ada"), &json!(["read"])));
    assert_eq!(said["token"].as_str().unwrap().split('.').count(), 3);
    assert!(said["expires_at"].as_str().unwrap().strip_suffix(".000000Z").is_some());
}

#[test]
fn every_command_shows_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| Done::from(command_in(folder.path(), arguments).output().unwrap()).fine();
    let commands = ["serve", "migrate", "replay", "events", "rebuild", "verify", "export", "import", "token"];
    let all = help(&["--help"]);
    for name in commands {
        assert!(all.contains(name), "{name}");
        assert!(help(&[name, "--help"]).contains(&format!("scriptorium {name}")), "{name} shows no example");
    }
}
