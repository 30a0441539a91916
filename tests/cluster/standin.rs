//! A stand-in for kubelets: registers nodes with room for many pods, and takes the pods that the real
//! scheduler binds to them through their lives, drains included. What it does to a pod can be ordered,
//! now and while the pod lives. One for all tests of the binary; it runs no container.

mod agent;
mod body;
mod life;
mod nodes;
pub(crate) mod orders;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, mpsc};

use futures::StreamExt;
use hyper::header::{HeaderValue, USER_AGENT};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config, ResourceExt};
use tokio::sync::watch;

use self::orders::{Manner, Orders};

/// Label of the nodes, and node selector of the pods that they are for.
pub(crate) const NODE_LABEL: &str = "example.com/stand-in";

/// The stand-in of this process.
pub(crate) struct StandIn {
    orders: watch::Sender<Orders>,
}

/// The stand-in, its nodes ready. Waits for that on first use.
pub(crate) fn stand_in() -> &'static StandIn {
    static STARTED: OnceLock<StandIn> = OnceLock::new();
    STARTED.get_or_init(|| {
        let (orders, followed) = watch::channel(Orders::default());
        let (ready, is_ready) = mpsc::channel();
        // A runtime of its own: those of the tests end with the tests.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(stand(followed, ready));
        });
        is_ready.recv().expect("nodes of the stand-in are ready");
        StandIn { orders }
    })
}

impl StandIn {
    /// What becomes of pods from now on, of those that live too: pods of this name, or else with this
    /// image.
    pub(crate) fn order(&self, namespace: &str, subject: &str, manner: Manner) {
        let key = (namespace.to_owned(), subject.to_owned());
        self.orders.send_modify(|orders| orders.set(key, manner));
    }
}

/// The value of [`NODE_LABEL`]: several processes may test on one cluster.
pub(crate) fn node_group() -> String {
    std::process::id().to_string()
}

async fn stand(orders: watch::Receiver<Orders>, ready: mpsc::Sender<()>) {
    let mut config = Config::infer().await.expect("KUBECONFIG");
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static("stand-in")));
    let client = Client::try_from(config).expect("a client");
    nodes::register(&client).await;
    tokio::spawn(nodes::stay_alive(client.clone()));
    nodes::wait_until_schedulable(&client).await;
    // Nobody waits for it any more where the test that did has given up.
    let _ = ready.send(());
    tend(client, orders).await;
}

/// Hands every pod of the nodes what happens to it.
async fn tend(client: Client, orders: watch::Receiver<Orders>) {
    let mut events = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut lives: HashMap<String, watch::Sender<Option<Arc<Pod>>>> = HashMap::new();
    while let Some(event) = events.next().await {
        let (pod, is_gone) = match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => (pod, false),
            Ok(watcher::Event::Delete(pod)) => (pod, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        let uid = pod.uid().unwrap_or_default();
        if is_gone {
            if let Some(life) = lives.remove(&uid) {
                life.send_replace(None);
            }
            continue;
        }
        if !nodes::is_ours(&pod) {
            continue;
        }
        let pod = Arc::new(pod);
        let life = lives.entry(uid).or_insert_with(|| {
            let (life, seen) = watch::channel(None);
            let api = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            tokio::spawn(life::live(api, seen, orders.clone()));
            life
        });
        life.send_replace(Some(pod));
    }
}
