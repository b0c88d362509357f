//! When the next event of a replay is due: as long after the one before as it was then, by the speed.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::document::Speed;

/// No wait is longer; who is still waiting then waits again.
const LONGEST: Duration = Duration::from_hours(24);

/// The clock of a replay: the time of the recording that has gone by since the last event or the last jump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    speed: Speed,
    max_pause: Option<Duration>,
    is_paused: bool,
    /// What had gone by …
    gone: Duration,
    /// … at this moment of ours.
    since: Instant,
}

impl Pace {
    pub(super) fn new(speed: Speed, max_pause: Option<Duration>, is_paused: bool) -> Self {
        Self { speed, max_pause, is_paused, gone: Duration::ZERO, since: Instant::now() }
    }

    pub(super) const fn speed(&self) -> Speed {
        self.speed
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) fn set_speed(&mut self, speed: Speed, now: Instant) {
        self.count(now);
        self.speed = speed;
    }

    pub(super) fn set_paused(&mut self, is_paused: bool, now: Instant) {
        self.count(now);
        self.is_paused = is_paused;
    }

    /// Begins to count at a moment of ours: an event was sent then, or a jump made.
    pub(super) fn begin(&mut self, at: Instant) {
        (self.gone, self.since) = (Duration::ZERO, at);
    }

    /// When an event is due that was recorded so long after what is shown; `None` while it waits to be resumed.
    pub(super) fn due(&self, gap: Duration) -> Option<Instant> {
        if self.is_paused {
            return None;
        }
        let Some(times) = self.speed.times() else { return Some(self.since) };
        let gap = self.max_pause.map_or(gap, |longest| gap.min(longest));
        let left = gap.saturating_sub(self.gone).as_secs_f64() / times;
        Some(self.since + Duration::try_from_secs_f64(left).unwrap_or(LONGEST).min(LONGEST))
    }

    fn count(&mut self, now: Instant) {
        if !self.is_paused
            && let Some(times) = self.speed.times()
        {
            let gone = now.duration_since(self.since).as_secs_f64() * times;
            self.gone = self.gone.saturating_add(Duration::try_from_secs_f64(gone).unwrap_or(Duration::MAX));
        }
        self.since = now;
    }
}
