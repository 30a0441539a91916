//! A ReplicaSet changes hands. Only after a fresh look at the object: one that is being deleted, or was
//! made anew under the same name, must not take what the garbage collector just gave up.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::Value;
use tracing::{debug, info};

use super::call::{from_json, post, to_json};
use super::{Actor, Done, body};
use crate::api::v1alpha1::GracefulDeployment;
use crate::inject::is_same_template;
use crate::observe::Wanted;
use crate::operator::error::{Error, Failure};
use crate::operator::memory::Kind;
use crate::rollout::ObjectRef;

impl Actor<'_> {
    pub(super) async fn adopt_replica_set(&self, seen: &ObjectRef) -> Result<Done, Error> {
        let adopt = async {
            if !self.is_alive().await? {
                debug!(
                    replica_set = seen.name,
                    "the object goes and adopts nothing"
                );
                return Ok(Done::Nothing);
            }
            let api = self.dynamic::<ReplicaSet>();
            let get = api.get(&seen.name);
            let current = self.calls.timed("get", "ReplicaSet", get).await?;
            let is_seen = current.uid().as_deref() == Some(&seen.uid)
                && current.resource_version().as_deref() == Some(&seen.resource_version);
            if !is_seen {
                return Ok(Done::Nothing);
            }
            let current = to_json(&current)?;
            let note = if body::is_injected(&current) {
                None
            } else {
                Some(self.hash_of_equal(&current).await?.unwrap_or_default())
            };
            let patch = body::adopt(seen, &current, self.objects.object, note.as_deref());
            let done = self
                .patch::<ReplicaSet>(Kind::ReplicaSet, seen, patch)
                .await?;
            info!(
                replica_set = seen.name,
                is_same = note,
                "adopted a ReplicaSet"
            );
            Ok(done)
        };
        adopt.await.map_err(|source| Error::AdoptReplicaSet {
            name: seen.name.clone(),
            source,
        })
    }

    pub(super) async fn release_replica_set(&self, seen: &ObjectRef) -> Result<Done, Error> {
        let mut sets = self.objects.replica_sets.iter();
        let Some(set) = sets.find(|set| set.metadata.uid.as_ref() == Some(&seen.uid)) else {
            return Ok(Done::Nothing);
        };
        let patch = body::release(seen, set.owner_references(), self.objects.object);
        let done = self.patch::<ReplicaSet>(Kind::ReplicaSet, seen, patch);
        let done = done.await.map_err(|source| Error::ReleaseReplicaSet {
            name: seen.name.clone(),
            source,
        })?;
        info!(
            replica_set = seen.name,
            "released a ReplicaSet that matches no longer"
        );
        Ok(done)
    }

    /// The object is there, is the one that was seen, and is not being deleted.
    async fn is_alive(&self) -> Result<bool, Failure> {
        let api = self.api::<GracefulDeployment>();
        let name = self.objects.object.name_any();
        let get = api.get_metadata_opt(&name);
        let fresh = self.calls.timed("get", "GracefulDeployment", get).await?;
        Ok(fresh.is_some_and(|fresh| {
            fresh.metadata.uid == self.objects.object.metadata.uid
                && fresh.metadata.deletion_timestamp.is_none()
        }))
    }

    /// The hash of the object's template where the ReplicaSet was made from the same one. It carries the
    /// API server's defaults, which nobody but the API server knows, so that is asked what it would
    /// make of ours; nothing is stored.
    async fn hash_of_equal(&self, current: &Value) -> Result<Option<String>, Failure> {
        let Some((Wanted { hash, .. }, _)) = self.wanted else {
            return Ok(None);
        };
        let trial = from_json(body::trial(self.objects.object, current))?;
        let params = PostParams {
            dry_run: true,
            ..post()
        };
        let api = self.dynamic::<ReplicaSet>();
        let create = api.create(&params, &trial);
        let made = match self.calls.timed("create", "ReplicaSet", create).await {
            Ok(made) => to_json(&made)?,
            // It could not be made at all, so this one was not made from it.
            Err(failure) if matches!(failure.code(), Some(400 | 422)) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let template = |set: &Value| set.pointer("/spec/template").cloned().unwrap_or_default();
        let is_same = is_same_template(&template(&made), &template(current));
        Ok(is_same.then(|| hash.clone()))
    }
}
