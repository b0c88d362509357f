//! The `scriptorium` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    scriptorium::cli::run(std::env::args_os())
}
