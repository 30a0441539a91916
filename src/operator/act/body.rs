//! The bodies of the calls: what is written, and by which guard. Pure.
//!
//! Every patch is a merge patch with the UID of what was seen, and with its version where the patch rests
//! on more: the API server answers with a conflict where either differs.

mod adopt;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

pub(super) use self::adopt::{adopt, is_injected, release, trial};
use crate::api::request::DrainRequest;
use crate::api::v1alpha1::GracefulDeployment;
use crate::api::{
    CANCELLED, CONFIG, COST_DRAINING, COST_NEXT, DELETION_COST, DRAIN, DRAINING, POD_TEMPLATE_HASH,
    REVISION, USER_DELETION_COST,
};
use crate::inject::Injected;
use crate::observe::inherited;
use crate::operator::echo::Told;
use crate::rollout::ObjectRef;

/// A patch of what was seen, and of nothing else.
fn guarded(seen: &ObjectRef, patch: Value) -> Value {
    let mut patch = patch;
    if let Some(metadata) = patch.as_object_mut().and_then(|patch| {
        patch
            .entry("metadata")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    }) {
        metadata.insert("uid".into(), json!(seen.uid));
        metadata.insert("resourceVersion".into(), json!(seen.resource_version));
    }
    patch
}

pub(super) fn request_drain(seen: &ObjectRef, pod: &Pod, request: &DrainRequest) -> Value {
    let patch = json!({"metadata": {
        "labels": {DRAINING: "true"},
        "annotations": {
            DRAIN: json!(request).to_string(),
            CANCELLED: null,
            DELETION_COST: COST_DRAINING.to_string(),
            USER_DELETION_COST: users_cost(pod),
        },
    }});
    guarded(seen, patch)
}

pub(in crate::operator) fn cancel_drain(seen: &ObjectRef, pod: &Pod, now: Timestamp) -> Value {
    let kept = pod.annotations().get(USER_DELETION_COST);
    let told = json!(Told::now(pod, now)).to_string();
    let mut annotations = json!({DRAIN: null, USER_DELETION_COST: null, CANCELLED: told});
    if let (Some(kept), Some(annotations)) = (kept, annotations.as_object_mut()) {
        let cost = if kept.is_empty() {
            Value::Null
        } else {
            json!(kept)
        };
        annotations.insert(DELETION_COST.into(), cost);
    }
    let patch = json!({"metadata": {"labels": {DRAINING: null}, "annotations": annotations}});
    guarded(seen, patch)
}

/// Of a pod whose user's cost is in keeping nothing is written but ours, whatever else has changed of
/// it: its agent has just ended, and the kubelet says so in several steps.
pub(super) fn set_deletion_cost(seen: &ObjectRef, pod: &Pod) -> Value {
    if pod.annotations().contains_key(USER_DELETION_COST) {
        let annotations = json!({DELETION_COST: COST_NEXT.to_string()});
        return json!({"metadata": {"uid": seen.uid, "annotations": annotations}});
    }
    let patch = json!({"metadata": {"annotations": {
        DELETION_COST: COST_NEXT.to_string(),
        USER_DELETION_COST: users_cost(pod),
    }}});
    guarded(seen, patch)
}

/// The cost that the user gave the pod; empty where they gave none.
fn users_cost(pod: &Pod) -> &str {
    let annotations = pod.annotations();
    annotations
        .get(USER_DELETION_COST)
        .or_else(|| annotations.get(DELETION_COST))
        .map_or("", String::as_str)
}

pub(super) fn configure_pod(seen: &ObjectRef, config: &str) -> Value {
    guarded(seen, json!({"metadata": {"annotations": {CONFIG: config}}}))
}

pub(super) fn configure_replica_set(seen: &ObjectRef, config: &str) -> Value {
    let template = json!({"metadata": {"annotations": {CONFIG: config}}});
    guarded(seen, json!({"spec": {"template": template}}))
}

pub(super) fn scale_replica_set(seen: &ObjectRef, replicas: u32) -> Value {
    guarded(seen, json!({"spec": {"replicas": replicas}}))
}

/// The ReplicaSet of the wanted revision, as Deployment would make it (deployment/sync.go), with what
/// was injected.
pub(super) fn replica_set(
    object: &GracefulDeployment,
    injected: &Injected,
    (name, hash): (&str, &str),
    (number, replicas): (i64, u32),
) -> Value {
    let template = labelled(&injected.template, hash);
    let labels = template.pointer("/metadata/labels").cloned();
    let mut selector = json!(object.spec.selector);
    if let Some(selector) = selector.as_object_mut()
        && let Some(labels) = selector
            .entry("matchLabels")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        labels.insert(POD_TEMPLATE_HASH.into(), json!(hash));
    }
    let mut annotations: BTreeMap<&str, &str> = inherited(object).collect();
    let number = number.to_string();
    annotations.insert(REVISION, &number);
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": object.namespace(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner(object)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": object.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}

/// The ReplicaSet as it is, with today's injection for pods that it makes from now on.
pub(super) fn refreshed(
    current: &Value,
    object: &GracefulDeployment,
    injected: &Injected,
    (hash, number): (&str, i64),
) -> Value {
    let mut set = current.clone();
    if let Some(metadata) = set.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(annotations) = metadata
            .entry("annotations")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        let own = inherited(object).map(|(key, value)| (key.to_owned(), json!(value)));
        annotations.extend(own);
        annotations.insert(REVISION.into(), json!(number.to_string()));
    }
    // An adopted one selects its pods by another hash, or by none.
    let hash = set
        .pointer("/spec/selector/matchLabels")
        .map_or(Some(hash), |labels| {
            labels.get(POD_TEMPLATE_HASH).and_then(Value::as_str)
        });
    let template = match hash {
        Some(hash) => labelled(&injected.template, hash),
        None => injected.template.clone(),
    };
    if let Some(spec) = set.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("template".into(), template);
        spec.insert(
            "minReadySeconds".into(),
            json!(object.spec.min_ready_seconds),
        );
    }
    set
}

/// The user's own template of a revision, kept for undo and diff; gone with the ReplicaSet, whose
/// deletion it does not hold up: that would take a right on the finalizers of every ReplicaSet.
pub(super) fn controller_revision(
    object: &GracefulDeployment,
    set: &ObjectRef,
    number: i64,
) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": set.name,
            "namespace": object.namespace(),
            "labels": object.spec.template.pointer("/metadata/labels"),
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": set.name,
                "uid": set.uid,
                "controller": true,
            }],
        },
        "revision": number,
        "data": {"spec": {"template": object.spec.template}},
    })
}

fn owner(object: &GracefulDeployment) -> Value {
    json!({
        "apiVersion": "graceful.dev/v1alpha1",
        "kind": "GracefulDeployment",
        "name": object.name_any(),
        "uid": object.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn labelled(template: &Value, hash: &str) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("labels"))
        .and_then(Value::as_object_mut)
    {
        labels.insert(POD_TEMPLATE_HASH.into(), json!(hash));
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::Drain;

    pub(super) fn seen() -> ObjectRef {
        ObjectRef {
            name: "chat-1".into(),
            uid: "u".into(),
            resource_version: "7".into(),
        }
    }

    fn pod(annotations: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
    }

    fn request() -> DrainRequest {
        DrainRequest {
            epoch: "e".into(),
            drain: Drain::default(),
            asked: None,
        }
    }

    pub(super) fn object() -> GracefulDeployment {
        serde_json::from_value(json!({
            "apiVersion": "graceful.dev/v1alpha1",
            "kind": "GracefulDeployment",
            "metadata": {
                "name": "chat", "namespace": "web", "uid": "o",
                "annotations": {"team": "a", crate::api::LAST_APPLIED: "{}"},
            },
            "spec": {
                "selector": {"matchLabels": {"app": "chat"}},
                "template": {"metadata": {"labels": {"app": "chat"}}, "spec": {"hostnameOverride": "x"}},
                "minReadySeconds": 3,
            },
        }))
        .unwrap()
    }

    fn injected() -> Injected {
        Injected {
            template: json!({
                "metadata": {"labels": {"app": "chat"}},
                "spec": {"hostnameOverride": "x", "terminationGracePeriodSeconds": 95},
            }),
            summary: "s".into(),
        }
    }

    /// R29.
    #[test]
    fn every_patch_names_what_was_seen() {
        for patch in [
            request_drain(&seen(), &pod(&json!({})), &request()),
            cancel_drain(&seen(), &pod(&json!({})), Timestamp::UNIX_EPOCH),
            set_deletion_cost(&seen(), &pod(&json!({}))),
            configure_pod(&seen(), "c"),
            configure_replica_set(&seen(), "c"),
            scale_replica_set(&seen(), 3),
        ] {
            assert_eq!(patch["metadata"]["uid"], "u");
            assert_eq!(patch["metadata"]["resourceVersion"], "7");
        }
    }

    #[test]
    fn the_users_deletion_cost_is_kept_through_a_drain() {
        let of_user = pod(&json!({DELETION_COST: "5"}));
        let patch = request_drain(&seen(), &of_user, &request());
        let annotations = &patch["metadata"]["annotations"];
        assert_eq!(annotations[USER_DELETION_COST], "5");
        assert_eq!(annotations[DELETION_COST], "-2147483000");
        let draining = pod(&json!({DELETION_COST: "-2147483000", USER_DELETION_COST: "5"}));
        let patch = set_deletion_cost(&seen(), &draining);
        let expected = json!({DELETION_COST: COST_NEXT.to_string()});
        assert_eq!(patch["metadata"]["annotations"], expected);
        let patch = cancel_drain(&seen(), &draining, Timestamp::UNIX_EPOCH);
        assert_eq!(patch["metadata"]["annotations"][DELETION_COST], "5");
    }

    #[test]
    fn a_cancelled_drain_leaves_no_mark_that_does_anything() {
        let draining = pod(&json!({DELETION_COST: "-2147483000", USER_DELETION_COST: ""}));
        let patch = cancel_drain(&seen(), &draining, Timestamp::UNIX_EPOCH);
        let metadata = &patch["metadata"];
        assert!(metadata["labels"][DRAINING].is_null());
        for key in [DRAIN, USER_DELETION_COST, DELETION_COST] {
            let left = metadata["annotations"].get(key);
            assert_eq!(left, Some(&Value::Null), "{key}");
        }
    }

    /// R29.
    #[test]
    fn a_draining_pod_is_made_the_next_victim_whatever_else_changed_of_it() {
        let draining = pod(&json!({DELETION_COST: "-2147483000", USER_DELETION_COST: ""}));
        let patch = set_deletion_cost(&seen(), &draining);
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["metadata"].get("resourceVersion"), None);
    }

    #[test]
    fn a_cost_that_was_never_ours_stays() {
        let patch = cancel_drain(
            &seen(),
            &pod(&json!({DELETION_COST: "5"})),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(patch["metadata"]["annotations"].get(DELETION_COST), None);
    }

    #[test]
    fn a_replica_set_selects_its_own_pods_alone() {
        let set = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2));
        let expected = json!({"matchLabels": {"app": "chat", POD_TEMPLATE_HASH: "h"}});
        assert_eq!(set["spec"]["selector"], expected);
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels, &json!({"app": "chat", POD_TEMPLATE_HASH: "h"}));
        assert_eq!(set["metadata"]["labels"], *labels);
    }

    /// B15.
    #[test]
    fn a_replica_set_carries_the_objects_annotations_and_its_number() {
        let set = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2));
        let expected = json!({"team": "a", REVISION: "4"});
        assert_eq!(set["metadata"]["annotations"], expected);
        assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], "o");
    }

    /// B39, R37.
    #[test]
    fn a_field_that_nobody_here_knows_reaches_the_replica_set() {
        let set = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2));
        let spec = &set["spec"]["template"]["spec"];
        assert_eq!(spec["hostnameOverride"], "x");
    }

    #[test]
    fn a_refresh_keeps_what_is_not_ours() {
        let current = json!({
            "metadata": {"name": "chat-h", "labels": {"x": "y"}, "annotations": {"z": "1"}},
            "spec": {"replicas": 2, "selector": {}, "template": {}, "newer": 1},
        });
        let set = refreshed(&current, &object(), &injected(), ("h", 5));
        assert_eq!(set["spec"]["newer"], 1);
        assert_eq!(set["spec"]["replicas"], 2);
        let expected = json!({"team": "a", "z": "1", REVISION: "5"});
        assert_eq!(set["metadata"]["annotations"], expected);
        assert_eq!(
            set["spec"]["template"]["metadata"]["labels"][POD_TEMPLATE_HASH],
            "h"
        );
    }

    /// B06: its selector cannot be changed.
    #[test]
    fn an_adopted_replica_set_keeps_its_own_hash() {
        let adopted = |labels: Value| {
            let current = json!({"metadata": {}, "spec": {"selector": {"matchLabels": labels}}});
            let set = refreshed(&current, &object(), &injected(), ("h", 5));
            set["spec"]["template"]["metadata"]["labels"].clone()
        };
        let theirs = json!({"app": "chat", POD_TEMPLATE_HASH: "5d4f"});
        assert_eq!(adopted(theirs.clone()), theirs);
        assert_eq!(adopted(json!({"app": "chat"})), json!({"app": "chat"}));
    }

    /// B15.
    #[test]
    fn a_refresh_brings_the_objects_annotations() {
        let current = json!({"metadata": {"annotations": {"team": "old"}}, "spec": {}});
        let set = refreshed(&current, &object(), &injected(), ("h", 5));
        assert_eq!(set["metadata"]["annotations"]["team"], "a");
    }

    #[test]
    fn a_record_keeps_the_users_template_and_not_the_injected_one() {
        let record = controller_revision(&object(), &seen(), 4);
        assert_eq!(record["data"]["spec"]["template"], object().spec.template);
        assert_eq!(record["metadata"]["ownerReferences"][0]["uid"], "u");
    }
}
