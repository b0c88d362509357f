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
