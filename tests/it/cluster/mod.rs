//! Several nodes on one database: any node takes any client of any document.

mod campaigns;
mod contention;
mod ground;
mod one_file;
mod proxy;
