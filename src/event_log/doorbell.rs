//! The doorbell: who writes the log tells the others that a stream has moved, and nothing more.
//!
//! What happened stands in the log, and only there. A ring may be lost, come late, come twice, or come for
//! what one has written oneself: whoever waits for rings also looks by themselves from time to time.

use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};

use super::StreamName;
use crate::domain::Seq;

/// Something has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ring {
    /// This stream has reached this place, or one beyond.
    Stream(StreamName, Seq),
    /// Another node waits to write to this stream, and came too late; left alone for so long, it does not.
    Wanted(StreamName, Duration),
    /// Any streams may have moved: it could not be said which.
    Many,
}

/// Rings that wait for one who listens; beyond, they become [`Ring::Many`].
const WAITING: usize = 4_096;

/// Where one can ring, and listen. Clones are the same bell.
#[derive(Debug, Clone)]
pub struct Bell(broadcast::Sender<Ring>);

impl Default for Bell {
    fn default() -> Self {
        Self(broadcast::channel(WAITING).0)
    }
}

impl Bell {
    /// Rings; never waits.
    pub fn ring(&self, ring: Ring) {
        // Nobody listens: nobody misses it.
        let _nobody = self.0.send(ring);
    }

    /// Hears every ring from now on.
    pub fn listen(&self) -> Doorbell {
        Doorbell(Some(self.0.subscribe()))
    }
}

/// What one who listens hears.
#[derive(Debug)]
pub struct Doorbell(Option<broadcast::Receiver<Ring>>);

impl Doorbell {
    /// A doorbell that never rings: its listener looks by itself.
    pub const fn silent() -> Self {
        Self(None)
    }

    /// The next ring. Waits for ever where none will come.
    pub async fn next(&mut self) -> Ring {
        let Some(rings) = &mut self.0 else { return std::future::pending().await };
        match rings.recv().await {
            Ok(ring) => ring,
            Err(RecvError::Lagged(_)) => Ring::Many,
            Err(RecvError::Closed) => {
                self.0 = None;
                Ring::Many
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::suite::stream;

    #[tokio::test]
    async fn who_listens_too_slowly_is_told_that_many_have_moved() {
        let bell = Bell::default();
        let mut doorbell = bell.listen();
        for seq in 0..=WAITING as u64 {
            bell.ring(Ring::Stream(stream("a"), Seq(seq)));
        }
        assert_eq!(doorbell.next().await, Ring::Many);
        assert_eq!(doorbell.next().await, Ring::Stream(stream("a"), Seq(1)), "and hears what is left");
    }

    #[tokio::test]
    async fn a_bell_that_is_gone_rings_once_more_and_never_again() {
        let bell = Bell::default();
        let mut doorbell = bell.listen();
        drop(bell);
        assert_eq!(doorbell.next().await, Ring::Many);
        assert!(futures_util::FutureExt::now_or_never(doorbell.next()).is_none());
    }
}
