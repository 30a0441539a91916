//! What a scenario stands on: a namespace of its own with an operator of its own, one object of the arm
//! under test, the verbs that a person has for it, and a trail of everything that happens, watched from
//! before the first write.

pub(crate) mod arm;
mod operator;
pub(crate) mod trail;
mod verbs;
pub(crate) mod view;

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde_json::{Value, json};

pub(crate) use self::arm::{Arm, Deployment, Graceful};
pub(crate) use self::operator::Operator;
pub(crate) use self::trail::{Now, Trail};
pub(crate) use self::view::View;
use crate::standin::orders::Manner;
use crate::standin::{NODE_LABEL, node_group, stand_in};
use crate::watcher::Watcher;

/// For how long a scenario waits for something, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// Name of the object under test, and of the label `app` of its pods.
pub(crate) const WEB: &str = "web";

/// What a scenario stands on.
pub(crate) struct World<A: Arm> {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) trail: Trail,
    pub(crate) operator: Option<Operator>,
    pub(crate) watcher: Watcher,
    arm: PhantomData<A>,
}

/// Runs a scenario on one arm. The namespace goes with it, unless it failed: then it is kept, and what
/// happened in it is printed. However it ended, what happened is held to the safety promises.
pub(crate) fn run<A: Arm, F: Future<Output = ()>>(
    name: &str,
    scenario: impl FnOnce(World<A>) -> F,
) {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "no cluster: run cargo xtask test cluster"
    );
    crate::crd::install();
    stand_in();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::<A>::new(name).await;
        let (trail, namespace) = (world.trail.clone(), world.namespace.clone());
        let watcher = world.watcher.clone();
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let outcome = AssertUnwindSafe(scenario(world)).catch_unwind().await;
        let safety = watcher.judge().await;
        // What is wrong comes before the long story: where the end is cut off, it is still told.
        if let Err(broken) = &safety {
            println!("{broken}");
        }
        if outcome.is_err() || safety.is_err() {
            println!("{namespace}: what happened\n{}", trail.text());
            println!("{namespace}: operator's log\n{}", Operator::log(&namespace));
        }
        if let Err(broken) = safety {
            let first = broken.lines().nth(1).unwrap_or_default();
            assert!(outcome.is_err(), "promises broken in {namespace}: {first}");
        }
        if let Err(panic) = outcome {
            println!("{namespace}: {}", message(&*panic));
            resume_unwind(panic);
        }
        let _ = namespaces
            .delete(&namespace, &DeleteParams::background())
            .await;
    });
}

/// What a scenario failed with, once more after the long story.
fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it failed without a word")
}

/// A name of its own for each test of each process, short enough for the API.
fn namespace_for(arm: &str, test: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let short: String = test.chars().take(36).collect();
    let short = short.replace('_', "-");
    format!("{arm}-{short}-{}-{number}", std::process::id())
}

impl<A: Arm> World<A> {
    async fn new(name: &str) -> Self {
        let client = Client::try_default().await.expect("a cluster that answers");
        let namespace = namespace_for(A::NAME, name);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let body = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        namespaces
            .create(&PostParams::default(), &body)
            .await
            .expect("a namespace");
        let trail = Trail::start::<A>(&client, &namespace).await;
        let watcher = Watcher::start(&client, &namespace).await;
        let world = Self {
            client,
            watcher,
            operator: A::HAS_OPERATOR.then(|| Operator::start(&namespace)),
            namespace,
            trail,
            arm: PhantomData,
        };
        world.wait_for_service_account().await;
        world
    }

    /// An object that every namespace has.
    pub(crate) async fn uid_of_service_account(&self) -> String {
        let accounts: Api<ServiceAccount> = self.api();
        let account = accounts.get("default").await.expect("it");
        account.metadata.uid.unwrap()
    }

    /// Pods are refused until it exists.
    async fn wait_for_service_account(&self) {
        let accounts: Api<ServiceAccount> = self.api();
        let began = Instant::now();
        while accounts.get_opt("default").await.expect("answer").is_none() {
            assert!(began.elapsed() < PATIENCE, "no ServiceAccount default");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Objects of one kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of the arm's kind.
    pub(crate) fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &A::resource())
    }

    /// What becomes of pods of this name or with this image, now and later.
    pub(crate) fn order(&self, subject: &str, manner: Manner) {
        stand_in().order(&self.namespace, subject, manner);
    }

    /// Waits until something is so by what the watches say.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Now) -> bool) -> Now {
        let waited = tokio::time::timeout(PATIENCE, self.trail.until(&is_so)).await;
        waited.unwrap_or_else(|_| {
            let view = self.trail.now().object.map(|object| View::of(&object));
            panic!("not within {PATIENCE:?}: {what}; last seen: {view:#?}")
        })
    }

    /// Waits until something is so that no watch tells.
    pub(crate) async fn until_so<F: Future<Output = bool>>(&self, what: &str, ask: impl Fn() -> F) {
        let began = Instant::now();
        while !ask().await {
            assert!(
                began.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Watches for a while that something is never so.
    pub(crate) async fn never(&self, what: &str, during: Duration, is_so: impl Fn(&Now) -> bool) {
        let seen = tokio::time::timeout(during, self.trail.until(&is_so)).await;
        assert!(seen.is_err(), "{what}");
    }

    /// Waits until the object's own status says something, of the present generation.
    pub(crate) async fn until_status(&self, what: &str, is_so: impl Fn(&View) -> bool) -> View {
        let now = self
            .until(what, |now| {
                let view = now.object.as_ref().map(|object| View::of(object));
                view.is_some_and(|view| view.is_observed() && is_so(&view))
            })
            .await;
        View::of(&now.object.unwrap())
    }

    /// Waits until the rollout is complete, as `kubectl rollout status` sees it.
    pub(crate) async fn complete(&self) -> View {
        self.catch_up().await;
        let view = self
            .until_status("the rollout is complete", View::is_complete)
            .await;
        // The object's watch may be ahead of the pods'.
        self.catch_up().await;
        view
    }

    /// Waits until the watches show what the API server has.
    pub(crate) async fn catch_up(&self) {
        let caught_up = tokio::time::timeout(PATIENCE, self.trail.catch_up()).await;
        caught_up.expect("the watches tell what there is");
    }

    /// The template that scenarios begin with: one container of an image, on the stand-in's nodes.
    pub(crate) fn template(image: &str) -> Value {
        json!({
            "metadata": {"labels": {"app": WEB}},
            "spec": {
                "nodeSelector": {NODE_LABEL: node_group()},
                "containers": [{"name": WEB, "image": image}],
            },
        })
    }
}
