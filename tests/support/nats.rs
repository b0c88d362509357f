//! Where tests find a NATS: the one that `TEST_NATS_URL` names, or one of their own that ends with them.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// The address of a server that lets everybody in.
pub(crate) fn server() -> &'static str {
    static SERVER: OnceLock<(String, Option<OwnNats>)> = OnceLock::new();
    let (url, _own) = SERVER.get_or_init(|| match std::env::var("TEST_NATS_URL") {
        Ok(url) if !url.is_empty() => (url, None),
        _ => {
            let own = OwnNats::start(&[]);
            (own.url.clone(), Some(own))
        }
    });
    url
}

/// A server of one process, which ends with it.
pub(crate) struct OwnNats {
    url: String,
    script: Child,
}

impl OwnNats {
    /// Starts one with more arguments, e.g. `--user` and a name.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nats.sh");
        let mut command = Command::new(script);
        command.arg("run").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("nats://"), "no NATS was started; `make test` says why");
        Self { url: url.trim().to_owned(), script }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for OwnNats {
    fn drop(&mut self) {
        // The script ends it when its input ends.
        drop(self.script.stdin.take());
        self.script.wait().unwrap();
    }
}
