//! When a pod counts: minReadySeconds, endpoints, and what is left alone once all is well.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ResourceQuota, Service};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::bounds::{bounds, serving};
use super::{WAIT, scenarios};
use crate::world::trail::is_ready;
use crate::world::{Arm, Now, View, WEB, World};

scenarios! { both:
    available_waits_for_min_ready_seconds,
    longest_times_overflow_nothing,
    quota_that_is_exceeded_is_a_condition_and_goes_with_it,
    rollouts_never_change_the_nodes_that_have_endpoints,
    reached_state_is_left_alone,
}

/// B25: and to lower it takes effect at once.
async fn available_waits_for_min_ready_seconds<A: Arm>(world: World<A>) {
    let spec = json!({"minReadySeconds": 3600, "progressDeadlineSeconds": 7200});
    world.create(2, spec).await;
    world
        .until_status("ready and not available", |view| {
            (view.ready, view.available, view.unavailable) == (2, 0, 2)
                && view.is("Available", "False", "MinimumReplicasUnavailable")
        })
        .await;
    world.set(json!({"minReadySeconds": 1})).await;
    let view = world.complete().await;
    assert!(
        view.is("Available", "True", "MinimumReplicasAvailable"),
        "{view:?}"
    );
    assert_eq!(view.unavailable, 0);
}

/// B62: the longest that each arm takes. Ready pods are not available for ever, and nobody is busy
/// with that. Deployment takes any 32-bit number of seconds; ours says that a week is the limit, and
/// takes Deployment's "no deadline".
async fn longest_times_overflow_nothing<A: Arm>(world: World<A>) {
    let longest = if A::HAS_OPERATOR {
        604_800
    } else {
        i32::MAX - 1
    };
    let spec = json!({"minReadySeconds": longest, "progressDeadlineSeconds": i32::MAX});
    world.create(1, spec).await;
    world
        .until_status("ready and not available", |view| {
            (view.ready, view.available) == (1, 0)
        })
        .await;
    let settled = world.trail.len();
    world
        .never("busy for nothing", WAIT, |_| {
            world.trail.len() > settled + 3
        })
        .await;
    let view = View::of(&world.trail.now().object.unwrap());
    // Without a deadline Deployment has no such condition at all.
    let progressing = view.condition("Progressing");
    assert!(progressing.is_none_or(|(status, _)| status == "True"));
}

/// B70.
async fn quota_that_is_exceeded_is_a_condition_and_goes_with_it<A: Arm>(world: World<A>) {
    let quotas: Api<ResourceQuota> = world.api();
    let quota = json!({"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "1"}}});
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    // Before it is counted, no pod at all is let in.
    world.until_quota_counts("pods").await;
    world.create(2, json!({})).await;
    world
        .until_status("the quota is a condition", |view| {
            view.is("ReplicaFailure", "True", "FailedCreate") && view.replicas == 1
        })
        .await;
    let more = json!({"spec": {"hard": {"pods": "5"}}});
    world.patch_other::<ResourceQuota>("pods", more).await;
    let view = world.complete().await;
    let view = match view.condition("ReplicaFailure") {
        None => view,
        Some(_) => {
            world
                .until_status("the condition is gone", |view| {
                    view.condition("ReplicaFailure").is_none()
                })
                .await
        }
    };
    assert_eq!(view.available, 2);
}

impl<A: Arm> World<A> {
    async fn until_quota_counts(&self, name: &str) {
        let quotas: Api<ResourceQuota> = self.api();
        let counts = async || {
            let quota = quotas.get(name).await.unwrap();
            let used = quota.status.and_then(|status| status.used);
            used.is_some_and(|used| used.contains_key("pods"))
        };
        while !counts().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// B11: surge 1, unavailable 0, three rollouts, pods kept on one node and a Service whose traffic stays
/// on its node, as behind a cloud's load balancer: the nodes that it would send to never change.
async fn rollouts_never_change_the_nodes_that_have_endpoints<A: Arm>(world: World<A>) {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": WEB},
        "spec": {
            "type": "NodePort", "externalTrafficPolicy": "Local",
            "selector": {"app": WEB}, "ports": [{"port": 80}],
        },
    }))
    .unwrap();
    let services: Api<Service> = world.api();
    services
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
    let term = json!({
        "labelSelector": {"matchLabels": {"app": WEB}}, "topologyKey": "kubernetes.io/hostname",
    });
    let together =
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let mut spec = bounds(1, 0);
    spec["template"] = json!({"spec": {"affinity": together}});
    world.create_complete(3, spec).await;
    let now = world
        .until("every pod is an endpoint", |now| endpoints(now).len() == 3)
        .await;
    let nodes = nodes(&now);
    assert_eq!(nodes.len(), 1);
    let began = world.mark();
    for image in ["web:2", "web:3", "web:4"] {
        world.set_image(image).await;
        world.complete().await;
    }
    for (version, now) in world.trail.states() {
        if version > began {
            assert_eq!(self::nodes(&now), nodes, "at {version}");
        }
    }
    world.assert_bounds(began, 3, 4);
}

/// The endpoints that new connections go to: ready ones, or, where there are none, serving ones that
/// terminate (KEP-1669).
fn endpoints(now: &Now) -> Vec<&Value> {
    let all: Vec<_> = now
        .endpoint_slices
        .values()
        .filter_map(|slice| slice["endpoints"].as_array())
        .flatten()
        .collect();
    let are = |condition: &str| {
        let so = all
            .iter()
            .filter(|one| one["conditions"][condition] == true);
        so.copied().collect::<Vec<_>>()
    };
    let ready = are("ready");
    if ready.is_empty() {
        are("serving")
    } else {
        ready
    }
}

fn nodes(now: &Now) -> BTreeSet<&str> {
    let endpoints = endpoints(now).into_iter();
    endpoints
        .map(|one| one["nodeName"].as_str().unwrap())
        .collect()
}

/// B72: after a rollout and a scaling nothing is written any more.
async fn reached_state_is_left_alone<A: Arm>(world: World<A>) {
    world.create_complete(3, bounds(1, 0)).await;
    world.set_image("web:2").await;
    world.scale(5).await;
    world.complete().await;
    let now = world.until_only("web:2", 5).await;
    assert_eq!(serving(&now), 5);
    // The last counts of a status may come a second after what they count.
    world
        .never("nothing", Duration::from_secs(3), |_| false)
        .await;
    let settled = world.trail.len();
    let longer = Duration::from_secs(60);
    world
        .never("something is written", longer, |_| {
            world.trail.len() > settled
        })
        .await;
    assert!(world.trail.now().pods.values().all(|pod| is_ready(pod)));
}
