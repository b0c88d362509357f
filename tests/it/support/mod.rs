//! What the proofs share: the service as a process, a client of the dialect, a model of the server.

pub(crate) mod client;
pub(crate) mod core;
pub(crate) mod cursors;
pub(crate) mod described;
pub(crate) mod edits;
pub(crate) mod log;
pub(crate) mod model;
#[path = "../../support/nats.rs"]
pub(crate) mod nats;
#[path = "../../support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../support/proxy.rs"]
pub(crate) mod proxy;
pub(crate) mod remarks;
pub(crate) mod rest;
pub(crate) mod say;
pub(crate) mod server;
pub(crate) mod socket;
#[path = "../../support/storage.rs"]
pub(crate) mod storage;
pub(crate) mod trace;
pub(crate) mod wire;

use std::{future::Future, time::Duration};

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for what must happen, or fails saying what it waited for.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A number from the environment, or the default.
pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => default,
    }
}
