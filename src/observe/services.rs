//! The Services that concern a set of pods: who selects them, and who sends them new connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::rollout::{Endpoint, Service as Seen};

/// Label of an EndpointSlice with the name of its Service (discovery.k8s.io).
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn read(
    pods: &[&Pod],
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
) -> Vec<Seen> {
    let mut ready: BTreeMap<&str, Vec<Endpoint>> = BTreeMap::new();
    let addresses = addresses(pods);
    for slice in slices {
        let Some(service) = slice.labels().get(SERVICE_NAME) else {
            continue;
        };
        ready
            .entry(service)
            .or_default()
            .extend(endpoints(slice, &addresses));
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
fn endpoints(
    slice: &EndpointSlice,
    addresses: &BTreeMap<&str, String>,
) -> impl Iterator<Item = Endpoint> {
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
            let address = endpoint.addresses.first();
            let named = address.and_then(|address| addresses.get(address.as_str()).cloned());
            let id = uid
                .or(named)
                .or_else(|| address.cloned())
                .unwrap_or_default();
            Endpoint {
                id,
                node: endpoint.node_name.clone(),
            }
        })
}

/// UIDs of pods by their addresses, for EndpointSlices that somebody else writes and that name no pod
/// (a mesh, a Service without selector). A pod on its node's own address shares it with others, and
/// one that has finished with nobody yet.
fn addresses<'a>(pods: &[&'a Pod]) -> BTreeMap<&'a str, String> {
    let mut addresses = BTreeMap::new();
    for pod in pods {
        let Some(status) = pod.status.as_ref() else {
            continue;
        };
        let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if is_over || status.pod_ip == status.host_ip {
            continue;
        }
        let all = status.pod_ips.iter().flatten().map(|one| one.ip.as_str());
        for address in all.chain(status.pod_ip.as_deref()) {
            addresses.insert(address, pod.uid().unwrap_or_default());
        }
    }
    addresses
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "status": status}))
            .unwrap()
    }

    fn named(endpoint: &Value, pods: &[&Pod]) -> String {
        let slice = json!({
            "metadata": {"name": "s", "labels": {SERVICE_NAME: "web"}},
            "addressType": "IPv4", "endpoints": [endpoint],
        });
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        let found = endpoints(&slice, &addresses(pods)).next();
        found.unwrap().id
    }

    #[test]
    fn an_endpoint_without_a_name_is_the_pod_with_its_address() {
        let both = json!({
            "podIP": "10.0.0.7", "hostIP": "10.9.0.1",
            "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}],
        });
        let (one, other) = (
            pod("one", &both),
            pod("other", &json!({"podIP": "10.0.0.8"})),
        );
        let pods = [&one, &other];
        assert_eq!(named(&json!({"addresses": ["10.0.0.7"]}), &pods), "one");
        assert_eq!(named(&json!({"addresses": ["fd00::7"]}), &pods), "one");
        assert_eq!(
            named(&json!({"addresses": ["10.0.0.9"]}), &pods),
            "10.0.0.9"
        );
        let by_name = json!({"addresses": ["10.0.0.7"], "targetRef": {"uid": "other"}});
        assert_eq!(named(&by_name, &pods), "other");
    }

    #[test]
    fn an_address_that_is_not_a_pods_own_names_none() {
        let on_host = pod("one", &json!({"podIP": "10.9.0.1", "hostIP": "10.9.0.1"}));
        assert_eq!(
            named(&json!({"addresses": ["10.9.0.1"]}), &[&on_host]),
            "10.9.0.1"
        );
        let finished = pod("two", &json!({"podIP": "10.0.0.7", "phase": "Succeeded"}));
        assert_eq!(
            named(&json!({"addresses": ["10.0.0.7"]}), &[&finished]),
            "10.0.0.7"
        );
    }
}
