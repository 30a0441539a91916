//! Timeouts that measured drains and shutdowns suggest, and remarks on the template. Pure, and made not to
//! flap: a suggestion stays for as long as it is neither too short nor three times too long.

use super::plan::Draft;
use super::target::Target;
use crate::api::reason::Reason;
use crate::api::v1alpha1::{Advice, Fit, Measured, TimeoutAdvice};

/// Fewer say nothing.
const LEAST_SAMPLES: usize = 5;

/// The longest that a timeout may be.
const WEEK: i32 = 7 * 24 * 3600;

/// The timeouts that are suggested: a suggestion of 47 s looks more exact than it is, and moves with
/// every pod.
const STEPS: [i32; 22] = [
    5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1800, 3600, 7200, 14_400, 28_800,
    86_400, 172_800, WEEK,
];

/// A timeout as it is set.
#[derive(Clone, Copy, Debug)]
struct Set {
    field: &'static str,
    noun: &'static str,
    seconds: i32,
    /// What it is where nobody set it: never called too long.
    usual: i32,
    /// The least that the spec allows.
    least: i32,
}

/// What the measured times suggest, given what was suggested before, with the remarks on the template.
#[must_use]
pub(super) fn advise(
    target: &Target,
    measured: &Measured,
    remarks: &[String],
    previous: &Advice,
) -> Advice {
    let seconds = |length: std::time::Duration| i32::try_from(length.as_secs()).unwrap_or(WEEK);
    let drain = Set {
        field: "spec.drain.timeoutSeconds",
        noun: "drains",
        seconds: seconds(target.drain_timeout),
        usual: 300,
        least: seconds(target.drain_min.saturating_add(target.drain_quiet)),
    };
    let shutdown = Set {
        field: "spec.shutdown.timeoutSeconds",
        noun: "shutdowns",
        seconds: seconds(target.shutdown_timeout),
        usual: 30,
        least: 1,
    };
    Advice {
        drain: on_one(&drain, &measured.drains, previous.drain.as_ref()),
        shutdown: on_one(&shutdown, &measured.shutdowns, previous.shutdown.as_ref()),
        template: remarks.to_vec(),
    }
}

/// Tells what is new: another suggestion, another word on the timeout that is set, or a remark.
pub(super) fn tell(advice: &Advice, previous: &Advice, draft: &mut Draft) {
    let pairs = [
        ("spec.drain.timeoutSeconds", &advice.drain, &previous.drain),
        (
            "spec.shutdown.timeoutSeconds",
            &advice.shutdown,
            &previous.shutdown,
        ),
    ];
    for (field, now, before) in pairs {
        let Some(now) = now else { continue };
        let before = before.as_ref();
        if before.map(|it| (it.timeout_seconds, it.fit)) == Some((now.timeout_seconds, now.fit)) {
            continue;
        }
        let suggested = format!("{field}: {} is suggested", now.timeout_seconds);
        let message = match &now.message {
            Some(why) => format!("{suggested}; {why}"),
            None => format!("{suggested}; the one that is set fits"),
        };
        draft.tell(now.fit == Fit::TooShort, Reason::AdviceChanged, message);
    }
    for remark in &advice.template {
        if !previous.template.contains(remark) {
            draft.tell(true, Reason::AdviceChanged, remark.clone());
        }
    }
}

fn on_one(set: &Set, samples: &[i32], previous: Option<&TimeoutAdvice>) -> Option<TimeoutAdvice> {
    if samples.len() < LEAST_SAMPLES {
        return None;
    }
    let mut lengths: Vec<i32> = samples.iter().map(|it| it.saturating_abs()).collect();
    lengths.sort_unstable();
    let cut = samples.iter().filter(|it| **it < 0).count();
    let percentile = percentile(&lengths);
    let room = if is_common(cut, samples.len()) {
        percentile.saturating_mul(2)
    } else {
        percentile.saturating_add(percentile / 2)
    };
    let needed = step(room.max(set.least));
    let kept = previous.map(|it| it.timeout_seconds);
    let kept = kept.filter(|kept| *kept >= needed && *kept / 3 <= needed);
    let suggested = kept.unwrap_or(needed);
    let reached = lengths.iter().filter(|it| **it >= set.seconds).count();
    let all = samples.len();
    let Set {
        field,
        noun,
        seconds,
        ..
    } = set;
    let (fit, message) = if is_common(reached, all) {
        let message = format!(
            "{reached} of the last {all} {noun} reached {field} ({seconds} s): work is cut"
        );
        (Fit::TooShort, Some(message))
    } else if *seconds > set.usual && *seconds / 4 > suggested {
        let message = format!(
            "99 of 100 {noun} took no longer than {percentile} s: by {field} ({seconds} s) a pod that hangs holds a rollout for nothing"
        );
        (Fit::TooLong, Some(message))
    } else {
        (Fit::Fits, None)
    };
    Some(TimeoutAdvice {
        timeout_seconds: suggested,
        fit,
        message,
    })
}

/// More than one in a hundred.
fn is_common(some: usize, all: usize) -> bool {
    some * 100 > all
}

/// The 99th percentile of sorted numbers, by the nearest rank.
fn percentile(sorted: &[i32]) -> i32 {
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The first step that is long enough.
fn step(seconds: i32) -> i32 {
    let mut steps = STEPS.into_iter();
    steps.find(|step| *step >= seconds).unwrap_or(WEEK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(seconds: i32) -> Set {
        Set {
            field: "spec.drain.timeoutSeconds",
            noun: "drains",
            seconds,
            usual: 300,
            least: 8,
        }
    }

    fn on(seconds: i32, samples: &[i32]) -> Option<TimeoutAdvice> {
        on_one(&set(seconds), samples, None)
    }

    #[test]
    fn four_drains_say_nothing_and_five_suggest_the_longest_and_half_as_much() {
        assert_eq!(on(300, &[20; 4]), None);
        let advice = on(300, &[20, 18, 20, 19, 5]).unwrap();
        assert_eq!((advice.timeout_seconds, advice.fit), (30, Fit::Fits));
        assert_eq!(advice.message, None);
    }

    #[test]
    fn a_timeout_that_cuts_work_is_too_short() {
        let advice = on(60, &[12, 60, 13, -60, 14, 15]).unwrap();
        assert_eq!((advice.timeout_seconds, advice.fit), (120, Fit::TooShort));
        let message = advice.message.unwrap();
        assert!(message.contains("2 of the last 6 drains"), "{message}");
        assert!(message.contains("(60 s)"), "{message}");
    }

    #[test]
    fn a_timeout_that_was_raised_is_not_blamed_for_the_earlier_one() {
        let advice = on(600, &[12, -60, 13, 100, 14]).unwrap();
        assert_eq!(advice.fit, Fit::Fits);
    }

    #[test]
    fn a_timeout_is_too_long_only_where_somebody_set_it() {
        let short = [9, 10, 9, 8, 10];
        assert_eq!(on(3600, &short).unwrap().fit, Fit::TooLong);
        assert_eq!(on(300, &short).unwrap().fit, Fit::Fits);
    }

    #[test]
    fn one_in_a_hundred_is_no_rule() {
        let mut samples = vec![10; 99];
        samples.push(-300);
        let advice = on(300, &samples).unwrap();
        assert_eq!((advice.timeout_seconds, advice.fit), (15, Fit::Fits));
    }

    fn samples() -> impl Strategy<Value = Vec<i32>> {
        proptest::collection::vec(prop_oneof![1..=WEEK, 1..60, -60..=-1, -WEEK..=-1], 5..=100)
    }

    proptest! {
        /// A steady object costs no write: what was advised is advised again.
        #[test]
        fn advice_on_the_same_times_is_the_same(
            all in samples(),
            other in samples(),
            seconds in 1..=WEEK,
        ) {
            let before = on(seconds, &other);
            let once = on_one(&set(seconds), &all, before.as_ref());
            let twice = on_one(&set(seconds), &all, once.as_ref());
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn a_suggestion_leaves_room_and_is_allowed(all in samples(), seconds in 1..=WEEK) {
            let advice = on(seconds, &all).unwrap();
            let mut lengths: Vec<_> = all.iter().map(|it| it.abs()).collect();
            lengths.sort_unstable();
            let percentile = percentile(&lengths);
            prop_assert!(advice.timeout_seconds >= percentile.min(WEEK));
            prop_assert!(advice.timeout_seconds >= 8 && advice.timeout_seconds <= WEEK);
            prop_assert!(advice.timeout_seconds == WEEK
                || i64::from(advice.timeout_seconds) * 2 >= i64::from(percentile) * 3);
        }

        /// It does not flap: times that stay within a factor of two move a suggestion once at most.
        #[test]
        fn times_that_vary_move_a_suggestion_once_at_most(
            base in 10..1000_i32,
            factors in proptest::collection::vec(100..200_i32, 20..200),
        ) {
            let times: Vec<i32> = factors.iter().map(|it| base * it / 100).collect();
            let mut advice = None;
            let mut suggested = Vec::new();
            for end in 5..=times.len() {
                let window = &times[end.saturating_sub(100)..end];
                advice = on_one(&set(300), window, advice.as_ref());
                suggested.push(advice.as_ref().unwrap().timeout_seconds);
            }
            suggested.dedup();
            prop_assert!(suggested.is_sorted(), "{suggested:?}");
        }

        #[test]
        fn a_timeout_above_all_times_is_not_too_short(all in samples()) {
            let longest = all.iter().map(|it| it.abs()).max().unwrap();
            let fit = on(longest.saturating_add(1), &all).unwrap().fit;
            prop_assert!(fit != Fit::TooShort);
        }
    }
}
