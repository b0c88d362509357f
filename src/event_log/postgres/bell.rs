//! Telling other nodes what was appended, by `NOTIFY`.
//!
//! Not in the transaction that appends: Postgres holds one lock for the whole server from a `NOTIFY` until its commit
//! is on disk, so that lanes would commit one after the other. So one task tells it afterwards, together with
//! whatever was committed while it told the last. It is only a doorbell: who hears nothing for a while looks by
//! itself, and so nothing depends on this.

use sqlx::PgConnection;

use super::{
    open::{Shared, within},
    readers::Idle,
};
use crate::event_log::{Unavailable, rings::Untold};

/// The longest notification, in bytes.
pub(super) const LONGEST: usize = 7_999;

/// The task that tells it. It ends when nobody is left who appends.
pub(super) struct Ringer {
    settings: Shared,
    channel: String,
    untold: Untold,
    idle: Option<Idle>,
}

impl Ringer {
    pub(super) fn new(settings: Shared, channel: String, untold: Untold) -> Self {
        Self { settings, channel, untold, idle: None }
    }

    pub(super) async fn run(mut self) {
        while self.untold.wait().await {
            for told in self.untold.take(LONGEST) {
                if let Err(reason) = self.tell(&told).await {
                    tracing::warn!(%reason, "other nodes could not be told what was appended; they will look by themselves");
                }
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
            Some(idle) => idle.wake(&patience).await,
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
