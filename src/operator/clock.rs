//! The time, as the planner gets it: it runs with the monotonic clock within one process, so that a
//! wall clock that is set cannot end a drain early.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::host::Host;

/// Beyond this the wall clock was set, and not only slewed.
const JUMP: SignedDuration = SignedDuration::from_secs(2);

/// Wall-clock time that runs with the monotonic clock.
pub(super) struct Clock {
    host: Arc<dyn Host>,
    base: Mutex<Base>,
}

#[derive(Debug)]
struct Base {
    wall: Timestamp,
    since: Instant,
    /// How far the wall clock was set ahead so far.
    ahead: Duration,
}

/// A reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Now.
    pub(super) now: Timestamp,
    /// How far the wall clock was set ahead since the process began. A deadline that was read before
    /// lies nearer by as much as this grew.
    pub(super) ahead: Duration,
}

impl Clock {
    pub(super) fn start(host: Arc<dyn Host>) -> Self {
        let base = Base {
            wall: host.wall(),
            since: Instant::now(),
            ahead: Duration::ZERO,
        };
        Self {
            host,
            base: Mutex::new(base),
        }
    }

    pub(super) fn read(&self) -> Reading {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        base.read(self.host.wall(), Instant::now())
    }

    /// What people's clocks show, for what is shown to people.
    pub(super) fn wall(&self) -> Timestamp {
        self.host.wall()
    }
}

impl Base {
    fn read(&mut self, wall: Timestamp, at: Instant) -> Reading {
        let steady = self
            .wall
            .checked_add(at.saturating_duration_since(self.since))
            .unwrap_or(wall);
        let jump = wall.duration_since(steady);
        let now = if jump.abs() > JUMP {
            self.wall = wall;
            self.since = at;
            if let Ok(ahead) = Duration::try_from(jump) {
                self.ahead = self.ahead.saturating_add(ahead);
            }
            wall
        } else {
            steady
        };
        Reading {
            now,
            ahead: self.ahead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> (Base, Timestamp, Instant) {
        let (wall, since) = (Timestamp::UNIX_EPOCH, Instant::now());
        let ahead = Duration::ZERO;
        (Base { wall, since, ahead }, wall, since)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// R14.
    #[test]
    fn time_runs_with_the_monotonic_clock() {
        let (mut base, wall, since) = base();
        let slewed = wall + seconds(9);
        let reading = base.read(slewed, since + seconds(10));
        assert_eq!(reading.now, wall + seconds(10));
        assert_eq!(reading.ahead, Duration::ZERO);
    }

    /// R14.
    #[test]
    fn a_clock_set_ahead_is_followed_and_remembered() {
        let (mut base, wall, since) = base();
        let reading = base.read(wall + seconds(70), since + seconds(10));
        assert_eq!(reading.now, wall + seconds(70));
        assert_eq!(reading.ahead, seconds(60));
        let reading = base.read(wall + seconds(71), since + seconds(11));
        assert_eq!(reading.ahead, seconds(60));
    }

    #[test]
    fn a_clock_set_back_is_followed() {
        let (mut base, wall, since) = base();
        let reading = base.read(wall - seconds(60), since + seconds(10));
        assert_eq!(reading.now, wall - seconds(60));
        assert_eq!(reading.ahead, Duration::ZERO);
    }
}
