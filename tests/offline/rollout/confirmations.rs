//! What is told of confirmations: which one is stuck, and which was ignored.

use std::time::Duration;

use graceful::api::reason::Reason;
use graceful::api::receipt::{MeasuredBy, Outcome, Receipt};
use graceful::api::v1alpha1::DrainWay;
use graceful::rollout::{AwaitedCondition, Event, Observation, Overdue, Pod, plan};

use super::fixtures::{
    DrainSentence, PodSentence, at, drain, micro, observation, pod, revision, target,
};

/// What the agent of pod `a` left behind.
pub(super) fn receipt(outcome: Outcome, last: &str, why: Option<&str>) -> Receipt {
    Receipt {
        epoch: "epoch-of-a".into(),
        uid: "a".into(),
        outcome,
        milliseconds: 12_340,
        connections_at_start: 3,
        connections_at_end: 2,
        busy: 1,
        last: Some(last.into()),
        why: why.map(Into::into),
        measured_by: MeasuredBy::SockDiag,
        late_arrivals: 0,
    }
}

/// Pod `a` of the old revision, withdrawn since second 1, with this receipt; the new revision is complete.
pub(super) fn finished(receipt: Receipt) -> Observation {
    let mut leaving: Pod = pod("a").of("old").running().asked("epoch-of-a");
    leaving.agent.ready = false;
    leaving.agent.receipts = vec![receipt];
    let mut seen = observation(target(), at(13));
    seen.revisions = vec![revision("old", 1, 1), revision("new", 2, 4)];
    seen.revisions[0].counted_ready = 0;
    seen.pods = vec![leaving];
    let fresh = (0..4).map(|i| pod(&format!("new-{i}")).of("new").ready(0));
    seen.pods.extend(fresh);
    seen.previous.drains = vec![drain("a", DrainWay::Readiness, 0).withdrawn(1)];
    seen
}

fn told(seen: &Observation) -> Vec<Event> {
    let mut events = plan(seen).events;
    events.retain(|event| event.reason != Reason::RolloutStarted);
    events
}

#[test]
fn drain_that_timed_out_names_the_confirmation_that_is_stuck() {
    let stuck = receipt(
        Outcome::TimedOut,
        "httpGet :9000/idle",
        Some("answered 500"),
    );
    let events = told(&finished(stuck));
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!((event.warning, event.reason), (true, Reason::DrainTimedOut));
    let expected = "a reached its drain deadline after 12.3 s and leaves with 1 busy connection; \
                    httpGet :9000/idle did not hold: answered 500";
    assert_eq!(event.message, expected);
}

#[test]
fn drain_that_ignored_a_confirmation_says_so() {
    let why = "nobody listens on its port";
    let ignored = receipt(Outcome::Drained, "metric jobs", Some(why));
    let events = told(&finished(ignored));
    let reasons: Vec<_> = events.iter().map(|event| event.reason).collect();
    assert_eq!(reasons, [Reason::Drained, Reason::ConfirmationIgnored]);
    assert!(events[1].warning);
    let expected = "a leaves without metric jobs (onError: Ignore): nobody listens on its port";
    assert_eq!(events[1].message, expected);
    let plain = receipt(Outcome::Drained, "metric jobs", None);
    assert_eq!(told(&finished(plain)).len(), 1);
}

/// T13: a receipt that somebody else wrote is cut short, and is one line.
#[test]
fn names_in_a_receipt_are_one_short_line() {
    let long = "x\u{1b}\n".repeat(4000);
    let forged = receipt(Outcome::TimedOut, &long, Some(&long));
    let events = told(&finished(forged));
    let message = &events[0].message;
    assert!(
        message.len() < 400 && !message.contains(char::is_control),
        "{message}"
    );
}

/// Pod `a`, whose agent said nothing, exited at that second.
fn silent(exited: i64) -> Observation {
    let mut seen = finished(receipt(Outcome::Drained, "connections", None));
    seen.pods[0].agent.receipts.clear();
    seen.pods[0].agent.exited = Some(at(exited));
    seen
}

/// An exit before the drain began, or as it began, left no receipt of it.
#[test]
fn receipt_is_lost_only_where_the_agent_exited_since() {
    assert_eq!(plan(&silent(0)).wake, Some(at(301)));
    assert_eq!(plan(&silent(1)).wake, Some(at(31)));
}

#[test]
fn pod_that_pauses_the_rollout_is_asked_anew_and_one_that_is_held_is_not() {
    for (on_timeout, is_anew) in [(Overdue::Pauses, true), (Overdue::IsHeld, false)] {
        let mut seen = silent(310);
        seen.now = at(340);
        if let Ok(target) = &mut seen.target {
            target.on_timeout = on_timeout;
        }
        seen.previous.drains[0].overdue = Some(micro(303));
        let drains = plan(&seen).status.expect("a status").drains;
        assert_eq!(drains[0].epoch != "epoch-of-a", is_anew, "{on_timeout:?}");
    }
}

#[test]
fn drain_on_a_lost_node_is_forced() {
    let mut seen = silent(0);
    seen.pods[0].node_lost = true;
    let plan = plan(&seen);
    let lost = |event: &Event| event.reason == Reason::DrainNodeLost;
    assert_eq!(plan.events.iter().filter(|event| lost(event)).count(), 1);
    let record = plan.status.expect("a status").last_rollout;
    assert_eq!(record.expect("a record").forced, 1);
}

#[test]
fn condition_is_waited_for_until_its_time_is_over_and_not_beyond() {
    let reasons = |timeout: u64| {
        let mut seen = finished(receipt(Outcome::Drained, "connections", None));
        if let Ok(target) = &mut seen.target {
            target.conditions = vec![AwaitedCondition {
                kind: "lb.example.com/deregistered".into(),
                timeout: Some(Duration::from_secs(timeout)),
                ignores_errors: false,
            }];
        }
        let events = told(&seen);
        events.iter().map(|event| event.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(13), []);
    assert_eq!(reasons(12), [Reason::DrainTimedOut]);
}
