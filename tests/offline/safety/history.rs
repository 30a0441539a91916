//! Histories in the making: one object, its pods and the Service before them, change by change.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::monitor::{Change, Rule, Terms, Thing, in_words, judge};

/// Long after anything that the operator could not have seen.
pub(super) const LATER: i64 = 60;

/// A history in the making.
pub(super) struct History {
    changes: Vec<Change>,
    pub(super) now: Timestamp,
    object: Value,
}

impl History {
    /// An object `chat` of two pods `a` and `b` in service, with a surge of one.
    pub(super) fn begin() -> Self {
        let object = json!({
            "kind": "GracefulDeployment",
            "metadata": {"name": "chat", "uid": "chat", "generation": 1},
            "spec": {
                "replicas": 2,
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0, "maxDraining": 1}},
                "drain": {"minSeconds": 5, "timeoutSeconds": 30},
            },
            "status": {},
        });
        let mut history = Self {
            changes: Vec::new(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            object: object.clone(),
        };
        let service = json!({
            "kind": "Service", "metadata": {"name": "chat"}, "spec": {"selector": {"app": "chat"}},
        });
        history.see(&object);
        history.see(&service);
        history.scale("old", 2);
        for pod in ["a", "b"] {
            history.see(&pod_of(pod, "old"));
            history.ready(pod, "old");
        }
        history.named(&["a", "b"]);
        history.after(LATER);
        history
    }

    pub(super) fn after(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn note(&mut self, value: &Value, is_gone: bool) {
        let version = u64::try_from(self.changes.len()).unwrap() + 1;
        self.changes.push(Change {
            version,
            at: self.now,
            thing: Thing::read(value).unwrap(),
            is_gone,
        });
    }

    pub(super) fn see(&mut self, value: &Value) {
        self.note(value, false);
    }

    pub(super) fn scale(&mut self, set: &str, replicas: usize) {
        self.see(&json!({
            "kind": "ReplicaSet",
            "metadata": {"name": set, "uid": set, "ownerReferences": [{"uid": "chat", "controller": true}]},
            "spec": {"replicas": replicas},
        }));
    }

    pub(super) fn ready(&mut self, pod: &str, set: &str) {
        let mut pod = pod_of(pod, set);
        pod["status"]["conditions"] = json!([
            {"type": "Ready", "status": "True", "lastTransitionTime": self.now.to_string()},
        ]);
        self.see(&pod);
    }

    /// Not ready, and asked to drain.
    pub(super) fn asked(&mut self, pod: &str) {
        let mut pod = pod_of(pod, "old");
        pod["metadata"]["annotations"] = json!({"graceful.dev/drain": "{}"});
        self.see(&pod);
    }

    /// Its drain is done.
    pub(super) fn receipt(&mut self, pod: &str) {
        let mut pod = with_receipt(pod);
        pod["metadata"]["annotations"] = json!({"graceful.dev/drain": "{}"});
        self.see(&pod);
    }

    pub(super) fn deleted(&mut self, pod: &Value) {
        let mut pod = pod.clone();
        pod["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
        self.see(&pod);
    }

    pub(super) fn gone(&mut self, pod: &str) {
        let mut pod = pod_of(pod, "old");
        pod["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
        self.note(&pod, true);
    }

    pub(super) fn named(&mut self, pods: &[&str]) {
        let endpoints: Vec<_> = pods
            .iter()
            .map(|pod| json!({"conditions": {"ready": true}, "targetRef": {"uid": pod}}))
            .collect();
        self.see(&json!({
            "kind": "EndpointSlice",
            "metadata": {"name": "chat-1", "labels": {"kubernetes.io/service-name": "chat"}},
            "endpoints": endpoints,
        }));
    }

    /// The status as the operator writes it.
    pub(super) fn drains(&mut self, drains: &Value) {
        self.object["status"]["drains"] = drains.clone();
        let object = self.object.clone();
        self.see(&object);
    }

    /// The operator acts on this generation from now on.
    pub(super) fn observe(&mut self, generation: i64) {
        self.object["status"]["observedGeneration"] = json!(generation);
        let object = self.object.clone();
        self.see(&object);
    }

    /// The spec as a user writes it.
    pub(super) fn edit(&mut self, field: &str, value: Value) {
        self.object["spec"][field] = value;
        let generation = self.object["metadata"]["generation"].as_i64().unwrap();
        self.object["metadata"]["generation"] = json!(generation + 1);
        let object = self.object.clone();
        self.see(&object);
    }

    /// A drain of the pod as it stands in the status: begun now.
    pub(super) fn drain(&self, pod: &str) -> Value {
        json!({
            "pod": pod, "uid": pod, "epoch": format!("epoch-{pod}"), "cause": "Rollout",
            "way": "Readiness", "since": micros(self.now),
        })
    }

    /// The same, done and given up.
    pub(super) fn drained(&self, pod: &str) -> Value {
        let mut drain = self.drain(pod);
        drain["since"] = json!(micros(self.now - SignedDuration::from_secs(10)));
        drain["withdrawn"] = drain["since"].clone();
        drain["deadline"] = json!(micros(self.now + SignedDuration::from_secs(20)));
        drain["outcome"] = json!("Drained");
        drain["retired"] = json!(micros(self.now));
        drain
    }

    /// A third pod of a new revision is in service.
    pub(super) fn surge(&mut self) {
        self.edit("template", json!("changed"));
        self.scale("new", 1);
        self.see(&pod_of("c", "new"));
        self.ready("c", "new");
        self.named(&["a", "b", "c"]);
        self.after(LATER);
    }

    pub(super) fn broken(self, terms: Terms) -> Vec<Rule> {
        let violations = judge(self.changes, terms);
        println!("{}", in_words(&violations));
        violations.iter().map(|violation| violation.rule).collect()
    }

    pub(super) fn assert_broken(self, rule: Rule) {
        assert_eq!(self.broken(Terms::default()), [rule]);
    }

    pub(super) fn assert_kept(self) {
        assert_eq!(self.broken(Terms::default()), []);
    }
}

pub(super) fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub(super) fn pod_of(pod: &str, set: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": pod, "uid": pod, "labels": {"app": "chat"},
            "ownerReferences": [{"uid": set, "controller": true}],
        },
        "status": {"phase": "Running"},
    })
}

pub(super) fn with_receipt(pod: &str) -> Value {
    let receipt = json!({
        "epoch": format!("epoch-{pod}"), "uid": pod, "outcome": "Drained", "milliseconds": 5,
        "connectionsAtStart": 1, "connectionsAtEnd": 0, "busy": 0, "measuredBy": "SockDiag",
    });
    let mut json = pod_of(pod, "old");
    json["status"]["initContainerStatuses"] = json!([{
        "name": "graceful-agent",
        "lastState": {"terminated": {"exitCode": 0, "message": receipt.to_string()}},
    }]);
    json
}
