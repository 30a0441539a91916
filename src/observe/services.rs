//! The Services that concern a set of pods: who selects them, and who sends them new connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::rollout::{Endpoint, Service as Seen};

/// Label of an EndpointSlice with the name of its Service (discovery.k8s.io).
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn read(
    pods: &[&Pod],
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
) -> Vec<Seen> {
    let mut ready: BTreeMap<&str, Vec<Endpoint>> = BTreeMap::new();
    for slice in slices {
        let Some(service) = slice.labels().get(SERVICE_NAME) else {
            continue;
        };
        ready.entry(service).or_default().extend(endpoints(slice));
    }
    services
        .iter()
        .map(|service| {
            let name = service.name_any();
            let ready = ready.remove(name.as_str()).unwrap_or_default();
            let selects = selected(service, pods);
            let (udp, local, publishes_not_ready) = traits(service);
            Seen {
                name,
                udp,
                local,
                publishes_not_ready,
                selects,
                ready,
            }
        })
        .filter(|service| {
            // A Service without selector concerns a pod when somebody's EndpointSlice names it.
            !service.selects.is_empty()
                || pods.iter().any(|pod| {
                    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                    service.ready.iter().any(|endpoint| endpoint.id == uid)
                })
        })
        .collect()
}

/// Endpoints that get new connections; an unset `ready` means yes (discovery.k8s.io).
fn endpoints(slice: &EndpointSlice) -> impl Iterator<Item = Endpoint> {
    slice
        .endpoints
        .iter()
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready)
                != Some(false)
        })
        .map(|endpoint| {
            let uid = endpoint
                .target_ref
                .as_ref()
                .and_then(|target| target.uid.clone());
            let id = uid
                .or_else(|| endpoint.addresses.first().cloned())
                .unwrap_or_default();
            Endpoint {
                id,
                node: endpoint.node_name.clone(),
            }
        })
}

/// UIDs of the pods that the Service's selector matches. An empty selector matches nothing.
fn selected(service: &Service, pods: &[&Pod]) -> BTreeSet<String> {
    let spec = service.spec.as_ref();
    let is_external = spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    let Some(selector) = spec
        .and_then(|spec| spec.selector.as_ref())
        .filter(|selector| !selector.is_empty() && !is_external)
    else {
        return BTreeSet::new();
    };
    pods.iter()
        .filter(|pod| {
            selector
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
        })
        .filter_map(|pod| pod.uid())
        .collect()
}

/// UDP ports, node-local traffic, publishNotReadyAddresses.
fn traits(service: &Service) -> (bool, bool, bool) {
    let Some(spec) = service.spec.as_ref() else {
        return (false, false, false);
    };
    let udp = spec
        .ports
        .iter()
        .flatten()
        .any(|port| port.protocol.as_deref() == Some("UDP"));
    let is_local = |policy: Option<&String>| policy.is_some_and(|policy| policy == "Local");
    let local = is_local(spec.internal_traffic_policy.as_ref())
        || is_local(spec.external_traffic_policy.as_ref());
    (udp, local, spec.publish_not_ready_addresses == Some(true))
}
