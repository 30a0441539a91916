//! Rollouts with something broken in them, and the operator that dies at every possible moment.

use std::time::Duration;

use graceful::api::v1alpha1::DrainEnd;
use graceful::rollout::Target;

use super::scenarios::{running, until_draining};
use super::world::{Fault, World, Writes};

fn told(world: &World, reason: &str) -> usize {
    let of = |told: &&String| told.starts_with(reason);
    world.told.iter().filter(of).count()
}

/// B21, B33, R22.
#[test]
fn revision_that_never_turns_ready_costs_no_old_pod_and_is_reported() {
    let mut world = running(|_| {});
    world.faults.insert("v2".into(), Fault::NeverReady);
    world.apply("v2");
    world.run_for(650_000);
    let old = world.pods("v1");
    assert_eq!(
        old.iter()
            .filter(|body| world.is_serving(&body.pod))
            .count(),
        4
    );
    assert_eq!(world.reason("Progressing"), "ProgressDeadlineExceeded");
    world.writes = Writes::default();
    world.run_for(120_000);
    assert_eq!(world.writes, Writes::default());
    world.apply("v3");
    world.settle();
}

/// B33.
#[test]
fn revision_that_never_turns_ready_costs_no_more_than_max_unavailable() {
    let mut world = running(|target| target.max_unavailable = 1);
    world.faults.insert("v2".into(), Fault::NeverReady);
    world.apply("v2");
    world.run_for(650_000);
    assert_eq!(world.serving(), 3);
    assert_eq!(world.reason("Progressing"), "ProgressDeadlineExceeded");
}

/// B44: it lasts longer than the deadline, and is not late itself.
#[test]
fn drain_that_takes_long_is_no_lack_of_progress() {
    let mut world = running(|target| {
        target.progress_deadline = Duration::from_secs(60);
        target.drain_timeout = Duration::from_secs(400);
    });
    world.pace.work = 300_000;
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    world.run_for(250_000);
    assert_ne!(world.reason("Progressing"), "ProgressDeadlineExceeded");
    world.settle();
    assert_eq!(told(&world, "ProgressDeadlineExceeded"), 0);
}

/// B47.
#[test]
fn broken_revision_after_a_pause_is_reported() {
    let mut world = running(|target| target.paused = false);
    world.edit(|target| target.paused = true);
    world.faults.insert("v2".into(), Fault::NeverReady);
    world.apply("v2");
    world.run_for(60_000);
    world.edit(|target| target.paused = false);
    world.run_for(650_000);
    assert_eq!(world.reason("Progressing"), "ProgressDeadlineExceeded");
}

/// R21.
#[test]
fn draining_pod_deleted_by_hand_costs_no_spare_pod() {
    let mut world = running(|_| {});
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    world.run_for(3000);
    let uid = world.status.drains[0].uid.clone();
    // Its ReplicaSet replaces it before anybody can say a word.
    world.is_strict = false;
    world.delete_by_hand(&uid);
    world.run_for(2000);
    let active = world
        .pods("v1")
        .iter()
        .filter(|body| !body.pod.terminating)
        .count();
    assert_eq!(active, 3);
    assert_eq!(told(&world, "DrainedPodDeleted"), 1);
    world.settle();
}

/// B65, R10, R24.
#[test]
fn silent_agent_leaves_two_seconds_after_its_deadline() {
    let mut world = running(|target| target.drain_timeout = Duration::from_mins(1));
    silence(&mut world, Fault::Silent);
    world.apply("v2");
    world.run_until("a deadline", 100, |world| {
        world
            .status
            .drains
            .first()
            .is_some_and(|drain| drain.deadline.is_some())
    });
    let drain = world.status.drains[0].clone();
    world.run_until("given up", 100, |world| {
        world
            .body(&drain.uid)
            .is_none_or(|body| body.pod.terminating)
    });
    let late = world.time().duration_since(drain.deadline.expect("one").0);
    // Where a sibling drains too, its cost gets half a second to reach the ReplicaSet's controller.
    assert!((2000..3000).contains(&late.as_millis()), "{late:?}");
    assert_eq!(told(&world, "DrainSilent"), 1);
    world.settle();
    let forced = world
        .status
        .last_rollout
        .as_ref()
        .map(|record| record.forced);
    assert_eq!(forced, Some(4));
}

/// From now on, that is wrong with the pods that are there.
fn silence(world: &mut World, fault: Fault) {
    for body in &mut world.bodies {
        body.fault = Some(fault);
    }
}

/// R10.
#[test]
fn deaf_agent_is_named_and_its_pod_leaves_at_last() {
    let mut world = running(|target| target.drain_timeout = Duration::from_mins(1));
    silence(&mut world, Fault::Deaf);
    world.apply("v2");
    world.run_until("a request", 60, |world| {
        world
            .pods("v1")
            .iter()
            .any(|body| body.pod.request.is_some())
    });
    world.run_for(11_000);
    let progressing = world
        .status
        .conditions
        .iter()
        .find(|known| known.type_ == "Progressing");
    let message = &progressing.expect("a condition").message;
    assert!(message.contains("has not heard"), "{message}");
    world.settle();
    assert_eq!(told(&world, "DrainSilent"), 4);
}

#[test]
fn lost_receipt_is_asked_for_again() {
    let mut world = running(|_| {});
    silence(&mut world, Fault::LosesReceipt);
    world.apply("v2");
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (4, 0));
}

/// T16.
#[test]
fn pods_without_agent_leave_by_termination() {
    let mut world = running(|_| {});
    for body in &mut world.bodies {
        body.fault = Some(Fault::NoAgent);
        body.pod.agent = graceful::rollout::Agent::default();
    }
    world.apply("v2");
    world.settle();
}

/// Its siblings are withdrawn a moment later: before they are, its ReplicaSet takes it first.
#[test]
fn pod_without_agent_leaves_before_its_siblings_drain_and_makes_no_spare_pod() {
    let mut world = running(|target| target.max_surge = 4);
    let odd = world.bodies[2].pod.uid.clone();
    world.bodies[2].fault = Some(Fault::NoAgent);
    world.bodies[2].pod.agent = graceful::rollout::Agent::default();
    world.apply("v2");
    world.run_until("deleted", 60, |world| {
        world.body(&odd).is_none_or(|body| body.pod.terminating)
    });
    let began = world.now;
    until_draining(&mut world, "v1", 3);
    assert!(world.now - began <= 2000, "{} ms", world.now - began);
    world.settle();
    assert!(!world.says("DeletePod"));
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!(record.drained, 3);
}

/// R08, R09.
#[test]
fn draining_pod_on_a_lost_node_is_never_called_drained() {
    let mut world = running(|_| {});
    world.is_strict = false;
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    let uid = world.status.drains[0].uid.clone();
    world.lose_node_of(&uid);
    world.run_until("concluded", 60, |world| {
        world
            .drain_of(&uid)
            .is_none_or(|drain| drain.outcome == Some(DrainEnd::NodeLost))
    });
    assert!(told(&world, "DrainNodeLost") >= 1);
    let conditions = &world.status.conditions;
    let draining = conditions
        .iter()
        .find(|one| one.type_ == "Draining")
        .unwrap();
    let message = &draining.message;
    assert!(message.ends_with("; its node is lost"), "{message}");
    world.settle();
    assert_eq!(world.pods("v2").len(), 4);
}

/// B70, R26.
#[test]
fn quota_stops_the_rollout_with_its_reason_and_then_lets_it_go_on() {
    let mut world = running(|_| {});
    world.quota = 4;
    world.apply("v2");
    world.run_for(30_000);
    assert_eq!(world.reason("ReplicaFailure"), "FailedCreate");
    assert_eq!(world.serving(), 4);
    world.quota = 10;
    world.settle();
    assert_eq!(world.reason("ReplicaFailure"), "");
}

#[test]
fn pod_deleted_by_hand_is_replaced() {
    let mut world = running(|_| {});
    let uid = world.bodies[0].pod.uid.clone();
    world.delete_by_hand(&uid);
    world.run_for(1000);
    world.settle();
    assert_eq!(world.pods("v1").len(), 4);
}

/// A rollout with a rollback and a scale-down in it, cut after the i-th write.
fn eventful(change: fn(&mut Target), crash_after: Option<usize>) -> World {
    let mut world = running(change);
    world.crash_after = crash_after;
    world.apply("v2");
    world.run_for(15_000);
    world.apply("v1");
    world.run_for(4000);
    world.apply("v2");
    world.run_for(12_000);
    world.edit(|target| target.replicas = 3);
    world.settle();
    world
}

fn survives_crashes_everywhere(change: fn(&mut Target)) {
    let whole = eventful(change, None);
    let count = whole.writes.all();
    for i in 0..count {
        let world = eventful(change, Some(i));
        assert_eq!(world.pods("v2").len(), 3, "crash before write {i}");
        assert_eq!(world.bodies.len(), 3, "crash before write {i}");
        assert!(world.status.drains.is_empty());
    }
    println!("{count} crashes");
}

/// R01, R02.
#[test]
fn crash_between_any_two_writes_leads_to_the_same_end() {
    survives_crashes_everywhere(|_| {});
}

/// R01.
#[test]
fn crash_between_any_two_writes_is_survived_without_surge() {
    survives_crashes_everywhere(|target| {
        (target.max_surge, target.max_unavailable) = (0, 2);
    });
}

#[test]
fn broken_revision_can_be_scaled_down() {
    let mut world = World::new(super::fixtures::target());
    world.faults.insert("v1".into(), Fault::NeverReady);
    world.apply("v1");
    world.run_for(30_000);
    world.edit(|target| target.replicas = 2);
    world.run_until("smaller", 60, |world| world.bodies.len() == 2);
    world.edit(|target| target.replicas = 0);
    world.settle();
}
