//! The `scriptorium` binary.

use std::process::ExitCode;

/// Every edit makes and drops many small pieces in different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    scriptorium::cli::run(std::env::args_os())
}
