//! The service proved from outside: real processes, real WebSockets, real databases.
//!
//! One binary with a file per subject. Chance is seeded, and a failing seed is printed; nothing sleeps:
//! a test waits for a frame or a line, and gives up after [`support::PATIENCE`].
#![allow(clippy::disallowed_methods, reason = "a test is its own root task, and its queues end with it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too, and fail where they stand")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else comes is what a test fails on")]
#![allow(clippy::needless_pass_by_value, reason = "a JSON literal is handed over where it is written")]
#![allow(clippy::print_stdout, reason = "a failing test shows its seed")]

mod bad_input;
mod campaigns;
mod client_model;
mod cluster;
mod doubt;
mod erasure;
mod failover;
mod far_behind;
mod floods;
mod kill;
mod lifecycle;
mod metrics;
mod postgres_faults;
mod postgres_tls;
mod presence;
mod protocol;
mod replay;
mod rest;
mod slow_reader;
mod stalled;
mod storage_faults;
mod support;
mod syncs;
mod traces;
mod user_erasure;
mod wire_fixtures;
