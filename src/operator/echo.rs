//! Tells a pod again that its drain is cancelled, where it has not heard. A request that was not heard
//! is the planner's to repeat, because it is in the API; a cancelled one leaves nothing there, so this
//! is remembered by the process alone: forgotten in a crash, the kubelet tells the pod with its next
//! full sync, a minute or more later.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::time::Instant;

use crate::api::{AGENT, DRAIN};
use crate::observe::Objects;
use crate::rollout::{Action, ObjectRef};

/// As long as the planner waits before it asks again: an agent that heard is ready by then.
const ECHO: Duration = Duration::from_secs(2);

/// For so long a pod in service may yet hear of the drain, and then not of its cancel: the kubelet
/// writes what it knew when it began. As the planner's patience with a pod that has not heard.
const LATE: Duration = Duration::from_secs(10);

/// Cancelled drains whose pods may not have heard, by UID: when each was first told, and last.
#[derive(Debug, Default)]
pub(super) struct Echoes(BTreeMap<String, (Instant, Instant)>);

/// What is to be told again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unheard {
    /// Pods to be told now.
    pub(super) pods: Vec<ObjectRef>,
    /// When to look again.
    pub(super) again: Option<Duration>,
}

impl Unheard {
    /// Adds the cancellations to those of a plan, and notes all of them as told. Returns when to look
    /// whether they were heard.
    pub(super) fn tell(self, actions: &mut Vec<Action>, echoes: &mut Echoes) -> Option<Duration> {
        let cancelled = |actions: &[Action], uid: &str| {
            actions
                .iter()
                .any(|action| matches!(action, Action::CancelDrain { pod } if pod.uid == uid))
        };
        for pod in self.pods {
            if !cancelled(actions, &pod.uid) {
                actions.push(Action::CancelDrain { pod });
            }
        }
        let mut again = self.again;
        for action in actions {
            if let Action::CancelDrain { pod } = action {
                echoes.told(&pod.uid, Instant::now());
                again = Some(again.map_or(ECHO, |again| again.min(ECHO)));
            }
        }
        again
    }
}

impl Echoes {
    /// A pod was told, for the first time or again.
    fn told(&mut self, uid: &str, at: Instant) {
        self.0
            .entry(uid.to_owned())
            .and_modify(|(_, last)| *last = at)
            .or_insert((at, at));
    }

    /// Forgets the pods that heard, and says which of the others are to be told again.
    pub(super) fn unheard(&mut self, objects: &Objects<'_>, now: Instant) -> Unheard {
        let mut unheard = Unheard::default();
        self.0.retain(|uid, (first, last)| {
            let mut pods = objects.pods.iter();
            let pod = pods.find(|pod| pod.metadata.uid.as_ref() == Some(uid));
            let Some((pod, agent)) = pod.and_then(|pod| Some((pod, unasked(pod)?))) else {
                return false;
            };
            if agent.ready {
                return now.saturating_duration_since(*last) < LATE;
            }
            if agent
                .state
                .as_ref()
                .is_none_or(|state| state.running.is_none())
            {
                // It reads the file when it is back: the kubelet's back-off is what is waited for.
                return true;
            }
            // Doubled each time, as the planner's.
            let wait = last.saturating_duration_since(*first).max(ECHO);
            let rest = wait.saturating_sub(now.saturating_duration_since(*last));
            if rest.is_zero() {
                unheard.pods.push(seen(pod));
            }
            let rest = if rest.is_zero() { ECHO } else { rest };
            unheard.again = Some(unheard.again.map_or(rest, |again| again.min(rest)));
            true
        });
        unheard
    }
}

/// The agent of a pod that is asked for nothing.
fn unasked(pod: &Pod) -> Option<&ContainerStatus> {
    let annotations = pod.metadata.annotations.as_ref();
    let is_asked = annotations.is_some_and(|all| all.contains_key(DRAIN));
    if is_asked || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let statuses = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == AGENT)
}

fn seen(pod: &Pod) -> ObjectRef {
    let metadata = &pod.metadata;
    ObjectRef {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::GracefulDeployment;

    fn object() -> GracefulDeployment {
        serde_json::from_value(json!({
            "apiVersion": "graceful.dev/v1alpha1", "kind": "GracefulDeployment",
            "metadata": {"name": "chat"}, "spec": {"selector": {}, "template": {}},
        }))
        .unwrap()
    }

    fn pod(ready: bool) -> Arc<Pod> {
        pod_in(&json!({"running": {}}), ready)
    }

    fn pod_in(state: &serde_json::Value, ready: bool) -> Arc<Pod> {
        let status = json!({
            "name": AGENT, "ready": ready, "state": state,
            "image": "", "imageID": "", "restartCount": 0,
        });
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": "chat-1", "uid": "u"},
                "status": {"initContainerStatuses": [status]},
            }))
            .unwrap(),
        )
    }

    fn objects(object: &GracefulDeployment, pods: Vec<Arc<Pod>>) -> Objects<'_> {
        Objects {
            object,
            replica_sets: Vec::new(),
            pods,
            services: Vec::new(),
            endpoint_slices: Vec::new(),
            controller_revisions: Vec::new(),
        }
    }

    #[test]
    fn a_pod_that_did_not_hear_is_told_again_and_ever_more_seldom() {
        let (object, start) = (object(), Instant::now());
        let deaf = objects(&object, vec![pod(false)]);
        let mut echoes = Echoes::default();
        echoes.told("u", start);
        let second = Duration::from_secs(1);
        assert!(echoes.unheard(&deaf, start + second).pods.is_empty());
        assert_eq!(echoes.unheard(&deaf, start + 2 * second).pods.len(), 1);
        echoes.told("u", start + 4 * second);
        assert!(echoes.unheard(&deaf, start + 7 * second).pods.is_empty());
        assert_eq!(echoes.unheard(&deaf, start + 8 * second).pods.len(), 1);
    }

    #[test]
    fn a_pod_that_hears_of_the_drain_after_its_cancel_is_told_again() {
        let (object, start) = (object(), Instant::now());
        let second = Duration::from_secs(1);
        let mut echoes = Echoes::default();
        echoes.told("u", start);
        let serving = objects(&object, vec![pod(true)]);
        assert!(echoes.unheard(&serving, start + second).pods.is_empty());
        let withdrawn = objects(&object, vec![pod(false)]);
        let unheard = echoes.unheard(&withdrawn, start + 3 * second);
        assert_eq!(unheard.pods.len(), 1);
    }

    #[test]
    fn an_agent_that_does_not_run_is_not_told() {
        let (object, start) = (object(), Instant::now());
        let waiting = pod_in(&json!({"waiting": {"reason": "CrashLoopBackOff"}}), false);
        let mut echoes = Echoes::default();
        echoes.told("u", start);
        let later = start + Duration::from_secs(9);
        let unheard = echoes.unheard(&objects(&object, vec![waiting]), later);
        assert_eq!(unheard, Unheard::default());
        let back = objects(&object, vec![pod(false)]);
        assert_eq!(echoes.unheard(&back, later).pods.len(), 1);
    }

    #[test]
    fn a_pod_that_heard_or_left_is_forgotten() {
        let (object, start) = (object(), Instant::now());
        for pods in [vec![pod(true)], Vec::new()] {
            let mut echoes = Echoes::default();
            echoes.told("u", start);
            let later = start + Duration::from_secs(60);
            let unheard = echoes.unheard(&objects(&object, pods), later);
            assert_eq!(unheard, Unheard::default());
            assert!(echoes.0.is_empty());
        }
    }
}
