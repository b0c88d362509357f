//! The service as its users get it: a process.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use super::{storage::Storage, within};

/// The path of the program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_scriptorium");

/// A running service with its database in a folder of its own.
pub(crate) struct Server {
    home: Arc<TempDir>,
    settings: Vec<(String, String)>,
    /// The network namespace that it runs in, if that is not the test's.
    host: Option<String>,
    /// What the process may have, as `ulimit` takes it.
    limit: Option<String>,
    life: Option<Life>,
    /// Goes last, after those who use it.
    storage: Storage,
}

/// One life of the process, from its start to its end.
struct Life {
    child: Child,
    address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Server {
    /// Starts on an empty database, with authentication `none`.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts on an empty database with these settings, e.g. `("LIMITS__MESSAGE_BYTES", "2000")`.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(settings);
        server.restart().await;
        server
    }

    /// Everything but the start.
    pub(crate) fn prepare(settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| (format!("SCRIPTORIUM__{name}"), (*value).to_owned())).collect();
        let home = Arc::new(tempfile::tempdir().unwrap());
        let storage = Storage::of_this_test(home.path());
        Self { home, settings, host: None, limit: None, life: None, storage }
    }

    /// Starts another service on the same database, with the same settings.
    pub(crate) async fn another(&self) -> Self {
        let (home, settings) = (Arc::clone(&self.home), self.settings.clone());
        let storage = Storage::Sqlite(self.database());
        let mut other =
            Self { home, settings, host: self.host.clone(), limit: self.limit.clone(), life: None, storage };
        other.restart().await;
        other
    }

    /// Names another database for the next start.
    pub(crate) fn set_database(&mut self, url: &str) {
        self.settings.push(("DATABASE_URL".to_owned(), url.to_owned()));
    }

    /// From the next start on it runs on a host of the test's own, and listens at this address of it.
    pub(crate) fn set_host(&mut self, name: String, address: IpAddr) {
        self.set("SERVER__LISTEN", &SocketAddr::from((address, 0)).to_string());
        // Everybody is a guest, and only the test is there.
        self.set("AUTH__ALLOW_OPEN", "true");
        self.host = Some(name);
    }

    /// Changes a setting for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.push((format!("SCRIPTORIUM__{name}"), value.to_owned()));
    }

    /// Starts (again) on the same database; waits until it listens.
    pub(crate) async fn restart(&mut self) {
        assert!(self.life.is_none(), "the service already runs");
        self.life = Some(self.try_start().await.unwrap_or_else(|(status, lines)| {
            panic!("the service ended with {status} instead of listening:\n{lines}")
        }));
    }

    /// Starts; `Err` with the exit status and what it logged where it refused to.
    pub(crate) async fn refuses_to_start(&mut self) -> (ExitStatus, String) {
        match self.try_start().await {
            Ok(_) => panic!("the service started, but should have refused to"),
            Err(refusal) => refusal,
        }
    }

    async fn try_start(&self) -> Result<Life, (ExitStatus, String)> {
        let mut child =
            self.command(&["serve"]).stderr(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let listening = within("the service to listen", async {
            while let Some(line) = stderr.next_line().await.unwrap() {
                let address = address_in(&line);
                lines.lock().unwrap().push(line);
                if address.is_some() {
                    return address;
                }
            }
            None
        });
        let Some(address) = listening.await else {
            let status = within("the service to end", child.wait()).await.unwrap();
            return Err((status, lines.lock().unwrap().join("\n")));
        };
        let kept = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Ok(Life { child, address, lines, reader })
    }

    /// `kill -9`: no goodbye, no flush.
    pub(crate) async fn kill(&mut self) {
        let mut life = self.life.take().expect("the service runs");
        life.child.start_kill().unwrap();
        life.end().await;
    }

    /// SIGTERM, as an operator stops it. Answers how it ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal_to_stop();
        self.ended().await
    }

    /// Sends SIGTERM and does not wait.
    pub(crate) fn signal_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.id().to_string());
        assert!(std::process::Command::new("kill").args([signal, id]).status().unwrap().success());
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.life.take().expect("the service runs").end().await
    }

    /// Where it listens in this life.
    pub(crate) fn address(&self) -> SocketAddr {
        self.life().address
    }

    /// What this life has logged so far, one JSON object a line.
    pub(crate) fn log(&self) -> Vec<String> {
        self.life().lines.lock().unwrap().clone()
    }

    /// The process id of this life.
    pub(crate) fn id(&self) -> u32 {
        self.life().child.id().expect("the process has not been waited for")
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("the service runs")
    }

    /// The address of the database.
    pub(crate) fn database_url(&self) -> String {
        self.storage.url()
    }

    /// The database file, where it is one.
    pub(crate) fn database(&self) -> PathBuf {
        self.home.path().join("log.db")
    }

    /// The folder that holds the database.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs another command of the program on the same database, e.g. `["verify"]`.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        within("a command to end", self.command(arguments).output()).await.unwrap()
    }

    /// The document's text as `scriptorium replay` prints it.
    pub(crate) async fn replay(&self, document: &str, to_version: Option<u64>) -> String {
        let version = to_version.map(|version| version.to_string());
        let mut arguments = vec!["replay", document];
        if let Some(version) = &version {
            arguments.extend(["--to-version", version]);
        }
        let output = self.run(&arguments).await;
        assert!(output.status.success(), "replay of {document} failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asserts that the stored log refolds without a difference.
    pub(crate) async fn verify(&self) {
        let output = self.run(&["verify"]).await;
        assert_eq!(
            output.status.code(),
            Some(0),
            "verify: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// One GET without a token.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response =
            within("an HTTP answer", reqwest::get(format!("http://{}{path}", self.address()))).await.unwrap();
        (response.status().as_u16(), within("an HTTP body", response.text()).await.unwrap())
    }

    /// One POST of JSON, with a token where one is given; the status and the body, which must be JSON.
    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let request = self.ask(reqwest::Method::POST, path).body(body.to_string());
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = super::rest::answer(request).await;
        (answer.status, answer.json)
    }

    /// The sum over all series of a metric, e.g. `scriptorium_duplicates_total` or, with labels,
    /// `scriptorium_errors_sent_total{code="INVALID_JSON"}`. 0 where there is none yet.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let wanted: Vec<_> = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
        text.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(key, _)| key.split('{').next() == Some(name) && wanted.iter().all(|label| key.contains(label)))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    }

    /// The memory that the process holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// From the next start on, no file of the service can grow beyond so many blocks of 512 bytes: a disk that gets full;
    /// `None` lifts the limit.
    pub(crate) fn limit_files(&mut self, blocks: Option<u32>) {
        self.limit = blocks.map(|blocks| format!("-S -f {blocks}"));
    }

    /// From the next start on, no more files may be open, for good (`-H`) or until the service asks for more (`-S`).
    pub(crate) fn limit_open_files(&mut self, kind: &str, files: u32) {
        self.limit = Some(format!("{kind} -n {files}"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if let Some(host) = &self.host {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", host, PROGRAM]);
            command
        } else if let Some(limit) = &self.limit {
            let mut command = Command::new("sh");
            // Ignored, the signal becomes an error of the write, as on a full disk.
            command.args(["-c", &format!(r#"trap '' XFSZ; ulimit {limit}; exec "$0" "$@""#), PROGRAM]);
            command
        } else {
            Command::new(PROGRAM)
        };
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        command
            .env("DATABASE_URL", self.database_url())
            .env("SCRIPTORIUM__SERVER__LISTEN", "127.0.0.1:0")
            .env("SCRIPTORIUM__LOG__FORMAT", "json")
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Life {
    async fn end(mut self) -> ExitStatus {
        let status = within("the service to end", self.child.wait()).await.unwrap();
        within("the rest of its log", self.reader).await.unwrap();
        no_panic(&self.lines);
        status
    }
}

/// Lines of its log that a failing test shows of each service.
const LAST_WORDS: usize = 60;

impl Drop for Server {
    fn drop(&mut self) {
        let Some(life) = &self.life else { return };
        if std::thread::panicking() {
            let lines = life.lines.lock().unwrap();
            // What libraries do step by step would hide what was said.
            let said: Vec<_> = lines.iter().filter(|line| !line.contains("\"level\":\"TRACE\"")).cloned().collect();
            let last = &said[said.len().saturating_sub(LAST_WORDS)..];
            println!("a service of the test that fails, at its end:\n{}", last.join("\n"));
        } else {
            no_panic(&life.lines);
        }
    }
}

fn no_panic(lines: &Mutex<Vec<String>>) {
    for line in lines.lock().unwrap().iter() {
        assert!(!line.contains("panicked"), "the service panicked: {line}");
    }
}

/// The address in the line that says that the service listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    (fields["message"] == "listening").then(|| fields["address"].as_str()?.parse().ok())?
}
