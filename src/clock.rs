//! Where the time comes from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::domain::Timestamp;

/// Tells the time of day. Cloning shares the clock.
///
/// For timeouts and durations use `tokio::time`, which never jumps.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `now` until [`Self::advance`] is called; for tests.
    pub fn manual(now: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(now.0))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => from_system(system_now()),
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System => panic!("only a manual clock can be moved"),
            Source::Manual(micros) => micros.fetch_add(micros_of(by), Ordering::SeqCst),
        };
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_now() -> SystemTime {
    SystemTime::now()
}

fn from_system(time: SystemTime) -> Timestamp {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Timestamp(micros_of(after)),
        Err(before) => Timestamp(-micros_of(before.duration())),
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = Clock::manual(Timestamp(5));
        let same = clock.clone();
        assert_eq!((clock.now(), same.now()), (Timestamp(5), Timestamp(5)));
        same.advance(Duration::from_millis(2));
        assert_eq!(clock.now(), Timestamp(2_005));
    }

    #[test]
    fn the_system_clock_counts_microseconds() {
        let year_2026 = Timestamp(1_767_225_600_000_000);
        let year_2200 = Timestamp(7_258_118_400_000_000);
        assert!((year_2026..year_2200).contains(&Clock::system().now()));
        assert_eq!(from_system(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), Timestamp(-1_000_000));
    }
}
