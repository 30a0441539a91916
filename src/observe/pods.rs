//! One pod as the planner sees it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;
use serde_json::json;

use crate::api::cancelled::Told;
use crate::api::receipt::Receipt;
use crate::api::request::DrainRequest;
use crate::api::{
    AGENT, CONFIG, DELETION_COST, DRAIN, DRAINING, INJECTED, RELEASE, USER_DELETION_COST,
};
use crate::rollout::{Agent, ConditionStatus, Phase, Pod as Seen, Readiness, Request};

/// `None` for a pod that has finished: its ReplicaSet replaces it and nothing of it is left to drain.
/// Whether it carries all labels of its template is its ReplicaSet's to say.
pub(super) fn read(pod: &Pod, is_labelled: bool) -> Option<Seen> {
    let status = pod.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Succeeded" | "Failed") => return None,
        Some("Running") => Phase::Running,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    };
    let annotation = |key: &str| pod.annotations().get(key).cloned();
    let owner = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    Some(Seen {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        resource_version: pod.resource_version().unwrap_or_default(),
        owner: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .filter(|node| !node.is_empty()),
        phase,
        readiness: readiness(pod),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        node_lost: is_node_lost(pod),
        deletion_cost: annotation(DELETION_COST)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        agent: agent(pod),
        request: annotation(DRAIN).map(|text| request(&text)),
        is_labelled,
        is_marked: pod.labels().contains_key(DRAINING)
            || pod.annotations().contains_key(USER_DELETION_COST),
        config: annotation(CONFIG).unwrap_or_default(),
        injected: annotation(INJECTED).unwrap_or_default(),
        trouble: trouble(pod),
        conditions: conditions(pod),
        is_released: annotation(RELEASE).is_some(),
        cancelled: Told::read(pod).map(|told| told.last),
    })
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn conditions(pod: &Pod) -> BTreeMap<String, ConditionStatus> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.conditions.as_ref());
    let read = |one: &PodCondition| {
        let status = match one.status.as_str() {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        };
        (one.type_.clone(), status)
    };
    all.into_iter().flatten().map(read).collect()
}

fn readiness(pod: &Pod) -> Readiness {
    match condition(pod, "Ready") {
        Some(ready) if ready.status == "True" => {
            // Without a time it was ready for ever.
            let since = ready
                .last_transition_time
                .as_ref()
                .map_or(jiff::Timestamp::MIN, |time| time.0);
            Readiness::Ready(since)
        }
        _ => Readiness::NotReady,
    }
}

/// The node controller gave the pod up (node/tainteviction, podgc), or said so the old way.
fn is_node_lost(pod: &Pod) -> bool {
    let reason = pod
        .status
        .as_ref()
        .and_then(|status| status.reason.as_deref());
    let disruption = condition(pod, "DisruptionTarget")
        .filter(|condition| condition.status == "True")
        .and_then(|condition| condition.reason.as_deref());
    reason == Some("NodeLost")
        || matches!(
            disruption,
            Some("DeletionByTaintManager" | "DeletionByPodGC")
        )
}

/// The pod has an agent.
fn has_agent(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.init_containers.as_ref());
    tells_of_agent(pod)
        || wanted.is_some_and(|all| all.iter().any(|container| container.name == AGENT))
}

/// The kubelet has written the status of the agent's container, and nothing of the spec's is asked for any more.
pub(crate) fn tells_of_agent(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.init_container_statuses.as_ref());
    all.is_some_and(|all| all.iter().any(|status| status.name == AGENT))
}

fn agent(pod: &Pod) -> Agent {
    let present = has_agent(pod);
    let Some(status) = statuses(pod).find(|status| status.name == AGENT) else {
        return Agent {
            present,
            ..Agent::default()
        };
    };
    let ends = || ends(status);
    Agent {
        present,
        running: status
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some()),
        ready: status.ready,
        restarts: u32::try_from(status.restart_count).unwrap_or(0),
        receipts: ends()
            .filter_map(|end| Receipt::parse(end.message.as_deref().unwrap_or_default()))
            .collect(),
        exited: ends()
            .find(|end| end.exit_code == 0)
            .and_then(|end| end.finished_at.as_ref())
            .map(|time| time.0),
    }
}

/// How a container ended, newest first: now, and the time before.
pub(super) fn ends(status: &ContainerStatus) -> impl Iterator<Item = &ContainerStateTerminated> {
    [status.state.as_ref(), status.last_state.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref())
}

/// Init containers' statuses come first: the agent is among them.
pub(super) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let ordinary = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(ordinary).flatten()
}

/// A request that cannot be read has no epoch: it matches no memory and is taken off.
fn request(text: &str) -> Request {
    let parsed: Option<DrainRequest> = serde_json::from_str(text).ok();
    parsed.map_or_else(
        || Request {
            epoch: String::new(),
            settings: String::new(),
            asked: None,
        },
        |request| Request {
            epoch: request.epoch,
            settings: json!(request.drain).to_string(),
            asked: request.asked,
        },
    )
}

/// Why the pod is not ready, in the words of the scheduler and the kubelet; never the app's.
fn trouble(pod: &Pod) -> String {
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|it| it.status == "False") {
        return unscheduled.message.clone().unwrap_or_default();
    }
    for status in statuses(pod) {
        let state = status.state.as_ref();
        let name = &status.name;
        if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
            let reason = waiting.reason.as_deref().unwrap_or("Waiting");
            if reason != "PodInitializing" && reason != "ContainerCreating" {
                return format!("container {name} waits: {reason}");
            }
        }
        let has_ended = state.is_some_and(|state| state.terminated.is_some());
        if !status.ready && !has_ended && status.started == Some(true) {
            let is_injected = pod
                .annotations()
                .get(INJECTED)
                .is_some_and(|summary| summary.contains(&format!("{name}/readiness")));
            let whose = if is_injected {
                "the injected readiness probe"
            } else {
                "its readiness probe"
            };
            return format!("container {name} does not pass {whose}");
        }
    }
    String::new()
}
