//! Documents and their past over HTTP (contract §7).

mod authors;
mod authors_traces;
mod descriptions;
mod examples;
mod exchange;
mod hosts;
mod late;
mod limits;
mod past;
mod reading;
mod requests;
mod streams;
mod writing;
