//! A namespace on the cluster that the tests run in, and what can be done with it.

use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use graceful::api::v1alpha1::{DrainRecord, GracefulDeployment};

use crate::watcher::Watcher;

/// What a test's namespace is good for.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    watcher: Watcher,
}

/// How often a condition is looked at. No event is missed by it: what is asked for stays true.
pub(crate) const GLANCE: Duration = Duration::from_millis(100);

/// How long an Event may take after the status that it goes with: nothing waits for it, so the margin is wide.
const TOLD: Duration = Duration::from_secs(60);

/// A kind of object that lives in a namespace.
pub(crate) trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + DeserializeOwned
    + Serialize
    + Clone
    + Debug
    + Send
    + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Serialize
        + Clone
        + Debug
        + Send
        + 'static
{
}

/// Tests under load run alone, so that they measure the operator and not each other.
static MACHINE: RwLock<()> = RwLock::new(());

/// How a measurement under load ended.
pub(crate) enum Verdict {
    /// It held.
    Held,
    /// The control arm lost requests: nothing can be said.
    Disturbed,
}

/// Runs a test beside others, in a namespace of its own.
pub(crate) fn test<T: Future<Output = ()>>(name: &str, test: impl FnOnce(World) -> T) {
    let _others = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    in_namespace(name, test);
}

/// Runs a test that changes what all others use, alone.
pub(crate) fn test_alone<T: Future<Output = ()>>(name: &str, test: impl FnOnce(World) -> T) {
    let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    in_namespace(name, test);
}

/// Runs a test under load, alone. Where the machine was disturbed it runs once more.
pub(crate) fn test_under_load<T: Future<Output = Verdict>>(name: &str, test: impl Fn(World) -> T) {
    let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    if matches!(in_namespace(name, &test), Verdict::Disturbed) {
        println!("{name}: once more");
        let again = in_namespace(&format!("{name}-again"), &test);
        assert!(
            matches!(again, Verdict::Held),
            "disturbed twice: pods that never changed lost requests"
        );
    }
}

/// The namespace goes with the test, unless it failed: then its objects are kept for the logs. However
/// it ended, what happened meanwhile is held to the promises.
fn in_namespace<R, T: Future<Output = R>>(name: &str, test: impl FnOnce(World) -> T) -> R {
    in_namespace_of_this_name(&format!("e2e-{name}-{}", std::process::id()), test)
}

/// As [`in_namespace`], where people see its name.
pub(crate) fn in_namespace_of_this_name<R, T: Future<Output = R>>(
    name: &str,
    test: impl FnOnce(World) -> T,
) -> R {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(name).await;
        let (client, namespace) = (world.client.clone(), world.namespace.clone());
        let watcher = world.watcher.clone();
        let result = AssertUnwindSafe(test(world)).catch_unwind().await;
        let safety = watcher.judge().await;
        let result = result.unwrap_or_else(|panic| {
            println!("{}", safety.clone().err().unwrap_or_default());
            resume_unwind(panic)
        });
        if let Err(broken) = safety {
            panic!("{broken}");
        }
        let namespaces: Api<Namespace> = Api::all(client);
        let _ = namespaces
            .delete(&namespace, &DeleteParams::default())
            .await;
        result
    })
}

/// The answer to a GET, headers and all.
pub(crate) async fn answer(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // Of version 1.0: the answer ends with the connection, and is not cut into chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

impl World {
    async fn new(namespace: &str) -> Self {
        assert!(
            std::env::var_os("KUBECONFIG").is_some(),
            "these tests need a cluster: run `cargo xtask test e2e`"
        );
        let client = Client::try_default().await.expect("a cluster that answers");
        let namespace = namespace.to_owned();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let body = serde_json::from_value(json!({
            "metadata": {
                "name": namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }))
        .unwrap();
        namespaces
            .create(&PostParams::default(), &body)
            .await
            .expect("a namespace");
        let watcher = Watcher::start(&client, &namespace).await;
        Self {
            client,
            namespace,
            watcher,
        }
    }

    /// Objects of one kind in the namespace.
    pub(crate) fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an object.
    pub(crate) async fn create<K: Namespaced>(&self, body: Value) -> K {
        let object = serde_json::from_value(body).expect("a well-formed object");
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .expect("created")
    }

    /// Patches an object as kubectl would.
    pub(crate) async fn patch<K: Namespaced>(&self, name: &str, patch: Value) -> K {
        let patch = Patch::Merge(patch);
        self.api::<K>()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .expect("patched")
    }

    /// The object.
    pub(crate) async fn graceful(&self, name: &str) -> GracefulDeployment {
        self.api().get(name).await.expect("the GracefulDeployment")
    }

    /// Pods with this label `app` that run or will, those that are being deleted included.
    pub(crate) async fn pods(&self, app: &str) -> Vec<Pod> {
        let selector = ListParams::default()
            .labels(&format!("app={app}"))
            .fields("status.phase!=Succeeded,status.phase!=Failed");
        self.api::<Pod>().list(&selector).await.expect("pods").items
    }

    /// Address of a Service with a port 80.
    pub(crate) async fn address(&self, service: &str) -> String {
        let service: Service = self.api().get(service).await.expect("the Service");
        let address = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .expect("an address");
        format!("{address}:80")
    }

    /// Waits until the object is complete at its present generation.
    pub(crate) async fn complete(&self, name: &str, within: Duration) {
        self.until(&format!("{name} is complete"), within, async || {
            let object = self.graceful(name).await;
            let status = object.status.clone().unwrap_or_default();
            let is_ready =
                condition(&object, "Ready").is_some_and(|(status, _, _)| status == "True");
            (Some(status.observed_generation) == object.metadata.generation && is_ready)
                .then_some(())
                .ok_or_else(|| format!("{:?}", condition(&object, "Ready")))
        })
        .await;
    }

    /// Waits until a check holds, and says what was seen last where it never did.
    pub(crate) async fn until<T, F>(&self, what: &str, within: Duration, check: F) -> T
    where
        F: AsyncFn() -> Result<T, String>,
    {
        let began = Instant::now();
        loop {
            let seen = match check().await {
                Ok(found) => return found,
                Err(seen) => seen,
            };
            assert!(
                began.elapsed() < within,
                "not within {within:?}: {what}; last seen: {seen}"
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until somebody listens there. kube-proxy takes up to a second to learn of an endpoint.
    pub(crate) async fn until_answers(&self, who: &str, address: &str, within: Duration) {
        self.until(&format!("{who} answers"), within, async || {
            let answer = TcpStream::connect(address).await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Deletes a pod as kubectl would, with its own grace period.
    pub(crate) async fn delete_pod(&self, name: &str) {
        self.api::<Pod>()
            .delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
    }

    /// Waits until the Events about an object, each as `reason: message`, show something. They come after the
    /// status that they go with.
    pub(crate) async fn until_told<T>(
        &self,
        name: &str,
        what: &str,
        find: impl Fn(&[String]) -> Option<T>,
    ) -> T {
        self.until(what, TOLD, async || {
            let events = self.events(name).await;
            find(&events).ok_or_else(|| format!("{events:?}"))
        })
        .await
    }

    /// Waits for an Event whose `reason: message` has all of these words in it.
    pub(crate) async fn until_event(&self, name: &str, words: &[&str]) -> String {
        let what = format!("an Event of {name} says {words:?}");
        self.until_told(name, &what, |events| {
            let mut events = events.iter();
            let found = events.find(|event| words.iter().all(|word| event.contains(word)));
            found.cloned()
        })
        .await
    }

    async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = self.api();
        let all = events
            .list(&ListParams::default())
            .await
            .expect("events")
            .items;
        all.into_iter()
            .filter(|event| {
                event
                    .regarding
                    .as_ref()
                    .is_some_and(|about| about.name.as_deref() == Some(name))
            })
            .map(|event| {
                let (reason, note) = (event.reason, event.note);
                format!(
                    "{}: {}",
                    reason.unwrap_or_default(),
                    note.unwrap_or_default()
                )
            })
            .collect()
    }

    /// Waits until the object has that many pods on their way out.
    pub(crate) async fn draining(&self, name: &str, at_least: usize) -> Vec<DrainRecord> {
        self.until("pods drain", Duration::from_secs(60), async || {
            let drains = self.graceful(name).await.status.unwrap_or_default().drains;
            let withdrawn: Vec<_> = drains
                .iter()
                .filter(|drain| drain.withdrawn.is_some())
                .cloned()
                .collect();
            if withdrawn.len() >= at_least {
                Ok(withdrawn)
            } else {
                Err(format!("{drains:?}"))
            }
        })
        .await
    }
}

/// Status, reason and message of a condition.
pub(crate) fn condition(
    object: &GracefulDeployment,
    kind: &str,
) -> Option<(String, String, String)> {
    let conditions = &object.status.as_ref()?.conditions;
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    ))
}

/// The pod takes traffic.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|all| {
            all.iter()
                .any(|one| one.type_ == "Ready" && one.status == "True")
        })
}

/// Names of pods.
pub(crate) fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(ResourceExt::name_any).collect()
}
