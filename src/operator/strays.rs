//! Takes our marks off pods that are nobody's any more: their GracefulDeployment was deleted and left
//! them (`--cascade=orphan`), or their ReplicaSet was released or went to another owner. Found by what
//! the API has and not by what this process saw, so that it works for what happened while no operator
//! was there, too. No drain is ended here that an object remembers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::Patch;
use kube::runtime::reflector::ObjectRef;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::act::{Calls, cancel_drain, patch_params};
use super::caches::{Caches, Kept, place};
use super::error::{Failure, in_words};
use super::prune::{controller, is_marked, is_object};
use super::reconcile::Context;
use crate::observe::seen;

/// For so long it may only seem that a pod is nobody's: one watch is ahead of another, or a ReplicaSet
/// goes from one object to the next.
const PATIENCE: Duration = Duration::from_millis(500);

/// The wait before a call that failed is made again.
const AGAIN: Duration = Duration::from_secs(5);

/// Where pods go that may be nobody's.
#[derive(Clone, Debug)]
pub(super) struct Strays(UnboundedSender<ObjectRef<Kept<Pod>>>);

/// The pods that may be nobody's.
pub(super) type Found = UnboundedReceiver<ObjectRef<Kept<Pod>>>;

pub(super) fn channel() -> (Strays, Found) {
    let (sender, receiver) = mpsc::unbounded();
    (Strays(sender), receiver)
}

impl Strays {
    /// Looks at one pod, which is not seen before it is known what ReplicaSets there are.
    pub(super) fn consider(&self, pod: &Pod, caches: &Caches) {
        if may_be_stray(pod, caches) {
            // The receiver is gone only on shutdown.
            let _ = self.0.unbounded_send(place(&pod.metadata));
        }
    }

    /// Looks at every pod.
    pub(super) fn search(&self, caches: &Caches) {
        let marked = caches.pods.store().state_filter(|pod| pod.key.is_marked);
        for pod in marked.iter().filter_map(|pod| pod.open()) {
            self.consider(&pod, caches);
        }
    }
}

fn may_be_stray(pod: &Pod, caches: &Caches) -> bool {
    is_marked(&pod.metadata)
        && pod.metadata.deletion_timestamp.is_none()
        && caches.owner_of_pod(pod).is_none()
}

/// Cleans what is found, for as long as the process lives.
pub(super) async fn clean(context: &Context, mut found: Found) -> Infallible {
    let calls = context.calls();
    let mut left = BTreeMap::new();
    loop {
        let next = if left.is_empty() {
            found.next().await
        } else {
            timeout(AGAIN, found.next()).await.unwrap_or_default()
        };
        if next.is_none() && left.is_empty() {
            // The watches have ended: there is nothing more to find.
            return std::future::pending().await;
        }
        left.extend(next.map(keyed));
        sleep(PATIENCE).await;
        while let Ok(more) = found.try_recv() {
            left.extend([keyed(more)]);
        }
        for (key, pod) in std::mem::take(&mut left) {
            let seen = context.caches.pods.get(&pod);
            let seen = seen.and_then(|seen| seen.open());
            let Some(seen) = seen.filter(|pod| may_be_stray(pod, &context.caches)) else {
                continue;
            };
            match unmark(&calls, &seen).await {
                // Whoever changed it made an event of it.
                Ok(()) => {}
                Err(failure) if failure.is_outdated() => {}
                Err(failure) => {
                    let error = in_words(&failure);
                    warn!(
                        pod = pod.name,
                        error, "a pod of nobody keeps its marks for now"
                    );
                    left.insert(key, pod);
                }
            }
        }
    }
}

/// In an order that is the same in every process.
fn keyed(pod: ObjectRef<Kept<Pod>>) -> ((Option<String>, String), ObjectRef<Kept<Pod>>) {
    ((pod.namespace.clone(), pod.name.clone()), pod)
}

async fn unmark(calls: &Calls<'_>, pod: &Pod) -> Result<(), Failure> {
    if !is_stray(calls, pod).await? {
        return Ok(());
    }
    let seen = seen(pod);
    let patch = Patch::Merge(cancel_drain(&seen, pod, calls.clock.read().now));
    let params = patch_params();
    let api: Api<Pod> = namespaced(calls, pod);
    let patched = api.patch_metadata(&seen.name, &params, &patch);
    calls.timed("patch", "Pod", patched).await?;
    info!(pod = seen.name, "took our marks off a pod that is nobody's");
    Ok(())
}

/// Asked of the API server, because a cache cannot tell a ReplicaSet of another owner, which it does not
/// keep, from one that is gone and takes its pods along.
async fn is_stray(calls: &Calls<'_>, pod: &Pod) -> Result<bool, Failure> {
    let Some(owner) = controller(&pod.metadata) else {
        return Ok(true);
    };
    if owner.kind != "ReplicaSet" {
        return Ok(false);
    }
    let api: Api<ReplicaSet> = namespaced(calls, pod);
    let get = api.get_metadata_opt(&owner.name);
    let set = calls.timed("get", "ReplicaSet", get).await?;
    let set = set.filter(|set| set.metadata.uid.as_ref() == Some(&owner.uid));
    Ok(set.is_some_and(|set| {
        let is_ours = controller(&set.metadata).is_some_and(is_object);
        !is_ours && set.metadata.deletion_timestamp.is_none()
    }))
}

fn namespaced<K>(calls: &Calls<'_>, pod: &Pod) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Api::namespaced(calls.client.clone(), namespace)
}
