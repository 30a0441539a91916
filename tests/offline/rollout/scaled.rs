//! The number that the scale subresource tells. An autoscaler that divides a queue by it takes it for the answer
//! while it is within a tenth of the target: what it says too much or too little becomes the next size.

use graceful::rollout::ReplacementPolicy;

use super::scenarios::{running, until_draining};
use super::world::World;

/// Until the counts that can be seen again are written.
const WRITTEN: i64 = 10_000;

fn tells(world: &mut World) -> i32 {
    world.run_for(WRITTEN);
    world.status.scaled_replicas
}

/// R32.
#[test]
fn surge_makes_the_size_no_greater() {
    let mut world = running(|target| target.max_surge = 2);
    world.pace.start = 60_000;
    world.apply("v2");
    world.run_until("six pods", 60, |world| world.bodies.len() == 6);
    assert_eq!((tells(&mut world), world.status.replicas), (4, 6));
}

/// R32: its place is taken when it is gone, and not before.
#[test]
fn pod_that_is_replaced_after_its_end_makes_the_size_no_smaller() {
    let mut world = running(|target| {
        target.replacement = ReplacementPolicy::TerminationComplete;
        (target.max_surge, target.max_unavailable) = (0, 1);
    });
    (world.pace.work, world.pace.exit) = (60_000, 60_000);
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    assert_eq!((tells(&mut world), world.status.draining_replicas), (4, 1));
    world.run_until("it terminates", 600, |world| {
        world.pods("v1").iter().any(|body| body.pod.terminating)
    });
    assert_eq!(
        (tells(&mut world), world.status.terminating_replicas),
        (4, 1)
    );
}

/// R32: those that leave for good are there for a while, and do not count.
#[test]
fn pods_that_are_too_many_make_the_size_no_greater() {
    let mut world = running(|_| {});
    world.pace.work = 60_000;
    world.edit(|target| target.replicas = 2);
    until_draining(&mut world, "v1", 2);
    assert_eq!((tells(&mut world), world.status.draining_replicas), (2, 2));
}

/// R32: a quota that refuses pods is seen as such.
#[test]
fn pods_that_cannot_be_made_are_missing_from_the_size() {
    let mut world = running(|_| {});
    world.quota = 5;
    world.edit(|target| target.replicas = 8);
    assert_eq!(tells(&mut world), 5);
}
