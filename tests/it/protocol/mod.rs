//! What contract §1 to §3 promise to whoever speaks the document dialect.

mod admission;
mod bans;
mod commenting;
mod editing;
mod goodbye;
mod keys;
mod opening;
mod repeating;
mod resuming;
mod tokens;
