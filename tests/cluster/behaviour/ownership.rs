//! Who owns what, and what goes with whom.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::PropagationPolicy;
use serde_json::json;

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::world::{Arm, Now, WEB, World};

scenarios! { both:
    deletion_in_the_background_takes_everything_along,
    deletion_in_the_foreground_takes_everything_along,
    orphaned_pods_serve_on_and_a_new_object_adopts_them,
    replica_set_without_a_controller_is_adopted_and_other_owners_are_kept,
    replica_set_is_released_and_adopted_by_its_labels,
}

/// B14.
async fn deletion_in_the_background_takes_everything_along<A: Arm>(world: World<A>) {
    delete_everything(&world, PropagationPolicy::Background).await;
}

/// B14.
async fn deletion_in_the_foreground_takes_everything_along<A: Arm>(world: World<A>) {
    delete_everything(&world, PropagationPolicy::Foreground).await;
}

async fn delete_everything<A: Arm>(world: &World<A>, policy: PropagationPolicy) {
    world.create_complete(2, bounds(1, 0)).await;
    world.set_image("web:2").await;
    world.complete().await;
    world.delete(policy).await;
    world
        .until("nothing is left", |now| {
            now.object.is_none() && now.replica_sets.is_empty() && now.pods.is_empty()
        })
        .await;
}

fn uids(now: &Now) -> BTreeMap<String, String> {
    let uid = |object: &serde_json::Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let objects = now.pods.iter().chain(&now.replica_sets);
    objects
        .map(|(name, object)| (name.clone(), uid(object)))
        .collect()
}

fn owners(set: &ReplicaSet) -> &[OwnerReference] {
    set.owner_references()
}

/// B06: not one pod is touched.
async fn orphaned_pods_serve_on_and_a_new_object_adopts_them<A: Arm>(world: World<A>) {
    world.create_complete(3, bounds(1, 0)).await;
    let before = uids(&world.trail.now());
    let began = world.mark();
    world.delete(PropagationPolicy::Orphan).await;
    world
        .until("the object is gone", |now| now.object.is_none())
        .await;
    let orphan = world.replica_sets().await.remove(0);
    assert!(owners(&orphan).is_empty(), "{orphan:?}");
    let created = world.create(3, bounds(1, 0)).await;
    world.complete().await;
    let adopted = world.replica_sets().await;
    assert_eq!(adopted.len(), 1);
    assert_eq!(
        Some(&owners(&adopted[0])[0].uid),
        created.metadata.uid.as_ref()
    );
    assert_eq!(owners(&adopted[0])[0].controller, Some(true));
    assert_eq!(uids(&world.trail.now()), before);
    world.assert_bounds(began, 3, 3);
}

/// B26.
async fn replica_set_without_a_controller_is_adopted_and_other_owners_are_kept<A: Arm>(
    world: World<A>,
) {
    world.create_complete(1, json!({})).await;
    let set = world.replica_sets().await.remove(0);
    let own = owners(&set)[0].clone();
    let other = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "name": "default",
        "uid": world.uid_of_service_account().await,
    });
    let not_controlling = json!({
        "apiVersion": own.api_version, "kind": own.kind, "name": own.name, "uid": own.uid,
        "controller": false,
    });
    for changed in [json!([other]), json!([other, not_controlling])] {
        let patch = json!({"metadata": {"ownerReferences": changed}});
        world
            .patch_other::<ReplicaSet>(&set.name_any(), patch)
            .await;
        world
            .until("the ReplicaSet has its controller again", |now| {
                let set = now.replica_sets.values().next().unwrap();
                let owners = set["metadata"]["ownerReferences"].as_array().unwrap();
                owners.iter().any(|one| one["kind"] == "ServiceAccount")
                    && owners
                        .iter()
                        .any(|one| one["uid"] == json!(own.uid) && one["controller"] == true)
            })
            .await;
    }
    let now = world.trail.now();
    assert_eq!((now.replica_sets.len(), now.pods.len()), (1, 1));
}

/// B28: a ReplicaSet whose labels match no more is let go, and another one is made under a name that
/// is free; with its labels it comes back.
async fn replica_set_is_released_and_adopted_by_its_labels<A: Arm>(world: World<A>) {
    let object = world.create(1, json!({})).await;
    world.complete().await;
    let first = world.replica_sets().await.remove(0).name_any();
    let label = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    world.patch_other::<ReplicaSet>(&first, label("else")).await;
    let owner_of_first = |now: &Now| {
        let path = "/metadata/ownerReferences/0/uid";
        let owner = now.replica_sets[&first].pointer(path).cloned();
        owner.map(|uid| uid.as_str().unwrap().to_owned())
    };
    world
        .until("it is released and replaced", |now| {
            owner_of_first(now).is_none() && now.replica_sets.len() == 2
        })
        .await;
    world
        .until_status("one collision is counted", |view| {
            view.collisions == 1 && view.is_complete()
        })
        .await;
    world.until("both serve", |now| serving(now) == 2).await;
    world.patch_other::<ReplicaSet>(&first, label(WEB)).await;
    world
        .until("it is adopted again", |now| {
            owner_of_first(now) == object.metadata.uid
        })
        .await;
    world.complete().await;
    world
        .until("one pod too many goes", |now| now.pods.len() == 1)
        .await;
}
