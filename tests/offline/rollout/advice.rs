//! What is advised on timeouts, by what was measured.

use std::time::Duration;

use graceful::api::reason::Reason;
use graceful::api::v1alpha1::{Fit, TimeoutAdvice};
use graceful::rollout::{Plan, plan};
use proptest::prelude::*;

use super::fixtures::{at, observation, revision, target};
use crate::cases::cases;

/// The longest that a timeout may be.
const WEEK: i32 = 7 * 24 * 3600;

/// `spec.drain.timeoutSeconds` is that; so many seconds were measured; and that was advised before. The
/// least that the spec allows is 8 s.
fn decided(seconds: i32, samples: &[i32], before: Option<&TimeoutAdvice>) -> Plan {
    let mut wanted = target();
    wanted.drain_timeout = Duration::from_secs(u64::try_from(seconds).expect("a length"));
    let mut seen = observation(wanted, at(100));
    seen.revisions = vec![revision("new", 1, 0)];
    seen.previous.measured.drains = samples.to_vec();
    seen.previous.advice.drain = before.cloned();
    plan(&seen)
}

fn after(seconds: i32, samples: &[i32], before: Option<&TimeoutAdvice>) -> Option<TimeoutAdvice> {
    let status = decided(seconds, samples, before).status;
    status.expect("a status").advice.drain
}

fn on(seconds: i32, samples: &[i32]) -> Option<TimeoutAdvice> {
    after(seconds, samples, None)
}

#[test]
fn four_drains_say_nothing_and_five_suggest_the_longest_and_half_as_much() {
    assert_eq!(on(300, &[20; 4]), None);
    let advice = on(300, &[20, 18, 20, 19, 5]).expect("advice");
    assert_eq!((advice.timeout_seconds, advice.fit), (30, Fit::Fits));
    assert_eq!(advice.message, None);
    // One that took no time was not cut.
    assert_eq!(on(300, &[20, 20, 20, 20, 0]), Some(advice));
}

#[test]
fn a_timeout_that_cuts_work_is_too_short() {
    let advice = on(60, &[12, 60, 13, -60, 14, 15]).expect("advice");
    assert_eq!((advice.timeout_seconds, advice.fit), (120, Fit::TooShort));
    let message = advice.message.expect("a message");
    assert!(message.contains("2 of the last 6 drains"), "{message}");
    assert!(message.contains("(60 s)"), "{message}");
}

#[test]
fn a_timeout_that_was_raised_is_not_blamed_for_the_earlier_one() {
    let advice = on(600, &[12, -60, 13, 100, 14]).expect("advice");
    assert_eq!(advice.fit, Fit::Fits);
}

/// 15 s are suggested: four times that is not too long yet.
#[test]
fn a_timeout_is_too_long_only_where_somebody_set_it() {
    let short = [9, 10, 9, 8, 10];
    let fit = |seconds| on(seconds, &short).expect("advice").fit;
    assert_eq!(fit(3600), Fit::TooLong);
    assert_eq!(fit(301), Fit::TooLong);
    assert_eq!(fit(300), Fit::Fits);
    let longer = [51; 5];
    let fit = |seconds| on(seconds, &longer).expect("advice").fit;
    assert_eq!(fit(363), Fit::Fits);
    assert_eq!(fit(364), Fit::TooLong);
}

#[test]
fn one_in_a_hundred_is_no_rule() {
    let mut samples = vec![10; 99];
    samples.push(-300);
    let advice = on(300, &samples).expect("advice");
    assert_eq!((advice.timeout_seconds, advice.fit), (15, Fit::Fits));
}

/// It is kept where it is at least what is needed, and no more than three times that.
#[test]
fn a_suggestion_that_still_fits_stays() {
    let suggested = |before: i32| {
        let before = TimeoutAdvice {
            timeout_seconds: before,
            fit: Fit::Fits,
            message: None,
        };
        let now = after(300, &[20; 5], Some(&before));
        now.expect("advice").timeout_seconds
    };
    assert_eq!([20, 30, 90].map(suggested), [30, 30, 90]);
    assert_eq!(suggested(93), 30);
}

/// The suggestion, or the word on what is set; and a timeout that cuts work is a warning.
#[test]
fn another_word_on_a_timeout_is_told() {
    let told = |seconds, before: Option<&TimeoutAdvice>| {
        let events = decided(seconds, &[20; 5], before).events;
        let of_advice = events
            .into_iter()
            .filter(|it| it.reason == Reason::AdviceChanged);
        of_advice
            .map(|it| (it.warning, it.message))
            .collect::<Vec<_>>()
    };
    let fits = on(300, &[20; 5]).expect("advice");
    assert_eq!(told(300, Some(&fits)), []);
    let suggested = "spec.drain.timeoutSeconds: 30 is suggested";
    let expected = format!("{suggested}; the one that is set fits");
    assert_eq!(told(300, None), [(false, expected)]);
    let [(true, message)] = &told(20, Some(&fits))[..] else {
        panic!("no warning")
    };
    let why = "5 of the last 5 drains reached spec.drain.timeoutSeconds (20 s): work is cut";
    assert_eq!(*message, format!("{suggested}; {why}"));
}

fn samples() -> impl Strategy<Value = Vec<i32>> {
    proptest::collection::vec(prop_oneof![1..=WEEK, 1..60, -60..=-1, -WEEK..=-1], 5..=100)
}

proptest! {
    #![proptest_config(cases(256))]

    /// A steady object costs no write: what was advised is advised again.
    #[test]
    fn advice_on_the_same_times_is_the_same(
        all in samples(),
        other in samples(),
        seconds in 1..=WEEK,
    ) {
        let before = on(seconds, &other);
        let once = after(seconds, &all, before.as_ref());
        let twice = after(seconds, &all, once.as_ref());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_suggestion_leaves_room_and_is_allowed(all in samples(), seconds in 1..=WEEK) {
        let suggested = on(seconds, &all).expect("advice").timeout_seconds;
        let mut lengths: Vec<_> = all.iter().map(|it| it.abs()).collect();
        lengths.sort_unstable();
        let percentile = lengths[(lengths.len() * 99).div_ceil(100) - 1];
        prop_assert!(suggested >= percentile.min(WEEK));
        prop_assert!((8..=WEEK).contains(&suggested));
        prop_assert!(suggested == WEEK || i64::from(suggested) * 2 >= i64::from(percentile) * 3);
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
            advice = after(300, window, advice.as_ref());
            suggested.push(advice.as_ref().expect("advice").timeout_seconds);
        }
        suggested.dedup();
        prop_assert!(suggested.is_sorted(), "{suggested:?}");
    }

    #[test]
    fn a_timeout_above_all_times_is_not_too_short(all in samples()) {
        let longest = all.iter().map(|it| it.abs()).max().expect("a time");
        let fit = on(longest.saturating_add(1), &all).expect("advice").fit;
        prop_assert!(fit != Fit::TooShort);
    }
}
