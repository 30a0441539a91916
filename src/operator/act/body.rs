//! The bodies of the calls: what is written, and by which guard. Pure.
//!
//! Every patch is a merge patch with the UID of what was seen, and with its version where the patch rests
//! on more: the API server answers with a conflict where either differs.

mod adopt;
mod pod;

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};

pub(super) use self::adopt::{adopt, is_injected, release, trial};
pub(in crate::operator) use self::pod::cancel_drain;
pub(super) use self::pod::{configure_pod, request_drain, set_deletion_cost};
use crate::api::v1alpha1::GracefulDeployment;
use crate::api::{CONFIG, POD_TEMPLATE_HASH, REVISION, SIZED};
use crate::inject::Injected;
use crate::observe::inherited;
use crate::rollout::{ObjectRef, Size};

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

pub(super) fn configure_replica_set(seen: &ObjectRef, config: &str) -> Value {
    let template = json!({"metadata": {"annotations": {CONFIG: config}}});
    guarded(seen, json!({"spec": {"template": template}}))
}

/// For another number of pods; `size` is noted as what it is sized for.
pub(super) fn scale_replica_set(seen: &ObjectRef, replicas: u32, size: Option<Size>) -> Value {
    let notes: BTreeMap<_, _> = size.iter().map(|size| (SIZED, size.to_string())).collect();
    let metadata = if notes.is_empty() {
        json!({})
    } else {
        json!({"annotations": notes})
    };
    guarded(
        seen,
        json!({"metadata": metadata, "spec": {"replicas": replicas}}),
    )
}

/// The ReplicaSet of the wanted revision, as Deployment would make it (deployment/sync.go), with what
/// was injected.
pub(super) fn replica_set(
    object: &GracefulDeployment,
    injected: &Injected,
    (name, hash): (&str, &str),
    (number, replicas, size): (i64, u32, Option<Size>),
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
    let size = size.map(|size| size.to_string());
    annotations.extend(size.iter().map(|size| (SIZED, size.as_str())));
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
mod tests;
