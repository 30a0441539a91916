//! A scenario's world with a proxy between its operator and the API server, and what a change of the
//! object comes to in the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Map, Value, json};

use crate::proxy::{Flow, Proxy};
use crate::world::trail::{Kind, image, is_ready};
use crate::world::{Graceful, Operator, WEB, World};

/// For how long an end may take that is to be like another.
const PATIENCE: Duration = Duration::from_secs(60);

/// Twice as long as a write of counts may be put off.
const QUIET: Duration = Duration::from_secs(2);

/// A world behind a proxy.
pub(crate) struct Through {
    pub(crate) world: World<Graceful>,
    pub(crate) proxy: Proxy,
}

/// What a change of the object came to, without what differs from run to run: names, times, versions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) state: Value,
    /// What was made and what was deleted, by kind.
    pub(crate) made: Vec<(&'static str, usize)>,
    pub(crate) deleted: Vec<(&'static str, usize)>,
}

/// Where a change of the object begins.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    version: u64,
    /// `status.lastRollout`.
    rollout: Value,
    names: BTreeSet<String>,
    records: BTreeSet<String>,
}

/// Runs a scenario behind a proxy.
pub(crate) fn run<F: Future<Output = ()>>(name: &str, scenario: impl FnOnce(Through) -> F) {
    crate::world::run::<Graceful, _>(name, async |mut world| {
        let proxy = Proxy::start().await;
        let operator = Operator::start_through(&world.namespace, &proxy.kubeconfig());
        // The one that began without a proxy has had nothing to do.
        world.operator = Some(operator);
        scenario(Through { world, proxy }).await;
    });
}

impl Through {
    /// Creates the object and its Service, and waits until it is complete.
    pub(crate) async fn create(&self, replicas: i32, more: Value) {
        let service = json!({
            "metadata": {"name": WEB},
            "spec": {"selector": {"app": WEB}, "ports": [{"port": 80}]},
        });
        let service = serde_json::from_value(service).expect("a Service");
        let services: Api<Service> = self.world.api();
        let created = services.create(&PostParams::default(), &service).await;
        created.expect("created");
        self.world.create_complete(replicas, more).await;
    }

    /// Puts another operator in place of the one that is there, dead or alive.
    pub(crate) fn restart(&mut self) {
        let kubeconfig = self.proxy.kubeconfig();
        drop(self.world.operator.take());
        let operator = Operator::start_through(&self.world.namespace, &kubeconfig);
        self.world.operator = Some(operator);
    }

    /// The number of the operator's process.
    pub(crate) fn process(&self) -> u32 {
        self.world.operator.as_ref().expect("an operator").id()
    }

    /// Decides what becomes of the events of a kind from now on.
    pub(crate) fn flow(&self, kind: &'static str, flow: Flow) {
        self.proxy.set(|faults| {
            faults.flows.insert(kind, flow);
        });
    }

    /// Notes where a change begins.
    pub(crate) async fn mark(&self) -> Mark {
        let changes = self.world.trail.changes();
        let object = self.world.trail.now().object;
        Mark {
            rollout: object.map_or(Value::Null, |object| {
                object["status"]["lastRollout"].clone()
            }),
            version: changes.last().map_or(0, |change| change.version),
            names: changes.into_iter().map(|change| change.name).collect(),
            records: self.records().await,
        }
    }

    async fn records(&self) -> BTreeSet<String> {
        let records: Api<ControllerRevision> = self.world.api();
        let list = records.list(&ListParams::default()).await.expect("records");
        list.items
            .into_iter()
            .filter_map(|record| record.metadata.name)
            .collect()
    }

    /// What it has come to since.
    pub(crate) async fn end(&self, mark: &Mark) -> End {
        let records = self.records().await;
        let (mut made, mut deleted) = (Vec::new(), Vec::new());
        for (kind, name) in [(Kind::ReplicaSet, "ReplicaSets"), (Kind::Pod, "Pods")] {
            let changes = self.world.trail.changes();
            let since = changes
                .iter()
                .filter(|change| change.kind == kind && change.version > mark.version);
            let (gone, here): (Vec<_>, Vec<_>) = since.partition(|change| change.object.is_none());
            let new: BTreeSet<_> = here
                .into_iter()
                .map(|change| &change.name)
                .filter(|name| !mark.names.contains(*name))
                .collect();
            made.push((name, new.len()));
            deleted.push((name, gone.len()));
        }
        made.push((
            "ControllerRevisions",
            records.difference(&mark.records).count(),
        ));
        deleted.push((
            "ControllerRevisions",
            mark.records.difference(&records).count(),
        ));
        End {
            state: self.state(records.len(), &mark.rollout),
            made,
            deleted,
        }
    }

    /// What it has come to when nothing comes any more.
    pub(crate) async fn last_end(&self, mark: &Mark) -> End {
        let (mut end, mut since) = (self.end(mark).await, Instant::now());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.end(mark).await;
            if now != end {
                (end, since) = (now, Instant::now());
            }
        }
        end
    }

    fn state(&self, records: usize, before: &Value) -> Value {
        let now = self.world.trail.now();
        let mut sets: Vec<_> = now.replica_sets.values().collect();
        let number = |set: &Value| -> i64 {
            let number = set["metadata"]["annotations"][graceful::api::REVISION].as_str();
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        sets.sort_by_key(|set| -number(set));
        let newest = sets.first().map_or(0, |set| number(set));
        let newest_image = sets.first().map_or("", |set| image(set));
        let sets: Vec<_> = sets
            .iter()
            .map(|set| {
                json!({
                    "behind": newest - number(set), "wanted": set["spec"]["replicas"],
                    "replicas": set["status"]["replicas"], "marks": marks(set),
                })
            })
            .collect();
        let mut pods: Vec<_> = now
            .pods
            .values()
            .map(|pod| {
                let is_newest = image(pod) == newest_image;
                json!({"newest": is_newest, "ready": is_ready(pod), "marks": marks(pod)})
            })
            .collect();
        pods.sort_by_key(Value::to_string);
        json!({
            "object": now.object.as_deref().map(|object| status(object, before)),
            "sets": sets, "pods": pods, "records": records,
        })
    }

    /// Waits until a change has come to the same as another one, and fails with both where it never
    /// does.
    pub(crate) async fn ends_like(&self, mark: &Mark, other: &End, what: &str) {
        let began = Instant::now();
        loop {
            let end = self.end(mark).await;
            if end == *other {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: {:#?}",
                end.differences(other)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the rollout is complete and its record says so.
    pub(crate) async fn settle(&self) {
        self.world.complete().await;
        self.world
            .until("the rollout is recorded as complete", |now| {
                let object = now.object.as_deref();
                object.is_some_and(|object| {
                    let status = &object["status"];
                    status.get("drains").is_none()
                        && status["lastRollout"].get("completed").is_some()
                        && status["currentRevision"] == status["updateRevision"]
                })
            })
            .await;
        self.world.catch_up().await;
    }
}

impl End {
    /// What differs, and how it is instead of how it should be.
    fn differences(&self, other: &Self) -> Vec<String> {
        let whole =
            |end: &Self| json!({"state": end.state, "made": end.made, "deleted": end.deleted});
        let mut found = Vec::new();
        compare("", &whole(self), &whole(other), &mut found);
        found
    }
}

fn compare(path: &str, is: &Value, should: &Value, found: &mut Vec<String>) {
    match (is, should) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                compare(&format!("{path}/{key}"), &is[key], &should[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (number, (is, should)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{number}"), is, should, found);
            }
        }
        _ if is != should => found.push(format!("{path} is {is}, not {should}")),
        _ => {}
    }
}

/// Labels and annotations, without their values: those are names, numbers and times.
fn marks(object: &Value) -> Vec<String> {
    let of = |pointer: &str| {
        let all = object.pointer(pointer).and_then(Value::as_object);
        all.into_iter().flatten().map(|(key, _)| key.clone())
    };
    of("/metadata/labels")
        .chain(of("/metadata/annotations"))
        .collect()
}

/// A status without names and times. A rollout counts the pods that left since the one before.
fn status(object: &Value, before: &Value) -> Value {
    let mut status = object["status"].as_object().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let behind = number(&object["metadata"]["generation"]) - number(&status["observedGeneration"]);
    status.insert("observedGeneration".into(), json!(behind));
    // Of all changes of the object, and each run has some before it.
    for sum in ["measured", "advice"] {
        status.remove(sum);
    }
    let is_current = status.remove("currentRevision") == status.remove("updateRevision");
    status.insert("currentRevision".into(), json!(is_current));
    if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        for condition in conditions {
            keep(condition, &["type", "status", "reason"]);
        }
    }
    if let Some(rollout) = status.get_mut("lastRollout") {
        const COUNTS: [&str; 3] = ["drained", "forced", "connectionsCut"];
        let is_same = rollout["revision"] == before["revision"];
        let count = |of: &Value, key: &str| of[key].as_i64().unwrap_or(0);
        let since = |key| count(rollout, key) - if is_same { count(before, key) } else { 0 };
        let counts = COUNTS.map(|key| (key.to_owned(), json!(since(key))));
        *rollout = Value::Object(counts.into_iter().collect());
    }
    Value::Object(status)
}

fn keep(object: &mut Value, keys: &[&str]) {
    let all = object
        .as_object_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    let kept: Map<_, _> = all
        .into_iter()
        .filter(|(key, _)| keys.contains(&key.as_str()))
        .collect();
    *object = Value::Object(kept);
}
