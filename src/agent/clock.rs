//! The agent's clocks: monotonic within the process, and a stamp that a restarted agent can compare
//! with, through a reboot of the node too. It never asks for the time of day, which can jump.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::activity::Millis;

/// Milliseconds since the process began.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    boot: String,
}

/// A moment that outlives the process, by the time since boot: it counts suspension and never jumps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    boot: String,
    uptime: Millis,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
            boot: read_word("/proc/sys/kernel/random/boot_id"),
        }
    }

    /// Milliseconds since the clock began.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis::try_from(self.origin.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// The present moment, to be kept.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            boot: self.boot.clone(),
            uptime: uptime(&read_word("/proc/uptime")),
        }
    }

    /// Where on this clock a kept moment lies: never in the future.
    #[must_use]
    pub fn place(&self, kept: &Stamp) -> Millis {
        self.now().saturating_sub(elapsed(kept, &self.stamp()))
    }
}

/// What has surely passed since. Of the time before a reboot nothing is known that a wall clock,
/// which may have been set meanwhile, could not make longer than it was, and a drain shorter.
fn elapsed(kept: &Stamp, now: &Stamp) -> Millis {
    let before = if kept.boot == now.boot {
        kept.uptime
    } else {
        0
    };
    now.uptime.saturating_sub(before).max(0)
}

/// Processor time that this process has used so far.
#[must_use]
pub fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime)
        .try_into()
        .unwrap_or_default()
}

fn read_word(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// `1405.75` as milliseconds.
fn uptime(text: &str) -> Millis {
    let (seconds, hundredths) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: Millis = seconds.parse().unwrap_or_default();
    seconds * 1000 + hundredths.parse::<Millis>().unwrap_or_default() * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(boot: &str, uptime: Millis) -> Stamp {
        Stamp {
            boot: boot.into(),
            uptime,
        }
    }

    #[test]
    fn uptime_is_read_in_milliseconds() {
        assert_eq!(uptime("1405.75"), 1_405_750);
        assert_eq!(uptime(""), 0);
    }

    /// R14: whatever the time of day did, a drain is not made shorter by it.
    #[test]
    fn no_more_than_what_surely_passed_is_counted() {
        let kept = stamp("a", 1000);
        assert_eq!(elapsed(&kept, &stamp("a", 4000)), 3000);
        assert_eq!(elapsed(&kept, &stamp("b", 700)), 700);
        assert_eq!(elapsed(&kept, &stamp("a", 900)), 0);
        let earliest = stamp("a", Millis::MIN);
        assert_eq!(elapsed(&earliest, &stamp("a", 900)), Millis::MAX);
    }

    #[test]
    fn kept_moment_lies_in_the_past() {
        let clock = Clock::start();
        let kept = clock.stamp();
        assert!(clock.place(&kept) <= clock.now());
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = processor_time();
        let mut sum = 0_u64;
        while processor_time() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(processor_time() > before);
    }
}
