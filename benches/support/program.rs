//! The service under test: a process of its own, on a core of its own.

#![allow(dead_code, reason = "each benchmark uses its part of it")]

use std::{
    error::Error,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The program: the one built here, or another one where `SERVER` names it.
pub(crate) fn path() -> String {
    std::env::var("SERVER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_scriptorium").to_owned())
}

/// A service that runs.
pub(crate) struct Program {
    child: Child,
    address: String,
    home: TempDir,
}

impl Program {
    /// Starts it on a core, in a folder, on a database there or elsewhere, with settings such as `("DATABASE__LANES", "1")`.
    pub(crate) fn start(core: &str, home: TempDir, database: &str, settings: &[(&str, String)]) -> Outcome<Self> {
        let mut child = Command::new("taskset")
            .args(["-c", core, &path(), "serve"])
            .current_dir(home.path())
            .env("DATABASE_URL", database)
            .env("SCRIPTORIUM__SERVER__LISTEN", "127.0.0.1:0")
            // All clients are at one address.
            .env("SCRIPTORIUM__LIMITS__ADDRESS_CONNECTIONS", "off")
            .env("SCRIPTORIUM__LOG__FORMAT", "json")
            .env("SCRIPTORIUM__LOG__LEVEL", "warn,scriptorium::app=info")
            .envs(settings.iter().map(|(name, value)| (format!("SCRIPTORIUM__{name}"), value)))
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let address = loop {
            let line = lines.next().ok_or("the service ended")??;
            if let Some((_, rest)) = line.split_once("\"address\":\"") {
                break rest.split('"').next().unwrap_or_default().to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, home })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// A TCP connection to it, and the address of a document for a client.
    pub(crate) async fn reach(&self, document: &str, client: &str) -> Outcome<(TcpStream, String)> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{}/v1/ws/documents/{document}?client_id={client}&user_id={client}", self.address);
        Ok((stream, url))
    }

    /// The sum over all series of a metric whose names begin so; an error if there is none.
    pub(crate) async fn metric(&self, name: &str) -> Outcome<f64> {
        let text = reqwest::get(format!("http://{}/metrics", self.address)).await?.text().await?;
        let lines = text.lines().filter(|line| line.starts_with(name));
        let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        if values.is_empty() { Err(format!("no metric {name}").into()) } else { Ok(values.iter().sum()) }
    }

    /// Ends it in good order, and gives back its folder.
    pub(crate) fn stop(mut self) -> Outcome<TempDir> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        self.child.wait()?;
        Ok(std::mem::replace(&mut self.home, tempfile::tempdir()?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Binds a process to a core. Without `taskset` the figures are still figures, only noisier.
pub(crate) fn pin_to(core: &str, process: u32) {
    let _ = Command::new("taskset").args(["-a", "-cp", core, &process.to_string()]).stdout(Stdio::null()).status();
}
