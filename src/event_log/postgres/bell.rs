//! Telling other nodes what was appended.
//!
//! Not in the transaction that appends: Postgres holds one lock for the whole server from a `NOTIFY` until its commit
//! is on disk, so that lanes would commit one after the other. So one task tells it afterwards, together with
//! whatever was committed while it told the last. It is only a doorbell: who hears nothing for a while looks by
//! itself, and so nothing depends on this.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    fmt::Write as _,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sqlx::PgConnection;
use tokio::sync::mpsc;

use super::{
    open::{Shared, within},
    readers::Idle,
};
use crate::{
    domain::Seq,
    event_log::{StreamName, Unavailable},
};

/// What is said when there is too much to say: look at everything.
pub(super) const MANY: &str = "*";
/// Before the number of one who waits for a turn.
pub(super) const WANTED: char = '?';
/// The longest notification, in bytes.
const LONGEST: usize = 7_999;

/// Where streams end, as far as nobody has been told yet.
#[derive(Default)]
struct Moved {
    heads: HashMap<StreamName, Seq>,
    wanted: HashSet<StreamName>,
    /// Of both, written as a notification.
    length: usize,
    many: bool,
}

impl Moved {
    fn push(&mut self, stream: &StreamName, head: Seq) {
        if self.many {
            return;
        }
        if self.heads.insert(stream.clone(), head).is_none() {
            self.lengthen(stream);
        }
    }

    fn want(&mut self, stream: &StreamName) {
        if !self.many && self.wanted.insert(stream.clone()) {
            self.lengthen(stream);
        }
    }

    fn lengthen(&mut self, stream: &StreamName) {
        // The longest number, and three signs.
        self.length += stream.as_str().len() + 23;
        if self.length > LONGEST {
            *self = Self { many: true, ..Self::default() };
        }
    }

    /// `document:a=12 document:b=3 document:c=?WHO`; nothing if there is nothing to tell.
    fn told(self, who: u64) -> Option<String> {
        if self.many {
            return Some(MANY.to_owned());
        }
        let mut told = String::with_capacity(self.length);
        for (stream, seq) in &self.heads {
            let separator = if told.is_empty() { "" } else { " " };
            // Writing to a text cannot fail.
            let _fine = write!(told, "{separator}{stream}={seq}");
        }
        for stream in &self.wanted {
            let separator = if told.is_empty() { "" } else { " " };
            let _fine = write!(told, "{separator}{stream}={WANTED}{who}");
        }
        (!told.is_empty()).then_some(told)
    }
}

/// With which a lane says what it has committed.
#[derive(Clone)]
pub(super) struct Bell {
    moved: Arc<Mutex<Moved>>,
    wake: mpsc::Sender<()>,
    who: u64,
}

/// With which is said who waits to write; keeps nobody at work.
pub(super) struct Waiting {
    moved: Arc<Mutex<Moved>>,
    wake: mpsc::WeakSender<()>,
    who: u64,
}

/// The task that tells it. It ends when all bells are gone.
pub(super) struct Ringer {
    settings: Shared,
    channel: String,
    moved: Arc<Mutex<Moved>>,
    woken: mpsc::Receiver<()>,
    who: u64,
    idle: Option<Idle>,
}

pub(super) fn bell(settings: Shared, channel: String) -> (Bell, Ringer) {
    let moved = Arc::<Mutex<Moved>>::default();
    let (wake, woken) = mpsc::channel(1);
    // Any number that another process does not have.
    let who = RandomState::new().hash_one(&channel);
    let ringer = Ringer { settings, channel, moved: Arc::clone(&moved), woken, who, idle: None };
    (Bell { moved, wake, who }, ringer)
}

impl Bell {
    pub(super) fn ring<'a>(&self, heads: impl Iterator<Item = (&'a StreamName, Seq)>) {
        let mut moved = lock(&self.moved);
        heads.for_each(|(stream, head)| moved.push(stream, head));
        // If it is full, somebody has rung and nobody has come yet: this will be told as well.
        let _rung = self.wake.try_send(());
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting { moved: Arc::clone(&self.moved), wake: self.wake.downgrade(), who: self.who }
    }
}

impl Waiting {
    /// The number of this process, by which it knows its own words.
    pub(super) const fn who(&self) -> u64 {
        self.who
    }

    pub(super) fn want(&self, stream: &StreamName) {
        lock(&self.moved).want(stream);
        let _rung = self.wake.upgrade().map(|wake| wake.try_send(()));
    }
}

impl Ringer {
    pub(super) async fn run(mut self) {
        while self.woken.recv().await.is_some() {
            let told = std::mem::take(&mut *lock(&self.moved)).told(self.who);
            if let Some(told) = told
                && let Err(reason) = self.tell(&told).await
            {
                tracing::warn!(%reason, "other nodes could not be told what was appended; they will look by themselves");
            }
        }
        if let Some(idle) = self.idle {
            idle.close(self.settings.patience.connect).await;
        }
    }

    /// Nothing that is told must last, and Postgres holds its one lock only as long as the commit takes.
    async fn connect(&self) -> Result<PgConnection, Unavailable> {
        let mut connection = self.settings.connect().await?;
        let hurry = sqlx::query("SET synchronous_commit = off").execute(&mut connection);
        within(self.settings.patience.answer, hurry).await?;
        Ok(connection)
    }

    async fn tell(&mut self, told: &str) -> Result<(), Unavailable> {
        let patience = self.settings.patience;
        let alive = match self.idle.take() {
            Some(idle) => idle.wake(patience.connect).await,
            None => None,
        };
        let mut connection = match alive {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(&self.channel).bind(told);
        within(patience.answer, notify.execute(&mut connection)).await?;
        self.idle = Some(Idle::now(connection));
        Ok(())
    }
}

fn lock(moved: &Mutex<Moved>) -> MutexGuard<'_, Moved> {
    // Nothing here panics between two changes that belong together.
    moved.lock().unwrap_or_else(PoisonError::into_inner)
}
