//! What people rely on in Deployment, in the model: sizes, restarts, bad revisions and pods that flap.

use std::time::Duration;

use graceful::rollout::Target;

use super::scenarios::{running, until_draining};
use super::world::{Fault, World, Writes};

/// What each ReplicaSet is asked for, by name.
fn asked(world: &World) -> Vec<(&str, u32)> {
    let mut sets: Vec<_> = world
        .sets
        .iter()
        .map(|set| (set.name.as_str(), set.replicas))
        .collect();
    sets.sort_unstable();
    sets
}

/// Eight old pods and five new ones that never turn ready.
fn blocked(change: impl FnOnce(&mut Target)) -> World {
    let mut world = running(|target| {
        (target.replicas, target.max_surge, target.max_unavailable) = (10, 3, 2);
        (target.max_draining, target.drain_min) = (10, Duration::ZERO);
        change(target);
    });
    world.faults.insert("v2".into(), Fault::NeverReady);
    world.apply("v2");
    world.run_for(120_000);
    assert_eq!(asked(&world), [("v1", 8), ("v2", 5)]);
    world
}

/// B08, B45, R17.
#[test]
fn blocked_rollout_grows_by_share() {
    let mut world = blocked(|_| {});
    world.edit(|target| target.replicas = 30);
    world.run_for(60_000);
    assert_eq!(asked(&world), [("v1", 20), ("v2", 13)]);
    assert_eq!(world.serving(), 20);
    world.writes = Writes::default();
    world.run_for(60_000);
    assert_eq!(world.writes, Writes::default());
    world.apply("v3");
    world.settle();
    assert_eq!(world.pods("v3").len(), 30);
}

/// B08, R01: no share is lost, and none given twice.
#[test]
fn crash_between_shares_leads_to_the_same_shares() {
    for i in 0..8 {
        let mut world = blocked(|_| {});
        world.crash_after = Some(i);
        world.edit(|target| target.replicas = 30);
        world.run_for(60_000);
        assert_eq!(
            asked(&world),
            [("v1", 20), ("v2", 13)],
            "crash before write {i}"
        );
    }
}

/// B45: the room of a smaller size is made by pods that serve nobody.
#[test]
fn blocked_rollout_shrinks_within_its_bounds() {
    let mut world = blocked(|_| {});
    world.edit(|target| target.replicas = 30);
    world.run_for(60_000);
    world.edit(|target| target.replicas = 10);
    world.run_for(120_000);
    assert_eq!(asked(&world), [("v1", 8), ("v2", 5)]);
    assert_eq!(world.serving(), 8);
}

/// B19, B45: in a paused rollout too.
#[test]
fn paused_rollout_grows_by_share() {
    let mut world = blocked(|_| {});
    world.edit(|target| target.paused = true);
    world.run_for(1000);
    world.edit(|target| target.replicas = 30);
    world.run_for(60_000);
    assert_eq!(asked(&world), [("v1", 20), ("v2", 13)]);
}

/// R31: a rollout that goes on makes room for itself, and that is no other size.
#[test]
fn rollout_without_another_size_never_grows_an_old_revision() {
    let mut world = running(|target| {
        (target.replicas, target.max_surge, target.max_unavailable) = (6, 2, 3);
    });
    world.apply("v2");
    let mut least = 6;
    for _ in 0..400 {
        world.run_for(250);
        let old = asked(&world)[0].1;
        assert!(old <= least, "{old} after {least}");
        least = old;
    }
    world.settle();
}

/// B08, R31: a pod that is given up is not made again for another size.
#[test]
fn revision_that_gives_a_pod_up_gets_no_share_of_another_size() {
    let mut world = running(|target| {
        (target.replicas, target.max_unavailable, target.max_draining) = (4, 1, 2);
    });
    // Between the decision and its ReplicaSet's turn there is time for a person.
    world.lag = [0, 2000, 0];
    world.apply("v2");
    world.run_until("a pod is given up", 600, |world| {
        let mut drains = world.status.drains.iter();
        drains.any(|drain| drain.retired.is_some())
    });
    assert_eq!(asked(&world), [("v1", 4), ("v2", 3)]);
    world.edit(|target| target.replicas = 6);
    let mut least = 4;
    while !world.is_complete() {
        world.run_for(5);
        let old = asked(&world)[0].1;
        assert!(old <= least, "{old} after {least}");
        least = old;
    }
}

/// B23, B41, R18: up and down, and in service there are never fewer than the lesser size allows.
#[test]
fn replicas_and_template_change_at_once() {
    for (before, after) in [(4, 9), (9, 4)] {
        let mut world = running(|target| {
            (target.replicas, target.max_surge, target.max_unavailable) = (before, 2, 1);
        });
        world.apply("v2");
        world.edit(|target| target.replicas = after);
        let least = (before.min(after) - 1) as usize;
        world.run_until("complete", 3600, |world| {
            assert!(world.serving() >= least, "{} in service", world.serving());
            world.is_complete()
        });
        assert_eq!(
            (world.pods("v1").len(), world.pods("v2").len()),
            (0, after as usize)
        );
    }
}

/// B24.
#[test]
fn every_edit_is_observed() {
    let mut world = running(|_| {});
    for (replicas, history) in [(2, 10), (0, 10), (1, 10), (1, 3)] {
        world.edit(|target| (target.replicas, target.history_limit) = (replicas, history));
        world.settle();
        assert_eq!(world.status.observed_generation, world.generation);
        assert_eq!(world.pods("v1").len(), replicas as usize);
    }
}

/// B25.
#[test]
fn lower_min_ready_takes_effect_at_once() {
    let mut world = World::new({
        let mut target = super::fixtures::target();
        target.min_ready = Duration::from_hours(1);
        target
    });
    world.apply("v1");
    world.run_for(60_000);
    assert_eq!(world.reason("Available"), "MinimumReplicasUnavailable");
    world.edit(|target| target.min_ready = Duration::from_secs(5));
    world.run_for(1000);
    assert_eq!(world.reason("Available"), "MinimumReplicasAvailable");
    assert!(world.is_complete());
}

/// B31: a restart is another template, and the one that comes after overtakes it.
#[test]
fn restart_cycles_pods_within_the_bounds_and_an_edit_overtakes_it() {
    let mut world = running(|target| (target.max_surge, target.max_unavailable) = (0, 1));
    world.apply("v1-restarted");
    until_draining(&mut world, "v1-", 1);
    world.apply("v2");
    world.run_until("complete", 3600, |world| {
        assert!(world.serving() >= 3, "{} in service", world.serving());
        world.is_complete()
    });
    assert_eq!(world.pods("v2").len(), 4);
}

/// B33, R22: and mended it completes.
#[test]
fn bad_revision_leaves_good_pods_and_a_good_one_completes() {
    let mut world = running(|_| {});
    let good: Vec<_> = world
        .pods("v1")
        .iter()
        .map(|body| body.pod.name.clone())
        .collect();
    world.faults.insert("bad".into(), Fault::NeverReady);
    world.apply("bad");
    world.run_for(700_000);
    let left: Vec<_> = world
        .pods("v1")
        .iter()
        .map(|body| body.pod.name.clone())
        .collect();
    assert_eq!(left, good);
    assert_eq!(world.pods("bad").len(), 1);
    assert_eq!(world.reason("Progressing"), "ProgressDeadlineExceeded");
    world.apply("v2");
    world.settle();
    assert_eq!(world.reason("Progressing"), "NewReplicaSetAvailable");
}

/// B34.
#[test]
fn good_revision_after_a_bad_first_one_completes() {
    let mut world = World::new(super::fixtures::target());
    world.faults.insert("bad".into(), Fault::NeverReady);
    world.apply("bad");
    world.run_for(30_000);
    world.apply("v2");
    world.settle();
    assert_eq!((world.pods("bad").len(), world.pods("v2").len()), (0, 4));
}

/// B35: no more pods than the surge, whatever comes after what.
#[test]
fn second_bad_revision_takes_the_place_of_the_first() {
    let mut world = running(|target| target.max_surge = 2);
    world.faults.insert("bad".into(), Fault::NeverReady);
    for revision in ["bad-1", "bad-2", "bad-3"] {
        world.apply(revision);
        world.run_for(60_000);
        assert_eq!((world.serving(), world.bodies.len()), (4, 6), "{revision}");
        assert_eq!(world.pods(revision).len(), 2);
    }
}

/// B44: longer than the progress deadline, and yet nothing is late.
#[test]
fn long_drain_does_not_trip_the_progress_deadline() {
    let mut world = running(|target| {
        target.progress_deadline = Duration::from_secs(30);
        target.max_unavailable = 1;
        target.max_surge = 0;
    });
    world.pace.work = 200_000;
    world.apply("v2");
    until_draining(&mut world, "v1", 1);
    for _ in 0..150 {
        world.run_for(1000);
        assert_ne!(world.reason("Progressing"), "ProgressDeadlineExceeded");
    }
}

/// B57.
#[test]
fn pod_of_the_lowest_cost_goes_at_the_next_scale_down() {
    let mut world = running(|_| {});
    let chosen = world.bodies[2].pod.uid.clone();
    world.bodies[2].pod.deletion_cost = -100;
    world.edit(|target| target.replicas = 3);
    until_draining(&mut world, "v1", 1);
    let drains: Vec<_> = world.status.drains.iter().map(|drain| &drain.uid).collect();
    assert_eq!(drains, [&chosen]);
    world.settle();
    assert!(world.body(&chosen).is_none());
}

/// R23: what is ready for a moment is not in service.
#[test]
fn pods_that_flap_cost_no_old_pod() {
    let mut world = running(|target| target.min_ready = Duration::from_secs(30));
    world.apply("v2");
    world.run_until("a new pod is ready", 60, |world| {
        world
            .pods("v2")
            .first()
            .is_some_and(|body| body.pod.is_ready())
    });
    let flapping = world.pods("v2")[0].pod.uid.clone();
    for _ in 0..20 {
        world.run_for(10_000);
        world.answer_probe(&flapping, false);
        world.run_for(2000);
        world.answer_probe(&flapping, true);
        assert!(world.status.drains.is_empty(), "{:?}", world.status.drains);
        let old = world.pods("v1");
        assert_eq!(
            old.iter()
                .filter(|body| world.is_serving(&body.pod))
                .count(),
            4
        );
    }
    world.settle();
}

/// R24: at its deadline, and the others were not kept waiting.
#[test]
fn pod_that_never_drains_leaves_at_its_deadline() {
    let mut world = running(|target| {
        target.drain_timeout = Duration::from_mins(2);
        target.max_surge = 4;
    });
    let stuck = world.bodies[0].pod.uid.clone();
    world.bodies[0].fault = Some(Fault::Silent);
    world.apply("v2");
    world.run_until("only it is left", 60, |world| world.pods("v1").len() == 1);
    assert_eq!(world.pods("v1")[0].pod.uid, stuck);
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (3, 1));
}
