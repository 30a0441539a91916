//! `spec.paused`: no rollout, and all else goes on.

use serde_json::json;

use super::bounds::bounds;
use super::scenarios;
use crate::crd::kubectl;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::image;
use crate::world::{Arm, Now, World};

scenarios! { both:
    paused_object_makes_no_new_revision_until_it_is_resumed,
    paused_object_is_scaled,
    object_paused_in_a_rollout_is_scaled_and_goes_on_when_resumed,
    kubectl_waits_for_paused_and_for_available,
}

/// B18: the template that came while paused is rolled out when resumed.
async fn paused_object_makes_no_new_revision_until_it_is_resumed<A: Arm>(world: World<A>) {
    world.create_complete(2, bounds(1, 0)).await;
    world.pause().await;
    world.set_image("web:2").await;
    world.catch_up().await;
    world
        .until_status("the new template is observed", |view| view.observed == 3)
        .await;
    let began = world.mark();
    assert_eq!(world.replica_sets().await.len(), 1);
    world.resume().await;
    world.complete().await;
    world.assert_bounds(began, 2, 3);
    world.until_only("web:2", 2).await;
}

/// B19, B45: up and down, and no new revision for a template that waits.
async fn paused_object_is_scaled<A: Arm>(world: World<A>) {
    world.create_complete(1, bounds(1, 0)).await;
    world.pause().await;
    world.set_image("web:2").await;
    world.scale(4).await;
    world.until_only("web:1", 4).await;
    world.scale(2).await;
    world.until_only("web:1", 2).await;
    assert_eq!(world.replica_sets().await.len(), 1);
    world.resume().await;
    world.complete().await;
    world.until_only("web:2", 2).await;
}

/// B45: both revisions have pods; neither is rolled out further.
async fn object_paused_in_a_rollout_is_scaled_and_goes_on_when_resumed<A: Arm>(world: World<A>) {
    world.create_complete(4, bounds(1, 0)).await;
    world.order("web:2", Manner::starting(Start::NeverReady));
    let began = world.mark();
    world.set_image("web:2").await;
    world
        .until("the new revision has its pod", |now| of(now, "web:2") == 1)
        .await;
    world.pause().await;
    world.order("web:2", Manner::default());
    world.scale(8).await;
    world.catch_up().await;
    world
        .until_status("the wanted number serves", |view| view.available >= 8)
        .await;
    let scaled = world.trail.now();
    assert!(of(&scaled, "web:1") >= 4, "no old pod left");
    assert!(of(&scaled, "web:2") >= 1);
    world.assert_bounds(began, 4, 9);
    let resumed = world.mark();
    world.resume().await;
    world.complete().await;
    world.assert_bounds(resumed, 8, 9);
    world.until_only("web:2", 8).await;
}

fn of(now: &Now, wanted: &str) -> usize {
    now.pods.values().filter(|pod| image(pod) == wanted).count()
}

/// B40: by conditions, as scripts do.
async fn kubectl_waits_for_paused_and_for_available<A: Arm>(world: World<A>) {
    world.create(2, json!({"paused": true})).await;
    world.wait("condition=Progressing=Unknown");
    world.resume().await;
    world.wait("condition=Available");
    world.wait("condition=Progressing");
    world.wait("jsonpath={.status.updatedReplicas}=2");
}

impl<A: Arm> World<A> {
    /// As a person waits. In a process of its own: the scenario's thread has nothing else to do.
    fn wait(&self, what: &str) {
        let object = format!("{}/{}", A::resource().plural, crate::world::WEB);
        let what = format!("--for={what}");
        let (namespace, timeout) = (&self.namespace, "--timeout=60s");
        kubectl(&["wait", "--namespace", namespace, &object, &what, timeout]);
    }
}
