//! How often the agent looks at the connections: as often as its share of the processor allows, and
//! when a drain can end. Pure; the time and the processor time are inputs.

use std::time::Duration;

use super::activity::Millis;
use super::drain::Verdict;

/// Shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(100);

/// Longest time between two looks, however much they cost: beyond it a quiet time of three seconds
/// would be seen by two of them.
const LONGEST: Duration = Duration::from_secs(1);

/// The agent as a whole may take this part of the time, 0.8 % of a core. The kernel walks the
/// machine's whole hash table for a look: 0.5 ms for 262,144 empty buckets that are in the processor's
/// cache, several times as much where others have thrown them out of it.
const SHARE: u32 = 125;

/// So many costs are remembered. Fewer, and one look that met a cold cache sets the pace; more, and a
/// table that grows is noticed late.
const REMEMBERED: u32 = 8;

/// The processor time of the agent from look to look. All that it does in between counts: probes
/// answered and files written come out of the same share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    costs: [Duration; REMEMBERED as usize],
    next: usize,
    known: u32,
    used: Option<Duration>,
}

impl Pace {
    /// Notes a look. `used` is the processor time of the process so far.
    pub fn note(&mut self, used: Duration) {
        if let Some(before) = self.used.replace(used) {
            if let Some(place) = self.costs.get_mut(self.next) {
                *place = used.saturating_sub(before);
            }
            self.next = (self.next + 1) % self.costs.len();
            self.known = (self.known + 1).min(REMEMBERED);
        }
    }

    /// The mean cost of a look, with all that the agent did since the one before.
    #[must_use]
    pub fn cost(&self) -> Duration {
        self.costs.iter().sum::<Duration>() / self.known.max(1)
    }

    /// How long to wait before the next look.
    #[must_use]
    pub fn pause(&self) -> Duration {
        (self.cost() * SHARE).clamp(SHORTEST, LONGEST)
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn millis(&self) -> Millis {
        Millis::try_from(self.pause().as_millis()).unwrap_or(1000)
    }

    /// When to look again after a look that came to this verdict: at the latest when the drain would
    /// be over if nothing else happened, for an end is believed on a fresh look alone.
    #[must_use]
    pub fn next_look(&self, verdict: Verdict, deadline: Millis, now: Millis) -> Millis {
        let pause = self.millis();
        let left = match verdict {
            Verdict::Waits(wait) => wait.left().unwrap_or(pause).min(deadline - now),
            Verdict::Ended(_) => pause,
        };
        now + left.clamp(1, pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::drain::Wait;
    use crate::api::receipt::Outcome;

    /// A pace after looks that cost so many microseconds each.
    fn pace(costs: &[u64]) -> Pace {
        let mut pace = Pace::default();
        let mut used = Duration::from_secs(3);
        pace.note(used);
        for cost in costs {
            used += Duration::from_micros(*cost);
            pace.note(used);
        }
        pace
    }

    #[test]
    fn first_look_is_soon_followed_by_another() {
        assert_eq!(Pace::default().pause(), SHORTEST);
        assert_eq!(pace(&[]).pause(), SHORTEST);
    }

    #[test]
    fn pause_follows_the_mean_of_the_latest_costs() {
        assert_eq!(pace(&[4000]).pause(), Duration::from_millis(500));
        let mixed = pace(&[2000, 2000, 6000, 6000]);
        assert_eq!(mixed.cost(), Duration::from_millis(4));
        let mut forgotten = vec![90_000];
        forgotten.extend([2000; REMEMBERED as usize]);
        assert_eq!(pace(&forgotten).pause(), Duration::from_millis(250));
    }

    #[test]
    fn pause_is_never_shorter_or_longer_than_its_bounds() {
        assert_eq!(pace(&[10]).pause(), SHORTEST);
        assert_eq!(pace(&[90_000]).pause(), LONGEST);
    }

    /// Sparse looks, one expensive one among them, with a constant cost of the loop in between.
    #[test]
    fn share_is_kept_over_time_whatever_a_look_costs() {
        for cost in [100_u64, 900, 2500, 4000, 5500] {
            let mut pace = Pace::default();
            let (mut now, mut used) = (0.0, 0.0);
            while now < 60.0 {
                used += f64::from(u32::try_from(cost).unwrap()) / 1e6;
                pace.note(Duration::from_secs_f64(used));
                let pause = pace.pause().as_secs_f64();
                used += 0.001 * pause;
                now += pause;
            }
            assert!(used / now < 0.01, "{cost} us: {} of a core", used / now);
        }
    }

    #[test]
    fn next_look_is_when_the_drain_would_be_over() {
        let pace = pace(&[4000]);
        let next = |wait| pace.next_look(Verdict::Waits(wait), 60_000, 1000);
        assert_eq!(next(Wait::Connections(2)), 1500);
        assert_eq!(next(Wait::Quiet(3000)), 1500);
        assert_eq!(next(Wait::Quiet(180)), 1180);
        assert_eq!(next(Wait::Minimum(0)), 1001);
    }

    #[test]
    fn deadline_is_not_slept_through() {
        let wait = Verdict::Waits(Wait::Connections(2));
        assert_eq!(pace(&[4000]).next_look(wait, 1200, 1000), 1200);
    }

    /// A receipt that cannot be written is tried again at the same pace.
    #[test]
    fn end_that_could_not_be_reported_is_looked_at_again() {
        let ended = Verdict::Ended(Outcome::TimedOut);
        assert_eq!(pace(&[4000]).next_look(ended, 500, 1000), 1500);
    }
}
