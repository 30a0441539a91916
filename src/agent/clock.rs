//! The agent's clock: monotonic within the process, and a stamp that a restarted agent can compare
//! with, through a reboot of the node too.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::activity::Millis;

/// Milliseconds since the process began.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    boot: String,
}

/// A moment that outlives the process. Time since boot counts suspension and never jumps; the wall
/// clock stands in for it where the node was rebooted in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    boot: String,
    uptime: Millis,
    unix: Millis,
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
        millis(self.origin.elapsed())
    }

    /// The present moment, to be kept.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Stamp {
            boot: self.boot.clone(),
            uptime: uptime(&read_word("/proc/uptime")),
            unix: unix.map(millis).unwrap_or_default(),
        }
    }

    /// Where on this clock a kept moment lies: never in the future.
    #[must_use]
    pub fn place(&self, kept: &Stamp) -> Millis {
        self.now() - elapsed(kept, &self.stamp())
    }
}

fn elapsed(kept: &Stamp, now: &Stamp) -> Millis {
    let by = if kept.boot == now.boot {
        now.uptime - kept.uptime
    } else {
        now.unix - kept.unix
    };
    by.max(0)
}

fn millis(length: std::time::Duration) -> Millis {
    Millis::try_from(length.as_millis()).unwrap_or(Millis::MAX)
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

    fn stamp(boot: &str, uptime: Millis, unix: Millis) -> Stamp {
        Stamp {
            boot: boot.into(),
            uptime,
            unix,
        }
    }

    #[test]
    fn uptime_is_read_in_milliseconds() {
        assert_eq!(uptime("1405.75"), 1_405_750);
        assert_eq!(uptime(""), 0);
    }

    /// R14.
    #[test]
    fn wall_clock_counts_only_across_a_reboot() {
        let kept = stamp("a", 1000, 50_000);
        assert_eq!(elapsed(&kept, &stamp("a", 4000, 9)), 3000);
        assert_eq!(elapsed(&kept, &stamp("b", 10, 57_000)), 7000);
        assert_eq!(elapsed(&kept, &stamp("b", 10, 40_000)), 0);
    }

    #[test]
    fn kept_moment_lies_in_the_past() {
        let clock = Clock::start();
        let kept = clock.stamp();
        assert!(clock.place(&kept) <= clock.now());
    }
}
