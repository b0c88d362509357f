//! Logs: to standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::{
    EnvFilter,
    filter::{LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A level or a filter that `tracing` does not understand.
#[derive(Debug, thiserror::Error)]
#[error(
    "{given:?} is neither a level (error, warn, info, debug, trace, off) nor a list like \"info,scriptorium=debug\""
)]
pub struct BadLevel {
    given: String,
}

/// Reads a level (`info`) or a list of them per module (`info,scriptorium=debug`).
pub fn parse_level(level: &str) -> Result<EnvFilter, BadLevel> {
    // What is to be known of NATS we say ourselves, once and not for every attempt to reach it. Who asks for more gets it.
    let quiet = if level.is_empty() || level.contains("async_nats") { "" } else { ",async_nats=off" };
    EnvFilter::builder().parse(format!("{level}{quiet}")).map_err(|_| BadLevel { given: level.to_owned() })
}

/// Sends all log lines of this process to standard error from now on. Where somebody (an embedding
/// program, a test) has arranged that already, theirs stays.
pub fn install(format: Format, level: &str) -> Result<(), BadLevel> {
    let filter = parse_level(level)?;
    // At `trace` the WebSocket library writes out every message, and messages hold tokens.
    let no_wire = filter_fn(|line| !(line.target().starts_with("tungstenite") && *line.level() == LevelFilter::TRACE));
    let registry = || registry().with(filter).with(no_wire);
    let layer = fmt::layer().with_writer(std::io::stderr);
    // The error says only that a subscriber is installed already, which is as good.
    let _already_there = match format {
        Format::Text => registry().with(layer.with_ansi(std::io::stderr().is_terminal())).try_init(),
        Format::Json => registry().with(layer.json().flatten_event(true)).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_is_no_accident() {
        install(Format::Text, "info").unwrap();
        install(Format::Json, "info,scriptorium=debug").unwrap();
        assert!(install(Format::Text, "loud=very").unwrap_err().to_string().contains("loud=very"));
    }
}
