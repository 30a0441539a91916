//! Many objects of one kind in one namespace, each with its Service and pods, and which of them are complete:
//! watched, so that nobody asks the API server while it is measured.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::standin::node_group;
use crate::world::{Arm, View};

/// Pods of each object.
pub(super) const PODS: usize = 5;

/// Requests at the same time: what a few hundred people would send in the same second.
const AT_ONCE: usize = 40;

/// For how long anything is waited for.
const PATIENCE: Duration = Duration::from_mins(10);

/// The objects of one arm.
pub(super) struct Fleet<A: Arm> {
    client: Client,
    pub(super) namespace: String,
    seen: watch::Receiver<BTreeMap<String, View>>,
    arm: PhantomData<A>,
}

impl<A: Arm> Fleet<A> {
    /// An empty one, in a namespace of its own.
    pub(super) async fn new(client: &Client) -> Self {
        let namespace = format!("scale-{}-{}", A::NAME, std::process::id());
        let body = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let created = namespaces.create(&PostParams::default(), &body).await;
        created.expect("a namespace");
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        while accounts.get_opt("default").await.expect("answer").is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (sender, seen) = watch::channel(BTreeMap::new());
        let objects = Api::namespaced_with(client.clone(), &namespace, &A::resource());
        tokio::spawn(follow(objects, sender));
        Self {
            client: client.clone(),
            namespace,
            seen,
            arm: PhantomData,
        }
    }

    fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &A::resource())
    }

    /// Creates objects of these numbers with their Services, and waits until all are complete.
    pub(super) async fn grow(&self, numbers: std::ops::Range<usize>) {
        let last = numbers.end;
        let (objects, services) = (self.objects(), self.services());
        let params = PostParams::default();
        let create = async |number: usize| {
            let name = name(number);
            let service = json!({
                "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
            });
            let service = serde_json::from_value(service).unwrap();
            let created = services.create(&params, &service).await;
            created.expect("a Service");
            let object = serde_json::from_value(object::<A>(number)).unwrap();
            objects.create(&params, &object).await.expect("an object");
        };
        at_once(numbers, create).await;
        self.until("all are complete", |seen| {
            seen.len() == last && seen.values().all(View::is_complete)
        })
        .await;
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Gives so many of them another image at the same time. Returns how long all of it took, and what each one
    /// took from its own change on, in seconds.
    pub(super) async fn roll(&self, count: usize, image: &str) -> f64 {
        let objects = self.objects();
        let began = Instant::now();
        let generations = watch::Sender::new(BTreeMap::new());
        let change = async |number: usize| {
            let image_of = "/spec/template/spec/containers/0/image";
            let patch = json!([{"op": "replace", "path": image_of, "value": image}]);
            let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
            let name = name(number);
            let patched = objects.patch(&name, &PatchParams::default(), &patch).await;
            let generation = patched.expect("patched").metadata.generation;
            generations.send_modify(|all| {
                all.insert(name, generation.unwrap());
            });
        };
        at_once(0..count, change).await;
        let generations = generations.borrow().clone();
        self.until("all have rolled", |seen| {
            generations.iter().all(|(name, generation)| {
                let view = seen.get(name);
                view.is_some_and(|view| view.observed >= *generation && view.is_complete())
            })
        })
        .await;
        began.elapsed().as_secs_f64()
    }

    /// Deletes all of them, and waits until they are gone.
    pub(super) async fn shrink(&self) {
        let (objects, services) = (self.objects(), self.services());
        let params = DeleteParams::background();
        let delete = async |number: usize| {
            let name = name(number);
            objects.delete(&name, &params).await.expect("deleted");
            services.delete(&name, &params).await.expect("deleted");
        };
        let count = self.seen.borrow().len();
        at_once(0..count, delete).await;
        self.until("all are gone", BTreeMap::is_empty).await;
    }

    async fn until(&self, what: &str, is_so: impl Fn(&BTreeMap<String, View>) -> bool) {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(is_so)).await;
        if waited.is_err() {
            let seen = self.seen.borrow();
            let mut left = seen.iter().filter(|(_, view)| !view.is_complete());
            let count = left.clone().count();
            panic!(
                "not within {PATIENCE:?}: {what}; {count} left, as {:#?}",
                left.next()
            );
        }
    }
}

async fn at_once(numbers: std::ops::Range<usize>, work: impl AsyncFn(usize)) {
    let works = stream::iter(numbers).map(|number| work(number));
    works.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn follow(objects: Api<DynamicObject>, sender: watch::Sender<BTreeMap<String, View>>) {
    let mut events = watcher(objects, watcher::Config::default())
        .default_backoff()
        .boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let view = View::of(&json!(object));
                sender.send_modify(|seen| {
                    seen.insert(object.name_any(), view);
                });
            }
            Ok(watcher::Event::Delete(object)) => sender.send_modify(|seen| {
                seen.remove(&object.name_any());
            }),
            _ => {}
        }
    }
}

pub(super) fn name(number: usize) -> String {
    format!("web-{number}")
}

/// An object of the size that people write: probes, resources, some variables. It names its node, because here
/// controllers are measured and not the scheduler, which binds fifty pods a second.
fn object<A: Arm>(number: usize) -> Value {
    let name = name(number);
    let resource = A::resource();
    let variables: Vec<_> = (0..6)
        .map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("https://{name}.example.com/{i}")}))
        .collect();
    let mut spec = json!({
        "replicas": PODS,
        // Deployment's own default. Ours is none unavailable, which takes more steps.
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name, "team": "scale"}},
            "spec": {
                "nodeName": format!("stand-in-{}-{}", node_group(), number % 3),
                "containers": [{
                    "name": "web", "image": "web:1", "env": variables,
                    "ports": [{"containerPort": 8080}],
                    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
                    "livenessProbe": {"httpGet": {"path": "/live", "port": 8080}},
                }],
            },
        },
    });
    A::complete_spec(&mut spec);
    json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": name, "labels": {"app": name}}, "spec": spec,
    })
}
