//! Whom the ReplicaSet controller takes: the wrong victims that were measured on a real one appear here
//! too as soon as somebody scales without the holds, and so prove that the simulation can show them.

use std::sync::Arc;

use graceful::api::{COST_DRAINING, COST_NEXT, DELETION_COST};
use serde_json::{Value, json};

use super::apiserver::kinds::{PODS, REPLICA_SETS};
use super::apiserver::{Part, is_leaving, name, uid};
use super::hunt::hunt_for;
use super::script::Script;
use super::world::{Who, World};

/// Runs of each arm.
const RUNS: u64 = 30;

/// A ReplicaSet with four pods, two of which are withdrawn, and nobody to look after it.
fn two_withdrawn(seed: u64) -> (World, Vec<Arc<Value>>) {
    let mut script = Script::slow_controller(seed);
    script.deeds.clear();
    script.controller_lag = 400;
    let mut world = World::new(script, false);
    let set = json!({
        "metadata": {"name": "chat-1", "labels": {"app": "chat"}},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "chat"}},
            "template": super::script::template("v1"),
        },
    });
    let _ = world.create(Who::Meddler, &REPLICA_SETS, set);
    world.pass(20_000);
    let pods = world.pods();
    for pod in pods.iter().take(2) {
        world.change(uid(pod), |body| body.agent.is_ready = false);
        cost(&mut world, pod, COST_DRAINING);
    }
    world.pass(30_000);
    (world, pods)
}

fn cost(world: &mut World, pod: &Value, cost: i32) {
    let annotations = json!({DELETION_COST: cost.to_string()});
    let patch = json!({"metadata": {"annotations": annotations}});
    let _ = world.patch(Who::Meddler, (&PODS, Part::Whole), name(pod), patch);
}

/// Takes one pod away, and says whether it was the first.
fn takes_the_first(world: &mut World, pods: &[Arc<Value>]) -> bool {
    let fewer = json!({"spec": {"replicas": 3}});
    let _ = world.patch(Who::Meddler, (&REPLICA_SETS, Part::Whole), "chat-1", fewer);
    world.pass(world.now + 2000);
    let is_gone = |pod: &Arc<Value>| world.pod_of(uid(pod)).is_none_or(|pod| is_leaving(&pod));
    let gone: Vec<_> = pods.iter().filter(|pod| is_gone(pod)).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    is_gone(&pods[0])
}

fn wrong_victims(act: impl Fn(&mut World, &[Arc<Value>])) -> u64 {
    let wrong = |seed: &u64| {
        let (mut world, pods) = two_withdrawn(*seed);
        act(&mut world, &pods);
        !takes_the_first(&mut world, &pods)
    };
    (0..RUNS).filter(wrong).count() as u64
}

#[test]
fn equal_costs_take_the_pod_that_still_drains() {
    let wrong = wrong_victims(|_, _| {});
    assert!(wrong * 5 > RUNS, "{wrong} of {RUNS}");
}

#[test]
fn a_cost_written_with_the_scale_comes_too_late_at_times() {
    let wrong = wrong_victims(|world, pods| cost(world, &pods[0], COST_NEXT));
    assert!(wrong > 0, "{wrong} of {RUNS}");
    assert!(wrong * 2 < RUNS, "{wrong} of {RUNS}");
}

#[test]
fn a_cost_that_had_half_a_second_decides() {
    let wrong = wrong_victims(|world, pods| {
        cost(world, &pods[0], COST_NEXT);
        world.pass(world.now + 500);
    });
    assert_eq!(wrong, 0);
}

/// The operator's hold on a controller that has not caught up is what keeps pods that serve.
#[test]
fn without_the_evidence_of_its_status_a_replica_set_takes_wrong_pods() {
    let honest = |seed| Script::slow_controller(seed);
    let flattered = |seed| Script {
        is_flattered: true,
        ..Script::slow_controller(seed)
    };
    // Among many that drain at the same time the order rests on a cost, and the status tells of that too.
    let crowded = |seed| {
        let mut script = Script::slow_controller(seed);
        script.object["spec"]["strategy"]["rollingUpdate"]["maxDraining"] = json!(4);
        script
    };
    for (_, broken) in [hunt_for(0..RUNS, honest), hunt_for(0..4 * RUNS, crowded)] {
        let broken: Vec<_> = broken
            .iter()
            .map(|one| (one.script.seed, &one.what))
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
    let (_, broken) = hunt_for(0..RUNS, flattered);
    let is_wrong = |what: &str| what.contains("was not given up");
    assert!(
        broken.iter().any(|one| is_wrong(&one.what)),
        "none of {RUNS}"
    );
}
