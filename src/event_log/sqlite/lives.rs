//! Which of the processes on one file are alive.
//!
//! Each life of a process holds a lock on a file of its own beside the database. The system releases it when the process
//! ends, however it ends. SQLite in WAL mode works on one machine only, so every process that shares the database sees these
//! locks too.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::event_log::{Known, Life, Unavailable, UnavailableKind};

pub(super) struct LifeLocks {
    /// The file of the database, without symbolic links: every process has to look in the same place.
    database: PathBuf,
    held: Mutex<HashMap<Life, File>>,
}

impl LifeLocks {
    /// The database must be there.
    pub(super) fn beside(database: &Path) -> io::Result<Self> {
        Ok(Self { database: fs::canonicalize(database)?, held: Mutex::default() })
    }

    /// Locks a new life; `false` if there is one of this name already.
    pub(super) fn take(&self, life: &Life) -> Result<bool, Unavailable> {
        let mut held = self.held();
        if held.contains_key(life) {
            return Ok(false);
        }
        let path = self.path(life);
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                held.insert(life.clone(), file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(&path, &error)),
        }
    }

    /// A look at a lock does not stand in the way of another look.
    pub(super) fn look(&self, life: &Life) -> Result<Known, Unavailable> {
        if self.held().contains_key(life) {
            return Ok(Known::Alive);
        }
        let path = self.path(life);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::Gone),
            Err(error) => return Err(failed(&path, &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Known::Gone),
            Err(TryLockError::WouldBlock) => Ok(Known::Alive),
            Err(TryLockError::Error(error)) => Err(failed(&path, &error)),
        }
    }

    /// Removes the lock of a life that is over, whoever held it.
    pub(super) fn remove(&self, life: &Life) {
        self.held().remove(life);
        // A file that stays is only litter, and the next one who clears up may have removed it.
        let _litter = fs::remove_file(self.path(life));
    }

    /// Releases every lock, as the end of the process would.
    pub(super) fn release(&self) {
        self.held().clear();
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Life, File>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, Life { node, incarnation }: &Life) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let node: String = node.as_str().chars().map(plain).collect();
        let mut path = self.database.clone().into_os_string();
        path.push(format!("-life-{incarnation}-{node}"));
        path.into()
    }
}

fn failed(path: &Path, error: &io::Error) -> Unavailable {
    Unavailable::new(UnavailableKind::Failed, format!("the lock {} failed: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf, time::Duration};

    use tempfile::TempDir;

    use super::*;
    use crate::{
        domain::{NodeId, Timestamp},
        event_log::{EventLog, sqlite::Settings},
        telemetry::Metrics,
    };

    async fn open(path: impl Into<PathBuf>) -> EventLog {
        EventLog::sqlite(Settings::new(path), Metrics::new()).await.unwrap()
    }

    async fn begin(log: &EventLog) -> Life {
        log.begin_life(&NodeId::parse("a/b").unwrap(), Timestamp(5), Duration::from_secs(30)).await.unwrap()
    }

    async fn known(log: &EventLog) -> Vec<(u64, Known)> {
        log.lives().await.unwrap().into_iter().map(|sign| (sign.life.incarnation, sign.known)).collect()
    }

    fn locks(directory: &TempDir) -> usize {
        let names = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("-life-")).count()
    }

    #[tokio::test]
    async fn a_life_is_alive_for_every_process_until_its_own_process_ends() {
        let directory = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(directory.path().join("log.db")).await, open(directory.path().join("log.db")).await);
        // At the same moment and by the same name, as two processes with the same settings.
        let (one, two) = (begin(&ours).await, begin(&theirs).await);
        let alive = [(one.incarnation, Known::Alive), (two.incarnation, Known::Alive)];
        assert_eq!((known(&ours).await, known(&theirs).await), (alive.to_vec(), alive.to_vec()));

        theirs.close().await;

        assert_eq!(known(&ours).await, [alive[0], (two.incarnation, Known::Gone)]);
        ours.end_life(&two).await.unwrap();
        assert_eq!((known(&ours).await, locks(&directory)), (vec![alive[0]], 1));
        ours.end_life(&one).await.unwrap();
        assert_eq!((known(&ours).await, locks(&directory)), (Vec::new(), 0));
        ours.close().await;
    }

    #[tokio::test]
    async fn a_process_that_names_the_file_by_a_link_sees_the_same_lives() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (file, link) = (directory.path().join("log.db"), elsewhere.path().join("link.db"));
        let ours = open(&file).await;
        symlink(&file, &link).unwrap();
        let life = begin(&ours).await;

        let theirs = open(&link).await;

        assert_eq!(known(&theirs).await, [(life.incarnation, Known::Alive)]);
        ours.close().await;
        assert_eq!(known(&theirs).await, [(life.incarnation, Known::Gone)]);
        theirs.close().await;
    }
}
