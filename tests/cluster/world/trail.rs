//! Everything that happens to the pods, ReplicaSets, EndpointSlices and the object of a namespace, from
//! watches of its own. All have their versions from one etcd, so that sorting by version gives the order in which
//! it happened, across kinds: bounds are judged on every state there was, not on samples.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Arm;
use super::WEB;

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The object as it is from then on; none once it is gone.
    pub(crate) object: Option<Arc<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    ReplicaSet,
    Pod,
    EndpointSlice,
}

/// The state at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now {
    pub(crate) object: Option<Arc<Value>>,
    pub(crate) replica_sets: BTreeMap<String, Arc<Value>>,
    pub(crate) pods: BTreeMap<String, Arc<Value>>,
    pub(crate) endpoint_slices: BTreeMap<String, Arc<Value>>,
}

#[derive(Default)]
struct Seen {
    changes: Vec<Change>,
    now: Now,
}

/// Everything that happened in a namespace.
#[derive(Clone)]
pub(crate) struct Trail {
    apis: Vec<(Kind, Api<DynamicObject>)>,
    seen: Arc<Mutex<Seen>>,
    told: watch::Sender<()>,
}

impl Trail {
    /// Begins before anything happens.
    pub(super) async fn start<A: Arm>(client: &Client, namespace: &str) -> Self {
        let kinds = [
            (Kind::Object, A::resource()),
            (Kind::ReplicaSet, ApiResource::erase::<ReplicaSet>(&())),
            (Kind::Pod, ApiResource::erase::<Pod>(&())),
            (
                Kind::EndpointSlice,
                ApiResource::erase::<EndpointSlice>(&()),
            ),
        ];
        let api =
            |resource: ApiResource| Api::namespaced_with(client.clone(), namespace, &resource);
        let trail = Self {
            apis: kinds.map(|(kind, resource)| (kind, api(resource))).into(),
            seen: Arc::default(),
            told: watch::Sender::new(()),
        };
        for (kind, api) in trail.apis.clone() {
            let (begun, is_begun) = tokio::sync::oneshot::channel();
            tokio::spawn(trail.clone().follow(kind, api, begun));
            is_begun.await.expect("a watch");
        }
        trail
    }

    /// Waits until each watch shows at least what the API server has: they run beside each other, and
    /// what one tells may be news of before for another.
    pub(crate) async fn catch_up(&self) {
        for (kind, api) in &self.apis {
            let list = api.list(&ListParams::default()).await.expect("a list");
            let at = number(list.metadata.resource_version.as_deref());
            let all = list.iter().map(|one| (one.name_any(), one));
            let there: BTreeMap<_, _> = all
                .filter(|(name, _)| *kind != Kind::Object || name == WEB)
                .map(|(name, one)| (name, number(one.resource_version().as_deref())))
                .collect();
            self.until(&|now: &Now| {
                let seen = now.versions(*kind);
                // What came since the list was made is not in it.
                seen.iter()
                    .all(|(name, version)| *version > at || there.contains_key(*name))
                    && there.iter().all(|(name, version)| {
                        seen.get(name.as_str()).is_some_and(|seen| seen >= version)
                            || self.lost(*kind, name)
                    })
            })
            .await;
        }
    }

    /// Something of this name was there and is gone again.
    fn lost(&self, kind: Kind, name: &str) -> bool {
        let seen = self.seen.lock().unwrap();
        let mut changes = seen.changes.iter().rev();
        let last = changes.find(|change| change.kind == kind && change.name == name);
        last.is_some_and(|change| change.object.is_none())
    }

    async fn follow(
        self,
        kind: Kind,
        api: Api<DynamicObject>,
        begun: tokio::sync::oneshot::Sender<()>,
    ) {
        let mut begun = Some(begun);
        let mut events = watcher(api, watcher::Config::default())
            .default_backoff()
            .boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    self.note(kind, &object, false);
                }
                Ok(watcher::Event::Delete(object)) => self.note(kind, &object, true),
                Ok(watcher::Event::InitDone) => {
                    if let Some(begun) = begun.take() {
                        let _ = begun.send(());
                    }
                }
                Ok(watcher::Event::Init) | Err(_) => {}
            }
        }
    }

    fn note(&self, kind: Kind, object: &DynamicObject, is_gone: bool) {
        let name = object.name_any();
        if kind == Kind::Object && name != WEB {
            return;
        }
        let change = Change {
            version: number(object.resource_version().as_deref()),
            kind,
            name,
            object: (!is_gone).then(|| Arc::new(json!(object))),
        };
        let mut seen = self.seen.lock().unwrap();
        seen.now.apply(change.clone());
        seen.changes.push(change);
        drop(seen);
        self.told.send_replace(());
    }

    /// How many changes there were.
    pub(crate) fn len(&self) -> usize {
        self.seen.lock().unwrap().changes.len()
    }

    /// Every change so far, in the order in which it happened.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = self.seen.lock().unwrap().changes.clone();
        changes.sort_by_key(|change| change.version);
        changes
    }

    /// Every state there was, in order.
    pub(crate) fn states(&self) -> Vec<(u64, Now)> {
        let mut now = Now::default();
        let states = self.changes().into_iter().map(|change| {
            let version = change.version;
            now.apply(change);
            (version, now.clone())
        });
        states.collect()
    }

    /// The state as far as it is known.
    pub(crate) fn now(&self) -> Now {
        self.seen.lock().unwrap().now.clone()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, is_so: &impl Fn(&Now) -> bool) -> Now {
        let mut told = self.told.subscribe();
        loop {
            let now = self.now();
            if is_so(&now) {
                return now;
            }
            told.changed().await.expect("the trail goes on");
        }
    }

    /// One line a change, for a person who looks into a failure.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for change in self.changes() {
            let Change { version, name, .. } = &change;
            let what = match (&change.object, change.kind) {
                (None, _) => "gone".into(),
                (Some(object), Kind::Pod) => pod_in_words(object),
                (Some(object), Kind::ReplicaSet) => set_in_words(object),
                (Some(object), Kind::Object) => object_in_words(object),
                (Some(object), Kind::EndpointSlice) => slice_in_words(object),
            };
            let _ = writeln!(text, "{version} {:?} {name}: {what}", change.kind);
        }
        text
    }
}

fn object_in_words(object: &Value) -> String {
    let status = &object["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    let mut words = format!(
        "generation {} seen {}: wants {} has {} updated {} ready {} available {}",
        object["metadata"]["generation"],
        status["observedGeneration"],
        object["spec"]["replicas"],
        count("replicas"),
        count("updatedReplicas"),
        count("readyReplicas"),
        count("availableReplicas"),
    );
    for drain in status["drains"].as_array().into_iter().flatten() {
        let _ = write!(words, "; {} drains", drain["pod"]);
    }
    words
}

fn slice_in_words(slice: &Value) -> String {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let words = endpoints.map(|endpoint| {
        let name = endpoint["targetRef"]["name"].as_str().unwrap_or("somebody");
        let is = |what: &str| endpoint["conditions"][what] == true;
        let ready = if is("ready") { "ready" } else { "not ready" };
        let end = if is("terminating") {
            " terminating"
        } else {
            ""
        };
        format!("{name} {ready}{end}")
    });
    words.collect::<Vec<_>>().join(", ")
}

fn set_in_words(set: &Value) -> String {
    let status = &set["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    let wanted = &set["spec"]["replicas"];
    let (has, ready) = (count("replicas"), count("readyReplicas"));
    format!("wants {wanted} has {has} ready {ready}")
}

fn pod_in_words(pod: &Value) -> String {
    let mut words = vec![pod["status"]["phase"].as_str().unwrap_or_default()];
    words.extend(is_ready(pod).then_some("ready"));
    words.extend(is_draining(pod).then_some("draining"));
    words.extend(is_terminating(pod).then_some("terminating"));
    words.join(" ")
}

fn number(version: Option<&str>) -> u64 {
    let number = version.and_then(|text| text.parse().ok());
    number.expect("versions are numbers")
}

fn by_name(all: &BTreeMap<String, Arc<Value>>) -> Vec<(&str, &Arc<Value>)> {
    all.iter()
        .map(|(name, object)| (name.as_str(), object))
        .collect()
}

impl Now {
    /// What there is of a kind, and as of when.
    fn versions(&self, kind: Kind) -> BTreeMap<&str, u64> {
        let all: Vec<_> = match kind {
            Kind::Object => self.object.iter().map(|object| (WEB, object)).collect(),
            Kind::ReplicaSet => by_name(&self.replica_sets),
            Kind::Pod => by_name(&self.pods),
            Kind::EndpointSlice => by_name(&self.endpoint_slices),
        };
        let version = |object: &Value| number(object["metadata"]["resourceVersion"].as_str());
        all.into_iter()
            .map(|(name, object)| (name, version(object)))
            .collect()
    }

    fn apply(&mut self, change: Change) {
        let map = match change.kind {
            Kind::Object => {
                self.object = change.object;
                return;
            }
            Kind::ReplicaSet => &mut self.replica_sets,
            Kind::Pod => &mut self.pods,
            Kind::EndpointSlice => &mut self.endpoint_slices,
        };
        match change.object {
            Some(object) => map.insert(change.name, object),
            None => map.remove(&change.name),
        };
    }
}

/// The pod takes traffic.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True")
    })
}

/// The pod is asked to drain. Never so for a Deployment's.
pub(crate) fn is_draining(pod: &Value) -> bool {
    pod["metadata"]["labels"]
        .get(graceful::api::DRAINING)
        .is_some()
}

/// The pod is being deleted.
pub(crate) fn is_terminating(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_some()
}

/// The image of the pod's, or of the ReplicaSet's, first container.
pub(crate) fn image(object: &Value) -> &str {
    let path = "/spec/containers/0/image";
    let image = object.pointer(path);
    image
        .or_else(|| object["spec"]["template"].pointer(path))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
