//! Others who write what is ours, or write all the time.

use std::time::Duration;

use graceful::api::{DELETION_COST, DRAIN, DRAINING};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::through::{Through, run};
use super::{expect_lag, rollout_in_peace, wait};
use crate::standin::orders::Manner;
use crate::world::WEB;

/// R29: another controller writes on everything of the object, ten times a second.
#[test]
fn rollout_goes_on_under_a_controller_that_writes_all_the_time() {
    run("busybody", async |through| {
        rollout_in_peace(&through).await;
        let mark = through.mark().await;
        through.world.set_image(&format!("{WEB}:5")).await;
        let touch = async {
            for number in 0.. {
                let mark =
                    json!({"metadata": {"annotations": {"example.com/seen": number.to_string()}}});
                touch_all::<Pod>(&through, &mark).await;
                touch_all::<ReplicaSet>(&through, &mark).await;
                let (objects, params) = (through.world.objects(), PatchParams::default());
                let patch = Patch::Merge(&mark);
                let touched = objects.patch(WEB, &params, &patch).await;
                touched.expect("touched");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = touch => {}
            () = through.settle() => {}
        }
        let end = through.last_end(&mark).await;
        assert_eq!(end.made[1], ("Pods", 2));
        assert_eq!(end.deleted[1], ("Pods", 2));
    });
}

async fn touch_all<K>(through: &Through, patch: &Value)
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + serde::de::DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let api: Api<K> = through.world.api();
    for object in api.list(&ListParams::default()).await.expect("a list") {
        let params = PatchParams::default();
        // It may be gone by now.
        let _ = api
            .patch(&object.name_any(), &params, &Patch::Merge(patch))
            .await;
    }
}

/// R30: somebody takes our marks off a pod that drains, again and again. Its drain goes on with the
/// same deadline.
#[test]
fn drain_survives_the_loss_of_its_marks() {
    run("wiped", async |through| {
        through.world.order("web:1", Manner::busy());
        through.create(2, super::spec()).await;
        through.world.scale(1).await;
        let drain = || {
            let object = through.world.trail.now().object.expect("the object");
            object["status"]["drains"][0].clone()
        };
        wait(|| drain()["deadline"].is_string()).await;
        let first = drain();
        let name = first["pod"].as_str().expect("a pod").to_owned();
        let wipe = json!({"metadata": {
            "annotations": {DRAIN: null, DELETION_COST: null}, "labels": {DRAINING: null},
        }});
        for _ in 0..3 {
            let wiped: Pod = through.world.patch_other(&name, wipe.clone()).await;
            let version = wiped.resource_version();
            through
                .world
                .until("the pod is asked again", |now| {
                    now.pods.get(&name).is_some_and(|pod| {
                        let metadata = &pod["metadata"];
                        metadata["annotations"].get(DRAIN).is_some()
                            && metadata["resourceVersion"].as_str() != version.as_deref()
                    })
                })
                .await;
        }
        let last = drain();
        assert_eq!(
            (&last["epoch"], &last["since"]),
            (&first["epoch"], &first["since"])
        );
        assert_eq!(last["deadline"], first["deadline"]);
        through.world.order("web:1", Manner::default());
        through.settle().await;
        assert_eq!(through.world.trail.now().pods.len(), 1);
    });
}

/// R37: the status of an operator that knew less: the drain goes on, and no rollout begins anew.
#[test]
fn status_of_an_older_operator_is_gone_on_from() {
    run("older", async |mut through| {
        through.world.order("web:1", Manner::busy());
        through.create(2, super::spec()).await;
        through.world.set_image("web:2").await;
        through
            .world
            .until("a drain has its deadline", |now| {
                let object = now.object.as_deref();
                object.is_some_and(|object| object["status"]["drains"][0]["deadline"].is_string())
            })
            .await;
        expect_lag(&through, 30);
        drop(through.world.operator.take());
        let mark = through.mark().await;
        let object = through.world.objects().get(WEB).await.expect("it");
        let drains = object.data["status"]["drains"].clone();
        let mut status = object.data["status"].as_object().expect("a status").clone();
        for value in status.values_mut() {
            *value = Value::Null;
        }
        status.insert("drains".into(), drains.clone());
        let patch = Patch::Merge(json!({"status": status}));
        let objects = through.world.objects();
        let written = objects
            .patch_status(WEB, &PatchParams::default(), &patch)
            .await;
        written.expect("an older status");
        through.restart();
        through.world.until_status("it is at work", |_| true).await;
        let object = through.world.trail.now().object.expect("it");
        assert_eq!(object["status"]["drains"][0]["epoch"], drains[0]["epoch"]);
        assert_eq!(
            object["status"]["drains"][0]["deadline"],
            drains[0]["deadline"]
        );
        through.world.order("web:1", Manner::default());
        through.settle().await;
        let end = through.last_end(&mark).await;
        assert!(end.made[1].1 <= 1, "{:?}", end.made);
        assert_eq!(end.made[0], ("ReplicaSets", 0));
    });
}
