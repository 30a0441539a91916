//! Pods that change hands between Deployment, GracefulDeployment and nobody, drains under way included.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::graceful::api::{ADOPTED, DELETION_COST, DRAIN, DRAINING, LAST_APPLIED, USER_DELETION_COST};
use k8s_openapi::api::apps::v1::{Deployment as Plain, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::bounds::{bounds, serving};
use super::{WAIT, scenarios};
use crate::standin::orders::Manner;
use crate::world::trail::{image, is_ready};
use crate::world::{Graceful, Now, Operator, WEB, World};

scenarios! { graceful:
    plain_deployments_pods_are_kept_where_the_template_is_the_same,
    plain_deployments_pods_are_replaced_within_bounds_by_another_template,
    replica_set_without_the_hash_label_is_adopted,
    replica_set_that_was_given_back_is_adopted_again_with_its_pods,
    orphaned_pods_lose_the_marks_of_their_drain,
    pods_that_were_orphaned_while_no_operator_ran_lose_their_marks,
    released_pods_lose_the_marks_of_their_drain,
    two_objects_of_one_selector_keep_to_their_own,
    replica_set_follows_its_object_at_once,
}

/// A Deployment with the pods that the object is to take over, deleted and left behind.
async fn orphans_of_a_deployment(world: &World<Graceful>) -> BTreeSet<String> {
    let deployments: Api<Plain> = world.api();
    let plain = json!({
        "metadata": {"name": WEB},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": WEB}},
            "template": World::<Graceful>::template("web:1"),
        },
    });
    let plain = serde_json::from_value(plain).unwrap();
    let made = deployments.create(&PostParams::default(), &plain).await;
    made.expect("a Deployment");
    world.until("it serves", |now| serving(now) == 3).await;
    let orphan = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    deployments.delete(WEB, &orphan).await.expect("deleted");
    names(&until_nobodys(world).await)
}

async fn until_nobodys(world: &World<Graceful>) -> Now {
    world
        .until("its ReplicaSets are nobody's", |now| {
            let mut sets = now.replica_sets.values();
            sets.all(|set| set.pointer("/metadata/ownerReferences").is_none())
        })
        .await
}

fn names(now: &Now) -> BTreeSet<String> {
    now.pods.keys().cloned().collect()
}

async fn set_of(world: &World<Graceful>, wanted: &str) -> ReplicaSet {
    let sets = world.replica_sets().await;
    let mut sets = sets.into_iter();
    sets.find(|set| image(&json!(set)) == wanted)
        .expect("a ReplicaSet")
}

/// B06: the migration that the README shows. The pods stay, count, and leave at the next rollout.
async fn plain_deployments_pods_are_kept_where_the_template_is_the_same(world: World<Graceful>) {
    let before = orphans_of_a_deployment(&world).await;
    let began = world.mark();
    world.create(3, bounds(1, 0)).await;
    world.complete().await;
    assert_eq!(names(&world.trail.now()), before);
    let set = set_of(&world, "web:1").await;
    assert!(!set.annotations()[ADOPTED].is_empty(), "{set:?}");
    world
        .never("an adopted pod is replaced", WAIT, |now| {
            names(now) != before
        })
        .await;
    assert_eq!(world.replica_sets().await.len(), 1);
    // A pod that is made from now on has an agent.
    world.scale(4).await;
    world.complete().await;
    let object = world.trail.now().object.unwrap();
    assert_eq!(object["status"]["outdatedReplicas"], 3);
    world.set_image("web:2").await;
    world.complete().await;
    world.until_only("web:2", 4).await;
    world.assert_bounds(began, 3, 5);
    world.undo(1).await;
    world.complete().await;
    world.until_only("web:1", 4).await;
}

/// B06, B16.
async fn plain_deployments_pods_are_replaced_within_bounds_by_another_template(
    world: World<Graceful>,
) {
    orphans_of_a_deployment(&world).await;
    let began = world.mark();
    let mut object = World::<Graceful>::object(3, &bounds(1, 0));
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
    world.try_create(object).await.expect("created");
    world.complete().await;
    world.until_only("web:2", 3).await;
    world.assert_bounds(began, 3, 4);
    let old = set_of(&world, "web:1").await;
    assert_eq!(old.annotations()[ADOPTED], "");
}

/// B06, B26: there and back, and there again. What happens to its pods while it is nobody's is not seen.
async fn replica_set_that_was_given_back_is_adopted_again_with_its_pods(world: World<Graceful>) {
    let before = orphans_of_a_deployment(&world).await;
    world.create_complete(3, bounds(1, 0)).await;
    world.delete(kube::api::PropagationPolicy::Orphan).await;
    until_nobodys(&world).await;
    for pod in &before {
        let note = json!({"metadata": {"annotations": {"example.com/seen": "yes"}}});
        world.patch_other::<Pod>(pod, note).await;
    }
    world.create_complete(3, bounds(1, 0)).await;
    assert_eq!(names(&world.trail.now()), before);
    world.set_image("web:2").await;
    world.complete().await;
    world.until_only("web:2", 3).await;
}

/// B01, B26: one that no Deployment made.
async fn replica_set_without_the_hash_label_is_adopted(world: World<Graceful>) {
    let sets: Api<ReplicaSet> = world.api();
    let bare = json!({
        "metadata": {"name": "bare", "labels": {"app": WEB}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": WEB}},
            "template": World::<Graceful>::template("web:1"),
        },
    });
    let bare = serde_json::from_value(bare).unwrap();
    sets.create(&PostParams::default(), &bare)
        .await
        .expect("a ReplicaSet");
    let before = names(&world.until("it serves", |now| serving(now) == 2).await);
    world.create(2, bounds(1, 0)).await;
    world.complete().await;
    assert_eq!(names(&world.trail.now()), before);
    world.set_image("web:2").await;
    world.complete().await;
    world.until_only("web:2", 2).await;
}

/// Pods that drain for a rollout and do not finish.
async fn draining(world: &World<Graceful>) {
    world.create_complete(2, bounds(1, 0)).await;
    world.order("web:1", Manner::busy());
    world.set_image("web:2").await;
    world
        .until("a pod drains", |now| {
            now.pods
                .values()
                .any(|pod| is_marked(pod) && !is_ready(pod))
        })
        .await;
}

fn is_marked(pod: &Value) -> bool {
    let metadata = &pod["metadata"];
    let notes = [DRAIN, DELETION_COST, USER_DELETION_COST];
    !metadata["labels"][DRAINING].is_null()
        || notes
            .iter()
            .any(|key| !metadata["annotations"][key].is_null())
}

async fn until_unmarked(world: &World<Graceful>) {
    let serve = |now: &Now| {
        let mut pods = now.pods.values();
        pods.all(|pod| !is_marked(pod) && is_ready(pod))
    };
    world
        .until("every pod serves, and none has a mark", serve)
        .await;
}

/// B06, R19: what drained serves again, and all of it is adopted.
async fn orphaned_pods_lose_the_marks_of_their_drain(world: World<Graceful>) {
    draining(&world).await;
    let before = names(&world.trail.now());
    world.delete(kube::api::PropagationPolicy::Orphan).await;
    until_unmarked(&world).await;
    let now = world.trail.now();
    assert!(now.object.is_none());
    // One that takes the place of the pod that drained may have come since.
    assert!(names(&now).is_superset(&before), "{before:?}");
}

/// R19: found by the operator that comes after.
async fn pods_that_were_orphaned_while_no_operator_ran_lose_their_marks(
    mut world: World<Graceful>,
) {
    draining(&world).await;
    world.operator.take();
    world.delete(kube::api::PropagationPolicy::Orphan).await;
    world
        .until("the object is gone", |now| {
            let mut sets = now.replica_sets.values();
            now.object.is_none()
                && sets.all(|set| set.pointer("/metadata/ownerReferences").is_none())
        })
        .await;
    assert!(world.trail.now().pods.values().any(|pod| is_marked(pod)));
    world.operator = Some(Operator::start(&world.namespace));
    until_unmarked(&world).await;
}

/// B28, R19.
async fn released_pods_lose_the_marks_of_their_drain(world: World<Graceful>) {
    draining(&world).await;
    let old = set_of(&world, "web:1").await.name_any();
    let label = json!({"metadata": {"labels": {"app": "else"}}});
    world.patch_other::<ReplicaSet>(&old, label).await;
    until_unmarked(&world).await;
    world.complete().await;
    let pods: Api<Pod> = world.api();
    let left = pods.list(&ListParams::default()).await.unwrap().items;
    let of_old = left.iter().filter(|pod| pod.name_any().starts_with(&old));
    assert_eq!(of_old.count(), 2, "nobody's pods are left alone");
}

/// B22, R33: each has as many as it wants, of its own.
async fn two_objects_of_one_selector_keep_to_their_own(world: World<Graceful>) {
    let mut other = World::<Graceful>::object(2, &bounds(1, 0));
    other["metadata"]["name"] = json!("other");
    world.create_complete(2, bounds(1, 0)).await;
    world.try_create(other).await.expect("created");
    world.until("both serve", |now| serving(now) == 4).await;
    world.set_image("web:2").await;
    world.complete().await;
    let now = world.trail.now();
    let with = |wanted: &str| now.pods.values().filter(|pod| image(pod) == wanted).count();
    assert_eq!((with("web:1"), with("web:2")), (2, 2));
    let owner = |set: &std::sync::Arc<Value>| {
        let owner = &set["metadata"]["ownerReferences"][0]["name"];
        owner.as_str().unwrap().to_owned()
    };
    let owners: BTreeSet<_> = now.replica_sets.values().map(owner).collect();
    assert_eq!(owners, BTreeSet::from([WEB.to_owned(), "other".to_owned()]));
}

/// B15, B25: annotations, and the seconds by which it counts its pods available.
async fn replica_set_follows_its_object_at_once(world: World<Graceful>) {
    world
        .create_complete(1, json!({"minReadySeconds": 2}))
        .await;
    let pods = names(&world.trail.now());
    let params = kube::api::PatchParams::default();
    let patch = kube::api::Patch::Merge(json!({
        "metadata": {"annotations": {"team": "a", LAST_APPLIED: "{}"}},
        "spec": {"minReadySeconds": 1},
    }));
    let began = Instant::now();
    world
        .objects()
        .patch(WEB, &params, &patch)
        .await
        .expect("patched");
    let now = world
        .until("its ReplicaSet says so", |now| {
            let mut sets = now.replica_sets.values();
            sets.all(|set| {
                set["spec"]["minReadySeconds"] == 1 && set["metadata"]["annotations"]["team"] == "a"
            })
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(30));
    let mut sets = now.replica_sets.values();
    let copied =
        |set: &std::sync::Arc<Value>| !set["metadata"]["annotations"][LAST_APPLIED].is_null();
    assert!(!sets.any(copied));
    assert_eq!(names(&now), pods);
}
