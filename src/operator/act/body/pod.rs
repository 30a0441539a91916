//! The bodies of the patches on pods: a drain is asked for and cancelled, and the pod's deletion cost is
//! ours meanwhile. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::guarded;
use crate::api::request::DrainRequest;
use crate::api::{
    CANCELLED, CONFIG, COST_DRAINING, COST_NEXT, DELETION_COST, DRAIN, DRAINING, INJECTED, KEPT,
    RELEASE, USER_DELETION_COST,
};
use crate::operator::echo::told_now;
use crate::rollout::ObjectRef;

pub(in crate::operator::act) fn request_drain(
    seen: &ObjectRef,
    pod: &Pod,
    request: &DrainRequest,
) -> Value {
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
    let told = json!(told_now(pod, now)).to_string();
    let mut annotations = json!({
        DRAIN: null,
        USER_DELETION_COST: null,
        RELEASE: null,
        CANCELLED: told,
    });
    if let (Some(kept), Some(annotations)) = (kept, annotations.as_object_mut()) {
        let cost = if kept.is_empty() {
            Value::Null
        } else {
            json!(kept)
        };
        annotations.insert(DELETION_COST.into(), cost);
    }
    let labels = if pod.annotations().contains_key(INJECTED) {
        json!({DRAINING: null, KEPT: "true"})
    } else {
        json!({DRAINING: null})
    };
    guarded(
        seen,
        json!({"metadata": {"labels": labels, "annotations": annotations}}),
    )
}

/// Of a pod whose user's cost is in keeping nothing is written but ours, whatever else has changed of
/// it: its agent has just ended, and the kubelet says so in several steps.
pub(in crate::operator::act) fn set_deletion_cost(seen: &ObjectRef, pod: &Pod) -> Value {
    if pod.annotations().contains_key(USER_DELETION_COST) {
        let annotations = json!({DELETION_COST: COST_NEXT.to_string()});
        return json!({"metadata": {
            "uid": seen.uid, "labels": {KEPT: null}, "annotations": annotations,
        }});
    }
    let patch = json!({"metadata": {
        "labels": {KEPT: null},
        "annotations": {
            DELETION_COST: COST_NEXT.to_string(),
            USER_DELETION_COST: users_cost(pod),
        },
    }});
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

pub(in crate::operator::act) fn configure_pod(seen: &ObjectRef, config: &str) -> Value {
    guarded(seen, json!({"metadata": {"annotations": {CONFIG: config}}}))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{pod, request, seen};
    use super::*;

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
        for key in [DRAIN, USER_DELETION_COST, DELETION_COST, RELEASE] {
            let left = metadata["annotations"].get(key);
            assert_eq!(left, Some(&Value::Null), "{key}");
        }
    }

    #[test]
    fn the_label_goes_with_the_cost_and_is_back_with_service() {
        let injected = pod(&json!({INJECTED: "{}", USER_DELETION_COST: ""}));
        let patch = set_deletion_cost(&seen(), &injected);
        assert_eq!(patch["metadata"]["labels"], json!({KEPT: null}));
        let patch = cancel_drain(&seen(), &injected, Timestamp::UNIX_EPOCH);
        assert_eq!(
            patch["metadata"]["labels"],
            json!({DRAINING: null, KEPT: "true"})
        );
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
}
