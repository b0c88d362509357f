//! Writing to the person or program outside.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;

/// Writes one line of the result to standard output, at once: whoever reads it may be waiting for it.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes one JSON value on one line.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Writes exactly this text, so that a file gets nothing that is not in the document; on a terminal, a line end too.
pub(super) fn exactly(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if out.is_terminal() {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Says on standard error how it went, where standard output is for something else.
pub(super) fn note(what: impl Display) {
    // As with `error`.
    let _written = writeln!(io::stderr(), "{what}");
}

/// So many of something.
pub(super) fn count<N: Copy + Display + From<u8> + PartialEq>(number: N, one: &str) -> String {
    if number == N::from(1) { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Says on standard error what went wrong.
pub(super) fn error(why: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _written = writeln!(io::stderr(), "scriptorium: {why}");
}
