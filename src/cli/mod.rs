//! The command line: one file per command. Results go to standard output, everything else to standard error.
//!
//! Exit codes: 0 fine, 1 failed, 2 wrong usage or settings. Every command works on the database while the service
//! runs.

mod database;
mod erase;
mod events;
mod exchange;
mod export;
mod import;
mod migrate;
mod output;
mod presence_events;
mod progress;
mod rebuild;
mod replay;
mod serve;
mod token;
mod verify;
mod verify_kept;
mod verify_outline;
mod verify_presence;

use std::{ffi::OsString, fmt::Display, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{settings::Settings, telemetry::logging};

/// Documents written together, and every edit on disk before it is acknowledged.
#[derive(Debug, Parser)]
#[command(name = "scriptorium", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    /// A file of settings, read after config/default.toml and before the environment
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 failed, 2 wrong usage or settings.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Migrate(migrate::Migrate),
    Replay(replay::Replay),
    Events(events::Events),
    Rebuild(rebuild::Rebuild),
    Verify(verify::Verify),
    Erase(erase::Erase),
    Export(export::Export),
    Import(import::Import),
    Token(token::Token),
}

/// Why a command did not succeed.
#[derive(Debug)]
enum Failure {
    /// It was asked for something that makes no sense: exit code 2.
    Usage(String),
    /// It was tried and did not work: exit code 1.
    Failed(String),
    /// Whoever read the output has gone, e.g. `head`: nothing more to say, and nobody to say it to.
    NobodyListens,
}

impl Failure {
    fn usage(why: impl Display) -> Self {
        Self::Usage(why.to_string())
    }

    fn failed(why: impl Display) -> Self {
        Self::Failed(why.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::NobodyListens
        } else {
            Self::failed(format!("standard output: {error}"))
        }
    }
}

/// Runs the command that `arguments` name (the first is the program's own name), and says how it went.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(help_or_mistake) => {
            // Nothing can be done where even this cannot be printed.
            let _printed = help_or_mistake.print();
            return ExitCode::from(u8::try_from(help_or_mistake.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli) {
        Ok(()) | Err(Failure::NobodyListens) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => complain(&why, 1),
        Err(Failure::Usage(why)) => complain(&why, 2),
    }
}

fn complain(why: &str, code: u8) -> ExitCode {
    output::error(why);
    ExitCode::from(code)
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let settings = Settings::load(cli.config.as_deref()).map_err(Failure::usage)?;
    logging::install(settings.log.format, &settings.log.level).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::failed)?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => command.run(settings).await,
            Command::Migrate(command) => command.run(&settings).await,
            Command::Replay(command) => command.run(&settings).await,
            Command::Events(command) => command.run(&settings).await,
            Command::Rebuild(command) => command.run(&settings).await,
            Command::Verify(command) => command.run(&settings).await,
            Command::Erase(command) => command.run(&settings).await,
            Command::Export(command) => command.run(&settings).await,
            Command::Import(command) => command.run(&settings).await,
            Command::Token(command) => command.run(&settings),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(command.get_about().is_some(), "{name} says nothing about itself");
            assert!(example.contains(&format!("scriptorium {name}")), "{name} has no example");
        }
    }

    #[test]
    fn wrong_usage_exits_with_2_and_help_with_0() {
        let run = |line: &str| format!("{:?}", run(line.split(' ').map(OsString::from)));
        assert_eq!(run("scriptorium explode"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(run("scriptorium token"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(run("scriptorium --config no/such.toml token --sub a"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(run("scriptorium --help"), format!("{:?}", ExitCode::SUCCESS));
    }
}
