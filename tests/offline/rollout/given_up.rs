//! Single plans, for how a pod is given up to its ReplicaSet: marked, seen to be marked, and then scaled away.

use graceful::api::COST_NEXT;
use graceful::api::v1alpha1::DrainWay;
use graceful::rollout::{Action, Hold, Plan, Pod, leave_first, plan};

use super::decisions::{drained, drained_record, record, replaced, scales};
use super::fixtures::{
    DrainSentence, PodSentence, ServiceSentence, at, at_milliseconds, drain, pod, service,
};

/// The pods that become their ReplicaSet's next victims.
fn marked(plan: &Plan) -> Vec<&str> {
    let marks = plan.actions.iter().filter_map(|action| match action {
        Action::SetDeletionCost { pod } => Some(pod.uid.as_str()),
        _ => None,
    });
    marks.collect()
}

/// The order rests on a cost: that the ReplicaSet's controller has seen it, the label tells that goes
/// with it.
#[test]
fn pod_leaves_beside_one_that_drains_once_its_replica_set_tells_of_its_label() {
    let mut first = drained("a");
    (first.deletion_cost, first.is_labelled) = (COST_NEXT, false);
    let pods = vec![first, drained("b")];
    let draining = drain("b", DrainWay::Readiness, 0).withdrawn(1);
    let mut seen = replaced(pods, vec![drained_record("a").retired(1), draining]);
    seen.revisions[0].counted_labelled = Some(2);
    let early = plan(&seen);
    assert_eq!(scales(&early), []);
    assert!(early.holds.contains(&Hold::ReplicaSetBehind {
        replica_set: "old".into()
    }));
    seen.revisions[0].counted_labelled = Some(1);
    assert_eq!(scales(&plan(&seen)), [("old", 1)]);
}

/// A pod that was born without the label can tell nothing by it.
#[test]
fn cost_of_a_pod_that_never_had_the_label_gets_its_time() {
    let mut first = drained("a");
    (first.deletion_cost, first.is_labelled) = (COST_NEXT, false);
    first.injected = "injected-0".into();
    let pods = vec![first, drained("b")];
    let draining = drain("b", DrainWay::Readiness, 0).withdrawn(1);
    let mut seen = replaced(pods, vec![drained_record("a").retired(100), draining]);
    seen.revisions[0].counted_labelled = Some(1);
    let early = plan(&seen);
    assert_eq!(scales(&early), []);
    assert_eq!(early.wake, Some(at_milliseconds(100_500)));
    seen.now = at(101);
    assert_eq!(scales(&plan(&seen)), [("old", 1)]);
}

#[test]
fn pod_is_given_up_at_the_very_moment_its_least_time_is_over() {
    let mut seen = replaced(vec![drained("a")], vec![drained_record("a")]);
    seen.now = at_milliseconds(5_999);
    let early = plan(&seen);
    assert_eq!(early.wake, Some(at(6)));
    assert_eq!(record(&early, "a").retired, None);
    seen.now = at(6);
    assert!(record(&plan(&seen), "a").retired.is_some());
}

#[test]
fn pods_that_finish_one_after_the_other_wait_for_no_patience() {
    let mut first = drained("a");
    let mut second = drained("b");
    first.deletion_cost = COST_NEXT;
    second.deletion_cost = COST_NEXT;
    let drains = vec![drained_record("a").retired(99), drained_record("b")];
    let mut seen = replaced(vec![first, second], drains);
    let joined = plan(&seen);
    assert!(record(&joined, "b").retired.is_some());
    assert_eq!(joined.holds, []);
    seen.previous = joined.status.expect("a status");
    assert_eq!(scales(&plan(&seen)), [("old", 0)]);
}

#[test]
fn pod_that_is_given_up_only_now_is_not_put_beside_the_one_that_goes_now() {
    let mut pods = vec![drained("a"), drained("b"), drained("c")];
    pods[0].deletion_cost = COST_NEXT;
    let draining = drain("c", DrainWay::Readiness, 0).withdrawn(1);
    let records = vec![
        drained_record("a").retired(99),
        drained_record("b"),
        draining,
    ];
    let first = plan(&replaced(pods, records));
    assert_eq!(scales(&first), [("old", 2)]);
    assert!(marked(&first).is_empty(), "{:?}", first.actions);
    assert!(record(&first, "b").retired.is_some());
}

/// It may turn ready before its ReplicaSet chooses, and then nothing but its cost tells it from one that
/// serves.
#[test]
fn unready_pod_is_marked_before_it_is_scaled_away_beside_one_that_serves() {
    let flapping = pod("a").of("old").running();
    let drains = vec![drain("a", DrainWay::Termination, 98).retired(99)];
    let mut seen = replaced(vec![flapping, pod("b").of("old").ready(0)], drains);
    let first = plan(&seen);
    assert_eq!(scales(&first), []);
    assert_eq!(marked(&first), ["a"]);
    seen.pods[0].deletion_cost = COST_NEXT;
    assert_eq!(scales(&plan(&seen)), [("old", 1)]);
}

/// R11, T2.
#[test]
fn pod_that_an_endpoint_slice_names_again_is_not_given_up() {
    let again = drained("a");
    let mut seen = replaced(vec![again.clone()], vec![drained_record("a").retired(99)]);
    seen.services = vec![service("web").naming_ready(&again)];
    let plan = plan(&seen);
    assert_eq!(scales(&plan), []);
    assert!(plan.holds.contains(&Hold::StillNamed { pod: "a".into() }));
}

/// Two rounds would be a round in which the ReplicaSet could take the one that drains.
#[test]
fn pod_is_marked_in_the_round_that_gives_it_up() {
    let draining = drain("b", DrainWay::Readiness, 0).withdrawn(1);
    let records = vec![drained_record("a"), draining];
    let first = plan(&replaced(vec![drained("a"), drained("b")], records));
    assert!(record(&first, "a").retired.is_some());
    assert_eq!(marked(&first), ["a"]);
    assert_eq!(scales(&first), []);
}

/// Both are running and not ready: nothing but the cost tells them apart, and it is to be seen first.
#[test]
fn cost_is_waited_for_beside_a_pod_that_is_not_ready() {
    let mut first = drained("a");
    (first.deletion_cost, first.is_labelled) = (COST_NEXT, false);
    let pods = vec![first, pod("b").of("old").running()];
    let mut seen = replaced(pods, vec![drained_record("a").retired(1)]);
    seen.revisions[0].counted_labelled = Some(2);
    assert_eq!(scales(&plan(&seen)), []);
    seen.revisions[0].counted_labelled = Some(1);
    assert_eq!(scales(&plan(&seen)), [("old", 1)]);
}

#[test]
fn of_pods_that_are_alike_none_is_known_to_leave_first() {
    let stays = pod("b").running();
    let mut leaves = pod("a").running();
    let is_first = |leaves: &Pod| leave_first(&[leaves], &[&stays], |_| None);
    assert!(!is_first(&leaves));
    leaves.deletion_cost = COST_NEXT;
    assert!(is_first(&leaves));
}
