//! What is kept of an object that was seen: only what a decision reads. Everything else is dropped
//! before it is stored, so that memory grows with our pods and not with the cluster's.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::PartialObjectMeta;

use super::caches::{Caches, Guarded};
use crate::api::{
    AGENT, CANCELLED, CONFIG, DELETION_COST, DRAIN, DRAINING, GROUP, INJECTED, LAST_APPLIED,
    RELEASE, USER_DELETION_COST,
};
use crate::observe::tells_of_agent;

/// Says whether the object is kept, and drops what is not read.
pub(super) type Prune<K> = fn(&mut K, &Caches) -> bool;

pub(super) fn object(object: &mut Guarded, _: &Caches) -> bool {
    let metadata = match &mut object.0 {
        Ok(object) => object.meta_mut(),
        Err(invalid) => &mut invalid.metadata,
    };
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    true
}

/// Only those of a GracefulDeployment, and those that nobody controls: one may adopt them.
pub(super) fn replica_set(set: &mut ReplicaSet, _: &Caches) -> bool {
    let is_kept = controller(&set.metadata).is_none_or(is_object);
    set.metadata.managed_fields = None;
    if let Some(annotations) = &mut set.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(spec) = &mut set.spec {
        spec.selector = LabelSelector::default();
        if let Some(template) = &mut spec.template {
            template.spec = None;
            if let Some(metadata) = &mut template.metadata {
                keep(metadata, &[INJECTED, CONFIG]);
            }
        }
    }
    is_kept
}

/// The annotations of a pod that mean something.
const MARKS: [&str; 7] = [
    INJECTED,
    CONFIG,
    DRAIN,
    CANCELLED,
    DELETION_COST,
    USER_DELETION_COST,
    RELEASE,
];

/// Only those that were injected into or carry a mark of ours, which nobody else's do, and those of
/// ReplicaSets that were adopted.
pub(super) fn pod(pod: &mut Pod, caches: &Caches) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let is_injected = annotations.is_some_and(|all| all.contains_key(INJECTED));
    let is_kept = is_injected || is_marked(&pod.metadata) || caches.owner_of_pod(pod).is_some();
    slim(pod);
    is_kept
}

fn slim(pod: &mut Pod) {
    keep(&mut pod.metadata, &MARKS);
    // A container is two kilobytes, however little of it is set.
    let is_told_of = tells_of_agent(pod);
    if let Some(spec) = pod.spec.take() {
        let agent = spec.init_containers.filter(|_| !is_told_of);
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            init_containers: agent.map(only_agent),
            ..PodSpec::default()
        });
    }
    if let Some(status) = &mut pod.status {
        *status = k8s_openapi::api::core::v1::PodStatus {
            phase: status.phase.take(),
            reason: status.reason.take(),
            host_ip: status.host_ip.take(),
            pod_ip: status.pod_ip.take(),
            pod_ips: status.pod_ips.take(),
            conditions: status.conditions.take(),
            init_container_statuses: status.init_container_statuses.take().map(short),
            container_statuses: status.container_statuses.take().map(short),
            ..Default::default()
        };
    }
}

/// The pod carries the mark of a drain.
pub(super) fn is_marked(metadata: &ObjectMeta) -> bool {
    let has = |key: &str| {
        let annotations = metadata.annotations.as_ref();
        annotations.is_some_and(|all| all.contains_key(key))
    };
    let labels = metadata.labels.as_ref();
    has(DRAIN) || has(USER_DELETION_COST) || labels.is_some_and(|all| all.contains_key(DRAINING))
}

fn only_agent(containers: Vec<Container>) -> Vec<Container> {
    containers
        .into_iter()
        .filter(|container| container.name == AGENT)
        .map(|container| Container {
            name: container.name,
            ..Container::default()
        })
        .collect()
}

fn short(statuses: Vec<ContainerStatus>) -> Vec<ContainerStatus> {
    statuses
        .into_iter()
        .map(|status| ContainerStatus {
            name: status.name,
            ready: status.ready,
            restart_count: status.restart_count,
            started: status.started,
            state: status.state,
            last_state: status.last_state,
            ..ContainerStatus::default()
        })
        .collect()
}

/// Without its version: what is left says whether it changed for us.
pub(super) fn service(service: &mut Service, _: &Caches) -> bool {
    keep(&mut service.metadata, &[]);
    service.metadata.labels = None;
    service.metadata.resource_version = None;
    service.metadata.owner_references = None;
    service.status = None;
    if let Some(spec) = service.spec.take() {
        let mut ports = spec.ports;
        for port in ports.iter_mut().flatten() {
            *port = k8s_openapi::api::core::v1::ServicePort {
                protocol: port.protocol.take(),
                ..Default::default()
            };
        }
        service.spec = Some(ServiceSpec {
            type_: spec.type_,
            selector: spec.selector,
            ports,
            internal_traffic_policy: spec.internal_traffic_policy,
            external_traffic_policy: spec.external_traffic_policy,
            publish_not_ready_addresses: spec.publish_not_ready_addresses,
            ..ServiceSpec::default()
        });
    }
    true
}

/// Only what is named ready, without its version: what is left says whether it changed for us.
pub(super) fn endpoint_slice(slice: &mut EndpointSlice, _: &Caches) -> bool {
    keep(&mut slice.metadata, &[]);
    slice.metadata.resource_version = None;
    slice.metadata.generation = None;
    slice.metadata.owner_references = None;
    slice.ports = None;
    slice.endpoints = std::mem::take(&mut slice.endpoints)
        .into_iter()
        .filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.and_then(|conditions| conditions.ready) != Some(false)
        })
        .map(|endpoint| Endpoint {
            addresses: endpoint.addresses.into_iter().take(1).collect(),
            target_ref: endpoint.target_ref,
            node_name: endpoint.node_name,
            ..Endpoint::default()
        })
        .collect();
    true
}

/// Only those of ReplicaSets: others' controllers record revisions as well.
pub(super) fn controller_revision(
    revision: &mut PartialObjectMeta<ControllerRevision>,
    _: &Caches,
) -> bool {
    let is_ours = revision
        .metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.kind == "ReplicaSet");
    keep(&mut revision.metadata, &[]);
    revision.metadata.labels = None;
    is_ours
}

/// The owner that controls an object.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// The owner is a GracefulDeployment, of whatever version.
pub(super) fn is_object(owner: &OwnerReference) -> bool {
    let group = owner.api_version.split('/').next();
    owner.kind == "GracefulDeployment" && group == Some(GROUP)
}

fn keep(metadata: &mut ObjectMeta, annotations: &[&str]) {
    metadata.managed_fields = None;
    if let Some(all) = &mut metadata.annotations {
        all.retain(|key, _| annotations.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kept(status: &Value) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1"},
            "spec": {"nodeName": "n", "containers": [], "initContainers": [{"name": AGENT}, {"name": "other"}]},
            "status": status,
        }))
        .unwrap();
        slim(&mut pod);
        pod
    }

    #[test]
    fn agent_is_kept_of_the_spec_until_its_status_tells_of_it() {
        let agent = |status: &Value| kept(status).spec.unwrap().init_containers;
        assert_eq!(agent(&json!({"phase": "Pending"})).unwrap().len(), 1);
        let told = json!({"initContainerStatuses": [{
            "name": AGENT, "image": "a", "imageID": "a", "ready": true, "restartCount": 0,
        }]});
        assert_eq!(agent(&told), None);
        let status = kept(&told).status.unwrap();
        assert_eq!(status.init_container_statuses.unwrap()[0].name, AGENT);
    }
}
