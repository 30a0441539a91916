//! What is written, and by which guard.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::api::request::DrainRequest;
use crate::api::v1alpha1::Drain;

pub(super) fn seen() -> ObjectRef {
    ObjectRef {
        name: "chat-1".into(),
        uid: "u".into(),
        resource_version: "7".into(),
    }
}

pub(super) fn pod(annotations: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
}

pub(super) fn request() -> DrainRequest {
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
        remarks: Vec::new(),
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
        scale_replica_set(&seen(), 3, None),
    ] {
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }
}

#[test]
fn a_replica_set_selects_its_own_pods_alone() {
    let set = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2, None));
    let expected = json!({"matchLabels": {"app": "chat", POD_TEMPLATE_HASH: "h"}});
    assert_eq!(set["spec"]["selector"], expected);
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels, &json!({"app": "chat", POD_TEMPLATE_HASH: "h"}));
    assert_eq!(set["metadata"]["labels"], *labels);
}

/// B15.
#[test]
fn a_replica_set_carries_the_objects_annotations_and_its_number() {
    let set = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2, None));
    let expected = json!({"team": "a", REVISION: "4"});
    assert_eq!(set["metadata"]["annotations"], expected);
    assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], "o");
}

/// B39, R37.
#[test]
fn a_field_that_nobody_here_knows_reaches_the_replica_set() {
    let set = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2, None));
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

/// B08: what it was sized for stays as it was where nothing is said of it.
#[test]
fn a_replica_set_says_what_it_is_sized_for() {
    let size = Size {
        replicas: 30,
        max_surge: 3,
    };
    let patch = scale_replica_set(&seen(), 20, Some(size));
    assert_eq!(patch["metadata"]["annotations"][SIZED], "30+3");
    let patch = scale_replica_set(&seen(), 20, None);
    assert_eq!(patch["metadata"].get("annotations"), None);
    let made = replica_set(&object(), &injected(), ("chat-h", "h"), (4, 2, Some(size)));
    assert_eq!(made["metadata"]["annotations"][SIZED], "30+3");
}

#[test]
fn a_record_keeps_the_users_template_and_not_the_injected_one() {
    let record = controller_revision(&object(), &seen(), 4);
    assert_eq!(record["data"]["spec"]["template"], object().spec.template);
    assert_eq!(record["metadata"]["ownerReferences"][0]["uid"], "u");
}
