//! The ReplicaSet controller: two caches that are not ordered against each other, expectations, and the
//! order of victims (pkg/controller/replicaset/replica_set.go, pkg/controller/controller_utils.go).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use graceful::api::DELETION_COST;
use serde_json::{Value, json};

use super::apiserver::kinds::{PODS, REPLICA_SETS};
use super::apiserver::{Part, Verb, is_leaving, name, uid, version};
use super::informer::Reader;
use super::world::{Event, NAMESPACE, Who, World, request};

/// What the controller asked for and its caches do not show yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectations {
    pub(super) made: usize,
    /// UIDs.
    pub(super) deleted: BTreeSet<String>,
    /// A look at the ReplicaSet is on its way.
    is_queued: bool,
}

impl World {
    /// The controller is to look at a ReplicaSet.
    pub(super) fn wake_set(&mut self, set: &str) {
        let expected = self.expectations.entry(set.to_owned()).or_default();
        if std::mem::replace(&mut expected.is_queued, true) {
            return;
        }
        let delay = self.lags.within(1, 15);
        self.later(delay, Event::SyncSet(set.into()));
    }

    pub(super) fn sync_set(&mut self, named: &str) {
        let expected = self.expectations.entry(named.to_owned()).or_default();
        expected.is_queued = false;
        let is_satisfied = expected.made == 0 && expected.deleted.is_empty();
        let mut sets = self.seen_by(Reader::ControllerSets);
        let Some(set) = sets.find(|set| name(set) == named).cloned() else {
            drop(sets);
            self.expectations.remove(named);
            return;
        };
        drop(sets);
        let pods: Vec<_> = self
            .seen_by(Reader::ControllerPods)
            .filter(|pod| owner_uid(pod) == Some(uid(&set)) && is_active(pod))
            .cloned()
            .collect();
        let mut failure = None;
        if is_satisfied && !is_leaving(&set) {
            failure = self.manage(&set, &pods);
        }
        self.write_counts(&set, &pods, failure);
    }

    /// Makes or deletes pods; returns why it could not.
    fn manage(&mut self, set: &Value, pods: &[Arc<Value>]) -> Option<String> {
        let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
        let named = name(set).to_owned();
        for _ in pods.len()..wanted {
            let exist = self.api.all(&PODS).count();
            if i64::try_from(exist).unwrap_or(i64::MAX) >= self.quota {
                self.later(5000, Event::SyncSet(named.clone()));
                return Some("exceeded quota".into());
            }
            self.expectations.entry(named.clone()).or_default().made += 1;
            let _ = self.create(Who::ReplicaSets, &PODS, pod_of(set));
        }
        let surplus = pods.len().saturating_sub(wanted);
        if surplus == 0 {
            return None;
        }
        let related = self.related(set);
        let order = victims_first(pods, &related, || self.luck.next());
        let victims: Vec<_> = order.into_iter().take(surplus).cloned().collect();
        for pod in victims {
            let expected = self.expectations.entry(named.clone()).or_default();
            expected.deleted.insert(uid(&pod).into());
            self.judge_victim(&pod, set);
            if self
                .delete(Who::ReplicaSets, &PODS, name(&pod), json!({}))
                .is_err()
            {
                let expected = self.expectations.entry(named.clone()).or_default();
                expected.deleted.remove(uid(&pod));
            }
        }
        None
    }

    /// Pods of all ReplicaSets of the same owner, as the controller sees them.
    fn related(&self, set: &Value) -> Vec<Arc<Value>> {
        let owner = owner_uid(set);
        let siblings: BTreeSet<_> = self
            .seen_by(Reader::ControllerSets)
            .filter(|other| owner_uid(other) == owner)
            .map(|other| uid(other).to_owned())
            .collect();
        self.seen_by(Reader::ControllerPods)
            .filter(|pod| {
                is_active(pod) && owner_uid(pod).is_some_and(|uid| siblings.contains(uid))
            })
            .cloned()
            .collect()
    }

    fn write_counts(&mut self, set: &Value, pods: &[Arc<Value>], failure: Option<String>) {
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let labelled = pods.iter().filter(|pod| is_labelled(pod, set)).count();
        let mut status = json!({
            "replicas": pods.len(),
            "readyReplicas": ready,
            "fullyLabeledReplicas": labelled,
            "observedGeneration": set["metadata"]["generation"],
        });
        if let Some(message) = failure {
            status["conditions"] = json!([{
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
            }]);
        }
        if set["status"] == status {
            return;
        }
        let named = name(set);
        let write = |known: &Value| {
            let body = json!({
                "metadata": {"name": named, "resourceVersion": version(known)},
                "status": status,
            });
            let mut request = request(Verb::Update, &REPLICA_SETS, named, body);
            request.part = Part::Status;
            request
        };
        // The spec that it observed stays the cached one, even where the object is newer.
        if self.ask(Who::Collector, &write(set)).is_err()
            && let Some(live) = self.api.get(&REPLICA_SETS, NAMESPACE, named).cloned()
        {
            let _ = self.ask(Who::Collector, &write(&live));
            self.later(20, Event::SyncSet(named.into()));
        }
    }
}

/// The pods in the order in which their ReplicaSet deletes them; `chance` decides between equals.
pub(super) fn victims_first<'a>(
    pods: &'a [Arc<Value>],
    related: &[Arc<Value>],
    mut chance: impl FnMut() -> u64,
) -> Vec<&'a Arc<Value>> {
    let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related {
        *crowd.entry(node(pod)).or_default() += 1;
    }
    let mut ranked: Vec<_> = pods
        .iter()
        .map(|pod| {
            let phase = match pod["status"]["phase"].as_str() {
                Some("Running") => 2,
                Some("Unknown") => 1,
                _ => 0,
            };
            let restarts = ["initContainerStatuses", "containerStatuses"]
                .into_iter()
                .filter_map(|key| pod["status"][key].as_array())
                .flatten()
                .filter_map(|status| status["restartCount"].as_i64())
                .max();
            let key = (
                (!node(pod).is_empty(), phase, is_ready(pod)),
                cost(pod),
                Reverse(crowd.get(node(pod)).copied().unwrap_or(0)),
                Reverse(condition_time(pod, "Ready").to_owned()),
                Reverse(restarts),
                chance(),
            );
            (key, pod)
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

/// A pod of the ReplicaSet, without what nobody here reads: a pod is copied with each of its versions.
fn pod_of(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let mut spec = template["spec"].clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            *container = json!({"name": container["name"], "image": container["image"]});
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("volumes");
    }
    json!({
        "metadata": {
            "generateName": format!("{}-", name(set)),
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": name(set),
                "uid": uid(set),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    })
}

fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["controller"] == json!(true))
}

/// Name of the object's controller.
pub(super) fn owner(object: &Value) -> Option<&str> {
    controller(object)?["name"].as_str()
}

/// UID of the object's controller.
pub(super) fn owner_uid(object: &Value) -> Option<&str> {
    controller(object)?["uid"].as_str()
}

/// Neither finished nor being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    let is_over =
        ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default());
    !is_over && !is_leaving(pod)
}

/// The pod carries all labels of the ReplicaSet's template.
pub(super) fn is_labelled(pod: &Value, set: &Value) -> bool {
    let labels = set["spec"]["template"]["metadata"]["labels"].as_object();
    let mut labels = labels.into_iter().flatten();
    labels.all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
}

pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut all = pod["status"]["conditions"].as_array()?.iter();
    all.find(|condition| condition["type"] == kind)
}

pub(super) fn condition_time<'a>(pod: &'a Value, kind: &str) -> &'a str {
    condition(pod, kind)
        .and_then(|condition| condition["lastTransitionTime"].as_str())
        .unwrap_or_default()
}

pub(super) fn node(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or_default()
}

pub(super) fn cost(pod: &Value) -> i64 {
    pod["metadata"]["annotations"][DELETION_COST]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
