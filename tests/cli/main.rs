//! The command line, as a person or a script meets it: the real binary on a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail")]

mod looking;
mod presence;
mod running;
mod scene;
mod support;
mod verifying;
