//! Who owns a ReplicaSet, who ought to, and what it carries of its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::{is_controlled_by, seen};
use crate::api::v1alpha1::GracefulDeployment;
use crate::api::{ADOPTED, LAST_APPLIED, REVISION, SIZED};
use crate::rollout::Claims;

/// Deployment's own notes, on an object that was written from one.
const DEPLOYMENTS: &str = "deployment.kubernetes.io/";

/// The object's annotations that its ReplicaSets carry too, as Deployment hands them down
/// (`skipCopyAnnotation` in deployment/util): those of the user.
pub fn inherited(object: &GracefulDeployment) -> impl Iterator<Item = (&str, &str)> {
    let all = object.annotations().iter();
    all.map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| {
            ![LAST_APPLIED, REVISION, ADOPTED, SIZED].contains(key) && !key.starts_with(DEPLOYMENTS)
        })
}

/// The ReplicaSet carries the object's annotations and `minReadySeconds`.
pub(super) fn is_current(object: &GracefulDeployment, set: &ReplicaSet) -> bool {
    let spec = set.spec.as_ref();
    let min_ready = spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let annotations = set.annotations();
    min_ready == object.spec.min_ready_seconds
        && inherited(object)
            .all(|(key, value)| annotations.get(key).map(String::as_str) == Some(value))
}

/// Labels that the selector matches. One that is empty or cannot be read matches nothing: the first
/// would take whatever there is, the second is shown as a fault of the spec.
#[must_use]
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let labels_are_empty = selector
        .match_labels
        .as_ref()
        .is_none_or(BTreeMap::is_empty);
    let expressions = selector.match_expressions.as_ref();
    if labels_are_empty && expressions.is_none_or(Vec::is_empty) {
        return false;
    }
    let parsed: Result<Selector, _> = selector.clone().try_into();
    parsed.is_ok_and(|selector| selector.matches(labels))
}

/// Whose ReplicaSets are to change hands. An object that is being deleted claims nothing and keeps what
/// it has: what becomes of that is for the garbage collector.
pub(super) fn claims(object: &GracefulDeployment, sets: &[Arc<ReplicaSet>]) -> Claims {
    let mut claims = Claims::default();
    if object.metadata.deletion_timestamp.is_some() {
        return claims;
    }
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let mut known = BTreeSet::new();
    for set in sets {
        let is_double = !known.insert(set.metadata.uid.as_ref());
        if is_double || set.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let is_ours = is_controlled_by(&set.metadata, uid);
        let owners = set.metadata.owner_references.iter().flatten();
        let is_free = owners.clone().all(|owner| owner.controller != Some(true));
        match matches(&object.spec.selector, set.labels()) {
            true if is_free => claims.adopt.push(seen(set.as_ref())),
            false if is_ours => claims.release.push(seen(set.as_ref())),
            _ => {}
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(metadata: &Value) -> GracefulDeployment {
        let mut object = json!({
            "apiVersion": "graceful.dev/v1alpha1", "kind": "GracefulDeployment",
            "metadata": {"name": "chat", "namespace": "web", "uid": "o"},
            "spec": {
                "selector": {"matchLabels": {"app": "chat"}}, "template": {}, "minReadySeconds": 3,
            },
        });
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn set(app: &str, owners: &Value) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {
                "name": "chat-1", "uid": "s", "resourceVersion": "7",
                "labels": {"app": app}, "ownerReferences": owners,
            },
        }))
        .unwrap()
    }

    fn owner(uid: &str, controller: bool) -> Value {
        json!({"apiVersion": "v1", "kind": "K", "name": "chat", "uid": uid, "controller": controller})
    }

    fn claimed(object: &GracefulDeployment, set: ReplicaSet) -> (usize, usize) {
        let claims = claims(object, &[Arc::new(set)]);
        (claims.adopt.len(), claims.release.len())
    }

    /// B26, R33: by UID alone, whatever the owner is called.
    #[test]
    fn a_replica_set_that_matches_and_has_no_controller_is_adopted() {
        let object = object(&json!({}));
        assert_eq!(claimed(&object, set("chat", &json!([]))), (1, 0));
        assert_eq!(
            claimed(&object, set("chat", &json!([owner("x", false)]))),
            (1, 0)
        );
        assert_eq!(
            claimed(&object, set("chat", &json!([owner("o", false)]))),
            (1, 0)
        );
        assert_eq!(
            claimed(&object, set("chat", &json!([owner("x", true)]))),
            (0, 0)
        );
        assert_eq!(
            claimed(&object, set("chat", &json!([owner("o", true)]))),
            (0, 0)
        );
        assert_eq!(claimed(&object, set("mail", &json!([]))), (0, 0));
    }

    /// B28.
    #[test]
    fn a_replica_set_of_ours_that_matches_no_longer_is_released() {
        let object = object(&json!({}));
        assert_eq!(
            claimed(&object, set("mail", &json!([owner("o", true)]))),
            (0, 1)
        );
        assert_eq!(
            claimed(&object, set("mail", &json!([owner("x", true)]))),
            (0, 0)
        );
    }

    /// B06, R19.
    #[test]
    fn an_object_that_is_being_deleted_claims_nothing() {
        let going = object(&json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
        assert_eq!(claimed(&going, set("chat", &json!([]))), (0, 0));
        assert_eq!(
            claimed(&going, set("mail", &json!([owner("o", true)]))),
            (0, 0)
        );
    }

    #[test]
    fn a_replica_set_that_is_being_deleted_is_not_adopted() {
        let mut going = set("chat", &json!([]));
        going.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(claimed(&object(&json!({})), going), (0, 0));
    }

    #[test]
    fn an_empty_selector_matches_nothing() {
        let labels = BTreeMap::from([("app".to_owned(), "chat".to_owned())]);
        assert!(!matches(&LabelSelector::default(), &labels));
        assert!(!matches(
            &serde_json::from_value(json!({"matchLabels": {}})).unwrap(),
            &labels
        ));
    }

    /// B15.
    #[test]
    fn annotations_are_handed_down_but_for_kubectls_and_deployments() {
        let object = object(&json!({"annotations": {
            "team": "a", LAST_APPLIED: "{}", REVISION: "3",
            "deployment.kubernetes.io/revision": "4",
        }}));
        assert_eq!(inherited(&object).collect::<Vec<_>>(), [("team", "a")]);
    }

    /// B15, B25.
    #[test]
    fn a_replica_set_is_current_with_its_owners_annotations_and_seconds() {
        let object = object(&json!({"annotations": {"team": "a"}}));
        let mut set = set("chat", &json!([]));
        assert!(!is_current(&object, &set));
        set.spec = Some(k8s_openapi::api::apps::v1::ReplicaSetSpec {
            min_ready_seconds: Some(3),
            ..Default::default()
        });
        assert!(!is_current(&object, &set));
        set.annotations_mut().insert("team".into(), "a".into());
        set.annotations_mut().insert("other".into(), "b".into());
        assert!(is_current(&object, &set));
    }
}
