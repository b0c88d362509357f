//! What stands beside the program for its operators: the dashboard, the alerts, the compose file.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail")]

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The metrics that the operators' page lists; another test holds that page to the code.
fn documented() -> BTreeSet<String> {
    let page = read("docs/operations.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `scriptorium_")?.split_once('`'));
    rows.map(|(name, _)| format!("scriptorium_{name}")).collect()
}

/// Every metric that a text names.
fn named(text: &str) -> BTreeSet<String> {
    text.match_indices("scriptorium_")
        .map(|(start, _)| {
            let name = &text[start..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            name[..end].to_owned()
        })
        .collect()
}

/// A histogram is asked for its parts.
fn is_known(documented: &BTreeSet<String>, name: &str) -> bool {
    let parts = ["_bucket", "_sum", "_count"];
    let whole = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    documented.contains(name) || documented.contains(whole)
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist() {
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    for path in ["config/grafana/dashboards/scriptorium.json", "config/prometheus/alerts.yml"] {
        let named = named(&read(path));
        assert!(named.len() > 3, "{path}: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !is_known(&documented, name)).collect();
        assert!(unknown.is_empty(), "{path} asks for {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json_and_its_panels_do_not_overlap() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("config/grafana/dashboards/scriptorium.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let cell = |panel: &serde_json::Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
    let mut taken = BTreeSet::new();
    for panel in panels {
        for x in cell(panel, "x")..cell(panel, "x") + cell(panel, "w") {
            for y in cell(panel, "y")..cell(panel, "y") + cell(panel, "h") {
                assert!(x < 24 && taken.insert((x, y)), "{} overlaps", panel["title"]);
            }
        }
    }
}

/// The nodes that a text names, with the port where they are asked for.
fn nodes_in(text: &str) -> BTreeSet<&str> {
    text.split([' ', '[', ']', ',', '\n'])
        .filter(|word| is_node(word.trim_end_matches(":8080")) && word.ends_with(":8080"))
        .collect()
}

fn is_node(name: &str) -> bool {
    name.strip_prefix("scriptorium-").is_some_and(|number| number.parse::<u32>().is_ok())
}

#[test]
fn the_nodes_that_are_started_are_those_that_are_balanced_and_watched() {
    let compose = read("docker-compose.yml");
    let services = compose.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let started: BTreeSet<_> = services.filter(|name| is_node(name)).map(|name| format!("{name}:8080")).collect();
    assert!(started.len() >= 2, "{started:?}");
    let started: BTreeSet<_> = started.iter().map(String::as_str).collect();
    for path in ["config/haproxy/haproxy.cfg", "config/prometheus/prometheus.yml"] {
        assert_eq!(nodes_in(&read(path)), started, "{path}");
    }
    for node in &started {
        let name = node.trim_end_matches(":8080");
        assert!(compose.contains(&format!("SCRIPTORIUM__CLUSTER__NODE_ID: {name}\n")), "{name} has no name of its own");
    }
}

#[test]
fn the_load_balancer_keeps_documents_together_and_measurements_inside() {
    let settings = read("config/haproxy/haproxy.cfg");
    let lines: BTreeSet<_> = settings.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    for line in [
        "balance uri",
        "hash-type consistent",
        "hash-balance-factor 150",
        "option httpchk GET /readyz",
        "timeout tunnel 5m",
        "http-request deny deny_status 404 if { path_beg -i /metrics }",
    ] {
        assert!(lines.contains(line), "{line}");
    }
    // Both would log what is behind the question mark, and a token may be there.
    assert!(!lines.contains("option httplog") && !settings.contains("%r "), "the log of HAProxy has the query");
    let address = "172.28.0.2";
    let compose = read("docker-compose.yml");
    assert!(compose.contains(&format!("TRUSTED_PROXIES: '[\"{address}\"]'")), "nodes believe others than HAProxy");
    assert!(compose.contains(&format!("ipv4_address: {address}\n")), "HAProxy has another address");
}

#[test]
fn the_compose_file_mounts_what_is_there() {
    let compose = read("docker-compose.yml");
    let mounted: Vec<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./")?.split_once(':'))
        .map(|(path, _)| path)
        .collect();
    assert!(mounted.len() >= 3, "{mounted:?}");
    for path in mounted {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path} is not there");
    }
}

/// A `cargo` that notes how it is called, and fails when it runs tests.
const FAILING_CARGO: &str = "#!/bin/sh
echo \"$*\" >> \"$0.calls\"
case \"$*\" in
  *--version*) exit 0 ;;
  *nextest*) exit 100 ;;
  *) exit 101 ;;
esac
";

#[cfg(unix)]
#[test]
fn make_test_runs_every_test_and_reports_the_first_failure() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let cargo = dir.path().join("cargo");
    fs::write(&cargo, FAILING_CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let mut make = std::process::Command::new("make");
    // Of an outer make only the variables would come along, and they are about another run.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").current_dir(env!("CARGO_MANIFEST_DIR"));
    let done = make.arg("test").arg(format!("CARGO={}", cargo.display())).output().unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("Error 100"), "the first failure is the result: {said}");
    let calls = fs::read_to_string(dir.path().join("cargo.calls")).unwrap();
    let runs: Vec<_> = calls.lines().filter(|call| !call.contains("--version")).collect();
    assert_eq!(runs, ["nextest run --locked --no-fail-fast", "test --locked --no-fail-fast --doc"]);
}
