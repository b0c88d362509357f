//! Holds the code to the map in ARCHITECTURE.md: who may import whom, and how long a file may grow.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources is to fail")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A module, the modules of ours it may import, and the guarded crates it may name.
const MAP: &[(&str, &[&str], &[&str])] = &[
    // The pure core.
    ("text", &[], &[]),
    ("domain", &["text"], &[]),
    ("projection", &["domain", "text"], &[]),
    ("protocol", &["domain", "text"], &[]),
    ("formats", &["text"], &["gix_imara_diff", "html5ever", "pulldown_cmark"]),
    // The edges.
    ("telemetry", &[], &["metrics", "metrics_exporter_prometheus", "tracing_subscriber"]),
    ("settings", &["spelling", "telemetry"], &[]),
    ("auth", &["domain", "settings"], &["jsonwebtoken", "uuid"]),
    (
        "event_log",
        &["domain", "projection", "telemetry", "text"],
        &["async_nats", "sqlx", "tokio", "tokio_util", "tracing"],
    ),
    // The live shell.
    ("history", &["domain", "event_log", "projection", "text"], &["tokio"]),
    (
        "live",
        &["clock", "domain", "event_log", "projection", "protocol", "settings", "telemetry", "text"],
        &["tokio", "tokio_util", "tracing"],
    ),
    (
        "server",
        &[
            "auth",
            "clock",
            "domain",
            "event_log",
            "formats",
            "history",
            "live",
            "projection",
            "protocol",
            "settings",
            "spelling",
            "telemetry",
            "text",
        ],
        &["hyper", "hyper_util", "tokio", "tokio_tungstenite", "tokio_util", "tracing", "uuid", "warp"],
    ),
    (
        "cli",
        &[
            "app",
            "auth",
            "clock",
            "domain",
            "event_log",
            "formats",
            "history",
            "projection",
            "protocol",
            "settings",
            "telemetry",
            "text",
        ],
        &["clap", "indicatif", "tokio", "tracing"],
    ),
];
/// `app`, `clock`, `lib` and `main` are files, free of the map.
const FREE: &[&str] = &["app"];
/// Crates that mean I/O, time, chance, or an outside thing that one module hides.
const GUARDED_CRATES: &[&str] = &[
    "async_nats",
    "clap",
    "gix_imara_diff",
    "html5ever",
    "hyper",
    "hyper_util",
    "indicatif",
    "jsonwebtoken",
    "metrics",
    "metrics_exporter_prometheus",
    "pulldown_cmark",
    "rand",
    "sqlx",
    "tokio",
    "tokio_tungstenite",
    "tokio_util",
    "tracing",
    "tracing_subscriber",
    "uuid",
    "warp",
];
const MAX_LINES: usize = 400;

#[test]
fn every_folder_is_on_the_map_and_in_the_document() {
    let document = fs::read_to_string("ARCHITECTURE.md").unwrap();
    assert!(document.lines().count() <= 250, "ARCHITECTURE.md is to be read in one sitting");
    for entry in fs::read_dir("src").unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            MAP.iter().any(|(module, ..)| *module == name) || FREE.contains(&&*name),
            "src/{name} is not on the map"
        );
        assert!(document.contains(&format!("`{name}`")), "ARCHITECTURE.md does not say what `{name}` is");
    }
}

#[test]
fn modules_import_only_what_the_map_allows() {
    for (module, ours_allowed, crates_allowed) in MAP {
        for file in production_files(&Path::new("src").join(module)) {
            for path in paths_named_in(&production_code(&file)) {
                match path.strip_prefix("crate::") {
                    Some(ours) => assert!(
                        ours == *module || ours_allowed.contains(&ours),
                        "{}: {module} may not import {ours}",
                        file.display()
                    ),
                    None if GUARDED_CRATES.contains(&path.as_str()) => assert!(
                        crates_allowed.contains(&path.as_str()),
                        "{}: {module} may not name {path}",
                        file.display()
                    ),
                    None => (),
                }
            }
        }
    }
}

#[test]
fn files_stay_short() {
    for file in production_files(Path::new("src")) {
        let lines = production_code(&file).lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; split it", file.display());
    }
}

/// Every Rust file under `dir` (none where there is no such folder), but for those that hold tests only.
fn production_files(dir: &Path) -> Vec<PathBuf> {
    let files = rust_files(dir);
    let tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules_of(file)).collect();
    files.into_iter().filter(|file| !tests.iter().any(|test| file.starts_with(test))).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for path in entries.map(|e| e.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(rust_files(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            false => (),
        }
    }
    found
}

/// The files and folders that `file` declares as `#[cfg(test)] mod name;`.
fn test_modules_of(file: &Path) -> Vec<PathBuf> {
    let source = fs::read_to_string(file).unwrap();
    let folder = match file.file_stem().unwrap().to_str().unwrap() {
        "mod" | "lib" | "main" => file.parent().unwrap().to_owned(),
        stem => file.with_file_name(stem),
    };
    let declared = source.split("#[cfg(test)]").skip(1).filter_map(|rest| {
        let line = rest.trim_start().lines().next()?;
        Some(line[line.find("mod ")? + 4..].strip_suffix(';')?.to_owned())
    });
    declared.flat_map(|name| [folder.join(format!("{name}.rs")), folder.join(name)]).collect()
}

/// The source up to its inline tests.
fn production_code(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    let tests = source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len());
    source[..tests].to_owned()
}

/// `crate::module` for each of our paths, and the first segment of each foreign one.
fn paths_named_in(source: &str) -> Vec<String> {
    let code = source.lines().map(str::trim).filter(|l| !l.starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        match code[..at].rsplit(is_not_name).next().unwrap_or("") {
            "crate" => found.extend(heads(&code[at + 2..]).map(|ours| format!("crate::{ours}"))),
            foreign => found.push(foreign.to_owned()),
        }
    }
    found
}

/// The first names of `a::b` (one) or of `{a, b::{c}, d}` (three).
fn heads(rest: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && (c == '}' || is_not_name(c))
    });
    let group = rest[..end.unwrap_or(rest.len())].trim_start_matches('{');
    let mut depth = 0;
    group
        .split(move |c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == ','
        })
        .map(|it| it.trim().split(is_not_name).next().unwrap_or(""))
        .filter(|it| !it.is_empty())
}

fn is_not_name(c: char) -> bool {
    !c.is_alphanumeric() && c != '_'
}

#[test]
fn imports_are_read_in_every_shape() {
    let read = |s| {
        let ours = |p: String| p.strip_prefix("crate::").map(str::to_owned);
        paths_named_in(s).into_iter().filter_map(ours).collect::<Vec<_>>()
    };
    assert_eq!(read("use crate::text;"), ["text"]);
    assert_eq!(read("use crate::text::Delta;"), ["text"]);
    assert_eq!(
        read("use crate::{\n    domain::{self, Event},\n    text,\n    server::x,\n};"),
        ["domain", "text", "server"]
    );
    assert_eq!(read("let x = crate::rooms::open();"), ["rooms"]);
    assert_eq!(paths_named_in("let x = tokio::spawn(f);"), ["tokio"]);
}
