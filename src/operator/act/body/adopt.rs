//! The bodies of calls by which a ReplicaSet changes hands. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{guarded, labelled, owner};
use crate::api::v1alpha1::GracefulDeployment;
use crate::api::{ADOPTED, INJECTED, POD_TEMPLATE_HASH};
use crate::rollout::ObjectRef;

/// The ReplicaSet's pods get an agent.
pub(in crate::operator::act) fn is_injected(set: &Value) -> bool {
    set.pointer("/spec/template/metadata/annotations")
        .is_some_and(|annotations| annotations.get(INJECTED).is_some())
}

/// Makes the object the controller of a ReplicaSet. What else owns it goes on doing so; a reference to
/// the object that does not control is replaced.
pub(in crate::operator::act) fn adopt(
    seen: &ObjectRef,
    current: &Value,
    object: &GracefulDeployment,
    note: Option<&str>,
) -> Value {
    let uid = json!(object.uid());
    let owners = current.pointer("/metadata/ownerReferences");
    let mut owners: Vec<Value> = owners
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    owners.retain(|owner| owner.get("uid") != Some(&uid));
    owners.push(owner(object));
    let mut metadata = json!({"ownerReferences": owners});
    if let (Some(note), Some(metadata)) = (note, metadata.as_object_mut()) {
        metadata.insert("annotations".into(), json!({ADOPTED: note}));
    }
    guarded(seen, json!({"metadata": metadata}))
}

/// Takes the object off the owners of a ReplicaSet.
pub(in crate::operator::act) fn release(
    seen: &ObjectRef,
    owners: &[OwnerReference],
    object: &GracefulDeployment,
) -> Value {
    let uid = object.uid().unwrap_or_default();
    let others: Vec<_> = owners.iter().filter(|owner| owner.uid != uid).collect();
    guarded(seen, json!({"metadata": {"ownerReferences": others}}))
}

/// What a ReplicaSet of the user's own template would be, with the hash of another: never stored.
pub(in crate::operator::act) fn trial(object: &GracefulDeployment, current: &Value) -> Value {
    let selector = current.pointer("/spec/selector").cloned();
    let hash = current
        .pointer("/spec/template/metadata/labels")
        .and_then(|labels| labels.get(POD_TEMPLATE_HASH))
        .and_then(Value::as_str);
    let own = &object.spec.template;
    let template = hash.map_or_else(|| own.clone(), |hash| labelled(own, hash));
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "generateName": format!("{}-", object.name_any()),
            "namespace": object.namespace(),
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{object, seen};
    use super::*;

    fn owned() -> Value {
        json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "x"},
            {"apiVersion": "v1", "kind": "Wrong", "name": "chat", "uid": "o", "controller": false},
        ]}})
    }

    /// B26.
    #[test]
    fn an_adoption_mends_our_reference_and_keeps_the_others() {
        let patch = adopt(&seen(), &owned(), &object(), Some("h"));
        let owners = patch["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 2);
        assert_eq!(owners[0]["uid"], "x");
        assert_eq!(owners[1], owner(&object()));
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["metadata"]["annotations"][ADOPTED], "h");
    }

    /// B28.
    #[test]
    fn a_release_takes_our_reference_alone() {
        let owners: Vec<OwnerReference> =
            serde_json::from_value(owned()["metadata"]["ownerReferences"].clone()).unwrap();
        let patch = release(&seen(), &owners, &object());
        let left = patch["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["uid"], "x");
        assert_eq!(patch["metadata"]["uid"], "u");
    }
}
