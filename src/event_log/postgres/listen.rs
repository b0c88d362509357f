//! Hearing which streams have moved, whoever moved them: a connection of its own that listens.
//!
//! Postgres keeps nothing for one who is not connected, so after every connecting anything may have moved.

use std::{convert::Infallible, time::Duration};

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::open::{Shared, within};
use crate::{
    event_log::{Bell, Ring, Unavailable, UnavailableKind, rings::read},
    telemetry::Metrics,
};

/// Before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens, and connects again whenever that ends, until `stop`.
pub(super) async fn listen(
    settings: Shared,
    channel: (String, u64),
    (bell, metrics): (Bell, Metrics),
    stop: CancellationToken,
) {
    let listen = async {
        let mut was_well = true;
        loop {
            let mut well = || {
                if !std::mem::replace(&mut was_well, true) {
                    tracing::info!("the doorbell is heard again");
                }
                metrics.doorbell_heard(true);
                bell.ring(Ring::Many);
            };
            let Err(reason) = Box::pin(hear(&settings, &channel, &bell, &mut well)).await;
            metrics.doorbell_heard(false);
            if was_well {
                tracing::warn!(%reason, "the doorbell is not heard; looking by ourselves, and trying on");
            }
            was_well = false;
            sleep(PAUSE).await;
        }
    };
    let _ended: Option<()> = stop.run_until_cancelled(listen).await;
}

async fn hear(
    settings: &Shared,
    (channel, own): &(String, u64),
    bell: &Bell,
    is_well: &mut (dyn FnMut() + Send),
) -> Result<Infallible, Unavailable> {
    let patience = settings.patience;
    // The listener of sqlx takes its connection from a pool.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(patience.connect);
    let pool = pool.connect_lazy_with(settings.address.clone());
    let mut listener = within(patience.connect, PgListener::connect_with(&pool)).await?;
    listener.eager_reconnect(false);
    within(patience.answer, listener.listen(channel)).await?;
    is_well();
    loop {
        match timeout(patience.silence, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => read(notification.payload(), *own).for_each(|ring| bell.ring(ring)),
            Ok(Ok(None)) => return Err(Unavailable::new(UnavailableKind::Unreachable, "the connection has ended")),
            Ok(Err(error)) => return Err(super::trouble::unavailable(&error)),
            // A connection that broke without a goodbye is silent too.
            Err(_) => {
                within(patience.answer, sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}
