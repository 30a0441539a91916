//! Every way that a drain goes on or ends.

mod drip;
mod questions;

use proptest::prelude::*;

use super::*;
use crate::agent::activity::census::Counts;
use crate::api::v1alpha1::{Confirmation, Drain, OnTimeout};

fn settings() -> Settings {
    Settings::new(&Drain::default(), Way::Readiness, false)
}

fn times() -> Times {
    Times {
        heard: 0,
        withdrawn: Some(500),
    }
}

fn nothing() -> [Evidence; 1] {
    [Evidence::default()]
}

fn holding(number: u32) -> [Evidence; 1] {
    [Evidence {
        counts: Counts {
            busy: number,
            holding: number,
            ..Counts::default()
        },
        ..Evidence::default()
    }]
}

fn of(evidence: &[Evidence]) -> Seen<'_> {
    Seen {
        evidence,
        ..Seen::default()
    }
}

fn at(evidence: &[Evidence], now: Millis) -> Verdict {
    judge(&settings(), times(), Notice::None, of(evidence), now)
}

#[test]
fn idle_pod_is_drained_when_min_seconds_are_over() {
    assert_eq!(at(&nothing(), 5499), Verdict::Waits(Wait::Minimum(1)));
    assert_eq!(at(&nothing(), 5500), Verdict::Ended(Outcome::Drained));
}

/// R11: an agent that sees no traffic is not believed before the kubelet was told.
#[test]
fn min_seconds_count_from_the_first_refused_probe() {
    let times = Times {
        withdrawn: None,
        ..times()
    };
    let verdict = |now| judge(&settings(), times, Notice::None, of(&nothing()), now);
    assert_eq!(verdict(100_000), Verdict::Waits(Wait::Withdrawal));
    assert_eq!(verdict(300_000), Verdict::Ended(Outcome::TimedOut));
}

/// R25.
#[test]
fn quiet_time_counts_from_the_last_disturbance() {
    let [mut evidence] = nothing();
    evidence.disturbed = Some(20_000);
    assert_eq!(at(&[evidence], 22_000), Verdict::Waits(Wait::Quiet(1000)));
    assert_eq!(at(&[evidence], 23_000), Verdict::Ended(Outcome::Drained));
}

#[test]
fn work_holds_until_the_deadline() {
    let verdict = at(&holding(2), 299_999);
    assert_eq!(verdict, Verdict::Waits(Wait::Connections(2)));
    assert_eq!(at(&holding(2), 300_000), Verdict::Ended(Outcome::TimedOut));
}

#[test]
fn work_done_at_the_deadline_is_done() {
    assert_eq!(at(&nothing(), 300_000), Verdict::Ended(Outcome::Drained));
}

#[test]
fn idle_pod_is_drained_at_a_deadline_as_short_as_min_seconds() {
    let settings = Settings {
        timeout: 5000,
        ..settings()
    };
    // Withdrawn 0.9 s after it heard: minSeconds would end as much after the deadline.
    let times = Times {
        withdrawn: Some(900),
        ..times()
    };
    let end = |evidence: &[Evidence]| judge(&settings, times, Notice::None, of(evidence), 5000);
    assert_eq!(end(&nothing()), Verdict::Ended(Outcome::Drained));
    assert_eq!(end(&holding(1)), Verdict::Ended(Outcome::TimedOut));
}

#[test]
fn only_unresponsive_connections_left_is_an_outcome_of_its_own() {
    let [mut evidence] = nothing();
    evidence.counts.unresponsive = 1;
    assert_eq!(at(&[evidence], 6000), Verdict::Ended(Outcome::Unresponsive));
    let [mut busy] = holding(1);
    busy.counts.unresponsive = 1;
    assert_eq!(at(&[busy], 6000), Verdict::Waits(Wait::Connections(1)));
}

#[test]
fn arrivals_restart_the_quiet_time_for_arrivals_seconds_at_most() {
    let [mut evidence] = nothing();
    evidence.arrival = Some(30_000);
    assert_eq!(
        at(&[evidence], 31_000),
        Verdict::Waits(Wait::Arrivals(2000))
    );
    evidence.arrival = Some(31_000);
    assert_eq!(at(&[evidence], 31_100), Verdict::Ended(Outcome::Drained));
}

#[test]
fn arrivals_that_no_longer_restart_the_quiet_time_are_counted() {
    let mut late = Late::default();
    let mut look = |arrivals, now| {
        let [mut evidence] = nothing();
        evidence.arrivals = arrivals;
        late.count(&settings(), times(), &[evidence], now);
        late.number
    };
    // Withdrawn at 0.5 s, and arrivalsSeconds is 30.
    assert_eq!(look(7, 30_500), 0);
    assert_eq!(look(9, 30_600), 2);
    assert_eq!(look(9, 31_000), 2);
    assert_eq!(look(10, 32_000), 3);
    late.count(&settings(), times(), &[], 33_000);
    assert_eq!(late.number, 3, "a look that failed says nothing of them");
}

#[test]
fn notice_under_way_is_waited_for_and_a_failed_one_is_not() {
    let verdict = |notice| judge(&settings(), times(), notice, of(&nothing()), 9000);
    assert_eq!(verdict(Notice::Pending), Verdict::Waits(Wait::Notice));
    assert_eq!(verdict(Notice::Failed), Verdict::Ended(Outcome::Drained));
    assert_eq!(verdict(Notice::Delivered), Verdict::Ended(Outcome::Drained));
}

#[test]
fn empty_list_of_confirmations_means_min_seconds_only() {
    let drain = Drain {
        confirm: Some(Vec::new()),
        ..Drain::default()
    };
    let settings = Settings::new(&drain, Way::Readiness, false);
    let verdict = |now| judge(&settings, times(), Notice::None, of(&[]), now);
    assert_eq!(verdict(5499), Verdict::Waits(Wait::Minimum(1)));
    assert_eq!(verdict(5500), Verdict::Ended(Outcome::Drained));
}

#[test]
fn host_network_without_confirmations_means_min_seconds_only() {
    let drain = Drain::default();
    assert!(
        Settings::new(&drain, Way::Readiness, true)
            .connections
            .is_empty()
    );
    assert_eq!(
        Settings::new(&drain, Way::Readiness, false)
            .connections
            .len(),
        1
    );
}

#[test]
fn nothing_is_done_before_the_first_sample() {
    assert_eq!(at(&[], 20_000), Verdict::Waits(Wait::Sample));
}

#[test]
fn unknown_confirmation_never_holds() {
    let drain = Drain {
        confirm: Some(vec![Confirmation::default()]),
        ..Drain::default()
    };
    let settings = Settings::new(&drain, Way::Readiness, false);
    let verdict = judge(&settings, times(), Notice::None, of(&[]), 20_000);
    assert_eq!(verdict, Verdict::Waits(Wait::Unknown));
}

#[test]
fn termination_has_its_own_timeout() {
    let settings = Settings::new(&Drain::default(), Way::Termination, false);
    assert_eq!(settings.timeout, 60_000);
    let verdict = judge(&settings, times(), Notice::None, of(&holding(1)), 60_000);
    assert_eq!(verdict, Verdict::Ended(Outcome::TimedOut));
}

/// The operator stops the rollout at the deadline; the drain itself goes on until its work is over.
#[test]
fn drain_that_pauses_the_rollout_ends_with_its_work_alone() {
    let drain = Drain {
        on_timeout: OnTimeout::Pause,
        ..Drain::default()
    };
    let judge = |way, evidence: &[Evidence]| {
        let settings = Settings::new(&drain, way, false);
        judge(&settings, times(), Notice::None, of(evidence), 900_000)
    };
    let waits = Verdict::Waits(Wait::Connections(1));
    assert_eq!(judge(Way::Readiness, &holding(1)), waits);
    let done = Verdict::Ended(Outcome::Drained);
    assert_eq!(judge(Way::Readiness, &nothing()), done);
    // A grace period has an end.
    let late = Verdict::Ended(Outcome::TimedOut);
    assert_eq!(judge(Way::Termination, &holding(1)), late);
}

#[test]
fn waits_are_told_in_words() {
    assert_eq!(Wait::Connections(1).to_string(), "1 connection with work");
    assert_eq!(Wait::Quiet(1001).to_string(), "quietSeconds, 2 s more");
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let moment = || proptest::option::of(0_i64..400_000);
    (0_u32..3, 0_u32..3, moment(), moment()).prop_map(
        |(holding, unresponsive, disturbed, arrival)| Evidence {
            counts: Counts {
                busy: holding,
                holding,
                unresponsive,
                ..Counts::default()
            },
            disturbed,
            arrival,
            arrivals: 0,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// B65, R24, R25: whatever comes and goes.
    #[test]
    fn drain_always_ends_by_its_deadline(
        evidence in proptest::collection::vec(evidence(), 0..3),
        withdrawn in proptest::option::of(0_i64..400_000),
        late in 0_i64..100_000,
    ) {
        let times = Times { heard: 0, withdrawn };
        let verdict = judge(&settings(), times, Notice::Pending, of(&evidence), 300_000 + late);
        prop_assert!(matches!(verdict, Verdict::Ended(_)));
    }

    /// B65.
    #[test]
    fn drained_means_min_seconds_and_quiet(
        one in evidence(),
        withdrawn in 0_i64..10_000,
        now in 0_i64..299_000,
    ) {
        let times = Times { heard: 0, withdrawn: Some(withdrawn) };
        let verdict = judge(&settings(), times, Notice::None, of(&[one]), now);
        if verdict == Verdict::Ended(Outcome::Drained) {
            prop_assert!(now - withdrawn >= 5000);
            prop_assert!(one.disturbed.is_none_or(|at| now - at >= 3000));
            prop_assert_eq!((one.counts.holding, one.counts.unresponsive), (0, 0));
        } else {
            prop_assert_ne!(verdict, Verdict::Ended(Outcome::TimedOut));
        }
    }
}
