//! The `scriptorium` binary.

fn main() {}
