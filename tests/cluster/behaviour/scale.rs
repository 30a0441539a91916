//! Another number of replicas, at rest and in the middle of something.

use std::time::Duration;

use kube::api::PostParams;
use serde_json::json;

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::image;
use crate::world::{Arm, WEB, World};

scenarios! { both:
    scale_subresource_is_read_updated_and_patched,
    each_number_of_replicas_is_reached_and_observed,
    edit_that_needs_no_pod_is_observed,
    scaling_in_the_middle_of_a_rollout_stays_within_bounds,
    scaling_down_in_the_middle_of_a_rollout_stays_within_bounds,
    blocked_rollout_is_scaled_by_share,
}

/// B07, B27: by get, update and patch; to three and then to none.
async fn scale_subresource_is_read_updated_and_patched<A: Arm>(world: World<A>) {
    world.create_complete(1, json!({})).await;
    let mut scale = world.objects().get_scale(WEB).await.unwrap();
    assert_eq!(scale.spec.as_ref().unwrap().replicas, Some(1));
    let status = scale.status.clone().unwrap();
    assert_eq!(status.replicas, 1);
    assert!(status.selector.unwrap().starts_with("app=web"));
    scale.spec.as_mut().unwrap().replicas = Some(3);
    let params = PostParams::default();
    let updated = world.objects().replace_scale(WEB, &params, &scale).await;
    assert_eq!(updated.unwrap().spec.unwrap().replicas, Some(3));
    world.complete().await;
    world.until_only("web:1", 3).await;
    world.scale(0).await;
    world.complete().await;
    world.until_only("web:1", 0).await;
}

/// B24: two, none, one.
async fn each_number_of_replicas_is_reached_and_observed<A: Arm>(world: World<A>) {
    world.create(2, json!({})).await;
    for (replicas, count) in [(2, 2), (0, 0), (1, 1)] {
        world.set(json!({"replicas": replicas})).await;
        let view = world.complete().await;
        assert_eq!(view.wanted, i64::from(replicas));
        assert_eq!(view.observed, view.generation);
        world.until_only("web:1", count).await;
    }
    assert_eq!(world.replica_sets().await.len(), 1);
}

/// B24: observedGeneration follows every edit of the spec.
async fn edit_that_needs_no_pod_is_observed<A: Arm>(world: World<A>) {
    world.create_complete(1, json!({})).await;
    let edited = world.set(json!({"revisionHistoryLimit": 3})).await;
    assert_eq!(edited.metadata.generation, Some(2));
    world.catch_up().await;
    world.until_status("the edit is observed", |_| true).await;
    assert_eq!(world.trail.now().pods.len(), 1);
}

/// B45: twice as many in the middle of a rollout.
async fn scaling_in_the_middle_of_a_rollout_stays_within_bounds<A: Arm>(world: World<A>) {
    scale_in_the_middle(&world, 8, 10).await;
    world.until_only("web:2", 8).await;
}

/// B45: half as many in the middle of a rollout.
async fn scaling_down_in_the_middle_of_a_rollout_stays_within_bounds<A: Arm>(world: World<A>) {
    scale_in_the_middle(&world, 2, 6).await;
    world.until_only("web:2", 2).await;
}

async fn scale_in_the_middle<A: Arm>(world: &World<A>, replicas: i32, most: usize) {
    world.create_complete(4, bounds(2, 0)).await;
    world.order(
        "web:2",
        Manner::starting(Start::Ready(Duration::from_secs(1))),
    );
    let began = world.mark();
    world.set_image("web:2").await;
    world
        .until("the new revision has pods", |now| {
            now.pods.values().any(|pod| image(pod) == "web:2")
        })
        .await;
    world.scale(replicas).await;
    world.complete().await;
    let least = usize::try_from(replicas).unwrap().min(4);
    world.assert_bounds(began, least, most);
    assert!(serving(&world.trail.now()) >= least);
}

/// B08: 8 and 5 of 13 become 20 and 13 of 33.
async fn blocked_rollout_is_scaled_by_share<A: Arm>(world: World<A>) {
    world.create_complete(10, bounds(3, 2)).await;
    world.order("web:2", Manner::starting(Start::NeverReady));
    let began = world.mark();
    world.set_image("web:2").await;
    let wants = |old: u64, new: u64| {
        world.until("each revision's share", move |now| {
            let of = |wanted: &str| {
                let mut sets = now.replica_sets.values();
                let set = sets.find(|set| image(set) == wanted);
                set.map(|set| set["spec"]["replicas"].as_u64().unwrap())
            };
            of("web:1") == Some(old) && of("web:2") == Some(new)
        })
    };
    wants(8, 5).await;
    world.scale(30).await;
    wants(20, 13).await;
    world.assert_bounds(began, 8, 33);
}
