//! Where tests find a Postgres: the one that `TEST_DATABASE_URL` names, or one that they start and share.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    sync::OnceLock,
};

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

/// Runs `tests/postgres.sh` and answers what it says.
pub(crate) fn run_script(command: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres.sh");
    let output = Command::new(script).arg(command).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The address of a schema of a database.
pub(crate) fn in_schema(server: &str, schema: &str) -> String {
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options[search_path]={schema}")
}
