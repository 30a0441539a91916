//! What one plan may spend: each room to its last pod, and not one beyond.

use graceful::api::v1alpha1::{DrainCause, DrainWay};
use graceful::rollout::{Action, Hold, Observation, Plan, Pod, Size, Strategy, Target, plan};

use super::fixtures::{PodSentence, at, drain, observation, pod, revision, target};

/// A ReplicaSet with these pods.
fn with(mut seen: Observation, name: &str, number: i64, pods: Vec<Pod>) -> Observation {
    let count = u32::try_from(pods.len()).expect("few pods");
    let mut set = revision(name, number, count);
    let ready = pods.iter().filter(|pod| pod.is_ready()).count();
    set.counted_ready = u32::try_from(ready).expect("few pods");
    seen.revisions.push(set);
    let owned = pods.into_iter().map(|pod| pod.of(name));
    seen.pods.extend(owned);
    seen
}

fn ready(prefix: &str, count: usize) -> Vec<Pod> {
    let named = (0..count).map(|i| pod(&format!("{prefix}-{i}")));
    named.map(|pod| pod.ready(0)).collect()
}

fn unready(prefix: &str, count: usize) -> Vec<Pod> {
    let named = (0..count).map(|i| pod(&format!("{prefix}-{i}")));
    named.map(PodSentence::running).collect()
}

fn bounds(max_surge: u32, max_unavailable: u32) -> Target {
    Target {
        max_surge,
        max_unavailable,
        ..target()
    }
}

fn paused() -> Target {
    Target {
        paused: true,
        ..target()
    }
}

/// How the pods leave whose drains are new.
fn begun(seen: &Observation, plan: &Plan) -> Vec<DrainWay> {
    let known = |uid: &str| seen.previous.drains.iter().any(|drain| drain.uid == uid);
    let drains = &plan.status.as_ref().expect("a status").drains;
    let new = drains.iter().filter(|drain| !known(&drain.uid));
    new.map(|drain| drain.way).collect()
}

/// The pods whose drains are remembered.
fn leaving(seen: &Observation) -> Vec<String> {
    let drains = plan(seen).status.expect("a status").drains;
    drains.into_iter().map(|drain| drain.pod).collect()
}

fn scales(plan: &Plan) -> Vec<(&str, u32)> {
    let scale = |action| match action {
        &Action::ScaleReplicaSet {
            ref replica_set,
            to,
            ..
        } => Some((replica_set.name.as_str(), to)),
        _ => None,
    };
    plan.actions.iter().filter_map(scale).collect()
}

/// R22, R28: 4 replicas, 1 unavailable: 5 pods, less the new one that is not ready, less the 3 that have
/// to stay, leave 1.
#[test]
fn unready_old_pods_are_cleaned_up_as_far_as_a_bad_revision_allows() {
    let seen = observation(bounds(1, 1), at(100));
    let seen = with(seen, "old", 1, unready("old", 4));
    let seen = with(seen, "new", 2, unready("new", 1));
    assert_eq!(begun(&seen, &plan(&seen)), [DrainWay::Termination]);
}

/// R22: 4 replicas, none unavailable: nothing is left to clean up.
#[test]
fn unready_old_pods_stay_where_all_may_be_needed_again() {
    let seen = observation(bounds(1, 0), at(100));
    let seen = with(seen, "old", 1, unready("old", 4));
    let seen = with(seen, "new", 2, unready("new", 1));
    assert_eq!(begun(&seen, &plan(&seen)), []);
}

/// R28.
#[test]
fn pods_in_service_are_withdrawn_down_to_the_minimum() {
    let seen = observation(bounds(0, 2), at(100));
    let seen = with(seen, "old", 1, ready("old", 4));
    let seen = with(seen, "new", 2, vec![]);
    let plan = plan(&seen);
    assert_eq!(begun(&seen, &plan).len(), 2);
    let (available, minimum) = (2, 2);
    let hold = Hold::AtMinimum { available, minimum };
    assert!(plan.holds.contains(&hold), "{:?}", plan.holds);
}

/// R28: those that are still to be made could be spared, but do not serve.
#[test]
fn pods_that_are_not_made_yet_are_no_reason_to_withdraw_more() {
    let seen = observation(bounds(0, 2), at(100));
    let seen = with(seen, "old", 1, ready("old", 4));
    let mut seen = with(seen, "new", 2, vec![]);
    seen.revisions[0].replicas = 6;
    seen.revisions[0].settled = false;
    assert_eq!(begun(&seen, &plan(&seen)).len(), 2);
}

/// R28.
#[test]
fn no_more_pods_drain_than_may() {
    let mut wanted = bounds(0, 3);
    wanted.max_draining = 2;
    let seen = observation(wanted, at(100));
    let seen = with(seen, "old", 1, ready("old", 4));
    let seen = with(seen, "new", 2, vec![]);
    let plan = plan(&seen);
    assert_eq!(begun(&seen, &plan).len(), 2);
    let hold = Hold::AtMaxDraining { maximum: 2 };
    assert!(plan.holds.contains(&hold), "{:?}", plan.holds);
}

/// B19, B58.
#[test]
fn pod_that_is_taken_back_while_paused_makes_room_for_no_other() {
    let mut wanted = target();
    wanted.paused = true;
    let mut pods = ready("new", 3);
    let mut back = unready("back", 1).remove(0).asked("epoch-of-back-0");
    back.agent.ready = false;
    pods.push(back);
    let mut seen = with(observation(wanted, at(100)), "new", 2, pods);
    let mut record = drain("back-0", DrainWay::Readiness, 90);
    record.cause = DrainCause::ScaleDown;
    seen.previous.drains = vec![record];
    let plan = plan(&seen);
    let status = plan.status.as_ref().expect("a status");
    assert!(status.drains.is_empty(), "{:?}", status.drains);
    assert_eq!(scales(&plan), []);
}

/// R17.
#[test]
fn pods_that_are_not_made_yet_go_before_any_that_is() {
    let mut seen = with(observation(target(), at(100)), "new", 2, ready("new", 4));
    seen.revisions[0].replicas = 6;
    let plan = plan(&seen);
    assert_eq!(scales(&plan), [("new", 4)]);
    assert_eq!(begun(&seen, &plan), []);
}

/// B57: whoever wants a certain pod to go says so by its deletion cost.
#[test]
fn pod_of_the_lowest_deletion_cost_goes_at_the_next_scale_down() {
    let mut wanted = target();
    wanted.replicas = 3;
    let mut pods = ready("new", 4);
    pods[2].deletion_cost = -5;
    let seen = with(observation(wanted, at(100)), "new", 2, pods);
    assert_eq!(leaving(&seen), ["new-2"]);
}

/// B02.
#[test]
fn recreate_has_no_old_pod_made() {
    let wanted = Target {
        strategy: Strategy::Recreate,
        ..target()
    };
    let mut seen = with(observation(wanted, at(100)), "old", 1, ready("old", 3));
    seen.revisions[0].replicas = 4;
    let plan = plan(&seen);
    assert_eq!(scales(&plan), [("old", 3)]);
    assert_eq!(begun(&seen, &plan), [DrainWay::Termination; 3]);
}

/// R10, T16: nobody would answer the request to drain.
#[test]
fn pod_whose_agent_does_not_run_leaves_by_termination() {
    for (present, running) in [(true, false), (false, true)] {
        let mut pods = ready("old", 1);
        pods[0].agent.present = present;
        pods[0].agent.running = running;
        let seen = with(observation(target(), at(100)), "old", 1, pods);
        let seen = with(seen, "new", 2, ready("new", 4));
        assert_eq!(begun(&seen, &plan(&seen)), [DrainWay::Termination]);
    }
}

/// What an old ReplicaSet was asked for and has not made costs nothing to give up.
#[test]
fn pods_that_an_old_replica_set_has_still_to_make_are_not_made() {
    let mut seen = with(observation(target(), at(100)), "old", 1, ready("old", 2));
    seen.revisions[0].replicas = 4;
    let seen = with(seen, "new", 2, ready("new", 4));
    assert_eq!(scales(&plan(&seen)), [("old", 2)]);
}

/// 4 replicas, 1 unavailable: 6 pods, less the new one that is not ready, less the 3 that have to stay,
/// leave 2; and the ReplicaSet that is behind can give up none of its own.
#[test]
fn replica_set_that_is_behind_spends_nothing_of_what_others_may() {
    let seen = observation(bounds(1, 1), at(100));
    let mut seen = with(seen, "behind", 1, vec![]);
    seen.revisions[0].replicas = 2;
    seen.revisions[0].settled = false;
    let seen = with(seen, "old", 2, unready("old", 3));
    let seen = with(seen, "new", 3, unready("new", 1));
    let plan = plan(&seen);
    assert_eq!(scales(&plan), []);
    assert_eq!(begun(&seen, &plan), [DrainWay::Termination; 2]);
}

/// A smaller size takes idle pods first, the new ones only where no old one is idle too.
#[test]
fn idle_new_pods_stay_beside_idle_old_ones_at_a_smaller_size() {
    let blocked = |old: Vec<Pod>| {
        let seen = with(observation(target(), at(100)), "old", 1, old);
        let mut seen = with(seen, "new", 2, unready("new", 2));
        seen.revisions[1].sized_for = Some(Size {
            replicas: 6,
            max_surge: 1,
        });
        begun(&seen, &plan(&seen))
    };
    assert_eq!(blocked(ready("old", 4)), [DrainWay::Termination]);
    let mut mixed = ready("old", 3);
    mixed.extend(unready("idle", 1));
    assert_eq!(blocked(mixed), []);
}

/// An agent that hears of its drain just before the cancel turns the pod NotReady just after it.
#[test]
fn pod_whose_drain_was_cancelled_a_moment_ago_is_not_counted_on() {
    let at_second = |now| {
        let mut old = ready("old", 4);
        old[3].cancelled = Some(at(98));
        let seen = observation(bounds(1, 0), at(now));
        let seen = with(seen, "old", 1, old);
        with(seen, "new", 2, ready("new", 1))
    };
    let plan = plan(&at_second(102));
    assert_eq!(plan.status.expect("a status").drains, []);
    assert_eq!(plan.wake, Some(at(103)));
    assert_eq!(leaving(&at_second(103)), ["old-0"]);
}

/// Its ReplicaSet takes a pod that has not started before one that runs: given up, the other one would be deleted by
/// name, and another made, for ever.
#[test]
fn broken_old_pods_leave_in_the_order_of_their_replica_set() {
    let broken = |pods: Vec<Pod>| {
        let target = Target {
            replicas: 2,
            ..bounds(1, 0)
        };
        let seen = with(observation(target, at(100)), "old", 1, pods);
        with(seen, "new", 2, vec![])
    };
    // The third is still to be made.
    let mut seen = broken(unready("broken", 2));
    (seen.revisions[0].replicas, seen.revisions[0].counted) = (3, 3);
    assert_eq!(leaving(&seen), [""; 0]);
    let mut made = unready("broken", 2);
    made.push(pod("made").on("node-1"));
    assert_eq!(leaving(&broken(made)), ["made"]);
}

/// R31: shrunk to 2, with room for 4: two old pods may leave, one after the other, and then the new ones are wanted.
#[test]
fn new_pods_that_would_be_made_again_do_not_make_the_room_of_a_smaller_size() {
    let target = Target {
        replicas: 2,
        max_draining: 1,
        ..bounds(2, 0)
    };
    let seen = observation(target, at(100));
    let seen = with(seen, "old", 1, ready("old", 4));
    let mut seen = with(seen, "new", 2, unready("new", 2));
    seen.revisions[1].sized_for = Some(Size {
        replicas: 4,
        max_surge: 2,
    });
    assert_eq!(leaving(&seen), ["old-0"]);
}

/// Grown from 3 to 4: where there is no room for a share, what it was of is noted all the same.
#[test]
fn another_size_is_noted_on_all_that_have_pods_and_on_no_other() {
    let sized = |mut seen: Observation| {
        for set in &mut seen.revisions {
            set.sized_for = Some(Size {
                replicas: 3,
                max_surge: 1,
            });
        }
        seen
    };
    let seen = with(observation(target(), at(100)), "old", 1, ready("old", 4));
    let full = sized(with(seen, "new", 2, unready("new", 1)));
    assert_eq!(scales(&plan(&full)), [("old", 4), ("new", 1)]);
    let seen = with(observation(target(), at(100)), "empty", 1, vec![]);
    let alone = sized(with(seen, "new", 2, ready("new", 2)));
    assert_eq!(scales(&plan(&alone)), [("new", 4)]);
}

/// All of the old pods may be needed again: the one that is still to be made, too.
#[test]
fn old_pod_that_may_be_needed_again_is_still_to_be_made() {
    let mut seen = with(observation(target(), at(100)), "old", 1, ready("old", 3));
    seen.revisions[0].replicas = 4;
    let seen = with(seen, "new", 2, unready("new", 1));
    assert_eq!(scales(&plan(&seen)), []);
}

/// The wanted ReplicaSet may be there already, as in a rollback.
#[test]
fn recreate_makes_no_pod_beside_one_that_is_not_gone() {
    let wanted = Target {
        strategy: Strategy::Recreate,
        ..target()
    };
    let mut leaving = ready("old", 2);
    for pod in &mut leaving {
        pod.terminating = true;
    }
    let seen = with(observation(wanted, at(100)), "new", 2, ready("new", 3));
    let steady = plan(&seen);
    assert_eq!(scales(&steady), [("new", 4)]);
    let mut seen = with(seen, "old", 1, leaving);
    seen.revisions[1].replicas = 0;
    let plan = plan(&seen);
    assert_eq!(scales(&plan), []);
    let hold = Hold::AwaitingTermination { count: 2 };
    assert!(plan.holds.contains(&hold), "{:?}", plan.holds);
}

/// The surge is no room to grow into.
#[test]
fn paused_size_is_kept_and_not_exceeded() {
    let seen = with(observation(paused(), at(100)), "new", 2, ready("new", 2));
    let plan = plan(&seen);
    assert_eq!(scales(&plan), [("new", 4)]);
    let beyond = |hold: &Hold| matches!(hold, Hold::AtMaximum { .. });
    assert!(!plan.holds.iter().any(beyond), "{:?}", plan.holds);
}

/// The lead takes new pods, so it is the last to lose any.
#[test]
fn paused_rollout_beyond_its_bound_loses_old_pods_and_no_more_than_are_too_many() {
    let seen = with(observation(paused(), at(100)), "old", 1, ready("old", 3));
    let seen = with(seen, "new", 2, ready("new", 3));
    assert_eq!(leaving(&seen), ["old-0"]);
}

/// A ReplicaSet without pods is no rollout in the middle: the surge is not its room.
#[test]
fn paused_revision_that_is_alone_shrinks_to_what_is_wanted() {
    let seen = with(observation(paused(), at(100)), "old", 1, vec![]);
    let seen = with(seen, "new", 2, ready("new", 5));
    assert_eq!(leaving(&seen), ["new-0"]);
}

/// The rollout went back to what drains, to fewer of it than drain.
#[test]
fn no_more_warm_pods_come_back_than_are_missing() {
    let mut pods = ready("new", 5);
    for pod in pods.iter_mut().take(2) {
        *pod = pod.clone().asked(&format!("epoch-of-{}", pod.name));
    }
    let mut seen = with(observation(target(), at(100)), "new", 2, pods);
    seen.previous.drains = vec![
        drain("new-0", DrainWay::Readiness, 99),
        drain("new-1", DrainWay::Readiness, 99),
    ];
    assert_eq!(leaving(&seen), ["new-1"]);
}
