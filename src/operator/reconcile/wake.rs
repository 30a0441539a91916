//! When an object is looked at again though nothing changed. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::rollout::Plan;

/// After this time an object is looked at again though nothing happened: what no event told.
const IDLE: Duration = Duration::from_secs(600);

/// The wait after a conflict, in case that the event of what we conflicted with was already seen.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// No look follows another sooner by itself.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);

pub(super) fn next_look(
    plan: &Plan,
    now: Timestamp,
    again: impl Iterator<Item = Duration>,
) -> Duration {
    let wake = plan.wake.map(|wake| {
        // A wake that has passed is for the next look, not for a loop without a pause.
        Duration::try_from(wake.duration_since(now))
            .unwrap_or(SOON)
            .max(SHORTEST)
    });
    wake.into_iter().chain(again).fold(IDLE, Duration::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_next_look_is_at_the_first_reason_for_one() {
        let plan = Plan {
            wake: Some(at(30)),
            ..Plan::default()
        };
        let second = Duration::from_secs(1);
        assert_eq!(next_look(&plan, at(10), None.into_iter()), 20 * second);
        assert_eq!(next_look(&plan, at(10), Some(second).into_iter()), second);
        assert_eq!(next_look(&Plan::default(), at(10), None.into_iter()), IDLE);
    }

    /// B62.
    #[test]
    fn a_wake_that_has_passed_makes_no_loop() {
        let plan = Plan {
            wake: Some(at(9)),
            ..Plan::default()
        };
        assert!(next_look(&plan, at(10), None.into_iter()) >= SHORTEST);
    }
}
