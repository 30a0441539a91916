//! Single plans, for what was once decided wrongly.

use graceful::api::reason::Reason;
use graceful::api::v1alpha1::{DrainEnd, DrainRecord, DrainWay};
use graceful::api::{COST_DRAINING, COST_NEXT};
use graceful::rollout::{Action, Event, Hold, Invalid, Observation, Plan, Pod, plan};

use super::fixtures::{
    DrainSentence, PodSentence, ServiceSentence, at, drain, micro, observation, pod, revision,
    service, target,
};

/// Four old pods beside a complete new revision; the pods are given.
pub(super) fn replaced(pods: Vec<Pod>, drains: Vec<DrainRecord>) -> Observation {
    let mut seen = observation(target(), at(100));
    let count = u32::try_from(pods.len()).expect("few pods");
    let ready = pods.iter().filter(|pod| pod.is_ready()).count();
    let mut old = revision("old", 1, count);
    old.counted_ready = u32::try_from(ready).expect("few pods");
    seen.revisions = vec![old, revision("new", 2, 4)];
    seen.pods = pods;
    let fresh = (0..4).map(|i| pod(&format!("new-{i}")).of("new").ready(0));
    seen.pods.extend(fresh);
    seen.previous.drains = drains;
    seen
}

/// A pod that heard, is out of service, and whose receipt was seen.
pub(super) fn drained(name: &str) -> Pod {
    let mut pod = pod(name)
        .of("old")
        .running()
        .asked(&format!("epoch-of-{name}"));
    pod.agent.ready = false;
    pod.deletion_cost = COST_DRAINING;
    pod
}

pub(super) fn drained_record(name: &str) -> DrainRecord {
    drain(name, DrainWay::Readiness, 0)
        .withdrawn(1)
        .ended(DrainEnd::Drained)
}

pub(super) fn scales(plan: &Plan) -> Vec<(&str, u32)> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::ScaleReplicaSet {
                replica_set, to, ..
            } => Some((replica_set.name.as_str(), *to)),
            _ => None,
        })
        .collect()
}

pub(super) fn record<'a>(plan: &'a Plan, pod: &str) -> &'a DrainRecord {
    let drains = &plan.status.as_ref().expect("a status").drains;
    drains
        .iter()
        .find(|drain| drain.uid == pod)
        .expect("remembered")
}

#[test]
fn drained_pod_is_retired_and_then_scaled_away() {
    let mut seen = replaced(vec![drained("a")], vec![drained_record("a")]);
    let first = plan(&seen);
    assert!(record(&first, "a").retired.is_some());
    assert_eq!(scales(&first), []);
    seen.previous = first.status.expect("a status");
    assert_eq!(scales(&plan(&seen)), [("old", 0)]);
}

#[test]
fn replica_set_with_a_pod_left_to_delete_is_not_scaled_again() {
    let pods = vec![drained("a"), pod("b").of("old").ready(0)];
    let mut seen = replaced(pods, vec![drained_record("a").retired(99)]);
    // Scaled by us, and its controller says so before we see the pod terminate.
    seen.revisions[0].replicas = 1;
    let plan = plan(&seen);
    assert_eq!(scales(&plan), []);
    assert!(plan.holds.contains(&Hold::ReplicaSetBehind {
        replica_set: "old".into()
    }));
}

/// Withdrawn, a sibling may seem to the ReplicaSet's controller as good a victim as the pod that it was
/// scaled down for.
#[test]
fn nothing_is_withdrawn_beside_a_pod_that_its_replica_set_has_still_to_take() {
    let pods = vec![drained("a"), pod("b").of("old").ready(0)];
    let mut seen = replaced(pods, vec![drained_record("a").retired(99)]);
    let behind = Hold::ReplicaSetBehind {
        replica_set: "old".into(),
    };
    let scaling = plan(&seen);
    assert_eq!(scales(&scaling), [("old", 1)]);
    seen.revisions[0].replicas = 1;
    let scaled = plan(&seen);
    for plan in [scaling, scaled] {
        let drains = &plan.status.as_ref().expect("a status").drains;
        assert!(drains.iter().all(|drain| drain.uid != "b"), "{drains:?}");
        assert!(plan.holds.contains(&behind), "{:?}", plan.holds);
    }
    seen.pods[0].terminating = true;
    assert_eq!(record(&plan(&seen), "b").outcome, None);
}

/// R30.
#[test]
fn drain_starts_over_where_its_request_was_taken_off() {
    let back = pod("a").of("old").ready(90);
    let seen = replaced(vec![back], vec![drained_record("a").retired(99)]);
    let plan = plan(&seen);
    assert_eq!(scales(&plan), []);
    let drain = record(&plan, "a");
    assert_ne!(drain.epoch, "epoch-of-a");
    assert_eq!((drain.outcome, drain.retired.as_ref()), (None, None));
}

#[test]
fn pod_that_is_about_to_turn_not_ready_counts_as_a_victim_before_ready_ones() {
    let mut terminating_way = pod("a").of("old").ready(0);
    terminating_way.deletion_cost = COST_NEXT;
    let asked = pod("b").of("old").ready(0).asked("epoch-of-b");
    let drains = vec![
        drain("a", DrainWay::Termination, 98).retired(99),
        drain("b", DrainWay::Readiness, 98),
    ];
    let plan = plan(&replaced(vec![terminating_way, asked], drains));
    assert_eq!(scales(&plan), []);
    // The other one stays before it for as long as it drains.
    let by_name = |action: &Action| matches!(action, Action::DeletePod { pod } if pod.uid == "a");
    assert!(plan.actions.iter().any(by_name), "{:?}", plan.actions);
}

#[test]
fn cancelled_drain_is_not_asked_for_in_the_same_round() {
    let mut seen = observation(target(), at(100));
    seen.revisions = vec![revision("new", 2, 4)];
    seen.pods = (0..4)
        .map(|i| pod(&format!("new-{i}")).of("new").ready(0))
        .collect();
    let pods = seen.pods.clone();
    seen.services = vec![
        pods.iter()
            .fold(service("web"), ServiceSentence::naming_ready),
    ];
    seen.previous.drains = vec![drain("new-0", DrainWay::Readiness, 99)];
    let plan = plan(&seen);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.status.expect("a status").drains, []);
}

#[test]
fn pod_is_configured_and_asked_in_different_rounds() {
    let mut asked = drained("a");
    asked.config = "settings-0".into();
    asked.request.as_mut().expect("asked").settings = "settings-0".into();
    let seen = replaced(vec![asked], vec![drain("a", DrainWay::Readiness, 99)]);
    let plan = plan(&seen);
    assert!(
        matches!(plan.actions.as_slice(), [Action::RequestDrain { .. }]),
        "{:?}",
        plan.actions
    );
}

#[test]
fn pod_with_the_request_of_a_cancelled_drain_is_not_counted_on() {
    let back = pod("a").of("old").ready(0).asked("epoch-of-a");
    let mut seen = replaced(vec![back, pod("b").of("old").ready(0)], Vec::new());
    seen.pods.truncate(5);
    seen.revisions[1].replicas = 3;
    let drains = plan(&seen).status.expect("a status").drains;
    assert!(drains.iter().all(|drain| drain.uid == "a"), "{drains:?}");
}

#[test]
fn drain_that_could_not_be_asked_for_is_not_overdue() {
    let mut seen = replaced(
        vec![pod("a").of("old").ready(0)],
        vec![drain("a", DrainWay::Readiness, 0)],
    );
    seen.now = at(3600);
    let back = plan(&seen);
    assert_eq!(record(&back, "a").outcome, None);
    assert_eq!(record(&back, "a").since.0, at(3600));
    let asks = |action: &Action| matches!(action, Action::RequestDrain { .. });
    assert!(back.actions.iter().any(asks), "{:?}", back.actions);
}

#[test]
fn request_that_was_not_heard_is_asked_again_and_ever_more_seldom() {
    let asked_again = |asked: i64, now: i64| {
        let mut unheard = pod("b").of("old").ready(60).asked("epoch-of-b");
        if let Some(request) = &mut unheard.request {
            request.asked = Some(at(asked));
        }
        let mut seen = replaced(vec![unheard], vec![drain("b", DrainWay::Readiness, 0)]);
        seen.now = at(now);
        let plan = plan(&seen);
        let asks = |action: &Action| matches!(action, Action::RequestDrain { .. });
        (plan.actions.iter().any(asks), plan.wake)
    };
    assert_eq!(asked_again(0, 1), (false, Some(at(2))));
    assert!(asked_again(0, 2).0);
    assert_eq!(asked_again(4, 7), (false, Some(at(8))));
    assert!(asked_again(4, 8).0);
}

#[test]
fn unready_pod_does_not_go_before_a_draining_one_by_chance() {
    let starting = pod("a").of("old").on("node-1");
    let asked = pod("b").of("old").ready(0).asked("epoch-of-b");
    let drains = vec![
        drain("a", DrainWay::Termination, 98).retired(99),
        drain("b", DrainWay::Readiness, 98),
    ];
    // It may turn ready before its ReplicaSet chooses, and the other one not ready.
    assert_eq!(scales(&plan(&replaced(vec![starting, asked], drains))), []);
}

#[test]
fn surplus_pod_that_is_not_ripe_yet_wakes_the_rollout_and_is_named() {
    let mut seen = observation(target(), at(100));
    let Ok(target) = &mut seen.target else {
        panic!("a target")
    };
    target.min_ready = std::time::Duration::from_secs(30);
    seen.revisions = vec![revision("old", 1, 4), revision("new", 2, 1)];
    seen.pods = (0..4)
        .map(|i| pod(&format!("old-{i}")).of("old").ready(0))
        .collect();
    seen.pods.push(pod("new-0").of("new").ready(90));
    let plan = plan(&seen);
    assert_eq!(plan.wake, Some(at(120)));
    let names_it = |hold: &Hold| matches!(hold, Hold::AwaitingPods { example, .. } if example.contains("new-0"));
    assert!(plan.holds.iter().any(names_it), "{:?}", plan.holds);
}

/// R14: the clock was set back, so that the pods are to be ready only in time to come. One is still to be made, so that
/// the others are all that serve.
#[test]
fn pods_that_are_ready_in_time_to_come_are_not_let_go_as_if_they_served_nobody() {
    for (min_ready, in_service) in [(0, 4), (30, 1)] {
        let mut seen = observation(target(), at(100));
        let Ok(target) = &mut seen.target else {
            panic!("a target")
        };
        target.min_ready = std::time::Duration::from_secs(min_ready);
        seen.revisions = vec![revision("old", 1, 4), revision("new", 2, 1)];
        seen.revisions[0].settled = false;
        seen.pods = (0..3)
            .map(|i| pod(&format!("old-{i}")).of("old").ready(500))
            .collect();
        seen.pods.push(pod("new-0").of("new").ready(0));
        let status = plan(&seen).status.expect("a status");
        assert_eq!(status.drains, []);
        assert_eq!(status.available_replicas, in_service);
    }
}

/// B37, R34.
#[test]
fn invalid_spec_takes_drains_back_but_not_what_is_given_up() {
    let drains = vec![drained_record("a"), drained_record("b").retired(90)];
    let mut seen = replaced(vec![drained("a"), drained("b")], drains);
    seen.target = Err(Invalid(vec!["spec.x: write y".into()]));
    let decided = plan(&seen);
    assert_eq!(record(&decided, "b").uid, "b");
    let status = decided.status.clone().expect("a status");
    assert_eq!(status.drains.len(), 1, "{:?}", status.drains);
    let reasons: Vec<_> = decided.events.iter().map(|event| event.reason).collect();
    assert_eq!(reasons, [Reason::InvalidSpec, Reason::DrainCancelled]);
    seen.previous = status;
    assert_eq!(plan(&seen).events, [], "said once");
}

#[test]
fn pod_that_hangs_in_its_deletion_does_not_hide_that_nothing_goes_on() {
    let mut hanging = pod("a").of("old").ready(0);
    hanging.terminating = true;
    let mut seen = replaced(
        vec![hanging],
        vec![drain("a", DrainWay::Termination, 0).retired(1)],
    );
    seen.pods.truncate(1);
    let stuck = |seen: &Observation| {
        let conditions = plan(seen).status.expect("a status").conditions;
        conditions
            .iter()
            .any(|one| one.type_ == "Progressing" && one.status == "False")
    };
    // The rollout began with this observation; its deadline is 600 s, the drain's 310 s.
    let begun = plan(&seen).status.expect("a status");
    seen.previous = begun;
    seen.previous.drains = vec![drain("a", DrainWay::Termination, 0).retired(1)];
    seen.now = at(300);
    assert!(!stuck(&seen));
    seen.now = at(2000);
    assert!(stuck(&seen));
}

#[test]
fn pod_that_its_replica_set_deletes_already_is_waited_for() {
    let mut seen = observation(target(), at(100));
    let mut own = revision("new", 1, 3);
    own.counted = 4;
    own.counted_ready = 4;
    own.settled = false;
    seen.revisions = vec![own];
    seen.pods = (0..4)
        .map(|i| pod(&format!("new-{i}")).of("new").ready(0))
        .collect();
    let outcome = plan(&seen);
    let behind = Hold::ReplicaSetBehind {
        replica_set: "new".into(),
    };
    assert_eq!(outcome.holds, [behind]);
    assert!(outcome.actions.is_empty(), "{:?}", outcome.actions);
}

/// What was not known to be withdrawn when its time to be heard of was over is found withdrawn later:
/// that is no time to come.
#[test]
fn drain_that_has_ended_gets_no_deadline() {
    let silent = drain("a", DrainWay::Readiness, 0).ended(DrainEnd::Silent);
    let plan = plan(&replaced(vec![drained("a")], vec![silent]));
    let drain = record(&plan, "a");
    assert!(drain.withdrawn.is_some());
    assert_eq!(drain.deadline, None);
}

/// Routes learn of it anew; its work had its time.
#[test]
fn deadline_of_a_pod_that_is_withdrawn_anew_stays() {
    let mut again = drain("a", DrainWay::Readiness, 0).withdrawn(1);
    again.withdrawn = Some(micro(90));
    let plan = plan(&replaced(vec![drained("a")], vec![again.clone()]));
    assert_eq!(record(&plan, "a").deadline, again.deadline);
}

/// A request alone, or the label and the cost alone: one of two writes that was lost.
#[test]
fn each_mark_of_a_drain_that_nobody_remembers_is_taken_off() {
    let mut asked = pod("a").of("old").ready(0).asked("epoch-of-a");
    asked.is_marked = false;
    let mut marked = pod("b").of("old").ready(0);
    marked.is_marked = true;
    let plan = plan(&replaced(vec![asked, marked], Vec::new()));
    let undone = plan.actions.iter().filter_map(|action| match action {
        Action::CancelDrain { pod } => Some(pod.uid.as_str()),
        _ => None,
    });
    assert_eq!(undone.collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn drain_whose_pod_is_gone_before_it_ended_is_forced() {
    let drains = vec![
        drain("a", DrainWay::Readiness, 0).withdrawn(1),
        drained_record("b").retired(9),
        drain("c", DrainWay::Termination, 0).retired(9),
        drained_record("d"),
    ];
    let plan = plan(&replaced(Vec::new(), drains));
    let deleted = |event: &&Event| event.reason == Reason::DrainedPodDeleted;
    let told: Vec<_> = plan.events.iter().filter(deleted).collect();
    assert!(
        told.len() == 1 && told[0].message.contains("drain of a"),
        "{told:?}"
    );
    let record = plan.status.expect("a status").last_rollout;
    assert_eq!(record.expect("a record").forced, 1);
}
