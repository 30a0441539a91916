//! The object itself: what is stored, what is refused, and who may write what.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};

use super::bounds::bounds;
use super::scenarios;
use crate::merge::merge;
use crate::world::trail::{Kind, image};
use crate::world::{Arm, Graceful, Now, WEB, World};

scenarios! { both:
    every_step_of_a_life_is_seen_on_the_watch,
    status_endpoints_write_the_status_alone,
    selector_is_immutable,
    malformed_template_is_refused_at_admission,
    quantities_reach_the_pod_as_they_were_meant,
    hooks_and_items_of_volumes_reach_the_pod,
    overlapping_selectors_do_not_mix_objects_up;
    graceful:
    spec_that_cannot_be_acted_on_says_so_and_goes_on_when_mended,
}

/// B12: create, patch, list, update, patch of the status, delete.
async fn every_step_of_a_life_is_seen_on_the_watch<A: Arm>(world: World<A>) {
    world.create_complete(1, json!({})).await;
    let patch = Patch::Merge(json!({"metadata": {"labels": {"step": "patched"}}}));
    let params = PatchParams::default();
    world.objects().patch(WEB, &params, &patch).await.unwrap();
    let step = ListParams::default().labels("step=patched");
    let mut listed = world.objects().list(&step).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    let mut object = listed.remove(0);
    object.data["spec"]["replicas"] = json!(2);
    let params = PostParams::default();
    world
        .objects()
        .replace(WEB, &params, &object)
        .await
        .unwrap();
    world.complete().await;
    add_condition(&world).await;
    world.delete(PropagationPolicy::Background).await;
    world.until("it is gone", |now| now.object.is_none()).await;
    let changes = world.trail.changes();
    let mut steps = changes.iter().filter(|change| change.kind == Kind::Object);
    for is_step in [
        |object: &Value| object["metadata"]["generation"] == 1,
        |object: &Value| object["metadata"]["labels"]["step"] == "patched",
        |object: &Value| object["spec"]["replicas"] == 2,
        |object: &Value| has_condition(object),
    ] {
        let seen = steps.any(|change| change.object.as_ref().is_some_and(|it| is_step(it)));
        assert!(seen, "a step was not seen");
    }
    assert!(steps.any(|change| change.object.is_none()));
}

fn has_condition(object: &Value) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.is_some_and(|all| all.iter().any(|one| one["type"] == "Checked"))
}

/// Writes a condition of somebody else's, and something into the spec, through the status.
async fn add_condition<A: Arm>(world: &World<A>) {
    let checked = json!({
        "type": "Checked", "status": "True", "reason": "ByHand", "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 1,
    });
    let mut checked = checked;
    if !A::HAS_OPERATOR {
        checked
            .as_object_mut()
            .unwrap()
            .remove("observedGeneration");
    }
    let patch = json!([
        {"op": "add", "path": "/status/conditions/-", "value": checked},
        {"op": "replace", "path": "/spec/replicas", "value": 9},
    ]);
    let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
    let params = PatchParams::default();
    let patched = world.objects().patch_status(WEB, &params, &patch).await;
    assert!(has_condition(&patched.unwrap().data));
}

/// B13: get, patch and update; what comes for the spec that way is ignored, and a condition of somebody
/// else's is kept by the controller.
async fn status_endpoints_write_the_status_alone<A: Arm>(world: World<A>) {
    world.create_complete(1, json!({})).await;
    let before = world.objects().get_status(WEB).await.unwrap();
    assert_eq!(before.data["status"]["availableReplicas"], 1);
    add_condition(&world).await;
    let mut object = world.objects().get_status(WEB).await.unwrap();
    assert!(has_condition(&object.data));
    assert_eq!(object.data["spec"]["replicas"], 1);
    assert_eq!(object.metadata.generation, before.metadata.generation);
    object.data["status"]["unavailableReplicas"] = json!(7);
    object.data["spec"]["paused"] = json!(true);
    let params = PostParams::default();
    let updated = world.objects().replace_status(WEB, &params, &object).await;
    assert_eq!(updated.unwrap().data["status"]["unavailableReplicas"], 7);
    // The controller writes what it sees over it.
    world.scale(2).await;
    let view = world.complete().await;
    assert_eq!((view.available, view.unavailable), (2, 0));
    let object = world.trail.now().object.unwrap();
    assert!(has_condition(&object));
    assert_ne!(object["spec"]["paused"], true);
}

/// B17.
async fn selector_is_immutable<A: Arm>(world: World<A>) {
    world.create(0, json!({})).await;
    let changed = json!({
        "selector": {"matchLabels": {"tier": "web"}},
        "template": {"metadata": {"labels": {"tier": "web"}}},
    });
    // Ours says besides what to do instead.
    match world.try_set(changed).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 422, "{status:?}");
            assert!(status.message.contains("spec.selector"), "{status:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// B36: with the same code on both arms. Deployment's API server knows the whole of a pod, a CRD knows
/// its structure and a few rules: what passes those is shown as `InvalidSpec` (B37).
async fn malformed_template_is_refused_at_admission<A: Arm>(world: World<A>) {
    let container = |more: Value| {
        let mut container = json!({"name": WEB, "image": "web:1"});
        merge(&mut container, &more);
        json!({"template": {"spec": {"containers": [container]}}})
    };
    let pod = |spec: Value| json!({"template": {"spec": spec}});
    for broken in [
        json!({"replicas": -1}),
        json!({"selector": {"matchLabels": {"app": "else"}}}),
        json!({"selector": {"matchLabels": {"app": null}}}),
        json!({"minReadySeconds": -1}),
        json!({"minReadySeconds": 10, "progressDeadlineSeconds": 5}),
        json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}),
        json!({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}),
        json!({"strategy": {"type": "Sideways"}}),
        pod(json!({"containers": []})),
        pod(json!({"restartPolicy": "Never"})),
        pod(json!({"activeDeadlineSeconds": 60})),
        container(json!({"name": null})),
    ] {
        let object = World::<A>::object(1, &broken);
        match world.try_create(object).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, 422, "{broken}: {status:?}"),
            other => panic!("{broken}: {other:?}"),
        }
    }
}

/// B38: in every way to write it; what is meant the same makes no second revision.
async fn quantities_reach_the_pod_as_they_were_meant<A: Arm>(world: World<A>) {
    for (number, cpu) in [json!(0.001), json!("0.001"), json!("1m")]
        .iter()
        .enumerate()
    {
        let resources = json!({"requests": {"cpu": cpu, "memory": "64Mi"}});
        let container = json!({"name": WEB, "image": "web:1", "resources": resources});
        let template = json!({"template": {"spec": {"containers": [container]}}});
        if number == 0 {
            world.create(1, template).await;
        } else {
            world.set(template).await;
        }
        world.complete().await;
        let now = world.until("one pod", |now| now.pods.len() == 1).await;
        let pod = now.pods.values().next().unwrap();
        let requests = &pod["spec"]["containers"][0]["resources"]["requests"];
        assert_eq!(requests, &json!({"cpu": "1m", "memory": "64Mi"}), "{cpu}");
    }
    let sets = world.replica_sets().await.len();
    if A::HAS_OPERATOR {
        // The template is kept as it was written, and each way to write it is another text: three
        // revisions. Deployment stores the meaning.
        assert_eq!(sets, 3);
    } else {
        assert_eq!(sets, 1);
    }
}

/// B39: nothing of it is pruned on the way.
async fn hooks_and_items_of_volumes_reach_the_pod<A: Arm>(world: World<A>) {
    let items = json!([{"key": "a", "path": "b", "mode": 256}]);
    let hook = json!({"exec": {"command": ["true"]}});
    let template = json!({"template": {"spec": {
        "containers": [{
            "name": WEB, "image": "web:1", "lifecycle": {"postStart": hook},
            "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
        }],
        "volumes": [{"name": "settings", "configMap": {"name": "web", "items": items}}],
    }}});
    world.create_complete(1, template).await;
    let now = world.trail.now();
    let pod = &now.pods.values().next().unwrap()["spec"];
    assert_eq!(pod["containers"][0]["lifecycle"]["postStart"], hook);
    let mut volumes = pod["volumes"].as_array().unwrap().iter();
    let volume = volumes.find(|volume| volume["name"] == "settings").unwrap();
    assert_eq!(volume["configMap"]["items"], items);
}

/// B22: each has its own ReplicaSet and its own pods.
async fn overlapping_selectors_do_not_mix_objects_up<A: Arm>(world: World<A>) {
    world.create_complete(2, bounds(1, 0)).await;
    let mut other = World::<A>::object(3, &json!({}));
    other["metadata"]["name"] = json!("other");
    other["spec"]["template"] = World::<A>::template("other:1");
    let other = world.try_create(other).await.unwrap();
    let of = |now: &Now, wanted: &str| {
        let pods = now.pods.values();
        pods.filter(|pod| image(pod) == wanted).count()
    };
    let both = |web: usize, other: usize| {
        let what = "each has its pods";
        world.until(what, move |now| {
            (of(now, "web:1"), of(now, "other:1"), now.pods.len()) == (web, other, web + other)
        })
    };
    both(2, 3).await;
    world.scale(0).await;
    both(0, 3).await;
    world.scale(1).await;
    both(1, 3).await;
    let view = world.complete().await;
    assert_eq!(view.replicas, 1);
    let sets = world.replica_sets().await;
    let is_others = |set: &&ReplicaSet| {
        let owners = set.metadata.owner_references.as_ref().unwrap();
        Some(&owners[0].uid) == other.metadata.uid.as_ref()
    };
    let others = sets.iter().filter(is_others);
    assert_eq!((sets.len(), others.count()), (2, 1));
}

/// B37: what CEL cannot tell. Pods of the good revision stay; Deployment's API server refuses all that
/// its controller could not act on.
async fn spec_that_cannot_be_acted_on_says_so_and_goes_on_when_mended(world: World<Graceful>) {
    world.create_complete(2, bounds(1, 0)).await;
    let began = world.mark();
    let hook = json!({"preStop": {"httpGet": {"port": "nobody", "path": "/"}}});
    let container = |more: Value| {
        let mut container = json!({"name": WEB, "image": "web:2"});
        merge(&mut container, &more);
        json!({"template": {"spec": {"containers": [container]}}})
    };
    world.set(container(json!({"lifecycle": hook}))).await;
    world.catch_up().await;
    world
        .until_status("the spec is called invalid", |view| {
            view.is("Stalled", "True", "InvalidSpec") && view.is("Ready", "False", "InvalidSpec")
        })
        .await;
    world.assert_bounds(began, 2, 2);
    world.set(container(json!({}))).await;
    let view = world.complete().await;
    world.assert_bounds(began, 2, 3);
    assert_eq!(
        view.condition("Stalled").map(|(status, _)| status),
        Some("False")
    );
    world.until_only("web:2", 2).await;
}
