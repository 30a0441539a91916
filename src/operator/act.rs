//! One action of a plan is one call to the API server, guarded by what was seen. Decides nothing: a
//! call that meets another world fails, and the next observation says what to do.

mod adopt;
mod body;
mod call;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use tracing::{debug, info};

pub(super) use self::body::cancel_drain;
pub(super) use self::call::{Calls, changed, patch_params};
use self::call::{from_json, post, to_json};
use super::error::Error;
use super::memory::{Kind, Written};
use crate::api::request::DrainRequest;
use crate::inject::{Injected, config};
use crate::observe::{Objects, Wanted};
use crate::rollout::{Action, ObjectRef, Size};

/// Calls for one object at the same time.
const AT_ONCE: usize = 8;

/// What actions need besides themselves.
pub(super) struct Actor<'a> {
    pub(super) calls: Calls<'a>,
    pub(super) objects: &'a Objects<'a>,
    /// The wanted revision, and what injection made of its template. Absent for a template that is
    /// refused.
    pub(super) wanted: Option<&'a (Wanted, Injected)>,
    /// How many pods there may be.
    pub(super) size: Option<Size>,
    /// When the objects were seen.
    pub(super) now: Timestamp,
}

/// What acting led to.
#[derive(Default)]
pub(super) struct Acts {
    /// What the caches are to show.
    pub(super) written: Vec<Written>,
    /// What went wrong, first things first.
    pub(super) errors: Vec<Error>,
    /// Somebody else's ReplicaSet that has the wanted name.
    pub(super) foreign: Option<ReplicaSet>,
}

/// What one call led to.
enum Done {
    Wrote(Written),
    Nothing,
    Foreign(Box<ReplicaSet>),
}

impl Actor<'_> {
    /// Makes the calls in their order, neighbours on different pods at the same time. Stops after the
    /// first that failed: what comes later may rest on it.
    pub(super) async fn act(&self, actions: &[Action]) -> Acts {
        let mut acts = Acts::default();
        for group in actions.chunk_by(|a, b| concerns_pod(a) && concerns_pod(b)) {
            let calls: Vec<_> = group.iter().map(|action| self.call(action)).collect();
            let mut calls = stream::iter(calls).buffer_unordered(AT_ONCE);
            while let Some(done) = calls.next().await {
                match done {
                    Ok(Done::Wrote(written)) => acts.written.push(written),
                    Ok(Done::Nothing) => {}
                    Ok(Done::Foreign(set)) => acts.foreign = Some(*set),
                    Err(error) => acts.errors.push(error),
                }
            }
            if !acts.errors.is_empty() {
                break;
            }
        }
        acts
    }

    async fn call(&self, action: &Action) -> Result<Done, Error> {
        match action {
            Action::CreateReplicaSet {
                name,
                number,
                replicas,
            } => self.create_replica_set(name, *number, *replicas).await,
            Action::RecordRevision {
                replica_set,
                number,
            } => self.record_revision(replica_set, *number).await,
            Action::RefreshReplicaSet {
                replica_set,
                number,
            } => self.refresh_replica_set(replica_set, *number).await,
            Action::AdoptReplicaSet { replica_set } => self.adopt_replica_set(replica_set).await,
            Action::ReleaseReplicaSet { replica_set } => {
                self.release_replica_set(replica_set).await
            }
            Action::DeleteReplicaSet { replica_set } => self.delete_replica_set(replica_set).await,
            Action::DeletePod { pod } => self.delete_pod(pod).await,
            Action::ConfigureReplicaSet { replica_set: seen } => {
                let patch = body::configure_replica_set(seen, &self.config());
                let done = self.patch::<ReplicaSet>(Kind::ReplicaSet, seen, patch);
                done.await.map_err(|source| Error::ConfigureReplicaSet {
                    name: seen.name.clone(),
                    source,
                })
            }
            Action::ScaleReplicaSet {
                replica_set: seen,
                from,
                to,
                sized_for,
            } => {
                let patch = body::scale_replica_set(seen, *to, *sized_for);
                let done = self
                    .patch::<ReplicaSet>(Kind::ReplicaSet, seen, patch)
                    .await;
                if done.is_ok() && from != to {
                    info!(replica_set = seen.name, from, to, "scaled a ReplicaSet");
                }
                done.map_err(|source| Error::ScaleReplicaSet {
                    name: seen.name.clone(),
                    source,
                })
            }
            Action::RequestDrain { .. }
            | Action::CancelDrain { .. }
            | Action::SetDeletionCost { .. }
            | Action::ConfigurePod { .. } => self.patch_pod(action).await,
        }
    }

    async fn patch_pod(&self, action: &Action) -> Result<Done, Error> {
        let (Action::RequestDrain { pod: seen, .. }
        | Action::CancelDrain { pod: seen }
        | Action::SetDeletionCost { pod: seen }
        | Action::ConfigurePod { pod: seen }) = action
        else {
            return Ok(Done::Nothing);
        };
        let mut pods = self.objects.pods.iter();
        let Some(pod) = pods.find(|pod| pod.metadata.uid.as_ref() == Some(&seen.uid)) else {
            debug!(pod = seen.name, "pod is gone before it could be patched");
            return Ok(Done::Nothing);
        };
        let patch = match action {
            Action::RequestDrain { epoch, .. } => {
                let request = DrainRequest {
                    epoch: epoch.clone(),
                    drain: self.objects.object.spec.drain.clone(),
                    asked: Some(self.now),
                };
                body::request_drain(seen, pod, &request)
            }
            Action::CancelDrain { .. } => body::cancel_drain(seen, pod, self.now),
            Action::SetDeletionCost { .. } => body::set_deletion_cost(seen, pod),
            _ => body::configure_pod(seen, &self.config()),
        };
        let done = self.patch::<Pod>(Kind::Pod, seen, patch).await;
        let (name, pod) = (seen.name.clone(), &seen.name);
        match action {
            Action::RequestDrain { epoch, .. } => {
                if done.is_ok() {
                    info!(pod, epoch, "asked a pod to drain");
                }
                done.map_err(|source| Error::RequestDrain { name, source })
            }
            Action::CancelDrain { .. } => {
                if done.is_ok() {
                    info!(pod, "cancelled a drain");
                }
                done.map_err(|source| Error::CancelDrain { name, source })
            }
            Action::SetDeletionCost { .. } => {
                done.map_err(|source| Error::SetDeletionCost { name, source })
            }
            _ => done.map_err(|source| Error::ConfigurePod { name, source }),
        }
    }

    async fn create_replica_set(
        &self,
        name: &str,
        number: i64,
        replicas: u32,
    ) -> Result<Done, Error> {
        let Some((Wanted { hash, .. }, injected)) = self.wanted else {
            return Ok(Done::Nothing);
        };
        let object = self.objects.object;
        let set = body::replica_set(
            object,
            injected,
            (name, hash),
            (number, replicas, self.size),
        );
        let failed = |source| Error::CreateReplicaSet {
            name: name.to_owned(),
            source,
        };
        match self.create::<ReplicaSet>(Kind::ReplicaSet, name, set).await {
            Ok(done) => {
                info!(replica_set = name, number, replicas, "made a ReplicaSet");
                Ok(done)
            }
            Err(failure) if failure.is_outdated() => {
                // It exists. Ours is on its way through the watch; another's is shown to the planner.
                let get = self.api::<ReplicaSet>();
                let get = self.calls.timed("get", "ReplicaSet", get.get_opt(name));
                let uid = object.uid();
                let owner = |set: &ReplicaSet| {
                    set.owner_references().iter().any(|owner| {
                        owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref()
                    })
                };
                match get.await.map_err(failed)? {
                    Some(set) if !owner(&set) => Ok(Done::Foreign(Box::new(set))),
                    _ => Err(failed(failure)),
                }
            }
            Err(failure) => Err(failed(failure)),
        }
    }

    async fn record_revision(&self, set: &ObjectRef, number: i64) -> Result<Done, Error> {
        let record = body::controller_revision(self.objects.object, set, number);
        let done = self.create::<ControllerRevision>(Kind::ControllerRevision, &set.name, record);
        done.await.map_err(|source| Error::RecordRevision {
            name: set.name.clone(),
            source,
        })
    }

    async fn refresh_replica_set(&self, seen: &ObjectRef, number: i64) -> Result<Done, Error> {
        let Some((Wanted { hash, .. }, injected)) = self.wanted else {
            return Ok(Done::Nothing);
        };
        let refresh = async {
            let api = self.dynamic::<ReplicaSet>();
            let current = self
                .calls
                .timed("get", "ReplicaSet", api.get(&seen.name))
                .await?;
            let is_seen = current.uid().as_deref() == Some(&seen.uid)
                && current.resource_version().as_deref() == Some(&seen.resource_version);
            if !is_seen {
                debug!(
                    replica_set = seen.name,
                    "ReplicaSet is newer than what was seen"
                );
                return Ok(Done::Nothing);
            }
            let current = to_json(&current)?;
            let object = self.objects.object;
            let set = from_json(body::refreshed(&current, object, injected, (hash, number)))?;
            let params = post();
            let replace = api.replace(&seen.name, &params, &set);
            let set = self.calls.timed("update", "ReplicaSet", replace).await?;
            info!(
                replica_set = seen.name,
                number, "refreshed a ReplicaSet for new pods"
            );
            Ok(Done::Wrote(changed(Kind::ReplicaSet, &set)))
        };
        refresh.await.map_err(|source| Error::RefreshReplicaSet {
            name: seen.name.clone(),
            source,
        })
    }

    async fn delete_replica_set(&self, seen: &ObjectRef) -> Result<Done, Error> {
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(seen.uid.clone()),
            resource_version: Some(seen.resource_version.clone()),
        });
        let done = self.delete::<ReplicaSet>(Kind::ReplicaSet, seen, &params);
        done.await.map_err(|source| Error::DeleteReplicaSet {
            name: seen.name.clone(),
            source,
        })
    }

    async fn delete_pod(&self, seen: &ObjectRef) -> Result<Done, Error> {
        // The pod's own grace period: its preStop hook drains what is left.
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(seen.uid.clone()),
            resource_version: None,
        });
        let done = self.delete::<Pod>(Kind::Pod, seen, &params);
        done.await.map_err(|source| Error::DeletePod {
            name: seen.name.clone(),
            source,
        })
    }

    fn config(&self) -> String {
        config(&self.objects.object.spec.drain)
    }
}

fn concerns_pod(action: &Action) -> bool {
    matches!(
        action,
        Action::RequestDrain { .. }
            | Action::CancelDrain { .. }
            | Action::SetDeletionCost { .. }
            | Action::ConfigurePod { .. }
            | Action::DeletePod { .. }
    )
}
