//! Those who wait for what is written to a log: each is woken for its own stream, or for any, and nobody for what is
//! written elsewhere.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{Ring, StreamName};
use crate::domain::Seq;

#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Where each is said to be that somebody waits for.
    streams: Mutex<HashMap<StreamName, watch::Sender<Seq>>>,
    any: watch::Sender<Seq>,
}

/// What one waits for.
#[derive(Debug)]
pub struct Watch(watch::Receiver<Seq>);

impl Watch {
    /// Waits until something has been written. What was written before it is asked, and since it last
    /// [forgot](Self::forget), counts.
    pub async fn moved(&mut self) {
        if self.0.changed().await.is_err() {
            // The log has gone: nothing is written any more.
            std::future::pending::<()>().await;
        }
    }

    /// What was written up to now is read now.
    pub fn forget(&mut self) {
        self.0.mark_unchanged();
    }
}

impl Watched {
    /// Waits for one stream, or for any.
    pub(super) fn watch(&self, stream: Option<&StreamName>) -> Watch {
        let Some(stream) = stream else { return Watch(self.any.subscribe()) };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, waiting| waiting.receiver_count() > 0);
        Watch(streams.entry(stream.clone()).or_default().subscribe())
    }

    pub(super) fn tell(&self, ring: &Ring) {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        match ring {
            Ring::Wanted(..) => return,
            Ring::Stream(stream, seq) => {
                // What was written here is told here, and comes again by the doorbell.
                if let Some(waiting) = streams.get(stream) {
                    waiting.send_if_modified(|told| {
                        seq > told && {
                            *told = *seq;
                            true
                        }
                    });
                }
            }
            Ring::Many => streams.values().for_each(|waiting| waiting.send_modify(|_| ())),
        }
        drop(streams);
        self.any.send_modify(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::event_log::suite::stream;

    #[tokio::test]
    async fn each_is_woken_for_its_own_stream_and_for_nothing_twice() {
        let watched = Watched::default();
        let (mut a, mut any) = (watched.watch(Some(&stream("a"))), watched.watch(None));
        let mut woken = || (a.moved().now_or_never().is_some(), any.moved().now_or_never().is_some());
        assert_eq!(woken(), (false, false));
        for (ring, expected) in [
            (Ring::Stream(stream("b"), Seq(7)), (false, true)),
            (Ring::Stream(stream("a"), Seq(1)), (true, true)),
            (Ring::Stream(stream("a"), Seq(1)), (false, true)),
            (Ring::Wanted(stream("a"), std::time::Duration::ZERO), (false, false)),
            (Ring::Many, (true, true)),
            (Ring::Stream(stream("a"), Seq(2)), (true, true)),
        ] {
            watched.tell(&ring);
            assert_eq!(woken(), expected, "{ring:?}");
            assert_eq!(woken(), (false, false));
        }
        watched.tell(&Ring::Many);
        a.forget();
        assert!(a.moved().now_or_never().is_none());
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_forgotten() {
        let watched = Watched::default();
        drop(watched.watch(Some(&stream("a"))));
        let _b = watched.watch(Some(&stream("b")));
        assert_eq!(watched.streams.lock().unwrap().len(), 1);
    }
}
