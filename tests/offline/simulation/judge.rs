//! The judge: what the operator asks of the API server and what comes of it, held to the design's
//! promises. Counts for itself, from the objects as they are and as the operator's caches show them;
//! knows nothing of the planner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use graceful::api::DRAIN;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::apiserver::kinds::{EVENTS, OBJECTS, PODS, REPLICA_SETS};
use super::apiserver::{Part, Request, Verb, is_leaving, name, uid};
use super::informer::Reader;
use super::sets::{condition_time, is_active, is_ready, owner_uid};
use super::world::World;

/// What the judge remembers.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Somebody did what nobody asked for.
    pub(super) meddled: bool,
    meddled_sets: BTreeSet<String>,
    meddled_pods: BTreeSet<String>,
    pub(super) jumps: usize,
    pub(super) crashes: usize,
    /// At which generation of the object each ReplicaSet was last lowered by the operator.
    pub(super) lowered: BTreeMap<String, i64>,
    /// At which one each pod was given up.
    pub(super) retired: BTreeMap<String, i64>,
    /// Pods that are gone.
    gone: i64,
    /// Pods whose end the object's record has counted, over all its rollouts.
    counted: i64,
}

impl Judge {
    pub(super) fn meddle_with_set(&mut self, set: &Value) {
        self.meddled = true;
        self.meddled_sets.insert(uid(set).into());
    }

    pub(super) fn meddle_with_pod(&mut self, uid: &str) {
        self.meddled = true;
        self.meddled_pods.insert(uid.into());
    }

    pub(super) fn forget_set(&mut self, set: Option<&Value>) {
        if let Some(set) = set {
            self.lowered.remove(uid(set));
        }
    }
}

/// What the operator last read of the object.
pub(super) struct Seen {
    pub(super) object: Arc<Value>,
    pub(super) pods: Vec<Arc<Value>>,
    pub(super) sets: Vec<Arc<Value>>,
}

impl World {
    fn seen(&self) -> Option<Seen> {
        let object = self.viewed(Reader::OperatorObjects).next()?.clone();
        let sets: Vec<_> = self
            .viewed(Reader::OperatorSets)
            .filter(|set| owner_uid(set) == Some(uid(&object)))
            .cloned()
            .collect();
        let is_ours = |pod: &&Arc<Value>| sets.iter().any(|set| owner_uid(pod) == Some(uid(set)));
        let pods: Vec<_> = self
            .viewed(Reader::OperatorPods)
            .filter(is_ours)
            .cloned()
            .collect();
        Some(Seen { object, pods, sets })
    }

    /// Every write of the operator names what it was decided from.
    pub(super) fn judge_request(&mut self, request: &Request) {
        let body = &request.body;
        let is_guarded = match request.verb {
            Verb::Get | Verb::List | Verb::Create => true,
            Verb::Delete => body["preconditions"]["uid"].is_string(),
            Verb::Update => body["metadata"]["resourceVersion"].is_string(),
            // A number of replicas is right for what was seen alone.
            Verb::MergePatch if body["spec"]["replicas"].is_number() => {
                body["metadata"]["resourceVersion"].is_string()
            }
            Verb::MergePatch => {
                body["metadata"]["uid"].is_string()
                    || body["metadata"]["resourceVersion"].is_string()
            }
        };
        if !is_guarded {
            let (verb, named) = (request.verb, &request.name);
            self.fail(format!(
                "{verb:?} of {named} without a precondition: {body}"
            ));
        }
    }

    /// A write of the operator was done.
    pub(super) fn judge_write(&mut self, request: &Request, before: Option<&Value>, after: &Value) {
        if *request.resource == EVENTS || self.failure.is_some() {
            return;
        }
        let Some(seen) = self.seen() else { return };
        let is_object = *request.resource == OBJECTS && request.part == Part::Status;
        match (request.verb, before) {
            (Verb::MergePatch, Some(before)) if is_object => {
                self.judge_memory(&seen, before, after);
                self.note_retired(&seen, after);
                self.judge_record(before, after);
            }
            (Verb::MergePatch, Some(_)) if *request.resource == PODS => {
                self.judge_request_to_drain(request, after);
            }
            (Verb::Delete, Some(pod))
                if *request.resource == PODS && !self.is_given_up(uid(pod)) =>
            {
                self.fail(format!("{} is deleted and was not given up", name(pod)));
            }
            (Verb::Delete, Some(set)) if *request.resource == REPLICA_SETS => {
                self.judge_pruning(set);
            }
            (Verb::Create, _) if *request.resource == REPLICA_SETS => {
                self.judge_surge(&seen, uid(after), replicas(after), 0);
            }
            (_, Some(before)) if *request.resource == REPLICA_SETS => {
                self.judge_scale(&seen, before, after);
            }
            _ => {}
        }
    }

    fn judge_pruning(&mut self, set: &Value) {
        let pods = self.pods();
        let inhabited = pods.iter().any(|pod| owner_uid(pod) == Some(uid(set)));
        let is_meddled = self.judge.meddled_sets.contains(uid(set));
        if !is_meddled && (replicas(set) > 0 || inhabited) {
            self.fail(format!("{} is deleted and not empty", name(set)));
        }
    }

    /// The end of a pod is counted once, whatever crashes and whichever answer is lost.
    fn judge_record(&mut self, before: &Value, after: &Value) {
        let [before, after] = [before, after].map(|object| &object["status"]["lastRollout"]);
        let sum = |record: &Value| number(&record["ended"]) + number(&record["unseen"]);
        let is_same = before["started"] == after["started"];
        self.judge.counted += sum(after) - if is_same { sum(before) } else { 0 };
        let Judge { counted, gone, .. } = self.judge;
        // Pods whose ReplicaSet somebody deleted are the object's no more before they are gone: unseen.
        if counted > gone && self.judge.meddled_sets.is_empty() {
            self.fail(format!(
                "{counted} ends are counted of {gone} pods that are gone"
            ));
        }
    }

    /// New drains leave enough pods in service, and are not too many.
    fn judge_memory(&mut self, seen: &Seen, before: &Value, after: &Value) {
        let (known, next) = (drains(before), drains(after));
        let fresh: Vec<&str> = next
            .keys()
            .filter(|uid| !known.contains_key(*uid))
            .copied()
            .collect();
        let spec = &seen.object["spec"];
        if fresh.is_empty() || spec["strategy"]["type"] == "Recreate" {
            return;
        }
        let takes = |pod: &Arc<Value>| fresh.contains(&uid(pod));
        let available: Vec<_> = seen
            .pods
            .iter()
            .filter(|pod| self.is_available(pod))
            .collect();
        let left = available
            .iter()
            .filter(|pod| !next.contains_key(uid(pod)) && self.serves_on(pod))
            .count();
        let bounds = &spec["strategy"]["rollingUpdate"];
        let least = number(&spec["replicas"]) - number(&bounds["maxUnavailable"]);
        let takes_available = available
            .iter()
            .any(|pod| takes(pod) && !known.contains_key(uid(pod)));
        if takes_available && count(left) < least {
            self.fail(format!("{left} pods stay in service of at least {least}"));
        }
        let Some(most) = bounds["maxDraining"].as_i64() else {
            return;
        };
        let leaves =
            |pod: &&Arc<Value>| is_active(pod) && next.contains_key(uid(pod)) && is_ready(pod);
        let draining = seen.pods.iter().filter(leaves).count();
        let takes_ready = seen.pods.iter().any(|pod| takes(pod) && is_ready(pod));
        if takes_ready && count(draining) > most {
            self.fail(format!("{draining} pods drain of at most {most}"));
        }
    }

    /// Ready, asked for nothing, named ready by a slice of each Service; as the operator sees it.
    pub(super) fn is_available(&self, pod: &Value) -> bool {
        let is_asked = pod["metadata"]["annotations"][DRAIN].is_string();
        let services = self.script.services.len();
        let named = self
            .viewed(Reader::OperatorSlices)
            .filter(|slice| {
                slice["endpoints"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|endpoint| {
                        endpoint["targetRef"]["uid"] == json!(uid(pod))
                            && endpoint["conditions"]["ready"] == json!(true)
                    })
            })
            .count();
        is_active(pod) && self.is_ripe(pod) && !is_asked && named >= services
    }

    /// Its agent knows of no drain: one that was cancelled a moment ago would turn it NotReady yet.
    fn serves_on(&self, pod: &Value) -> bool {
        let body = self.bodies.get(uid(pod));
        body.is_none_or(|body| body.agent.heard.is_none())
    }

    /// Ready for as long as it takes to count.
    fn is_ripe(&self, pod: &Value) -> bool {
        let seconds = number(&self.script.object["spec"]["minReadySeconds"]);
        let since = condition_time(pod, "Ready").parse::<Timestamp>();
        // By the time that the operator goes by: minReadySeconds can only be counted by one clock.
        let age = since.map_or(0, |since| self.viewed_at.duration_since(since).as_secs());
        is_ready(pod) && (seconds == 0 || age >= seconds)
    }

    /// What is asked of a pod is in the memory first.
    fn judge_request_to_drain(&mut self, request: &Request, pod: &Value) {
        if !request.body["metadata"]["annotations"][DRAIN].is_string() {
            return;
        }
        let epoch = self.asked(uid(pod));
        let object = self.object();
        let status = object.as_deref().map(drains).unwrap_or_default();
        let remembered = status.get(uid(pod)).map(|drain| drain["epoch"].clone());
        if remembered != epoch.clone().map(Value::from) {
            let named = name(pod);
            self.fail(format!(
                "{named} is asked for {epoch:?}, and the memory has {remembered:?}"
            ));
        }
    }

    /// A drain of the pod is over, or it goes the other way, and that is written.
    pub(super) fn is_given_up(&self, uid: &str) -> bool {
        let object = self.object();
        let drains = object.as_deref().map(drains).unwrap_or_default();
        let Some(drain) = drains.get(uid) else {
            return false;
        };
        let is_over = drain["way"] == "Termination" || drain["outcome"].is_string();
        is_over && drain["retired"].is_string()
    }

    /// A ReplicaSet's controller deletes a pod: one that was given up, or one that serves nobody.
    pub(super) fn judge_victim(&mut self, pod: &Value, set: &Value) {
        let is_forced = self.judge.meddled_sets.contains(uid(set))
            || self.object().is_none_or(|object| is_leaving(&object));
        let now = self.now;
        let Some(body) = self.bodies.get(uid(pod)) else {
            return;
        };
        let serves = body.is_ready(now) || body.busy(now) > 0;
        let live = self.pod_of(uid(pod));
        let leaves_already = live.is_none_or(|pod| is_leaving(&pod));
        if is_forced || leaves_already || self.is_given_up(uid(pod)) || !serves {
            return;
        }
        let (pod, busy) = (name(pod).to_owned(), body.busy(now));
        self.fail(format!(
            "{pod} is taken by its ReplicaSet, with {busy} connections, and was not given up"
        ));
    }

    /// Work is cut only where time is up.
    pub(super) fn judge_exit(&mut self, uid: &str, exit: i64) {
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        let busy = body.busy(exit);
        if busy == 0 {
            return;
        }
        let settings = self.drain_settings();
        let most = settings["deletionTimeoutSeconds"].as_i64().unwrap_or(0) * 1000;
        let had_its_time = body
            .terminating
            .is_some_and(|began| self.now >= began + most);
        if !had_its_time && !body.agent.was_late && body.killed_at > exit {
            let named = body.name.clone();
            self.fail(format!(
                "{named} exits and cuts {busy} connections before its time"
            ));
        }
    }

    pub(super) fn judge_gone(&mut self, pod: &Value) {
        self.judge.gone += 1;
        let named = name(pod).to_owned();
        self.say(|| format!("{named} is gone"));
    }
}

/// The memory of drains, by pod.
pub(super) fn drains(object: &Value) -> BTreeMap<&str, &Value> {
    let all = object["status"]["drains"].as_array();
    let named = all
        .into_iter()
        .flatten()
        .filter_map(|drain| Some((drain["uid"].as_str()?, drain)));
    named.collect()
}

pub(super) fn replicas(set: &Value) -> i64 {
    set["spec"]["replicas"].as_i64().unwrap_or(1)
}

pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
