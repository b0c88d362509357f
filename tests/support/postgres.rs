//! Where tests find a Postgres: the one that `TEST_DATABASE_URL` names, or one that they start and share.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, error::DatabaseError, postgres::PgConnectOptions};
use uuid::Uuid;

/// The address of a database in which tests may make schemas.
pub(crate) fn server() -> &'static str {
    static SERVER: OnceLock<(String, Option<File>)> = OnceLock::new();
    let (url, _users) = SERVER.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
        Ok(url) if !url.is_empty() => (url, None),
        _ => {
            let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/postgres");
            fs::create_dir_all(&traces).unwrap();
            // Held as long as this process lives: the server ends when nobody holds it any more.
            let users = File::options().create(true).append(true).open(traces.join("users")).unwrap();
            users.lock_shared().unwrap();
            (run_script("share", &traces), Some(users))
        }
    });
    url
}

/// One of the scripts that start what tests need.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Runs `tests/postgres.sh` and answers what it says.
pub(crate) fn run_script(command: &str, folder: &Path) -> String {
    run_script_with(command, folder, None)
}

fn run_script_with(command: &str, folder: &Path, more: Option<&str>) -> String {
    let output = Command::new(script("postgres.sh")).arg(command).arg(folder).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A schema of its own for each test, dropped with it.
pub(crate) struct Schema {
    name: String,
    server: String,
}

/// `deadlock_detected`.
const DEADLOCK: &str = "40P01";

impl Schema {
    /// In the database that the tests share.
    pub(crate) async fn make() -> Self {
        Self::make_on(server()).await
    }

    pub(crate) async fn make_on(server: &str) -> Self {
        let schema = Self { name: format!("test_{}", Uuid::new_v4().simple()), server: server.to_owned() };
        schema.run(&format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    /// The same where nothing can be waited for.
    pub(crate) fn make_now() -> Self {
        block_on(Self::make())
    }

    pub(crate) fn url(&self) -> String {
        self.through(&self.server)
    }

    /// The same schema by another way to the server.
    pub(crate) fn through(&self, server: &str) -> String {
        let separator = if server.contains('?') { '&' } else { '?' };
        format!("{server}{separator}options[search_path]={}", self.name)
    }

    pub(crate) async fn shell(&self) -> PgConnection {
        let options: PgConnectOptions = self.url().parse().unwrap();
        options.disable_statement_logging().connect().await.unwrap()
    }

    /// Runs statements past every line of our own code.
    pub(crate) async fn run(&self, sql: &str) {
        let mut shell = self.shell().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut shell).await.unwrap();
        shell.close().await.unwrap();
    }

    /// What a service that was killed has begun may go on for a moment. Whoever is in its way then, and is the one whom
    /// PostgreSQL chooses to break the deadlock, asks again: the other one ends by itself.
    async fn remove(&self) {
        let sql = format!("SET client_min_messages = error; DROP SCHEMA {} CASCADE", self.name);
        let mut shell = self.shell().await;
        while let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut shell).await {
            let code = error.as_database_error().and_then(DatabaseError::code);
            assert_eq!(code.as_deref(), Some(DEADLOCK), "{error}");
        }
        shell.close().await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test that has failed already is to say why by itself.
            let _failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| block_on(self.remove())));
        } else {
            block_on(self.remove());
        }
    }
}

/// Waits on another thread: the runtime of the test cannot be waited on from within.
fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(future)).join()).unwrap()
}

/// A server that one test has for itself, to do with as it likes.
pub(crate) struct OwnServer {
    folder: PathBuf,
    url: String,
}

impl OwnServer {
    pub(crate) fn start() -> Self {
        let folder = Self::new_folder();
        let url = run_script("start", &folder);
        Self { folder, url }
    }

    /// One that is reached by TLS only, as `localhost`, where it has a certificate of [`Self::authority`].
    pub(crate) fn start_with_tls() -> Self {
        let folder = Self::new_folder();
        run_script("certify", &folder);
        // A server takes no port 0. Should somebody else take it in this moment, the start fails and says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = |name| folder.join(name).display().to_string();
        let (certificate, key, people) = (file("server.pem"), file("server.key"), file("hba"));
        fs::write(&people, "local all all trust\nhostssl all all all trust\n").unwrap();
        let tls = format!(
            "-c port={port} -c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file={certificate} \
             -c ssl_key_file={key} -c hba_file={people}"
        );
        run_script_with("start", &folder, Some(&tls));
        Self { folder, url: format!("postgres://postgres@localhost:{port}/postgres") }
    }

    /// A standby of it, which takes over when it is promoted.
    pub(crate) fn standby(&self) -> Self {
        let folder = Self::new_folder();
        let url = run_script_with("standby", &folder, self.folder.to_str());
        Self { folder, url }
    }

    /// Makes a standby the primary, which may take a while.
    pub(crate) fn promoting(&self) -> impl Future<Output = ()> + use<> {
        let folder = self.folder.clone();
        async move { drop(tokio::task::spawn_blocking(move || run_script("promote", &folder)).await.unwrap()) }
    }

    /// The file with the certificate of the authority that has certified it.
    pub(crate) fn authority(&self) -> String {
        self.folder.join("ca.pem").display().to_string()
    }

    fn new_folder() -> PathBuf {
        // The path of a socket is short.
        Path::new("/tmp").join(format!("scriptorium-own-{}", Uuid::new_v4().simple()))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops it as `pg_ctl` does with this mode (`fast`, `immediate`), and starts it again, which may take a while.
    pub(crate) fn restarting(&self, mode: &str) -> impl Future<Output = ()> + use<> {
        let (folder, mode) = (self.folder.clone(), mode.to_owned());
        async move {
            let work = move || run_script_with("restart", &folder, Some(&mode));
            tokio::task::spawn_blocking(work).await.unwrap();
        }
    }

    /// Sends a signal to all its processes.
    pub(crate) fn signal(&self, name: &str) {
        run_script_with("signal", &self.folder, Some(name));
    }
}

impl OwnServer {
    /// Lets none of its files grow beyond this: a disk that is full.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        run_script_with("limit", &self.folder, Some(&bytes));
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        run_script("stop", &self.folder);
    }
}
