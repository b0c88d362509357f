//! The connections that read.
//!
//! A pool of our own, because every step of it has to end: the pool of sqlx asks a connection that comes back
//! whether it is alive, and waits for the answer as long as TCP does.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::open::{Patience, Shared, within};
use crate::event_log::{Unavailable, UnavailableKind};

pub(super) struct Readers {
    settings: Shared,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// A connection that nobody uses.
pub(super) struct Idle {
    connection: PgConnection,
    since: Instant,
}

impl Idle {
    pub(super) fn now(connection: PgConnection) -> Self {
        Self { connection, since: Instant::now() }
    }

    pub(super) async fn close(self, patience: Duration) {
        // Nothing is lost if it fails.
        let _gone = within(patience, self.connection.close()).await;
    }

    /// The connection, if it still lives. Servers restart; a question costs less than a failed read.
    pub(super) async fn wake(mut self, patience: &Patience) -> Option<PgConnection> {
        if self.since.elapsed() > patience.fresh {
            within(patience.connect, self.connection.ping()).await.ok()?;
        }
        Some(self.connection)
    }
}

/// A connection in use. Unless it is given back it is closed: nobody knows what it is in the middle of.
pub(super) struct Reader<'a> {
    pub connection: PgConnection,
    readers: &'a Readers,
    _permit: SemaphorePermit<'a>,
}

impl Readers {
    pub(super) fn new(settings: Shared) -> Self {
        let permits = Semaphore::new(settings.readers.max(1) as usize);
        Self { settings, permits, idle: Mutex::default() }
    }

    /// A connection, as soon as one is free.
    pub(super) async fn take(&self) -> Result<Reader<'_>, Unavailable> {
        let patience = &self.settings.patience;
        let permit = match tokio::time::timeout(patience.acquire, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Unavailable::closed()),
            Err(_) => {
                let says = "no connection for reading became free in time";
                return Err(Unavailable::new(UnavailableKind::Busy, says));
            }
        };
        loop {
            let idle = self.idle_now().pop();
            let connection = match idle {
                None => self.settings.connect().await?,
                Some(idle) => match idle.wake(patience).await {
                    Some(connection) => connection,
                    None => {
                        self.forget();
                        continue;
                    }
                },
            };
            return Ok(Reader { connection, readers: self, _permit: permit });
        }
    }

    /// What has befallen one connection has befallen the others, and finding out takes long where the network has lost
    /// them without a word.
    fn forget(&self) {
        self.idle_now().clear();
    }

    /// Closes those that nobody uses; nobody gets one any more.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle_now());
        for idle in idle {
            idle.close(self.settings.patience.connect).await;
        }
    }

    fn idle_now(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing here panics between two changes that belong together.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader<'_> {
    /// The answer to a statement, as far as it comes in time.
    pub(super) async fn answer<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, Unavailable> {
        let answer = within(self.readers.settings.patience.answer, ask(&mut self.connection)).await;
        // One read that failed is enough: those who come next get a connection that lives.
        answer.inspect_err(|error| {
            if error.kind() == UnavailableKind::Unreachable {
                self.readers.forget();
            }
        })
    }

    /// To be called when an answer has been read to its end.
    pub(super) fn give_back(self) {
        if !self.readers.permits.is_closed() {
            self.readers.idle_now().push(Idle::now(self.connection));
        }
    }
}
