//! The other controllers: endpoint slices, the scheduler, the garbage collector, the node lifecycle.

use serde_json::{Value, json};

use super::apiserver::kinds::{ALL, EVENTS, OBJECTS, PODS, SLICES};
use super::apiserver::{Part, is_leaving, name, uid};
use super::informer::Reader;
use super::script::Permanent;
use super::sets::{is_ready, node};
use super::world::{Event, Life, NAMESPACE, Who, World};

/// Pods that one node takes.
const ROOM: usize = 12;

impl World {
    pub(super) fn wake_slices(&mut self) {
        let delay = self.lags.within(5, 100);
        self.later(delay, Event::SyncSlices);
    }

    /// Writes one slice for each Service, from a cache of pods that lags.
    pub(super) fn sync_slices(&mut self) {
        for service in self.script.services.clone() {
            let always = service["spec"]["publishNotReadyAddresses"] == json!(true);
            let endpoints: Vec<_> = self
                .seen_by(Reader::SlicePods)
                .filter(|pod| {
                    pod["metadata"]["labels"]["app"] == service["spec"]["selector"]["app"]
                })
                .filter(|pod| pod["status"]["podIP"].is_string())
                .map(|pod| endpoint(pod, always))
                .collect();
            let service = name(&service).to_owned();
            let slice = format!("{service}-slice");
            match self.api.get(&SLICES, NAMESPACE, &slice).cloned() {
                Some(known) if known["endpoints"] == json!(endpoints) => {}
                Some(_) => {
                    let patch = json!({"endpoints": endpoints});
                    let _ = self.patch(Who::Slices, (&SLICES, Part::Whole), &slice, patch);
                }
                None => {
                    let body = json!({
                        "metadata": {"name": slice, "labels": {"kubernetes.io/service-name": service}},
                        "addressType": "IPv4",
                        "endpoints": endpoints,
                    });
                    let _ = self.create(Who::Slices, &SLICES, body);
                }
            }
        }
    }

    /// Finds a node for a pod.
    pub(super) fn schedule(&mut self, uid: &str) {
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        let named = body.name.clone();
        let Some(pod) = self.api.get(&PODS, NAMESPACE, &named).cloned() else {
            return;
        };
        if !node(&pod).is_empty() || is_leaving(&pod) {
            return;
        }
        let is_full = self.is_calm && self.script.permanent == Permanent::FullNodes;
        let free: Vec<_> = (0..self.nodes.len())
            .filter(|index| self.nodes[*index] && !is_full)
            .filter(|index| self.pods_on(&node_name(*index)) < ROOM)
            .collect();
        let Some(index) = self.lives.pick(&free).copied() else {
            let time = self.stamp();
            let status = json!({"status": {"conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/4 nodes are available", "lastTransitionTime": time,
            }]}});
            let _ = self.patch(Who::Scheduler, (&PODS, Part::Status), &named, status);
            return;
        };
        let bound = json!({"spec": {"nodeName": node_name(index)}});
        let _ = self.patch(Who::Scheduler, (&PODS, Part::Whole), &named, bound);
        let start = self.lives.within(300, 2500);
        self.later(start, Event::Pod(uid.into(), Life::Start));
    }

    fn pods_on(&self, named: &str) -> usize {
        let pods = self.api.all(&PODS);
        pods.filter(|pod| node(pod) == named).count()
    }

    /// Pods without a node are looked at again.
    pub(super) fn retry_pending(&mut self) {
        let waiting: Vec<_> = self.bodies.keys().cloned().collect();
        for uid in waiting {
            self.later(100, Event::Schedule(uid));
        }
    }

    /// Deletes what nobody owns any more.
    pub(super) fn collect(&mut self) {
        self.finish_orphaning();
        let all: Vec<_> = ALL
            .into_iter()
            .filter(|resource| **resource != EVENTS)
            .flat_map(|resource| self.api.all(resource).map(move |object| (resource, object)))
            .map(|(resource, object)| (resource, object.clone()))
            .collect();
        for (resource, object) in &all {
            let Some(owners) = object["metadata"]["ownerReferences"].as_array() else {
                continue;
            };
            let lives = |owner: &Value| all.iter().any(|(_, one)| owner["uid"] == uid(one));
            if owners.is_empty() || owners.iter().any(lives) || is_leaving(object) {
                continue;
            }
            let options = json!({
                "propagationPolicy": "Background",
                "preconditions": {"uid": uid(object)},
            });
            let _ = self.delete(Who::Collector, resource, name(object), options);
        }
    }

    /// An object that is deleted and leaves its dependents behind.
    fn finish_orphaning(&mut self) {
        let Some(object) = self.object().filter(|object| is_leaving(object)) else {
            return;
        };
        for set in self.sets() {
            let patch = json!({"metadata": {"ownerReferences": null}});
            let resource = &super::apiserver::kinds::REPLICA_SETS;
            let _ = self.patch(Who::Collector, (resource, Part::Whole), name(&set), patch);
        }
        let patch = json!({"metadata": {"finalizers": null}});
        let _ = self.patch(
            Who::Collector,
            (&OBJECTS, Part::Whole),
            name(&object),
            patch,
        );
    }

    /// A node does not answer any more.
    pub(super) fn kill_node(&mut self, index: usize) {
        // Two are left: a cluster without nodes shows nothing.
        if self.nodes.iter().filter(|lives| **lives).count() <= 2 {
            return;
        }
        self.nodes[index] = false;
        let lost = node_name(index);
        self.say(|| format!("{lost} is lost"));
        for pod in self.pods() {
            if node(&pod) != lost {
                continue;
            }
            if let Some(body) = self.bodies.get_mut(uid(&pod)) {
                body.is_lost = true;
                body.connections.clear();
            }
            self.later(8000, Event::Pod(uid(&pod).into(), Life::NodeLost));
            self.later(20_000, Event::Pod(uid(&pod).into(), Life::Forget));
        }
    }

    /// The node controller gives a pod up.
    pub(super) fn lose_pod(&mut self, uid: &str) {
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        let named = body.name.clone();
        let time = self.stamp();
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": time});
        let conditions = [
            condition("Ready", "False", "NodeNotReady"),
            condition("DisruptionTarget", "True", "DeletionByTaintManager"),
        ];
        let status = json!({"status": {"conditions": conditions}});
        let _ = self.patch(Who::Nodes, (&PODS, Part::Status), &named, status);
        let options = json!({"preconditions": {"uid": uid}});
        let _ = self.delete(Who::Nodes, &PODS, &named, options);
    }
}

pub(super) fn node_name(index: usize) -> String {
    format!("node-{index}")
}

fn endpoint(pod: &Value, always: bool) -> Value {
    let ready = always || is_ready(pod) && !is_leaving(pod);
    json!({
        "addresses": [pod["status"]["podIP"]],
        "nodeName": node(pod),
        "conditions": {
            "ready": ready,
            "serving": always || is_ready(pod),
            "terminating": is_leaving(pod),
        },
        "targetRef": {"kind": "Pod", "name": name(pod), "namespace": NAMESPACE, "uid": uid(pod)},
    })
}
