//! Shared with the other tests that run the program.

#[path = "../support/command.rs"]
pub(crate) mod command;
#[path = "../support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../support/storage.rs"]
pub(crate) mod storage;
