//! Tells a pod again that its drain is cancelled, where it has not heard. That it was told, and when, is
//! in the pod's annotation, so an operator that dies right after a cancel is followed by one that knows
//! of it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::api::cancelled::Told;
use crate::api::v1alpha1::GracefulDeploymentStatus;
use crate::api::{AGENT, DRAIN};
use crate::observe::{Objects, seen};
use crate::rollout::{Action, ObjectRef, Plan};

/// As long as the planner waits before it asks again: an agent that heard is ready by then.
const ECHO: Duration = Duration::from_secs(2);

/// What a pod's annotation is to say that is told now: once more, where nothing was asked of it since it was
/// told last.
pub(super) fn told_now(pod: &Pod, now: Timestamp) -> Told {
    let before = unasked(pod).and_then(Told::read);
    Told {
        first: before.map_or(now, |before| before.first),
        last: now,
    }
}

/// When it is told again: doubled each time, as the planner's.
fn again(told: Told) -> Timestamp {
    let waited = Duration::try_from(told.last.duration_since(told.first)).unwrap_or_default();
    let again = told.last.checked_add(waited.max(ECHO));
    again.unwrap_or(Timestamp::MAX)
}

/// Adds to the plan the pods that did not hear of their cancel, and when to look whether they did. One
/// that is in service may yet hear of the drain, and then not of its cancel: the kubelet writes what it
/// knew when it began. A pod that the status remembers is not cancelled.
pub(super) fn repeat(
    plan: &mut Plan,
    objects: &Objects<'_>,
    remembered: &GracefulDeploymentStatus,
    now: Timestamp,
) {
    let Some(status) = &plan.status else { return };
    let mut known: Vec<&str> = Vec::new();
    for drain in status.drains.iter().chain(&remembered.drains) {
        known.push(&drain.uid);
    }
    let soon = now.checked_add(ECHO).unwrap_or(Timestamp::MAX);
    let (mut repeats, mut wakes) = (Vec::new(), Vec::new());
    for pod in &objects.pods {
        let seen = seen(pod.as_ref());
        if known.contains(&seen.uid.as_str()) {
            continue;
        }
        if plan.actions.iter().any(|action| is_about(action, &seen)) {
            wakes.push(soon);
            continue;
        }
        let Some(told) = unheard(pod) else { continue };
        if again(told) <= now {
            repeats.push(Action::CancelDrain { pod: seen });
            wakes.push(soon);
        } else {
            wakes.push(again(told));
        }
    }
    plan.actions.extend(repeats);
    plan.wake = wakes.into_iter().chain(plan.wake).min();
}

/// The pod is cancelled in this round already, or written for another reason.
fn is_about(action: &Action, seen: &ObjectRef) -> bool {
    matches!(
        action,
        Action::CancelDrain { pod } | Action::ConfigurePod { pod } if pod.uid == seen.uid
    )
}

/// When the pod was told what its agent does not know: it is withdrawn, and nothing is asked of it. An
/// agent that was started since has read the file when it began, and one that does not run will.
fn unheard(pod: &Pod) -> Option<Told> {
    let told = Told::read(unasked(pod)?)?;
    let statuses = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    let agent = statuses.iter().find(|status| status.name == AGENT)?;
    let running = agent.state.as_ref()?.running.as_ref()?;
    let started = running.started_at.as_ref()?.0;
    (!agent.ready && started <= told.last).then_some(told)
}

/// A pod that is asked for nothing.
fn unasked(pod: &Pod) -> Option<&Pod> {
    let annotations = pod.metadata.annotations.as_ref();
    let is_asked = annotations.is_some_and(|all| all.contains_key(DRAIN));
    (!is_asked && pod.metadata.deletion_timestamp.is_none()).then_some(pod)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::api::CANCELLED;
    use crate::api::v1alpha1::GracefulDeployment;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn told(first: i64, last: i64) -> Value {
        let (first, last) = (at(first), at(last));
        json!(json!(Told { first, last }).to_string())
    }

    fn pod(ready: bool, annotations: &Value) -> Pod {
        pod_in(
            &json!({"running": {"startedAt": at(-60)}}),
            ready,
            annotations,
        )
    }

    fn pod_in(state: &Value, ready: bool, annotations: &Value) -> Pod {
        let status = json!({
            "name": AGENT, "ready": ready, "state": state,
            "image": "", "imageID": "", "restartCount": 0,
        });
        serde_json::from_value(json!({
            "metadata": {"name": "chat-1", "uid": "u", "annotations": annotations},
            "status": {"initContainerStatuses": [status]},
        }))
        .unwrap()
    }

    /// The pods that are told at that second by an operator that knows nothing but the API, and when it
    /// looks again.
    fn repeated(pod: Pod, second: i64) -> (usize, Option<Timestamp>) {
        repeated_beside(pod, second, &GracefulDeploymentStatus::default())
    }

    fn repeated_beside(
        pod: Pod,
        second: i64,
        status: &GracefulDeploymentStatus,
    ) -> (usize, Option<Timestamp>) {
        let object: GracefulDeployment = serde_json::from_value(json!({
            "apiVersion": "graceful.dev/v1alpha1", "kind": "GracefulDeployment",
            "metadata": {"name": "chat"}, "spec": {"selector": {}, "template": {}},
        }))
        .unwrap();
        let objects = Objects {
            object: &object,
            replica_sets: Vec::new(),
            pods: vec![Arc::new(pod)],
            services: Vec::new(),
            endpoint_slices: Vec::new(),
            controller_revisions: Vec::new(),
        };
        let mut plan = Plan {
            status: Some(GracefulDeploymentStatus::default()),
            ..Plan::default()
        };
        repeat(&mut plan, &objects, status, at(second));
        (plan.actions.len(), plan.wake)
    }

    #[test]
    fn a_pod_that_did_not_hear_is_told_again_and_ever_more_seldom() {
        let deaf = |first, last| pod(false, &json!({CANCELLED: told(first, last)}));
        assert_eq!(repeated(deaf(0, 0), 1), (0, Some(at(2))));
        assert_eq!(repeated(deaf(0, 0), 2), (1, Some(at(4))));
        assert_eq!(repeated(deaf(0, 4), 7), (0, Some(at(8))));
        assert_eq!(repeated(deaf(0, 4), 8).0, 1);
    }

    #[test]
    fn a_pod_that_hears_of_the_drain_after_its_cancel_is_told_again() {
        let annotations = json!({CANCELLED: told(0, 0)});
        assert_eq!(repeated(pod(true, &annotations), 1), (0, None));
        assert_eq!(repeated(pod(false, &annotations), 3).0, 1);
    }

    #[test]
    fn an_agent_that_does_not_run_or_was_started_since_is_not_told() {
        let annotations = json!({CANCELLED: told(0, 0)});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(repeated(pod_in(&waiting, false, &annotations), 9).0, 0);
        let restarted = json!({"running": {"startedAt": at(1)}});
        assert_eq!(repeated(pod_in(&restarted, false, &annotations), 9).0, 0);
    }

    #[test]
    fn a_pod_that_was_never_cancelled_or_drains_is_not_told() {
        assert_eq!(repeated(pod(false, &json!({})), 9), (0, None));
        let asked = json!({CANCELLED: told(0, 0), DRAIN: "{}"});
        assert_eq!(repeated(pod(false, &asked), 9), (0, None));
        let drain = json!({"drains": [{
            "pod": "chat-1", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
            "since": at(5),
        }]});
        let status = serde_json::from_value(drain).unwrap();
        let cancelled = pod(false, &json!({CANCELLED: told(0, 0)}));
        assert_eq!(repeated_beside(cancelled, 9, &status), (0, None));
    }

    #[test]
    fn a_cancel_begins_anew_and_its_repeats_go_on() {
        let begun = told_now(&pod(false, &json!({DRAIN: "{}"})), at(5));
        assert_eq!((begun.first, begun.last), (at(5), at(5)));
        let repeated = told_now(&pod(false, &json!({CANCELLED: told(1, 3)})), at(5));
        assert_eq!((repeated.first, repeated.last), (at(1), at(5)));
    }
}
