//! Whole rollouts in the model, by name: what people do while pods drain.

use std::time::Duration;

use graceful::api::v1alpha1::{DrainCause, DrainWay};
use graceful::rollout::{Strategy, Target, Withdrawal};

use super::fixtures::target;
use super::world::{World, Writes};

/// A world where revision `v1` is complete.
pub(super) fn running(change: impl FnOnce(&mut Target)) -> World {
    let mut target = target();
    change(&mut target);
    let mut world = World::new(target);
    world.apply("v1");
    world.settle();
    world.writes = Writes::default();
    world
}

/// Until that many drains of the revision were heard.
pub(super) fn until_draining(world: &mut World, revision: &str, count: usize) {
    world.run_until("draining", 600, |world| {
        let heard = |body: &&&super::world::Body| body.heard.is_some();
        world.pods(revision).iter().filter(heard).count() >= count
    });
}

fn names(world: &World, revision: &str) -> Vec<String> {
    let pods = world.pods(revision);
    pods.iter().map(|body| body.pod.name.clone()).collect()
}

/// B01.
#[test]
fn rollout_replaces_every_pod() {
    let mut world = running(|_| {});
    world.apply("v2");
    world.settle();
    assert_eq!(world.pods("v2").len(), 4);
    assert_eq!(world.pods("v1").len(), 0);
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (4, 0));
}

/// B72.
#[test]
fn pods_in_service_that_leave_by_termination_count_as_forced() {
    let mut world = running(|target| target.withdrawal = Withdrawal::Termination);
    world.apply("v2");
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (0, 4));
}

#[test]
fn a_rollout_is_timed() {
    let mut world = running(|_| {});
    world.apply("v2");
    let took = world.settle() / 1000;
    let record = world.status.last_rollout.as_ref().expect("a record");
    let said = i64::from(record.duration_seconds.expect("a duration"));
    assert!((took - 1..=took).contains(&said), "{said} s of {took} s");
    let longest = i64::from(record.longest_drain_seconds);
    // A pod's work is 20 s, from when it heard.
    assert!((20..=25).contains(&longest), "{longest} s");
}

#[test]
fn a_rollout_that_nothing_confirms_warns_once() {
    let why = "nothing confirms that a pod's work is over";
    let mut world = running(|target| target.unconfirmed = Some(why.into()));
    world.told.clear();
    world.apply("v2");
    world.settle();
    let told = world.told.iter();
    let warnings = told.filter(|told| **told == format!("DrainUnconfirmed: {why}"));
    assert_eq!(warnings.count(), 1, "{:?}", world.told);
}

#[test]
fn steady_state_costs_nothing() {
    let mut world = running(|_| {});
    world.apply("v2");
    world.settle();
    world.writes = Writes::default();
    world.run_for(600_000);
    assert_eq!(world.writes, Writes::default());
}

/// B04, R15.
#[test]
fn newest_revision_wins_and_unready_ones_between_go_first() {
    let mut world = running(|target| target.max_surge = 2);
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    world.apply("v3");
    world.settle();
    assert_eq!((world.pods("v1").len(), world.pods("v2").len()), (0, 0));
    assert_eq!(world.pods("v3").len(), 4);
}

/// R15.
#[test]
fn drains_under_way_finish_when_a_newer_revision_comes() {
    let mut world = running(|_| {});
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    let draining = world.status.drains[0].clone();
    world.apply("v3");
    world.run_for(2000);
    let same = world.drain_of(&draining.uid).expect("still remembered");
    assert_eq!(same.epoch, draining.epoch);
    world.settle();
}

/// B50, R16.
#[test]
fn rollback_takes_warm_pods_back_and_makes_none() {
    let mut world = running(|target| target.max_surge = 2);
    let before = names(&world, "v1");
    world.apply("v2");
    until_draining(&mut world, "v1", 2);
    world.apply("v1");
    let began = world.now;
    world.run_until("all of v1 in service", 3, |world| {
        let pods = world.pods("v1");
        pods.iter().all(|body| world.is_serving(&body.pod))
    });
    assert!(world.now - began <= 3000, "{} ms", world.now - began);
    world.settle();
    assert_eq!(names(&world, "v1"), before);
    assert_eq!(world.pods("v2").len(), 0);
}

/// B46, R16.
#[test]
fn rollback_after_receipts_still_takes_warm_pods_back() {
    let mut world = running(|target| {
        target.max_surge = 4;
        target.drain_min = Duration::from_mins(1);
    });
    let before = names(&world, "v1");
    world.apply("v2");
    world.run_until("drained", 600, |world| {
        world
            .status
            .drains
            .iter()
            .any(|drain| drain.outcome.is_some())
    });
    world.apply("v1");
    world.settle();
    assert_eq!(names(&world, "v1"), before);
}

/// B45, R17.
#[test]
fn scale_up_in_the_middle_ends_at_the_new_size() {
    let mut world = running(|_| {});
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    world.edit(|target| target.replicas = 7);
    world.settle();
    assert_eq!((world.pods("v1").len(), world.pods("v2").len()), (0, 7));
}

/// B45, R17.
#[test]
fn scale_down_in_the_middle_ends_at_the_new_size() {
    let mut world = running(|target| target.replicas = 7);
    world.apply("v2");
    until_draining(&mut world, "v1", 2);
    world.edit(|target| target.replicas = 3);
    world.settle();
    assert_eq!((world.pods("v1").len(), world.pods("v2").len()), (0, 3));
}

/// B58.
#[test]
fn scale_down_drains_and_scale_up_takes_back() {
    let mut world = running(|target| target.replicas = 6);
    let before = names(&world, "v1");
    world.edit(|target| target.replicas = 3);
    until_draining(&mut world, "v1", 3);
    assert!(
        world
            .status
            .drains
            .iter()
            .all(|drain| drain.cause == DrainCause::ScaleDown)
    );
    world.edit(|target| target.replicas = 5);
    world.settle();
    let after = names(&world, "v1");
    assert_eq!(after.len(), 5);
    assert!(
        after.iter().all(|name| before.contains(name)),
        "{before:?} {after:?}"
    );
}

/// B24.
#[test]
fn scale_to_zero_and_back() {
    let mut world = running(|_| {});
    world.edit(|target| target.replicas = 0);
    world.settle();
    assert_eq!(world.bodies.len(), 0);
    world.edit(|target| target.replicas = 2);
    world.settle();
    assert_eq!(world.pods("v1").len(), 2);
}

/// B02.
#[test]
fn recreate_makes_no_pod_beside_an_old_one() {
    // The world itself stops where one is made.
    let mut world = running(|target| target.strategy = Strategy::Recreate);
    world.apply("v2");
    world.settle();
    assert_eq!((world.pods("v1").len(), world.pods("v2").len()), (0, 4));
}

/// B69.
#[test]
fn only_pod_without_surge_leaves_by_termination() {
    let mut world = running(|target| {
        (target.replicas, target.max_surge, target.max_unavailable) = (1, 0, 1);
    });
    world.apply("v2");
    world.run_until("a drain", 60, |world| !world.status.drains.is_empty());
    assert_eq!(world.status.drains[0].way, DrainWay::Termination);
    world.run_until("deleted", 60, |world| world.pods("v1")[0].pod.terminating);
    assert!(
        world.pods("v1")[0].pod.is_ready(),
        "it serves while it terminates"
    );
    world.settle();
}

#[test]
fn only_pod_with_surge_drains_by_readiness_once_the_new_one_serves() {
    let mut world = running(|target| target.replicas = 1);
    world.apply("v2");
    world.run_until("a drain", 60, |world| !world.status.drains.is_empty());
    assert_eq!(world.status.drains[0].way, DrainWay::Readiness);
    assert_eq!(world.serving(), 2);
    world.settle();
}

/// B09, B29.
#[test]
fn termination_complete_never_has_more_than_replicas_and_surge() {
    let mut world = running(|target| {
        target.replacement = graceful::rollout::ReplacementPolicy::TerminationComplete;
    });
    world.apply("v2");
    world.run_until("complete", 3600, |world| {
        assert!(world.bodies.len() <= 5, "{} pods", world.bodies.len());
        world.is_complete() && world.pods("v1").is_empty()
    });
}

/// B18.
#[test]
fn paused_rollout_stands_still_and_goes_on_when_resumed() {
    let mut world = running(|_| {});
    world.edit(|target| target.paused = true);
    world.apply("v2");
    world.run_for(1_200_000);
    assert_eq!(world.pods("v2").len(), 0);
    assert_eq!(world.reason("Progressing"), "Paused");
    world.edit(|target| target.paused = false);
    world.run_for(1000);
    assert_eq!(world.reason("Progressing"), "ReplicaSetUpdated");
    world.settle();
    assert_eq!(world.pods("v2").len(), 4);
    assert!(
        world
            .told
            .iter()
            .any(|told| told.starts_with("RolloutCompleted: v2"))
    );
}

/// B19.
#[test]
fn scaling_goes_on_while_paused() {
    let mut world = running(|_| {});
    world.edit(|target| target.paused = true);
    world.apply("v2");
    world.edit(|target| target.replicas = 2);
    world.run_until("smaller", 120, |world| world.bodies.len() == 2);
    world.edit(|target| target.replicas = 5);
    world.run_until("larger", 120, |world| world.serving() == 5);
    assert_eq!(world.pods("v1").len(), 5);
}

/// B51.
#[test]
fn pause_in_the_middle_lets_drains_finish_and_starts_none() {
    let mut world = running(|_| {});
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    world.edit(|target| target.paused = true);
    world.run_for(300_000);
    assert_eq!((world.pods("v1").len(), world.status.drains.len()), (3, 0));
    world.edit(|target| target.paused = false);
    world.settle();
}

/// B03.
#[test]
fn old_replica_sets_beyond_the_limit_are_deleted() {
    let mut world = running(|target| target.history_limit = 1);
    for revision in ["v2", "v3", "v4"] {
        world.apply(revision);
        world.settle();
    }
    world.run_for(5000);
    let sets: Vec<_> = world.sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(sets, ["v3", "v4"]);
}

/// B20, R35.
#[test]
fn taken_name_is_passed_over() {
    let mut world = running(|_| {});
    world.taken.insert("v2".into());
    world.apply("v2");
    world.settle();
    assert_eq!(world.status.collision_count, Some(1));
    assert_eq!(world.pods("v2-1").len(), 4);
}

#[test]
fn new_drain_settings_replace_no_pod_and_govern_drains_under_way() {
    let mut world = running(|_| {});
    let before = names(&world, "v1");
    world.edit(|target| target.drain_settings = "settings-2".into());
    world.run_for(5000);
    assert_eq!(names(&world, "v1"), before);
    assert!(
        world
            .bodies
            .iter()
            .all(|body| body.pod.config == "settings-2")
    );
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    world.run_for(2000);
    let drain = world.status.drains[0].clone();
    world.edit(|target| {
        target.drain_settings = "settings-3".into();
        target.drain_timeout = Duration::from_secs(30);
    });
    world.run_for(1000);
    let same = world.drain_of(&drain.uid).expect("goes on").clone();
    assert_eq!(same.epoch, drain.epoch);
    let (withdrawn, deadline) = (
        same.withdrawn.expect("withdrawn"),
        same.deadline.expect("one"),
    );
    assert_eq!(deadline.0.duration_since(withdrawn.0).as_secs(), 30);
    world.settle();
}
