//! Several nodes on one database: any node takes any client of any document.

mod campaigns;
mod contention;
pub(crate) mod ground;
mod hosts;
mod interference;
mod nats;
mod one_file;
mod people;
