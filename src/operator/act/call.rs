//! The calls themselves: each waits for an answer, but not for ever, is counted, and says what the
//! caches are to show after it.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::info;

use super::{Actor, Done};
use crate::api::FIELD_MANAGER;
use crate::operator::clock::Clock;
use crate::operator::error::{Failure, answered};
use crate::operator::lease::Leadership;
use crate::operator::memory::{Kind, Trace, Written};
use crate::operator::metrics::Metrics;
use crate::rollout::ObjectRef;

/// A call that has no answer by then has failed: longer than an API server takes under load, and
/// short enough for one lost connection not to hold a rollout.
const CALL: Duration = Duration::from_secs(20);

/// The way to the API server.
#[derive(Clone, Copy)]
pub(in crate::operator) struct Calls<'a> {
    pub(in crate::operator) client: &'a Client,
    pub(in crate::operator) leadership: &'a Leadership,
    pub(in crate::operator) metrics: &'a Metrics,
    pub(in crate::operator) clock: &'a Clock,
}

impl Calls<'_> {
    /// Waits for an answer, but not for ever, and counts the call. Who leads no more makes none.
    pub(in crate::operator) async fn timed<T>(
        &self,
        verb: &'static str,
        kind: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        if !self.leadership.holds() {
            return Err(Failure::Deposed);
        }
        self.metrics.called(verb, kind);
        answered(CALL, call).await
    }
}

impl Actor<'_> {
    pub(super) async fn patch<K>(
        &self,
        kind: Kind,
        seen: &ObjectRef,
        patch: Value,
    ) -> Result<Done, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let patch = Patch::Merge(patch);
        let params = patch_params();
        let patched = api.patch_metadata(&seen.name, &params, &patch);
        let patched = self.calls.timed("patch", &K::kind(&()), patched).await?;
        Ok(Done::Wrote(changed(kind, &patched)))
    }

    pub(super) async fn create<K>(
        &self,
        kind: Kind,
        name: &str,
        body: Value,
    ) -> Result<Done, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let api = self.dynamic::<K>();
        let body = from_json(body)?;
        let params = post();
        let create = api.create(&params, &body);
        let made = self.calls.timed("create", &K::kind(&()), create).await?;
        Ok(Done::Wrote(Written {
            kind,
            name: name.into(),
            trace: Trace::Made {
                uid: made.uid().unwrap_or_default(),
            },
        }))
    }

    pub(super) async fn delete<K>(
        &self,
        kind: Kind,
        seen: &ObjectRef,
        params: &DeleteParams,
    ) -> Result<Done, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let name = &seen.name;
        let delete = api.delete(name, params);
        self.calls.timed("delete", &K::kind(&()), delete).await?;
        info!(kind = %K::kind(&()), name, "deleted an object");
        Ok(Done::Wrote(Written {
            kind,
            name: name.clone(),
            trace: Trace::Deleted {
                uid: seen.uid.clone(),
            },
        }))
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let namespace = self.objects.object.namespace().unwrap_or_default();
        Api::namespaced(self.calls.client.clone(), &namespace)
    }

    pub(super) fn dynamic<K>(&self) -> Api<DynamicObject>
    where
        K: Resource<DynamicType = ()>,
    {
        let namespace = self.objects.object.namespace().unwrap_or_default();
        let kind = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.calls.client.clone(), &namespace, &kind)
    }
}

/// The caches are to show this version of the object or a newer one.
pub(in crate::operator) fn changed(kind: Kind, object: &impl ResourceExt) -> Written {
    Written {
        kind,
        name: object.name_any(),
        trace: Trace::Changed {
            uid: object.uid().unwrap_or_default(),
            version: object.resource_version().unwrap_or_default(),
        },
    }
}

pub(super) fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// A patch in our name.
pub(in crate::operator) fn patch_params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    }
}

pub(super) fn from_json(body: Value) -> Result<DynamicObject, Failure> {
    serde_json::from_value(body).map_err(|error| kube::Error::SerdeError(error).into())
}

pub(super) fn to_json(object: &DynamicObject) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| kube::Error::SerdeError(error).into())
}
