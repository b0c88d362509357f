//! Writing to the person or program outside.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes one line of the result to standard output, at once: whoever reads it may be waiting for it.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Says on standard error what went wrong.
pub(super) fn error(why: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _written = writeln!(io::stderr(), "scriptorium: {why}");
}
