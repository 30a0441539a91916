//! What becomes of a pod whose work does not end by itself: kept at its deadline where `onTimeout` says so,
//! until a person lets it go, and kept until somebody outside confirms it.

use ::graceful::api::RELEASE;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::bounds::bounds;
use super::{WAIT, scenarios};
use crate::merge::merge;
use crate::standin::orders::Manner;
use crate::world::trail::{image, is_draining, is_ready, is_terminating};
use crate::world::{Graceful, Now, World};

scenarios! { graceful:
    held_pod_leaves_when_a_person_lets_it_go,
    held_pod_leaves_when_the_spec_no_longer_holds_it,
    paused_rollout_goes_on_when_the_work_is_over,
    drained_pod_stays_until_its_condition_is_true,
}

const CONDITION: &str = "example.com/deregistered";

/// Bounds and settings of the drain.
fn spec(surge: i32, drain: &Value) -> Value {
    let mut spec = bounds(surge, 0);
    merge(&mut spec, &json!({"drain": drain}));
    spec
}

/// A rollout whose old pods never end their work. Returns when a pod is kept for this reason.
async fn kept(world: &World<Graceful>, replicas: i32, on_timeout: &str, reason: &str) -> Now {
    let drain = json!({"timeoutSeconds": 1, "onTimeout": on_timeout});
    world.create_complete(replicas, spec(1, &drain)).await;
    world.order("web:1", Manner::busy());
    world.set_image("web:2").await;
    world
        .until("a pod is kept", |now| {
            let ready = condition(now, "Ready");
            ready["reason"] == reason && !drains(now).is_empty()
        })
        .await
}

/// A condition of the object.
fn condition(now: &Now, kind: &str) -> Value {
    let status = now.object.as_ref().map(|object| &object["status"]);
    let conditions = status.and_then(|status| status["conditions"].as_array());
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == kind);
    found.cloned().unwrap_or_default()
}

fn drains(now: &Now) -> Vec<Value> {
    let object = now.object.as_ref().unwrap();
    let drains = object["status"]["drains"].as_array();
    drains.cloned().unwrap_or_default()
}

/// Names of the old pods that are out of service.
fn withdrawn(now: &Now) -> Vec<String> {
    let pods = now.pods.iter();
    let withdrawn = pods.filter(|(_, pod)| {
        image(pod) == "web:1" && is_draining(pod) && !is_ready(pod) && !is_terminating(pod)
    });
    withdrawn.map(|(name, _)| name.clone()).collect()
}

fn leaves(now: &Now, pod: &str) -> bool {
    now.pods.get(pod).is_none_or(|pod| is_terminating(pod))
}

/// The pod, and what to do about it, is said where a person looks.
async fn held_pod_leaves_when_a_person_lets_it_go(world: World<Graceful>) {
    let now = kept(&world, 1, "Hold", "DrainHeld").await;
    let stalled = condition(&now, "Stalled");
    assert_eq!(stalled["status"], "True", "{stalled}");
    assert_eq!(condition(&now, "Reconciling")["status"], "False");
    let message = stalled["message"].as_str().unwrap();
    let pod = drains(&now)[0]["pod"].as_str().unwrap().to_owned();
    let command = format!("kubectl annotate pod {pod} {RELEASE}=true");
    assert!(message.contains(&command), "{message}");
    world
        .never("a pod leaves that is held", WAIT, |now| leaves(now, &pod))
        .await;
    let release = json!({"metadata": {"annotations": {RELEASE: "true"}}});
    world.patch_other::<Pod>(&pod, release).await;
    world.complete().await;
    world.until_only("web:2", 1).await;
}

/// An edit of the spec alone: no pod is touched by hand.
async fn held_pod_leaves_when_the_spec_no_longer_holds_it(world: World<Graceful>) {
    kept(&world, 3, "Hold", "DrainHeld").await;
    world
        .set(json!({"drain": {"onTimeout": "Terminate"}}))
        .await;
    let view = world.complete().await;
    assert_eq!(view.unavailable, 0);
    let now = world.until_only("web:2", 3).await;
    assert_eq!(condition(&now, "Stalled")["status"], "False");
}

/// One pod is withdrawn and no other, until its work ends by itself.
async fn paused_rollout_goes_on_when_the_work_is_over(world: World<Graceful>) {
    let now = kept(&world, 3, "Pause", "DrainPaused").await;
    assert_eq!(condition(&now, "Stalled")["status"], "False");
    let kept: Vec<_> = drains(&now)
        .iter()
        .map(|drain| drain["pod"].clone())
        .collect();
    world
        .never("another pod is withdrawn, or one leaves", WAIT, |now| {
            let drains = drains(now);
            let others = drains.iter().filter(|drain| !kept.contains(&drain["pod"]));
            others.count() > 0 || drains.len() < kept.len()
        })
        .await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world.until_only("web:2", 3).await;
}

/// The agent has confirmed it, and that is not all.
async fn drained_pod_stays_until_its_condition_is_true(world: World<Graceful>) {
    let confirm = json!([{"connections": {}}, {"condition": {"type": CONDITION}}]);
    let own = spec(1, &json!({"confirm": confirm}));
    world.create_complete(1, own).await;
    world.set_image("web:2").await;
    let says = |now: &Now, what: &str| {
        let ready = condition(now, "Ready");
        let message = ready["message"].as_str().unwrap_or_default();
        message.contains(&format!("{CONDITION}: {what}"))
    };
    let now = world
        .until("a pod waits for its condition alone", |now| {
            says(now, "nobody has set it") && !withdrawn(now).is_empty()
        })
        .await;
    let pod = withdrawn(&now).remove(0);
    set_condition(&world, &pod, "False").await;
    world
        .until("it is said that it is not so", |now| {
            says(now, "it is False")
        })
        .await;
    assert!(!leaves(&world.trail.now(), &pod));
    set_condition(&world, &pod, "True").await;
    world.complete().await;
    world.until_only("web:2", 1).await;
}

/// As any controller does it that deregisters pods from something outside.
async fn set_condition(world: &World<Graceful>, pod: &str, status: &str) {
    let condition = json!({"type": CONDITION, "status": status});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    let pods: Api<Pod> = world.api();
    let params = PatchParams::default();
    let patched = pods.patch_status(pod, &params, &patch).await;
    patched.expect("a condition");
}
