//! Annotations by which others are told of what was injected: a mesh that the agent's port is not
//! its to redirect, and the cluster autoscaler that the agent's volumes hold nothing worth a node.
//! The user's own lists are added to.

use serde_json::{Map, Value};

use super::pod::{Pod, Strings};
use crate::api::{AGENT, NO_TOKEN_VOLUME};

/// Without it the cluster autoscaler takes an emptyDir for data and never removes a node that
/// carries such a pod (its FAQ, "What types of pods can prevent CA from removing a node").
const LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// Tells others.
pub(super) fn inject(annotations: &mut Map<String, Value>, pod: &Pod, port: Option<u16>) {
    append(annotations, LOCAL_VOLUMES, AGENT);
    append(annotations, LOCAL_VOLUMES, NO_TOKEN_VOLUME);
    let Some(port) = port else { return };
    if has_istio(pod) {
        append(
            annotations,
            "traffic.sidecar.istio.io/excludeInboundPorts",
            &port.to_string(),
        );
    }
    if has_linkerd(pod) {
        append(
            annotations,
            "config.linkerd.io/skip-inbound-ports",
            &port.to_string(),
        );
    }
}

/// Whether the template speaks of Istio's sidecar and does not decline it. A mesh that is switched on
/// for a whole namespace cannot be seen here; Istio rewrites HTTP probes to go around itself, so its
/// pods turn ready all the same.
fn has_istio(pod: &Pod) -> bool {
    let declined = |keys: &Strings| value(keys, "sidecar.istio.io/inject") == Some("false");
    let spoken = |keys: &Strings| {
        keys.contains_key("istio.io/rev")
            || has_prefix(
                keys,
                &[
                    "sidecar.istio.io/",
                    "traffic.sidecar.istio.io/",
                    "proxy.istio.io/",
                ],
            )
    };
    !declined(&pod.labels)
        && !declined(&pod.annotations)
        && (spoken(&pod.labels) || spoken(&pod.annotations))
}

/// The same of Linkerd's proxy.
fn has_linkerd(pod: &Pod) -> bool {
    value(&pod.annotations, "linkerd.io/inject") != Some("disabled")
        && has_prefix(
            &pod.annotations,
            &[
                "linkerd.io/inject",
                "config.linkerd.io/",
                "config.alpha.linkerd.io/",
            ],
        )
}

fn value<'a>(keys: &'a Strings, key: &str) -> Option<&'a str> {
    keys.get(key)?.as_deref()
}

fn has_prefix(keys: &Strings, prefixes: &[&str]) -> bool {
    keys.keys()
        .any(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)))
}

/// Adds an item to a list with commas, unless it is there.
fn append(annotations: &mut Map<String, Value>, key: &str, item: &str) {
    let own = annotations
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default();
    if own.split(',').any(|own| own.trim() == item) {
        return;
    }
    let separator = if own.trim().is_empty() { "" } else { "," };
    let list = format!("{own}{separator}{item}");
    annotations.insert(key.into(), list.into());
}
