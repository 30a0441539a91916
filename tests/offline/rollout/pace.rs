//! How long rollouts take against the bound of what is possible, and how many writes they cost.

use std::collections::BTreeMap;

use crate::cases::is_short;

use super::scenarios::running;
use super::world::{Pace, World};

/// Time that no operator can save: max(⌈n/s⌉·S + D, ⌈n/d⌉·D + S).
fn bound(world: &World) -> i64 {
    let pace = world.pace;
    let (n, s, d) = (
        i64::from(world.target.replicas),
        i64::from(world.target.max_surge),
        i64::from(world.target.max_draining),
    );
    let start = pace.start + pace.slices;
    let drained = pace.hear + pace.work + pace.publish;
    let waves = |room: i64| (n + room - 1) / room;
    let starting = waves(s) * start + drained + pace.exit;
    let draining = waves(d) * drained + pace.exit + start;
    starting.max(draining)
}

fn paced(replicas: u32, max_surge: u32, max_draining: u32) -> World {
    running(|target| {
        (target.replicas, target.max_surge, target.max_draining) =
            (replicas, max_surge, max_draining);
    })
}

/// The largest rollouts take seconds each, unoptimised.
fn is_left_out(replicas: u32) -> bool {
    replicas > 30 && is_short()
}

/// Percent of the bound that a rollout takes.
fn efficiency(mut world: World) -> i64 {
    let bound = bound(&world);
    world.apply("v2");
    let took = world.settle();
    let percent = took * 1000 / bound;
    let target = &world.target;
    println!(
        "n {:3} s {:2} d {:3}: {took:7} ms, bound {bound:7} ms, {}.{} %, {:?}",
        target.replicas,
        target.max_surge,
        target.max_draining,
        percent / 10,
        percent % 10,
        world.writes
    );
    percent
}

#[test]
fn rollouts_take_at_most_a_twentieth_more_than_the_bound() {
    for (replicas, surge, draining) in [
        (1, 1, 1),
        (4, 1, 4),
        (4, 4, 4),
        (4, 2, 1),
        (30, 1, 30),
        (30, 8, 30),
        (30, 8, 8),
        (100, 25, 100),
        (100, 25, 10),
        (100, 100, 100),
    ] {
        if is_left_out(replicas) {
            continue;
        }
        let percent = efficiency(paced(replicas, surge, draining));
        assert!(percent <= 1050, "{percent}");
    }
}

#[test]
fn idle_pods_leave_after_their_least_time() {
    let mut world = paced(4, 1, 4);
    world.pace = Pace {
        work: 0,
        ..Pace::default()
    };
    world.apply("v2");
    let took = world.settle();
    // Four starts, then the last drain: hear, withdraw, minSeconds, publish, exit.
    let least = 4 * 10_020 + 74 + 1000 + 5000 + 800 + 500;
    assert!(took * 100 <= least * 105, "{took} ms, least {least} ms");
}

#[test]
fn writes_stay_within_four_a_pod_and_four_a_wave() {
    for collect in [0, 100] {
        for (replicas, surge) in [(4, 1), (4, 4), (30, 8), (100, 25), (100, 100)] {
            if is_left_out(replicas) {
                continue;
            }
            let mut world = paced(replicas, surge, replicas);
            world.pace.collect = collect;
            world.apply("v2");
            let took = world.settle();
            let writes = world.writes;
            let waves = replicas.div_ceil(surge);
            let (goal, most) = (4 * replicas + 3 * waves, 4 * replicas + 4 * waves);
            let all = writes.memory + writes.pods + writes.sets;
            println!(
                "n {replicas:3} waves {waves} collect {collect:3} ms: {took} ms, {writes:?}, {all}, goal {goal}"
            );
            // One by one, each pod of a wave is a status of its own.
            assert!(
                collect == 0 || all <= most as usize,
                "{all} writes, at most {most}: {writes:?}"
            );
        }
    }
}

/// R31: seen twenty times a second.
#[test]
fn revisions_grow_and_shrink_without_a_step_back() {
    let mut world = running(|target| {
        (target.replicas, target.max_surge, target.max_unavailable) = (10, 3, 2);
    });
    world.apply("v2");
    let mut sizes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for _ in 0..6000 {
        world.run_for(50);
        for set in &world.sets {
            sizes
                .entry(set.name.clone())
                .or_default()
                .push(set.replicas);
        }
    }
    assert!(sizes["v1"].is_sorted_by(|a, b| a >= b), "{:?}", sizes["v1"]);
    assert!(sizes["v2"].is_sorted(), "{:?}", sizes["v2"]);
    assert_eq!(
        (sizes["v1"].last(), sizes["v2"].last()),
        (Some(&0), Some(&10))
    );
}
