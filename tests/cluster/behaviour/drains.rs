//! What only GracefulDeployment has: a pod that drains can be taken back, and is followed by whoever
//! operates.

use ::graceful::api::DELETION_COST;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::{is_draining, is_ready};
use crate::world::{Arm, Graceful, Now, Operator, WEB, World};

scenarios! { both:
    pod_of_lowest_deletion_cost_goes_first;
    graceful:
    scale_up_cancels_a_drain,
    drain_goes_on_under_the_next_operator,
}

fn is_withdrawn(now: &Now) -> bool {
    let is_withdrawn = |pod: &Value| is_draining(pod) && !is_ready(pod);
    now.pods.values().any(|pod| is_withdrawn(pod))
}

/// The only drain that the status remembers.
fn drain(now: &Now) -> Value {
    now.object.as_ref().unwrap()["status"]["drains"][0].clone()
}

/// B58: the warm pod is back, and no other one is made.
async fn scale_up_cancels_a_drain(world: World<Graceful>) {
    world.order("web:1", Manner::busy());
    world.create_complete(3, bounds(1, 0)).await;
    let before: Vec<String> = world.trail.now().pods.into_keys().collect();
    world.scale(2).await;
    world.until("a pod is withdrawn", is_withdrawn).await;
    world.scale(3).await;
    world.complete().await;
    let now = world
        .until("every pod serves", |now| serving(now) == 3)
        .await;
    let after: Vec<String> = now.pods.keys().cloned().collect();
    assert_eq!(after, before);
    assert!(!now.pods.values().any(|pod| is_draining(pod)));
}

/// B57: a person chooses the pod that goes at the next scale-down. Deployment's ReplicaSet does it too.
async fn pod_of_lowest_deletion_cost_goes_first<A: Arm>(world: World<A>) {
    world.create_complete(4, bounds(1, 0)).await;
    let names: Vec<String> = world.trail.now().pods.into_keys().collect();
    for (name, cost) in names.iter().zip(["0", "-5", "10", "-3"]) {
        let cost = json!({"metadata": {"annotations": {DELETION_COST: cost}}});
        world.patch_other::<Pod>(name, cost).await;
    }
    let costs = |now: &Now| {
        let pods = now.pods.values();
        let with = pods.filter(|pod| !pod["metadata"]["annotations"][DELETION_COST].is_null());
        with.count()
    };
    world
        .until("every pod has a cost", |now| costs(now) == 4)
        .await;
    until_seen_by_its_controller(&world, &names[0]).await;
    world.complete().await;
    world.scale(2).await;
    let now = world.until_only("web:1", 2).await;
    let left: Vec<&String> = now.pods.keys().collect();
    assert_eq!(left, [&names[0], &names[2]]);
}

/// Waits until the ReplicaSet's controller has seen what is on the pods: it counts a change that one of
/// them made after it.
async fn until_seen_by_its_controller<A: Arm>(world: &World<A>, pod: &str) {
    let counts = |ready: u64| {
        world.until("the ReplicaSet counts the pod anew", move |now| {
            let mut sets = now.replica_sets.values();
            sets.any(|set| set["status"]["readyReplicas"] == ready)
        })
    };
    world.order(pod, Manner::starting(Start::NeverReady));
    counts(3).await;
    world.order(pod, Manner::default());
    counts(4).await;
}

/// R02: the same epoch and the same deadline, and its end is seen.
async fn drain_goes_on_under_the_next_operator(mut world: World<Graceful>) {
    world.order("web:1", Manner::busy());
    world.create_complete(2, bounds(1, 0)).await;
    world.scale(1).await;
    let now = world
        .until("a drain has its deadline", |now| {
            is_withdrawn(now) && drain(now).get("deadline").is_some()
        })
        .await;
    let before = drain(&now);
    world.operator.as_mut().unwrap().kill();
    world.operator = Some(Operator::start(&world.namespace));
    // Seen by the new one: it counts no generation that it has not read.
    world.set(json!({"revisionHistoryLimit": 5})).await;
    world.catch_up().await;
    world.until_status("it is at work", |_| true).await;
    let after = drain(&world.trail.now());
    assert_eq!(
        (&after["epoch"], &after["deadline"]),
        (&before["epoch"], &before["deadline"])
    );
    world.order("web:1", Manner::default());
    world.complete().await;
    world.until_only(&format!("{WEB}:1"), 1).await;
}
