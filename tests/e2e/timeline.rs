//! What became of every pod of a namespace, and when: from a watch of its own, so that no test
//! believes the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};

use crate::cluster::{World, is_ready};

/// Watches pods until it is dropped.
pub(crate) struct Timeline {
    lives: Arc<Mutex<BTreeMap<String, Life>>>,
    task: tokio::task::JoinHandle<()>,
}

/// One pod's life. Times are when this test saw it, in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) app: String,
    /// First seen Ready.
    pub(crate) ready: Option<i64>,
    /// Last seen to turn from Ready to not.
    pub(crate) withdrawn: Option<i64>,
    /// First seen with a deletion timestamp.
    pub(crate) deleted: Option<i64>,
    /// None of its containers runs any more.
    pub(crate) ended: Option<i64>,
    /// Its object was gone.
    pub(crate) gone: Option<i64>,
    is_ready: bool,
}

impl Timeline {
    /// Begins to watch.
    pub(crate) fn of(world: &World) -> Self {
        let lives: Arc<Mutex<BTreeMap<String, Life>>> = Arc::default();
        let pods: Api<Pod> = world.api();
        let shared = Arc::clone(&lives);
        let task = tokio::spawn(async move {
            let mut events = watcher(pods, watcher::Config::default())
                .default_backoff()
                .boxed();
            while let Ok(Some(event)) = events.try_next().await {
                let now = Timestamp::now().as_millisecond();
                let mut lives = shared.lock().unwrap();
                match event {
                    watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                        lives.entry(pod.name_any()).or_default().see(&pod, now);
                    }
                    watcher::Event::Delete(pod) => {
                        let life = lives.entry(pod.name_any()).or_default();
                        life.see(&pod, now);
                        life.ended.get_or_insert(now);
                        life.gone = Some(now);
                    }
                    watcher::Event::Init | watcher::Event::InitDone => {}
                }
            }
        });
        Self { lives, task }
    }

    /// Lives of the pods with this label `app`, by name.
    pub(crate) fn lives(&self, app: &str) -> BTreeMap<String, Life> {
        let lives = self.lives.lock().unwrap();
        lives
            .iter()
            .filter(|(_, life)| life.app == app)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// Waits until all of these pods are gone.
    pub(crate) async fn gone(&self, world: &World, app: &str, pods: &[String], within: Duration) {
        world
            .until("old pods are gone", within, async || {
                let lives = self.lives(app);
                let left: Vec<_> = pods
                    .iter()
                    .filter(|pod| lives.get(*pod).is_none_or(|l| l.gone.is_none()))
                    .collect();
                if left.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{left:?} are left"))
                }
            })
            .await;
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Life {
    fn see(&mut self, pod: &Pod, now: i64) {
        self.app = pod.labels().get("app").cloned().unwrap_or_default();
        if is_ready(pod) {
            self.ready.get_or_insert(now);
        } else if self.is_ready {
            self.withdrawn = Some(now);
        }
        self.is_ready = is_ready(pod);
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            self.ended.get_or_insert(now);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            self.deleted.get_or_insert(now);
        }
    }
}
