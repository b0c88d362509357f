//! **scriptorium**: a persistent, event-sourced collaboration backend.
//!
//! People write one document together over WebSockets; every edit is in the event log, on disk,
//! before it is acknowledged. `ARCHITECTURE.md` is the map of this crate.

pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod domain;
pub mod event_log;
pub mod formats;
pub mod history;
pub mod live;
pub mod projection;
pub mod protocol;
pub mod server;
pub mod settings;
mod spelling;
pub mod telemetry;
pub mod text;
