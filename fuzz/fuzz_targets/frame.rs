//! Arbitrary text frames: each is read or refused with a reason, and an edit that can be read fits a document
//! or is refused by it. The laws are in `fuzz/laws/frame.rs`.
//!
//! `cargo +nightly fuzz run frame fuzz/corpus/frame fuzz/seeds/frame`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../laws/frame.rs"]
mod frame;

fuzz_target!(|text: &str| {
    frame::check(text);
});
