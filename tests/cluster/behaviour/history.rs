//! Earlier revisions: how many are kept, under which names, with what on them.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::bounds::bounds;
use super::scenarios;
use crate::world::{Arm, WEB, World};

scenarios! { both:
    history_beyond_the_limit_is_deleted,
    no_history_leaves_one_replica_set,
    replica_set_carries_annotations_and_the_hash,
    taken_name_is_counted_and_passed_by,
    changed_annotation_is_handed_down,
}

/// B03: the newest ones stay, and a lower limit takes effect at once.
async fn history_beyond_the_limit_is_deleted<A: Arm>(world: World<A>) {
    let mut spec = bounds(1, 0);
    spec["revisionHistoryLimit"] = json!(2);
    world.create_complete(1, spec).await;
    for number in 2..=5 {
        world.set_image(&format!("web:{number}")).await;
        world.complete().await;
    }
    world.until_revisions(&[3, 4, 5]).await;
    world.set(json!({"revisionHistoryLimit": 1})).await;
    world.until_revisions(&[4, 5]).await;
}

/// B03.
async fn no_history_leaves_one_replica_set<A: Arm>(world: World<A>) {
    let mut spec = bounds(1, 0);
    spec["revisionHistoryLimit"] = json!(0);
    world.create_complete(1, spec).await;
    world.set_image("web:2").await;
    world.complete().await;
    world.until_revisions(&[2]).await;
}

impl<A: Arm> World<A> {
    async fn until_revisions(&self, numbers: &[i64]) {
        self.until("exactly these revisions are left", |now| {
            let number = |set: &serde_json::Value| -> i64 {
                let text = &set["metadata"]["annotations"][A::REVISION];
                text.as_str().unwrap_or_default().parse().unwrap_or(0)
            };
            let mut left: Vec<i64> = now.replica_sets.values().map(|set| number(set)).collect();
            left.sort_unstable();
            left == numbers
        })
        .await;
    }
}

/// B15: the object's annotations but kubectl's own; the template's hash in name, selector and labels.
async fn replica_set_carries_annotations_and_the_hash<A: Arm>(world: World<A>) {
    let mut object = World::<A>::object(1, &json!({}));
    let last_applied = "kubectl.kubernetes.io/last-applied-configuration";
    object["metadata"]["annotations"] = json!({"team": "web", last_applied: "{}"});
    world.try_create(object).await.unwrap();
    world.complete().await;
    let set = world.replica_sets().await.remove(0);
    assert_eq!(set.annotations().get("team").unwrap(), "web");
    assert_eq!(set.annotations().get(last_applied), None);
    let spec = set.spec.as_ref().unwrap();
    let hash = set.labels()["pod-template-hash"].clone();
    assert_eq!(set.name_any(), format!("{WEB}-{hash}"));
    let selector = spec.selector.match_labels.clone().unwrap();
    assert_eq!(selector["pod-template-hash"], hash);
    assert_eq!(selector["app"], WEB);
    let now = world.trail.now();
    let pod = now.pods.values().next().unwrap();
    assert_eq!(pod["metadata"]["labels"]["pod-template-hash"], json!(hash));
}

/// B15: a change of the object's annotations reaches the ReplicaSet that is there.
async fn changed_annotation_is_handed_down<A: Arm>(world: World<A>) {
    world.create_complete(1, json!({})).await;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"team": "chat"}}}));
    let params = PatchParams::default();
    world.objects().patch(WEB, &params, &patch).await.unwrap();
    world
        .until("the changed annotation is handed down", |now| {
            let set = now.replica_sets.values().next().unwrap();
            set["metadata"]["annotations"]["team"] == "chat"
        })
        .await;
}

/// B20: somebody else's ReplicaSet has the name that the template's hash gives.
async fn taken_name_is_counted_and_passed_by<A: Arm>(world: World<A>) {
    world.create_complete(1, bounds(1, 0)).await;
    world.set_image("web:2").await;
    world.complete().await;
    let name = world.replica_sets().await[1].name_any();
    world.undo(1).await;
    world.complete().await;
    let sets: Api<ReplicaSet> = world.api();
    sets.delete(&name, &DeleteParams::background())
        .await
        .unwrap();
    world
        .until("the name is free", |now| {
            !now.replica_sets.contains_key(&name)
        })
        .await;
    let labels = json!({"app": "else"});
    let foreign = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": World::<A>::template("else:1")["spec"]},
        },
    }))
    .unwrap();
    sets.create(&PostParams::default(), &foreign).await.unwrap();
    world.set_image("web:2").await;
    world.catch_up().await;
    world
        .until_status("the collision is counted", |view| view.collisions == 1)
        .await;
    world.complete().await;
    world.until_only("web:2", 1).await;
    let foreign = sets.get(&name).await.unwrap();
    assert!(foreign.owner_references().is_empty());
}
