//! Which Services and EndpointSlices of a namespace concern a set of pods. A superset of what `observe` makes
//! something of, found without copying a name: of a thousand Services one or two are an object's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::keys::{Id, Selector, Target};

/// What tells some pods from all others.
pub(super) struct Pods<'a> {
    /// Pods of one template have the same labels, but for a mark here and there: each set is there once.
    labels: BTreeSet<&'a BTreeMap<String, String>>,
    ids: BTreeSet<Id>,
    addresses: BTreeSet<&'a str>,
}

impl<'a> Pods<'a> {
    pub(super) fn of(all: &'a [Arc<Pod>]) -> Self {
        let statuses = all.iter().filter_map(|pod| pod.status.as_ref());
        let addresses = statuses.flat_map(|status| {
            let more = status.pod_ips.iter().flatten().map(|one| one.ip.as_str());
            more.chain(status.pod_ip.as_deref())
        });
        Self {
            labels: all.iter().map(|pod| pod.labels()).collect(),
            ids: all.iter().map(|pod| Id::of_object(&pod.metadata)).collect(),
            addresses: addresses.collect(),
        }
    }

    /// What a Service is found by that selects one of them.
    pub(super) fn labels(&self, namespace: Option<&str>) -> impl Iterator<Item = Id> {
        let labels = self.labels.iter().copied().flatten();
        labels.map(move |(key, value)| Id::within(namespace, &[key, value]))
    }

    /// What an EndpointSlice is found by that names one of them.
    pub(super) fn names(&self, namespace: Option<&str>) -> impl Iterator<Item = Id> {
        let addresses = self.addresses.iter();
        let addresses = addresses.map(move |one| Id::within(namespace, &[one]));
        self.ids.iter().copied().chain(addresses)
    }

    /// A Service's selector matches one of them.
    pub(super) fn are_selected_by(&self, selector: &Selector) -> bool {
        let Some(selector) = selector else {
            return false;
        };
        self.labels.iter().any(|labels| {
            let has = |key: &str, value: &str| labels.get(key).is_some_and(|its| its == value);
            selector.iter().all(|(key, value)| has(key, value))
        })
    }

    /// An EndpointSlice names one of them, by itself or by its address.
    pub(super) fn are_named_by(&self, targets: &[Target]) -> bool {
        targets.iter().any(|target| match target {
            Target::Pod { id, .. } => self.ids.contains(id),
            Target::Addresses(all) => all.iter().any(|one| self.addresses.contains(&**one)),
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use serde_json::{Value, json};

    use super::super::kept::Packed;
    use super::*;

    fn pods() -> [Arc<Pod>; 1] {
        let pod = json!({
            "metadata": {"name": "web-1", "uid": "u1", "labels": {"app": "web"}},
            "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
        });
        [Arc::new(serde_json::from_value(pod).unwrap())]
    }

    fn is_selected(spec: &Value) -> bool {
        let service = json!({"metadata": {}, "spec": spec});
        let service: Service = serde_json::from_value(service).unwrap();
        Pods::of(&pods()).are_selected_by(&service.key())
    }

    fn is_named(endpoint: &Value) -> bool {
        let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": [endpoint]});
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        Pods::of(&pods()).are_named_by(&slice.key().targets)
    }

    #[test]
    fn service_concerns_pods_that_it_selects() {
        assert!(is_selected(&json!({"selector": {"app": "web"}})));
        assert!(!is_selected(&json!({"selector": {"app": "api"}})));
        assert!(!is_selected(&json!({})));
    }

    #[test]
    fn slice_concerns_pods_that_it_names_in_any_way() {
        let by_uid = |uid: &str| json!({"addresses": ["10.9.9.9"], "targetRef": {"uid": uid}});
        assert!(is_named(&by_uid("u1")));
        assert!(!is_named(&by_uid("u2")));
        assert!(is_named(&json!({"addresses": ["fd00::1"]})));
        assert!(!is_named(&json!({"addresses": ["10.0.0.2"]})));
    }
}
