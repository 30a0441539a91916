//! Random things in random order, at random moments: whatever people, nodes and crashes do, the rollout
//! ends where the user wants it, and no pod is given up with work left.

use proptest::prelude::*;
use proptest::sample::select;

use crate::cases::cases;

use super::scenarios::running;
use super::world::{Fault, World};

#[derive(Clone, Copy, Debug)]
enum Deed {
    Apply(&'static str),
    Scale(u32),
    Pause(bool),
    Settings(&'static str),
    DeletePod(usize),
    LoseNode(usize),
    Undo(usize),
    Quota(usize),
    Crash(usize),
}

/// What the user and the machines may do.
fn user_deeds() -> Vec<BoxedStrategy<Deed>> {
    vec![
        select(vec!["v1", "v2", "v3", "broken"])
            .prop_map(Deed::Apply)
            .boxed(),
        select(vec!["v1", "v2"]).prop_map(Deed::Apply).boxed(),
        (0..7_u32).prop_map(Deed::Scale).boxed(),
        any::<bool>().prop_map(Deed::Pause).boxed(),
        select(vec!["settings-2", "settings-3"])
            .prop_map(Deed::Settings)
            .boxed(),
        (0..6_usize).prop_map(Deed::Crash).boxed(),
    ]
}

fn deeds() -> impl Strategy<Value = Deed> {
    let mut all = user_deeds();
    all.push((0..9_usize).prop_map(Deed::DeletePod).boxed());
    all.push((0..9_usize).prop_map(Deed::LoseNode).boxed());
    all.push((0..9_usize).prop_map(Deed::Undo).boxed());
    all.push((3..9_usize).prop_map(Deed::Quota).boxed());
    proptest::strategy::Union::new(all)
}

fn storms(of: impl Strategy<Value = Deed>) -> impl Strategy<Value = Vec<(Deed, i64)>> {
    let pauses = prop_oneof![0..300_i64, 0..3000_i64, 0..30_000_i64];
    proptest::collection::vec((of, pauses), 1..9)
}

fn bounds() -> impl Strategy<Value = (u32, u32, u32, bool)> {
    (1..6_u32, 0..3_u32, 0..3_u32, prop::bool::weighted(0.2))
        .prop_filter("no room", |(_, surge, unavailable, _)| {
            surge + unavailable > 0
        })
}

fn begin((replicas, surge, unavailable, complete): (u32, u32, u32, bool)) -> World {
    let mut world = running(|target| {
        target.replicas = replicas;
        target.max_surge = surge;
        target.max_unavailable = unavailable;
        if complete {
            target.replacement = graceful::rollout::ReplacementPolicy::TerminationComplete;
        }
    });
    world.faults.insert("broken".into(), Fault::NeverReady);
    world
}

fn commit(world: &mut World, deed: Deed) {
    let pod = |index: usize| {
        let count = world.bodies.len().max(1);
        world
            .bodies
            .get(index % count)
            .map(|body| body.pod.uid.clone())
    };
    match deed {
        Deed::Apply(revision) => world.apply(revision),
        Deed::Scale(replicas) => world.edit(|target| target.replicas = replicas),
        Deed::Pause(paused) => world.edit(|target| target.paused = paused),
        Deed::Settings(settings) => world.edit(|target| target.drain_settings = settings.into()),
        Deed::Crash(after) => world.crash_after = Some(after),
        Deed::Quota(pods) => world.quota = pods,
        Deed::DeletePod(index) => {
            world.is_strict = false;
            if let Some(uid) = pod(index) {
                world.delete_by_hand(&uid);
            }
        }
        Deed::LoseNode(index) => {
            world.is_strict = false;
            if let Some(uid) = pod(index) {
                world.lose_node_of(&uid);
            }
        }
        Deed::Undo(index) => {
            world.is_strict = false;
            if let Some(uid) = pod(index) {
                world.undo_by_hand(&uid);
            }
        }
    }
}

/// Lets the storm pass, and then everything be well.
fn weather(world: &mut World, storm: &[(Deed, i64)]) {
    for (deed, pause) in storm {
        commit(world, *deed);
        world.run_for(*pause);
    }
    world.quota = usize::MAX;
    world.apply("last");
    world.edit(|target| target.paused = false);
    world.settle();
    let replicas = world.target.replicas as usize;
    assert_eq!(
        (world.pods("last").len(), world.bodies.len()),
        (replicas, replicas)
    );
    assert!(world.status.drains.is_empty());
}

/// A pod that was made in the place of one on its way out was deleted and made again without end.
#[test]
fn newborn_beside_a_drain_on_a_lost_node_is_not_made_again_and_again() {
    let storm = [
        (Deed::Crash(2), 1),
        (Deed::Apply("v2"), 7755),
        (Deed::Undo(0), 2290),
        (Deed::LoseNode(3), 964),
    ];
    weather(&mut begin((4, 1, 0, false)), &storm);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..cases(60) })]

    /// B05, R01.
    #[test]
    fn every_storm_ends_in_the_wanted_state(bounds in bounds(), storm in storms(deeds())) {
        weather(&mut begin(bounds), &storm);
    }

    /// B16, B45.
    #[test]
    fn storms_without_meddlers_keep_the_bounds(
        bounds in bounds(),
        storm in storms(proptest::strategy::Union::new(user_deeds())),
    ) {
        weather(&mut begin(bounds), &storm);
    }

    /// R04, R05.
    #[test]
    fn watches_that_lag_cost_no_work(
        bounds in bounds(),
        lag in [0..400_i64, 0..400_i64, 0..400_i64],
        storm in storms(proptest::strategy::Union::new(user_deeds())),
    ) {
        let mut world = begin(bounds);
        world.lag = lag;
        world.is_strict = false;
        weather(&mut world, &storm);
    }
}
