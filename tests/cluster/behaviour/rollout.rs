//! A change of the template, one after the other or many at once.

use std::time::Duration;

use serde_json::{Value, json};

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::{image, is_ready, is_terminating};
use crate::world::{Arm, World};

scenarios! { both:
    template_change_replaces_every_pod,
    rollover_ends_on_the_last_template,
    big_rollout_and_rollover_stay_within_bounds,
    restart_cycles_every_pod_within_bounds,
    template_change_overtakes_a_restart,
    replicas_and_template_change_at_once,
    undo_brings_the_earlier_template_back,
}

/// B01: one new revision, owned by the object, numbered one higher; the old one is left with no pod.
async fn template_change_replaces_every_pod<A: Arm>(world: World<A>) {
    world.create_complete(3, bounds(1, 0)).await;
    let began = world.mark();
    let object = world.set_image("web:2").await;
    world.complete().await;
    world.assert_bounds(began, 3, 4);
    world.until_only("web:2", 3).await;
    let sets = world.replica_sets().await;
    assert_eq!(sets.len(), 2);
    let (old, new) = (&sets[0], &sets[1]);
    assert_eq!(World::<A>::revision(new), World::<A>::revision(old) + 1);
    assert_eq!(old.spec.as_ref().unwrap().replicas, Some(0));
    let owners = new.metadata.owner_references.clone().unwrap();
    assert_eq!(owners.len(), 1);
    assert_eq!(Some(&owners[0].uid), object.metadata.uid.as_ref());
    assert_eq!(owners[0].controller, Some(true));
}

/// B04: templates follow each other before any of them is rolled out.
async fn rollover_ends_on_the_last_template<A: Arm>(world: World<A>) {
    world.create_complete(4, bounds(1, 1)).await;
    let began = world.mark();
    for image in ["web:2", "web:3", "web:4"] {
        world.order(image, slow());
        world.set_image(image).await;
        world
            .until("the new revision has pods", |now| {
                now.pods.values().any(|pod| self::image(pod) == image)
            })
            .await;
    }
    world.complete().await;
    world.assert_bounds(began, 3, 5);
    world.until_only("web:4", 4).await;
}

/// Ready late enough that a rollout is overtaken.
fn slow() -> Manner {
    Manner::starting(Start::Ready(Duration::from_secs(1)))
}

/// B16: 20 replicas with 25 % each way; then a change in the middle of the next change.
async fn big_rollout_and_rollover_stay_within_bounds<A: Arm>(world: World<A>) {
    let quarter =
        json!({"strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}});
    world.create_complete(20, quarter).await;
    let began = world.mark();
    world.set_image("web:2").await;
    world.complete().await;
    world.set_image("web:3").await;
    world
        .until("five pods of the third revision serve", |now| {
            let third = now.pods.values().filter(|pod| image(pod) == "web:3");
            third.filter(|pod| is_ready(pod)).count() >= 5
        })
        .await;
    world.set_image("web:4").await;
    world.complete().await;
    world.assert_bounds(began, 15, 25);
    world.until_only("web:4", 20).await;
    let sets = world.replica_sets().await;
    let asked = sets.iter().map(|set| set.spec.as_ref().unwrap().replicas);
    assert_eq!(asked.collect::<Vec<_>>(), [0, 0, 0, 20].map(Some));
}

/// B31: restart replaces every pod by one of the same image, within maxUnavailable.
async fn restart_cycles_every_pod_within_bounds<A: Arm>(world: World<A>) {
    world.create_complete(4, bounds(0, 1)).await;
    let before: Vec<String> = world.trail.now().pods.into_keys().collect();
    let began = world.mark();
    world.restart().await;
    world.complete().await;
    world.assert_bounds(began, 3, 4);
    let after = world.until_only("web:1", 4).await;
    assert!(before.iter().all(|name| !after.pods.contains_key(name)));
}

/// B31: a template that is edited while pods are restarted is the one that is rolled out.
async fn template_change_overtakes_a_restart<A: Arm>(world: World<A>) {
    world.create_complete(4, bounds(1, 0)).await;
    let began = world.mark();
    world.restart().await;
    world
        .until("a restarted pod", |now| now.pods.len() > 4)
        .await;
    world.set_image("web:2").await;
    world.complete().await;
    world.assert_bounds(began, 4, 5);
    world.until_only("web:2", 4).await;
}

/// B23, B41: replicas and image in one edit, up and down; the least that serves is that of the smaller
/// number.
async fn replicas_and_template_change_at_once<A: Arm>(world: World<A>) {
    world.create_complete(3, bounds(1, 1)).await;
    let began = world.mark();
    world.set(replicas_and_image(6, "web:2")).await;
    world.complete().await;
    world.assert_bounds(began, 2, 7);
    world.until_only("web:2", 6).await;
    let began = world.mark();
    world.set(replicas_and_image(2, "web:3")).await;
    world.complete().await;
    world.assert_bounds(began, 1, 6);
    let now = world.until_only("web:3", 2).await;
    assert_eq!(serving(&now), 2);
}

fn replicas_and_image(replicas: i32, image: &str) -> Value {
    // A merge patch has the list of containers as a whole.
    json!({"replicas": replicas, "template": {"spec": {"containers": [
        {"name": crate::world::WEB, "image": image},
    ]}}})
}

/// Undo writes an earlier template back: its ReplicaSet takes over again and becomes the newest.
async fn undo_brings_the_earlier_template_back<A: Arm>(world: World<A>) {
    world.create_complete(2, bounds(1, 0)).await;
    let first = world.replica_sets().await.remove(0);
    world.set_image("web:2").await;
    world.complete().await;
    let began = world.mark();
    world.undo(1).await;
    world.complete().await;
    world.assert_bounds(began, 2, 3);
    let now = world.until_only("web:1", 2).await;
    let sets = world.replica_sets().await;
    assert_eq!(sets.len(), 2, "no third revision");
    assert_eq!(sets[1].metadata.uid, first.metadata.uid);
    assert_eq!(World::<A>::revision(&sets[1]), 3);
    assert!(now.pods.values().all(|pod| !is_terminating(pod)));
}
