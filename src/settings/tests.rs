use std::ffi::OsString;

use super::*;

fn load(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let mut layers = Layers::default();
    for (path, text) in files {
        layers.add_toml(Path::new(path), text);
    }
    layers.add_environment(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    Settings::from_layers(layers)
}

/// What is wrong with the one value in question.
fn problem(files: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
    let problems = load(files, variables).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn nothing_has_to_be_configured() {
    assert_eq!(load(&[], &[]), Ok(Settings::default()));
}

#[test]
fn the_default_file_documents_every_key_with_its_default() {
    let file = include_str!("../../config/default.toml");
    assert_eq!(load(&[("config/default.toml", file)], &[]), Ok(Settings::default()));
    let table: toml::Table = file.parse().unwrap();
    for key in Settings::KEYS {
        let (section, name) = key.split_once('.').unwrap();
        assert!(table[section].get(name).is_some(), "{key} is missing");
    }
}

#[test]
fn the_operators_page_lists_every_key_with_its_default() {
    let page = include_str!("../../docs/operations.md");
    let table: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    for key in Settings::KEYS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` | `")));
        let default = row.unwrap_or_else(|| panic!("{key} is missing")).split('`').nth(3).unwrap();
        let (section, name) = key.split_once('.').unwrap();
        let listed: toml::Table = format!("{name} = {default}").parse().unwrap();
        assert_eq!(listed[name], table[section][name], "{key}");
    }
}

#[test]
fn later_layers_win_key_by_key() {
    let (first, second) = (
        "[server]\nlisten = \"127.0.0.1:1\"\nshutdown_grace = \"1s\"\n[limits]\nconnections = 5",
        "[server]\nlisten = \"127.0.0.1:2\"",
    );
    let settings =
        load(&[("a.toml", first), ("b.toml", second)], &[("SCRIPTORIUM__LIMITS__CONNECTIONS", "6")]).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:2");
    assert_eq!(settings.server.shutdown_grace, s(1));
    assert_eq!(settings.limits.connections, 6);
    assert_eq!(settings.limits.message_bytes, 1 << 20);
}

#[test]
fn each_type_can_be_written_in_the_environment() {
    let settings = load(
        &[],
        &[
            ("SCRIPTORIUM__SERVER__ALLOWED_ORIGINS", r#"["https://a.example", "http://localhost:3000"]"#),
            ("SCRIPTORIUM__LIMITS__MESSAGE_BYTES", "16KiB"),
            ("SCRIPTORIUM__LIMITS__OUTBOX_BYTES", "1048576"),
            ("SCRIPTORIUM__LIMITS__DOCUMENT_LENGTH", "2_000"),
            ("SCRIPTORIUM__DOCUMENTS__IDLE_UNLOAD", "5m"),
            ("SCRIPTORIUM__DOCUMENTS__AUTO_CREATE", "false"),
            ("SCRIPTORIUM__LOG__FORMAT", "json"),
            ("SCRIPTORIUM__AUTH__ISSUER", "42"),
            ("SCRIPTORIUM__AUTH__AUDIENCE", ""),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.allowed_origins, ["https://a.example", "http://localhost:3000"]);
    assert_eq!((settings.limits.message_bytes, settings.limits.outbox_bytes), (16_384, 1_048_576));
    assert_eq!(settings.limits.document_length, 2_000);
    assert_eq!(settings.documents.idle_unload, s(300));
    assert!(!settings.documents.auto_create);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!((settings.auth.issuer, settings.auth.audience), (Some("42".to_owned()), None));
}

#[test]
fn database_url_sets_the_database_and_our_own_variable_wins_over_it() {
    let url = |variables: &[_]| {
        load(&[("a.toml", "[database]\nurl = \"sqlite://file.db\"")], variables).unwrap().database.url
    };
    assert_eq!(url(&[]).expose(), "sqlite://file.db");
    assert_eq!(url(&[("DATABASE_URL", "sqlite://x.db")]).expose(), "sqlite://x.db");
    let both = [("SCRIPTORIUM__DATABASE__URL", "sqlite://y.db"), ("DATABASE_URL", "sqlite://x.db")];
    assert_eq!(url(&both).expose(), "sqlite://y.db");
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    assert_eq!(
        problem(&[("prod.toml", "[server]\nlisten_on = \"127.0.0.1:1\"")], &[]),
        "server.listen_on (in prod.toml): is not a setting; did you mean server.listen?"
    );
    assert_eq!(
        problem(&[], &[("SCRIPTORIUM__SERVER__LISTN", "127.0.0.1:1")]),
        "server.listn (in the environment variable SCRIPTORIUM__SERVER__LISTN): is not a setting; \
         did you mean server.listen?"
    );
    assert_eq!(
        problem(&[("prod.toml", "[snapshots]\ncompression = \"none\"")], &[]),
        "snapshots.compression (in prod.toml): is not a setting; the keys of snapshots are every_events, every_bytes, keep, history_every"
    );
}

#[test]
fn a_variable_that_lacks_an_underscore_stops_the_start_and_the_right_name_is_given() {
    let said = |name: &str| problem(&[], &[(name, "127.0.0.1:1")]);
    assert_eq!(
        said("SCRIPTORIUM_SERVER_LISTEN"),
        "the environment variable SCRIPTORIUM_SERVER_LISTEN: is not a setting: two underscores stand after SCRIPTORIUM \
         and before the key; did you mean SCRIPTORIUM__SERVER__LISTEN?"
    );
    assert!(said("SCRIPTORIUM_SERVER__LISTEN").ends_with("did you mean SCRIPTORIUM__SERVER__LISTEN?"));
    assert!(said("SCRIPTORIUM_LIMITS_CONECTIONS").ends_with("did you mean SCRIPTORIUM__LIMITS__CONNECTIONS?"));
    assert!(said("SCRIPTORIUM_COLOUR").ends_with("it would be written like SCRIPTORIUM__SERVER__LISTEN"));
    assert!(said("SCRIPTORIUM__SERVER_LISTEN").ends_with("did you mean server.listen?"));
}

#[test]
fn the_variables_of_kubernetes_are_no_settings() {
    let of_a_service = [
        "SCRIPTORIUM_SERVICE_HOST",
        "SCRIPTORIUM_SERVICE_PORT",
        "SCRIPTORIUM_SERVICE_PORT_HTTP",
        "SCRIPTORIUM_PORT",
        "SCRIPTORIUM_PORT_8080_TCP",
        "SCRIPTORIUM_PORT_8080_TCP_ADDR",
    ];
    assert_eq!(load(&[], &of_a_service.map(|name| (name, "x"))), Ok(Settings::default()));
}

#[test]
fn an_unknown_section_is_named_even_when_it_is_empty() {
    let list = "the sections are server, database, auth, limits, heartbeat, documents, snapshots, projections, presence, cluster, metrics, log";
    assert_eq!(problem(&[("a.toml", "[rooms]")], &[]), format!("rooms (in a.toml): is not a setting; {list}"));
    assert_eq!(
        problem(&[("a.toml", "[webhooks.first]\nurl = \"x\"")], &[]),
        format!("webhooks.first.url (in a.toml): is not a setting; {list}")
    );
    assert_eq!(load(&[("a.toml", "[server]")], &[]), Ok(Settings::default()));
    assert!(problem(&[("a.toml", "metrics = true")], &[]).ends_with("is a section; its keys are upkeep"));
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    assert_eq!(
        problem(&[], &[("SCRIPTORIUM__SERVER__LISTEN", "localhost")]),
        "server.listen (in the environment variable SCRIPTORIUM__SERVER__LISTEN): must be an IP address or a host \
         name that can be resolved, with a port, like \"127.0.0.1:8080\", \"[::]:8080\" or \"localhost:8080\""
    );
    assert_eq!(
        problem(&[("a.toml", "[heartbeat]\ninterval = 30")], &[]),
        "heartbeat.interval (in a.toml): must be a duration like \"50ms\", \"30s\", \"5m\" or \"2h\", \
         from \"10ms\" to \"1d\""
    );
    assert_eq!(
        problem(&[("a.toml", "[limits]\nmessage_bytes = \"2TiB\"")], &[]),
        "limits.message_bytes (in a.toml): must be a number of bytes, or a size like \"16KiB\" or \"1MiB\", \
         from 1KiB to 1GiB"
    );
    assert_eq!(
        problem(&[("a.toml", "[documents]\nbatch = 0")], &[]),
        "documents.batch (in a.toml): must be a whole number, from 1 to 100000"
    );
    assert!(problem(&[("a.toml", "[auth]\nmode = \"basic\"")], &[]).ends_with("must be \"none\" or \"jwt\""));
    assert!(problem(&[("a.toml", "[log]\nlevel = \"loud=very\"")], &[]).contains("error, warn, info"));
    assert!(problem(&[("a.toml", "[database]\nurl = \"mysql://h/d\"")], &[]).contains("\"postgres://"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let error = load(&[("a.toml", "[limits]\nconnections = -1\nconections = 1")], &[("SCRIPTORIUM__AUTH__MODE", "x")]);
    let text = error.unwrap_err().to_string();
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    let text = problem(&[("a.toml", "[server]\nlisten = \n")], &[]);
    assert!(text.starts_with("a.toml: line 2 is not TOML: "), "{text}");
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let error = Settings::load(Some(Path::new("no/such/file.toml"))).unwrap_err().to_string();
    assert!(error.contains("no/such/file.toml: cannot be read"), "{error}");
}

#[test]
fn settings_must_fit_together() {
    assert!(problem(&[("a.toml", "[heartbeat]\ntimeout = \"30s\"")], &[]).contains("longer than heartbeat.interval"));
    assert!(
        problem(&[("a.toml", "[limits]\noutbox_bytes = \"128KiB\"")], &[]).contains("at least limits.message_bytes")
    );
    assert!(
        problem(&[("a.toml", "[server]\nallowed_origins = [\"example.org\"]")], &[]).contains("https://example.org")
    );
}

#[test]
fn a_doorbell_by_nats_needs_its_address_and_no_other_doorbell_has_one() {
    let nats = ("SCRIPTORIUM__CLUSTER__DOORBELL", "nats");
    let at = |url| ("SCRIPTORIUM__CLUSTER__NATS_URL", url);
    assert!(problem(&[], &[nats]).contains("cluster.nats_url"));
    assert!(problem(&[], &[at("nats://one")]).contains("nobody would ring there"));
    for odd in ["one:4222", "http://ann:sesame@one", "nats://ann:sesame@one,two", "tls://"] {
        let refused = problem(&[], &[nats, at(odd)]);
        assert!(refused.contains("nats://user:password@host:4222") && !refused.contains("sesame"), "{refused}");
    }
    let settings = load(&[], &[nats, at("nats://ann:sesame@one:4222, tls://two")]).unwrap();
    assert_eq!(settings.cluster.nats().unwrap(), "nats://ann:sesame@one:4222, tls://two");
    assert!(!format!("{settings:?}").contains("sesame"));
    assert_eq!(Settings::default().cluster.nats(), None);
}

#[test]
fn an_open_service_on_a_public_address_needs_the_explicit_word() {
    let public = ("SCRIPTORIUM__SERVER__LISTEN", "0.0.0.0:8080");
    let refused = problem(&[], &[public]);
    assert!(refused.contains("auth.mode") && refused.contains("auth.allow_open = true"), "{refused}");
    assert!(load(&[], &[public, ("SCRIPTORIUM__AUTH__ALLOW_OPEN", "true")]).is_ok());
    assert!(load(&[], &[("SCRIPTORIUM__SERVER__LISTEN", "[::1]:8080")]).is_ok());
    assert!(load(&[], &[("SCRIPTORIUM__SERVER__LISTEN", "localhost:8080")]).is_ok());
}

#[test]
fn tokens_need_exactly_one_key() {
    let jwt = ("SCRIPTORIUM__AUTH__MODE", "jwt");
    let secret = ("SCRIPTORIUM__AUTH__HS256_SECRET", "0123456789abcdef0123456789abcdef");
    let file = ("SCRIPTORIUM__AUTH__PUBLIC_KEY_FILE", "key.pem");
    assert!(problem(&[], &[jwt]).contains("exactly one of"));
    assert!(problem(&[], &[jwt, secret, file]).contains("exactly one of"));
    assert!(load(&[], &[jwt, secret]).is_ok());
    assert!(load(&[], &[jwt, file]).is_ok());
    assert!(problem(&[], &[secret]).contains("nobody would be asked"));
    assert!(problem(&[], &[jwt, ("SCRIPTORIUM__AUTH__HS256_SECRET", "short")]).contains("32 bytes or more"));
}

#[test]
fn secrets_do_not_show() {
    let mut settings = Settings::default();
    settings.auth.hs256_secret = Some(Secret::new("open sesame"));
    settings.database.url = DatabaseUrl::new("postgres://user:open sesame@host/db");
    let shown = format!("{settings:?} {} {:#?}", settings.database.url, settings.auth);
    assert!(!shown.contains("sesame") && shown.contains("postgres://…@host/db"), "{shown}");
    let shown = DatabaseUrl::new("postgres://host:5432/db?user=ann&password=open%20sesame").to_string();
    assert_eq!(shown, "postgres://host:5432/db");
    let refused = problem(&[], &[("DATABASE_URL", "mysql://user:sesame@host"), ("SCRIPTORIUM__AUTH__MODE", "none")]);
    assert!(!refused.contains("sesame"), "{refused}");
}
