//! Hearing which streams have moved, whoever moved them: a connection of its own that listens.
//!
//! Postgres keeps nothing for one who is not connected, so after every connecting anything may have moved.

use std::{convert::Infallible, time::Duration};

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    bell::WANTED,
    open::{Shared, within},
};
use crate::{
    domain::Seq,
    event_log::{Bell, Ring, StreamName, Unavailable, UnavailableKind},
};

/// Before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// After so long without a word the server is asked whether it is still there: a connection that broke without a
/// goodbye is silent too.
const SILENCE: Duration = Duration::from_secs(10);

/// Listens, and connects again whenever that ends, until `stop`.
pub(super) async fn listen(settings: Shared, channel: (String, u64), bell: Bell, stop: CancellationToken) {
    let listen = async {
        let mut was_well = true;
        loop {
            let Err(reason) = Box::pin(hear(&settings, &channel, &bell, &mut was_well)).await;
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
    is_well: &mut bool,
) -> Result<Infallible, Unavailable> {
    let patience = settings.patience;
    // The listener of sqlx takes its connection from a pool.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(patience.connect);
    let pool = pool.connect_lazy_with(settings.address.clone());
    let mut listener = within(patience.connect, PgListener::connect_with(&pool)).await?;
    listener.eager_reconnect(false);
    within(patience.answer, listener.listen(channel)).await?;
    *is_well = true;
    bell.ring(Ring::Many);
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => read(notification.payload(), *own).for_each(|ring| bell.ring(ring)),
            Ok(Ok(None)) => return Err(Unavailable::new(UnavailableKind::Unreachable, "the connection has ended")),
            Ok(Err(error)) => return Err(super::trouble::unavailable(&error)),
            Err(_) => {
                within(patience.answer, sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}

/// Reads `name=seq name=?WHO`, but for what one has said oneself that one waits; whatever else it is means that
/// anything may have moved.
fn read(payload: &str, own: u64) -> impl Iterator<Item = Ring> + '_ {
    payload.split(' ').filter_map(move |word| {
        let Some((name, said)) = word.rsplit_once('=') else { return Some(Ring::Many) };
        let stream = StreamName::recorded(name);
        if let Some(who) = said.strip_prefix(WANTED).and_then(|who| who.parse::<u64>().ok()) {
            return (who != own).then_some(Ring::Wanted(stream));
        }
        Some(said.parse().map_or(Ring::Many, |seq| Ring::Stream(stream, Seq(seq))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_streams_and_places_or_means_any() {
        let ring = |name, seq| Ring::Stream(StreamName::recorded(name), Seq(seq));
        let heard: Vec<_> = read("document:a/b=12 presence:c=3", 7).collect();
        assert_eq!(heard, [ring("document:a/b", 12), ring("presence:c", 3)]);
        for odd in ["*", "", "document:a", "document:a=", "document:a=-1", "document:a=?", "document:a=?x"] {
            assert_eq!(read(odd, 7).collect::<Vec<_>>(), [Ring::Many], "{odd}");
        }
    }

    #[test]
    fn who_waits_is_heard_by_all_others() {
        let payload = "document:a=?7 document:b=2";
        let wanted = Ring::Wanted(StreamName::recorded("document:a"));
        let moved = Ring::Stream(StreamName::recorded("document:b"), Seq(2));
        assert_eq!(read(payload, 8).collect::<Vec<_>>(), [wanted, moved.clone()]);
        assert_eq!(read(payload, 7).collect::<Vec<_>>(), [moved]);
    }
}
