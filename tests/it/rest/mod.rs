//! Documents and their past over HTTP (contract §7).

mod past;
mod reading;
mod streams;
mod writing;
