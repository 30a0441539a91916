//! When a status is worth a write, and what that write is. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::api::reason::Reason;
use crate::api::v1alpha1::{GracefulDeployment, GracefulDeploymentStatus};

/// Counters and messages alone are written at most this often: a rollout changes them with every
/// readiness of every pod, and a person reads them once a second at best.
const COUNTERS: Duration = Duration::from_secs(1);

/// What to do about a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// It says what was read.
    Nothing,
    /// It can wait for so long.
    Later(Duration),
    /// It cannot wait.
    Now,
}

/// Compares the status that was read with the one to write; `age` is the time since the last write.
pub(super) fn decide(
    read: &GracefulDeploymentStatus,
    next: &GracefulDeploymentStatus,
    age: Option<Duration>,
) -> Writing {
    if json!(read) == json!(next) {
        return Writing::Nothing;
    }
    if json!(essence(read, next)) != json!(essence(next, read)) {
        return Writing::Now;
    }
    match age {
        Some(age) if age < COUNTERS => Writing::Later(COUNTERS.saturating_sub(age)),
        _ => Writing::Now,
    }
}

/// What others act on, or what we ourselves go on from.
fn essence(
    status: &GracefulDeploymentStatus,
    other: &GracefulDeploymentStatus,
) -> GracefulDeploymentStatus {
    // A pod that was given up and is gone needs no memory, and no haste to forget it.
    let is_known = |uid: &str| other.drains.iter().any(|drain| drain.uid == uid);
    let drains = status.drains.iter();
    let drains = drains.filter(|drain| drain.retired.is_none() || is_known(&drain.uid));
    let mut rollout = status.last_rollout.clone();
    if let Some(rollout) = &mut rollout {
        rollout.progressed = rollout.started.clone();
    }
    let conditions = status.conditions.iter().map(|condition| Condition {
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        ..condition.clone()
    });
    GracefulDeploymentStatus {
        observed_generation: status.observed_generation,
        selector: status.selector.clone(),
        current_revision: status.current_revision.clone(),
        update_revision: status.update_revision.clone(),
        collision_count: status.collision_count,
        drains: drains.cloned().collect(),
        last_rollout: rollout,
        conditions: conditions.collect(),
        ..GracefulDeploymentStatus::default()
    }
}

/// The merge patch from the status that was read to the next one, of this very version of the object.
pub(super) fn patch(
    object: &GracefulDeployment,
    read: &GracefulDeploymentStatus,
    next: &GracefulDeploymentStatus,
) -> Value {
    let next = json!(next);
    let mut status = difference(&json!(read), &next);
    if let (Some(status), Some(next)) = (status.as_object_mut(), next.as_object()) {
        // A counter that was never written reads as 0, and would stay unwritten as long as it is.
        let counters = next.iter().filter(|(_, value)| value.is_number());
        status.extend(counters.map(|(key, value)| (key.clone(), value.clone())));
    }
    json!({
        "metadata": {"uid": object.uid(), "resourceVersion": object.resource_version()},
        "status": status,
    })
}

/// An RFC 7386 patch: what differs, and null for what is no more.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for (key, value) in to {
        match from.get(key) {
            Some(same) if same == value => {}
            Some(other) => {
                patch.insert(key.clone(), difference(other, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// The status of an object that this operator cannot read, of this very version of it: nothing is
/// touched, and this says so.
pub(super) fn unreadable(error: &str, metadata: &ObjectMeta, now: Timestamp) -> Value {
    let message = format!("{UNREADABLE}: {error}");
    let generation = metadata.generation;
    let condition = |kind: &str, status: &str| Condition {
        type_: kind.into(),
        status: status.into(),
        reason: Reason::InvalidSpec.as_str().into(),
        message: message.clone(),
        last_transition_time: Time(now),
        observed_generation: generation,
    };
    let conditions = [
        condition("Ready", "False"),
        condition("Reconciling", "False"),
        condition("Stalled", "True"),
    ];
    json!({
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "status": {"observedGeneration": generation, "conditions": conditions},
    })
}

/// Begins the message of an object that cannot be read.
pub(super) const UNREADABLE: &str =
    "the object cannot be read; its pods are left as they are until it is corrected";

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: Value) -> GracefulDeploymentStatus {
        serde_json::from_value(json).unwrap()
    }

    fn condition(status: &str, reason: &str, message: &str) -> Value {
        json!({
            "type": "Ready", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    const JUST_NOW: Option<Duration> = Some(Duration::from_millis(300));

    #[test]
    fn a_status_that_says_what_was_read_is_not_written() {
        let same = status(json!({"replicas": 3}));
        assert_eq!(decide(&same, &same, None), Writing::Nothing);
    }

    #[test]
    fn counters_and_messages_wait_for_the_second_to_pass() {
        let read =
            status(json!({"replicas": 3, "conditions": [condition("False", "A", "1 of 3")]}));
        let next =
            status(json!({"replicas": 4, "conditions": [condition("False", "A", "2 of 3")]}));
        let rest = Duration::from_millis(700);
        assert_eq!(decide(&read, &next, JUST_NOW), Writing::Later(rest));
        assert_eq!(decide(&read, &next, Some(COUNTERS)), Writing::Now);
        assert_eq!(decide(&read, &next, None), Writing::Now);
    }

    #[test]
    fn memory_and_reasons_never_wait() {
        let read = status(json!({"conditions": [condition("False", "A", "")]}));
        let reason = status(json!({"conditions": [condition("False", "B", "")]}));
        assert_eq!(decide(&read, &reason, JUST_NOW), Writing::Now);
        let mut drains = read.clone();
        drains.drains.push(
            serde_json::from_value(json!({
                "pod": "a", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
                "since": "2026-01-01T00:00:00.000000Z",
            }))
            .unwrap(),
        );
        assert_eq!(decide(&read, &drains, JUST_NOW), Writing::Now);
        let mut generation = read.clone();
        generation.observed_generation = 7;
        assert_eq!(decide(&read, &generation, JUST_NOW), Writing::Now);
    }

    fn object(status: &Value) -> GracefulDeployment {
        serde_json::from_value(json!({
            "apiVersion": "graceful.dev/v1alpha1", "kind": "GracefulDeployment",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7"},
            "spec": {"selector": {}, "template": {}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_memory_of_a_pod_that_left_is_forgotten_without_haste() {
        let drain = |retired: Option<&str>| {
            let mut drain = json!({
                "pod": "a", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
                "since": "2026-01-01T00:00:00.000000Z",
            });
            if let Some(retired) = retired {
                drain["retired"] = json!(retired);
            }
            status(json!({"drains": [drain]}))
        };
        let (none, asked) = (status(json!({})), drain(None));
        let given_up = drain(Some("2026-01-01T00:00:00.000000Z"));
        assert!(matches!(
            decide(&given_up, &none, JUST_NOW),
            Writing::Later(_)
        ));
        assert_eq!(decide(&asked, &given_up, JUST_NOW), Writing::Now);
        assert_eq!(decide(&asked, &none, JUST_NOW), Writing::Now);
    }

    #[test]
    fn a_counter_of_zero_is_written() {
        let read = status(json!({}));
        let next = status(json!({"replicas": 3}));
        let patch = patch(&object(&json!({})), &read, &next);
        assert_eq!(patch["status"]["drainingReplicas"], 0);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn what_is_no_more_is_patched_away() {
        let patch = difference(
            &json!({"a": 1, "b": {"x": 1, "y": 2}, "c": 3}),
            &json!({"b": {"x": 1, "y": 3}, "c": 3, "d": [4]}),
        );
        assert_eq!(patch, json!({"a": null, "b": {"y": 3}, "d": [4]}));
    }
}
