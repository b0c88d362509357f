//! How those who write to a log in Postgres ring for each other: by the database itself, or by a NATS.

use std::sync::{Arc, OnceLock};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bell::{self, Ringer},
    listen,
    open::{Shared, within},
    readers::Readers,
};
use crate::{
    event_log::{
        Bell, Doorbell, Unavailable,
        nats::{self, Nats},
        rings::{Ringing, Waiting, gathering},
    },
    telemetry::Metrics,
};

/// By which way nodes ring for each other.
#[derive(Debug, Clone)]
pub(in crate::event_log) enum Way {
    Notify,
    Nats(nats::Address),
}

/// This node's end of it.
pub(super) struct Bells {
    waiting: Waiting,
    /// Rings here when it is told.
    heard: Bell,
    hearing: Hearing,
}

enum Hearing {
    /// From when somebody wants to hear: it costs a connection.
    Notified {
        settings: Shared,
        channel: String,
        metrics: Metrics,
        begun: OnceLock<()>,
    },
    Nats,
}

/// Notifications cross the borders of schemas, and another schema of the database may hold another log.
pub(super) const CHANNEL: &str = "SELECT 'scriptorium_' || coalesce(current_schema(), '')::regnamespace::oid";
/// A NATS serves many servers and databases. A standby that takes over is the same server.
pub(super) const SUBJECT: &str = "SELECT 'scriptorium.rings.' || system_identifier || '.' || pg_database.oid || '.'
        || coalesce(current_schema(), '')::regnamespace::oid
    FROM pg_control_system(), pg_database WHERE datname = current_database()";

impl Bells {
    /// Begins to ring; with what is returned a lane does so.
    pub(super) async fn hang(
        settings: &Shared,
        readers: &Readers,
        metrics: &Metrics,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) -> Result<(Ringing, Self), Unavailable> {
        let heard = Bell::default();
        let (ringing, hearing) = match &settings.rings {
            Way::Notify => {
                let channel = named(CHANNEL, readers, settings).await?;
                let (ringing, untold) = gathering(bell::LONGEST);
                tasks.spawn(Ringer::new(Arc::clone(settings), channel.clone(), untold).run());
                let (settings, metrics) = (Arc::clone(settings), metrics.clone());
                let hearing = Hearing::Notified { settings, channel, metrics, begun: OnceLock::new() };
                (ringing, hearing)
            }
            Way::Nats(address) => {
                let subject = named(SUBJECT, readers, settings).await?;
                let (ringing, untold) = gathering(nats::GATHERED);
                let (address, waiting, metrics) = (address.clone(), ringing.waiting(), metrics.clone());
                let (stop, rings) = (stop.clone(), heard.clone());
                tasks.spawn(Nats { address, subject, untold, waiting, heard: rings, metrics, stop }.run());
                (ringing, Hearing::Nats)
            }
        };
        let waiting = ringing.waiting();
        Ok((ringing, Self { waiting, heard, hearing }))
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Hears from now on.
    pub(super) fn listen(&self, tasks: &TaskTracker, stop: &CancellationToken) -> Doorbell {
        let doorbell = self.heard.listen();
        match &self.hearing {
            Hearing::Notified { settings, channel, metrics, begun } => {
                begun.get_or_init(|| {
                    let channel = (channel.clone(), self.waiting.who());
                    let heard = (self.heard.clone(), metrics.clone());
                    tasks.spawn(listen::listen(Arc::clone(settings), channel, heard, stop.clone()));
                });
            }
            Hearing::Nats => self.waiting.wake(),
        }
        doorbell
    }
}

/// Where those ring and listen who write to this log.
async fn named(query: &'static str, readers: &Readers, settings: &Shared) -> Result<String, Unavailable> {
    let mut reader = readers.take().await?;
    let name = sqlx::query_scalar(query).fetch_one(&mut reader.connection);
    let name = within(settings.patience.answer, name).await?;
    reader.give_back();
    Ok(name)
}
