//! When a status is worth a write, and what that write is. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use serde_json::{Map, Value, json};

use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainEnd, DrainRecord, GracefulDeploymentStatus};

/// For so long counters and messages wait for a write that cannot wait: a rollout changes them with
/// every readiness of every pod, and the next step of a pod is seldom further away. Longer, and a
/// person would take the object for stuck.
const COUNTERS: Duration = Duration::from_secs(5);

/// For so long the steps of a drain wait that the pod itself still shows: it is withdrawn, it has left a
/// receipt. As long as an idle pod takes to be drained and given up, which is written at once; longer,
/// and an operator that dies would have more to see again.
const STEPS: Duration = Duration::from_secs(10);

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

/// Compares the status that was read with the one to write, which has waited for so long.
pub(super) fn decide(
    read: &GracefulDeploymentStatus,
    next: &GracefulDeploymentStatus,
    waited: Duration,
) -> Writing {
    if json!(read) == json!(next) {
        return Writing::Nothing;
    }
    if json!(essence(read, next)) != json!(essence(next, read)) {
        return Writing::Now;
    }
    let wait = if read.drains == next.drains {
        COUNTERS
    } else {
        STEPS
    };
    match wait.checked_sub(waited) {
        Some(rest) if !rest.is_zero() => Writing::Later(rest),
        _ => Writing::Now,
    }
}

/// What others act on, or what we ourselves go on from and could not see again.
fn essence(
    status: &GracefulDeploymentStatus,
    other: &GracefulDeploymentStatus,
) -> GracefulDeploymentStatus {
    let drains = status.drains.iter().filter_map(|drain| {
        let known = other.drains.iter().find(|known| known.uid == drain.uid);
        match known {
            Some(known) => Some(essential(drain, known)),
            // A pod that was given up and is gone needs no memory, and no haste to forget it.
            None => drain.retired.is_none().then(|| drain.clone()),
        }
    });
    let mut rollout = status.last_rollout.clone();
    if let Some(rollout) = &mut rollout {
        rollout.progressed = rollout.started.clone();
        // They count with an outcome, and go with it.
        (rollout.drained, rollout.forced, rollout.connections_cut) = (0, 0, 0);
        (rollout.ended, rollout.unseen, rollout.forced_kills) = (0, 0, 0);
        (rollout.pools_left_open, rollout.longest_shutdown_seconds) = (0, 0);
        rollout.exit_codes.clear();
    }
    // Whether pods drain is in `drains`; the condition says it once more, for people.
    let conditions = status.conditions.iter();
    let conditions = conditions.filter(|condition| condition.type_ != "Draining");
    let conditions = conditions.map(|condition| Condition {
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
        drains: drains.collect(),
        last_rollout: rollout,
        conditions: conditions.collect(),
        ..GracefulDeploymentStatus::default()
    }
}

/// A drain without the steps that one side has and the other has not, where the pod shows them: it was
/// withdrawn for the first time, or its agent said how it ended and it is not given up yet.
fn essential(drain: &DrainRecord, other: &DrainRecord) -> DrainRecord {
    let mut drain = drain.clone();
    let is_serving = |drain: &DrainRecord| drain.withdrawn.is_none() && drain.deadline.is_none();
    if drain.epoch == other.epoch && (is_serving(&drain) || is_serving(other)) {
        (drain.withdrawn, drain.deadline) = (None, None);
    }
    let is_reported = |outcome: Option<DrainEnd>| {
        matches!(
            outcome,
            None | Some(DrainEnd::Drained | DrainEnd::TimedOut | DrainEnd::Unresponsive)
        )
    };
    if is_reported(drain.outcome) && is_reported(other.outcome) {
        drain.outcome = None;
    }
    drain
}

/// The merge patch from the status that was read to the next one, of this very version of the object:
/// its UID and its version.
pub(super) fn patch(
    (uid, version): (Option<String>, Option<String>),
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
        "metadata": {"uid": uid, "resourceVersion": version},
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

    const JUST_NOW: Duration = Duration::ZERO;

    fn drain(more: &Value) -> GracefulDeploymentStatus {
        let mut drain = json!({
            "pod": "a", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
            "since": "2026-01-01T00:00:00.000000Z",
        });
        for (key, value) in more.as_object().unwrap() {
            drain[key] = value.clone();
        }
        status(json!({"drains": [drain]}))
    }

    const LATER: &str = "2026-01-01T00:00:05.000000Z";

    fn is_put_off(read: &GracefulDeploymentStatus, next: &GracefulDeploymentStatus) -> bool {
        let is_later = matches!(decide(read, next, JUST_NOW), Writing::Later(_));
        assert!(is_later || decide(read, next, JUST_NOW) == Writing::Now);
        assert_eq!(decide(read, next, STEPS), Writing::Now);
        is_later
    }

    #[test]
    fn a_status_that_says_what_was_read_is_not_written() {
        let same = status(json!({"replicas": 3}));
        assert_eq!(decide(&same, &same, STEPS), Writing::Nothing);
    }

    #[test]
    fn counters_and_messages_wait_for_some_seconds() {
        let read =
            status(json!({"replicas": 3, "conditions": [condition("False", "A", "1 of 3")]}));
        let next =
            status(json!({"replicas": 4, "conditions": [condition("False", "A", "2 of 3")]}));
        let second = Duration::from_secs(1);
        let rest = COUNTERS.checked_sub(second).unwrap();
        assert_eq!(decide(&read, &next, second), Writing::Later(rest));
        assert_eq!(decide(&read, &next, COUNTERS), Writing::Now);
    }

    #[test]
    fn memory_and_reasons_never_wait() {
        let read = status(json!({"conditions": [condition("False", "A", "")]}));
        let reason = status(json!({"conditions": [condition("False", "B", "")]}));
        assert!(!is_put_off(&read, &reason));
        let mut drains = read.clone();
        drains.drains = drain(&json!({})).drains;
        assert!(!is_put_off(&read, &drains));
        let mut generation = read.clone();
        generation.observed_generation = 7;
        assert!(!is_put_off(&read, &generation));
    }

    #[test]
    fn the_first_withdrawal_waits_for_the_next_step() {
        let withdrawn = drain(&json!({"withdrawn": LATER, "deadline": LATER}));
        assert!(is_put_off(&drain(&json!({})), &withdrawn));
        let back = drain(&json!({"deadline": LATER}));
        assert!(!is_put_off(&withdrawn, &back));
        let raised = drain(&json!({"withdrawn": LATER, "deadline": "2026-01-01T01:00:00.000000Z"}));
        assert!(!is_put_off(&withdrawn, &raised));
    }

    #[test]
    fn an_outcome_waits_for_the_pod_to_be_given_up_where_its_agent_reported_it() {
        let going_on = drain(&json!({}));
        assert!(is_put_off(
            &going_on,
            &drain(&json!({"outcome": "Drained"}))
        ));
        assert!(!is_put_off(
            &going_on,
            &drain(&json!({"outcome": "Silent"}))
        ));
        let given_up = drain(&json!({"outcome": "Drained", "retired": LATER}));
        assert!(!is_put_off(&going_on, &given_up));
        let anew = drain(&json!({"epoch": "f"}));
        assert!(!is_put_off(&going_on, &anew));
    }

    #[test]
    fn the_memory_of_a_pod_that_left_is_forgotten_without_haste() {
        let (none, asked) = (status(json!({})), drain(&json!({})));
        let given_up = drain(&json!({"retired": LATER}));
        assert!(is_put_off(&given_up, &none));
        assert!(!is_put_off(&asked, &given_up));
        assert!(!is_put_off(&asked, &none));
    }

    #[test]
    fn a_counter_of_zero_is_written() {
        let read = status(json!({}));
        let next = status(json!({"replicas": 3}));
        let guard = (Some("u".into()), Some("7".into()));
        let patch = patch(guard, &read, &next);
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
