//! A rollout in the middle as the API server stores it, and ways to spoil it.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What an app wrote wherever it can, and a word of it that no encoding changes.
const APP_TEXT: &str = "\u{1b}[31m pwned=1 level=error";
pub(super) const APP_WORD: &str = "pwned";

/// The object and, by kind, what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) object: Value,
    pub(super) objects: BTreeMap<&'static str, Value>,
}

impl Stored {
    /// The objects of a kind that can be read: a watch passes over the others.
    pub(super) fn read<K: DeserializeOwned>(&self, kind: &str) -> Vec<Arc<K>> {
        let list = self.objects[kind].as_array().into_iter().flatten();
        list.filter_map(|value| serde_json::from_value(value.clone()).ok())
            .map(Arc::new)
            .collect()
    }
}

/// One field that is not as it should be.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    whose: Index,
    at: Index,
    value: Value,
}

impl Mutation {
    pub(super) fn apply(&self, stored: &mut Stored) {
        let mut all: Vec<&mut Value> = stored.objects.values_mut().collect();
        // As often as all the others together.
        let target = match self.whose.index(2 * all.len()) {
            other if other < all.len() => &mut *all[other],
            _ => &mut stored.object,
        };
        let mut paths = Vec::new();
        list(target, "", &mut paths);
        let path = &paths[self.at.index(paths.len())];
        *target.pointer_mut(path).expect("a path of it") = self.value.clone();
    }
}

/// Every path but the root and the name.
fn list(value: &Value, path: &str, paths: &mut Vec<String>) {
    let visit = |key: &str, value: &Value, paths: &mut Vec<String>| {
        let key = key.replace('~', "~0").replace('/', "~1");
        let path = format!("{path}/{key}");
        list(value, &path, paths);
        paths.push(path);
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                visit(key, value, paths);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                visit(&index.to_string(), value, paths);
            }
        }
        _ => {}
    }
}

pub(super) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let value = select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i32::MAX),
        json!(i32::MIN),
        json!(i64::MAX),
        json!(0.001),
        json!(""),
        json!("100%"),
        json!("99999999999%"),
        json!("0001-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("é\u{0}\u{7f}\"{"),
        json!("x".repeat(10_000)),
        json!([]),
        json!({}),
        json!([null]),
    ]);
    let mutation = (any::<Index>(), any::<Index>(), value);
    let mutation = mutation.prop_map(|(whose, at, value)| Mutation { whose, at, value });
    proptest::collection::vec(mutation, 1..5)
}

/// A change of the image with one pod that drained, one that drains and one in service.
pub(super) fn stored() -> Stored {
    let spec = json!({
        "replicas": 3,
        "selector": {"matchLabels": {"app": "chat"}},
        "minReadySeconds": 1,
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "34%", "maxDraining": "100%"}},
        "drain": {"timeoutSeconds": 30, "notify": {"httpPost": {"port": 80, "path": "/bye"}}},
        "template": {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [{
            "name": "chat",
            "image": "chat:2",
            "ports": [{"containerPort": 80}],
            "lifecycle": {"preStop": {"exec": {"command": ["/bye"]}}},
            "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
        }], "volumes": [{
            "name": "settings",
            "configMap": {"name": "chat", "items": [{"key": "a", "path": "b", "mode": 420}]},
        }]}},
    });
    let object = json!({
        "apiVersion": "graceful.dev/v1alpha1",
        "kind": "GracefulDeployment",
        "metadata": {
            "name": "chat", "namespace": "default", "uid": "g", "resourceVersion": "9",
            "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
        "status": {
            "observedGeneration": 1, "replicas": 3, "collisionCount": 1,
            "currentRevision": "chat-old",
            "drains": [record("a", Some("Drained")), record("b", None)],
            "lastRollout": {
                "revision": "chat-old", "started": "2026-01-01T00:00:00.000000Z",
                "progressed": "2026-01-01T00:00:01.000000Z", "drained": 1,
            },
        },
    });
    let objects = BTreeMap::from([
        ("replica_sets", json!([replica_set()])),
        (
            "pods",
            json!([pod("a", true), pod("b", true), pod("c", false)]),
        ),
        (
            "services",
            json!([{
                "metadata": {"name": "chat", "namespace": "default"},
                "spec": {"selector": {"app": "chat"}, "ports": [{"port": 80, "protocol": "TCP"}]},
            }]),
        ),
        (
            "endpoint_slices",
            json!([{
                "metadata": {
                    "name": "chat-1", "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "chat"},
                },
                "addressType": "IPv4",
                "endpoints": [{
                    "addresses": ["10.0.0.3"],
                    "conditions": {"ready": true, "serving": true, "terminating": false},
                    "nodeName": "node-1",
                    "targetRef": {"kind": "Pod", "name": "c", "namespace": "default", "uid": "c"},
                }],
            }]),
        ),
    ]);
    Stored { object, objects }
}

fn record(pod: &str, outcome: Option<&str>) -> Value {
    let mut record = json!({
        "pod": pod, "uid": pod, "epoch": format!("epoch-{pod}"), "cause": "Rollout",
        "way": "Readiness", "since": "2026-01-01T00:00:10.000000Z",
        "withdrawn": "2026-01-01T00:00:11.000000Z", "deadline": "2026-01-01T00:00:41.000000Z",
    });
    if let Some(outcome) = outcome {
        record["outcome"] = json!(outcome);
    }
    record
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    let version = if kind == "ReplicaSet" {
        "apps/v1"
    } else {
        "graceful.dev/v1alpha1"
    };
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

fn replica_set() -> Value {
    let labels = json!({"app": "chat", "pod-template-hash": "old"});
    let injected = json!({"graceful.dev/injected": "{}", "graceful.dev/config": "{}"});
    json!({
        "metadata": {
            "name": "chat-old", "namespace": "default", "uid": "r", "resourceVersion": "5",
            "generation": 1, "labels": labels, "annotations": {"graceful.dev/revision": "1"},
            "ownerReferences": owner("GracefulDeployment", "chat", "g"),
        },
        "spec": {
            "replicas": 3, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": injected}},
        },
        "status": {"replicas": 3, "readyReplicas": 1, "observedGeneration": 1},
    })
}

/// One that the agent has taken out of service, or one that serves.
fn pod(name: &str, is_withdrawn: bool) -> Value {
    let mut annotations = json!({"graceful.dev/injected": "{}", "graceful.dev/config": "{}"});
    let mut labels = json!({"app": "chat", "pod-template-hash": "old"});
    let mut agent = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    if is_withdrawn {
        let request = json!({"epoch": format!("epoch-{name}"), "drain": {}});
        annotations["graceful.dev/drain"] = json!(request.to_string());
        annotations["controller.kubernetes.io/pod-deletion-cost"] = json!("-2147483000");
        labels["graceful.dev/draining"] = json!("true");
        let receipt = json!({
            "epoch": format!("epoch-{name}"), "uid": name, "outcome": "Drained",
            "milliseconds": 9000, "connectionsAtStart": 3, "connectionsAtEnd": 0, "busy": 0,
            "last": APP_TEXT, "measuredBy": "SockDiag",
        });
        agent = json!({"terminated": {"exitCode": 0, "message": receipt.to_string(), "finishedAt": "2026-01-01T00:00:20Z"}});
    }
    let ready = if is_withdrawn { "False" } else { "True" };
    json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": name, "resourceVersion": "7",
            "labels": labels, "annotations": annotations,
            "ownerReferences": owner("ReplicaSet", "chat-old", "r"),
        },
        "spec": {
            "nodeName": "node-1", "containers": [{"name": "chat"}],
            "initContainers": [{"name": "graceful-agent", "restartPolicy": "Always"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:11Z", "message": APP_TEXT},
                {"type": "example.com/app", "status": "False", "message": APP_TEXT},
            ],
            "initContainerStatuses": [{
                "name": "graceful-agent", "ready": !is_withdrawn, "restartCount": 1, "started": true,
                "image": "agent:1", "imageID": "", "state": agent,
            }],
            "containerStatuses": [{
                "name": "chat", "ready": true, "restartCount": 1, "started": true,
                "image": "chat:1", "imageID": "",
                "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": APP_TEXT}},
            }],
        },
    })
}
