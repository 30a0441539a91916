//! Which Services and EndpointSlices of a namespace concern a set of pods. A superset of what `observe` makes
//! something of, found without copying a name: of a thousand Services one or two are an object's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use crate::observe::SERVICE_NAME;

/// What tells some pods from all others.
pub(super) struct Pods<'a> {
    all: &'a [Arc<Pod>],
    uids: BTreeSet<&'a str>,
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
            all,
            uids: all
                .iter()
                .filter_map(|pod| pod.metadata.uid.as_deref())
                .collect(),
            addresses: addresses.collect(),
        }
    }

    /// The Service's selector matches one of them.
    pub(super) fn are_selected_by(&self, service: &Service) -> bool {
        let spec = service.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| {
            self.all.iter().any(|pod| {
                let has = |(key, value)| pod.labels().get(key) == Some(value);
                selector.iter().all(has)
            })
        })
    }

    /// The EndpointSlice names one of them, by itself or by its address.
    pub(super) fn are_named_by(&self, slice: &EndpointSlice) -> bool {
        slice.endpoints.iter().any(|endpoint| self.has(endpoint))
    }

    fn has(&self, endpoint: &Endpoint) -> bool {
        let target = endpoint.target_ref.as_ref();
        if let Some(uid) = target.and_then(|target| target.uid.as_deref()) {
            return self.uids.contains(uid);
        }
        let mut addresses = endpoint.addresses.iter();
        addresses.any(|address| self.addresses.contains(address.as_str()))
    }
}

/// The Service that an EndpointSlice belongs to.
pub(super) fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.labels().get(SERVICE_NAME).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pods() -> [Arc<Pod>; 1] {
        let pod = json!({
            "metadata": {"name": "web-1", "uid": "u1", "labels": {"app": "web"}},
            "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
        });
        [Arc::new(serde_json::from_value(pod).unwrap())]
    }

    fn is_selected(spec: &Value) -> bool {
        let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        Pods::of(&pods()).are_selected_by(&service)
    }

    fn is_named(endpoint: &Value) -> bool {
        let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": [endpoint]});
        let slice = serde_json::from_value(slice).unwrap();
        Pods::of(&pods()).are_named_by(&slice)
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
