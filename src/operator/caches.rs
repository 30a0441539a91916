//! What was last seen of the cluster, and which GracefulDeployments an object concerns.

mod cache;
mod folded;
mod kept;
mod keys;
mod near;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

pub(super) use self::cache::{Cache, Filler, cache};
pub use self::folded::Guarded;
use self::kept::Packed;
pub(super) use self::kept::{Keep, Kept, kept, place};
pub(super) use self::keys::Id;
use self::keys::{Owner, Target};
use self::near::Pods;
use super::endings::Endings;
use crate::api::v1alpha1::GracefulDeployment;
use crate::observe::{Objects, matches};

/// One cache for each kind that is watched.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) objects: Cache<Guarded>,
    pub(super) replica_sets: Cache<Kept<ReplicaSet>>,
    pub(super) pods: Cache<Kept<Pod>>,
    pub(super) services: Cache<Kept<Service>>,
    pub(super) endpoint_slices: Cache<Kept<EndpointSlice>>,
    pub(super) controller_revisions: Cache<Kept<PartialObjectMeta<ControllerRevision>>>,
    /// Pods that are in no store any more, and whose end is to be counted.
    pub(super) endings: Endings,
}

impl Caches {
    /// Everything that a decision on the object depends on. ReplicaSets that nobody controls are its
    /// neighbours': whether one is to be adopted is for `observe` to say.
    pub(super) fn objects_of<'a>(&self, object: &'a GracefulDeployment) -> Objects<'a> {
        let namespace = object.metadata.namespace.as_deref();
        let id = Id::of_object(&object.metadata);
        let marks = [id, Id::within(namespace, &[])];
        let replica_sets = self.replica_sets.find(marks, |set| {
            let owner = set.key.owner.as_ref();
            owner.is_none_or(|owner| owner.id == id) && set.is_in(namespace)
        });
        let own = replica_sets.iter().filter(|set| set.key.owner.is_some());
        let sets: Vec<Id> = own.map(|set| set.key.id).collect();
        let pods = self.pods.find(sets.iter().copied(), |pod| {
            let owner = pod.key.owner.as_ref();
            owner.is_some_and(|owner| sets.contains(&owner.id)) && pod.is_in(namespace)
        });
        let pods = opened(&pods);
        let (services, endpoint_slices) = self.routes_to(&pods, namespace);
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let sets = replica_sets.iter().map(|set| &*set.name);
        let marks = sets
            .chain([name])
            .map(|name| Id::within(namespace, &[name]));
        let controller_revisions = self
            .controller_revisions
            .find(marks, |record| record.is_in(namespace));
        Objects {
            object,
            controller_revisions: opened(&controller_revisions),
            pods,
            replica_sets: opened(&replica_sets),
            services,
            endpoint_slices,
        }
    }

    /// The Services that select these pods or whose EndpointSlices name them, and all EndpointSlices of those: what
    /// else a Service sends connections to is part of a decision.
    fn routes_to(
        &self,
        pods: &[Arc<Pod>],
        namespace: Option<&str>,
    ) -> (Vec<Arc<Service>>, Vec<Arc<EndpointSlice>>) {
        let pods = Pods::of(pods);
        let near = self.endpoint_slices.find(pods.names(namespace), |slice| {
            pods.are_named_by(&slice.key.targets) && slice.is_in(namespace)
        });
        let named = near.iter().filter_map(|slice| slice.key.service.as_deref());
        let named = named.filter_map(|name| {
            let place = ObjectRef::new(name).within(namespace?);
            self.services.get(&place)
        });
        let selecting = self.services.find(pods.labels(namespace), |service| {
            service.is_in(namespace) && pods.are_selected_by(&service.key)
        });
        let services: BTreeMap<_, _> = named
            .chain(selecting)
            .map(|service| (service.name.clone(), service))
            .collect();
        let marks = services.keys().map(|name| Id::within(namespace, &[name]));
        let endpoint_slices = self.endpoint_slices.find(marks, |slice| {
            let service = slice.key.service.as_deref();
            service.is_some_and(|service| services.contains_key(service)) && slice.is_in(namespace)
        });
        let services: Vec<_> = services.into_values().collect();
        (opened(&services), opened(&endpoint_slices))
    }

    /// The objects that a ReplicaSet concerns: its owner, or those that may adopt it.
    pub(super) fn claimants(&self, set: &Kept<ReplicaSet>) -> Vec<ObjectRef<Guarded>> {
        if let Some(owner) = &set.key.owner {
            let owner = object(Some(owner), set.namespace.as_deref());
            return owner.into_iter().collect();
        }
        let Some(set) = set.open() else {
            return Vec::new();
        };
        let is_claimant = |object: &Guarded| {
            let readable = object.0.as_ref().ok();
            let selector = readable.map(|object| &object.bare().spec.selector);
            selector.is_some_and(|selector| matches(selector, set.labels()))
        };
        self.objects_in(set.metadata.namespace.as_deref(), is_claimant)
    }

    /// The object whose ReplicaSet owns a pod.
    pub(super) fn owner_of_pod(&self, pod: &Pod) -> Option<ObjectRef<Guarded>> {
        let owner = Owner::of(&pod.metadata)?;
        self.owner_through(&owner, pod.metadata.namespace.as_deref())
    }

    /// The same of a pod that is kept.
    pub(super) fn owner_of(&self, pod: &Kept<Pod>) -> Option<ObjectRef<Guarded>> {
        self.owner_through(pod.key.owner.as_ref()?, pod.namespace.as_deref())
    }

    /// The object that owns this ReplicaSet, if that is the one that is known by its name.
    fn owner_through(&self, set: &Owner, namespace: Option<&str>) -> Option<ObjectRef<Guarded>> {
        let place = ObjectRef::new(&set.name).within(namespace?);
        let known = self.replica_sets.get(&place)?;
        let is_same = known.key.id == set.id;
        is_same.then(|| object(known.key.owner.as_ref(), namespace))?
    }

    /// ReplicaSets that were adopted, and whether the pods of any lack the label of all pods of
    /// Deployments and of ours.
    pub(super) fn adopted(&self) -> (BTreeSet<Id>, bool) {
        let adopted = self.replica_sets.store().state_filter(|set| {
            let owner = set.key.owner.as_ref();
            set.key.is_adopted && owner.is_some_and(|owner| owner.is_object)
        });
        let are_labelled = adopted.iter().all(|set| set.key.is_labelled);
        let ids = adopted.iter().map(|set| set.key.id).collect();
        (ids, !are_labelled)
    }

    /// The object of the ReplicaSet that a record of a revision belongs to.
    pub(super) fn owner_of_record(
        &self,
        record: &Kept<PartialObjectMeta<ControllerRevision>>,
    ) -> Option<ObjectRef<Guarded>> {
        let place = ObjectRef::new(&record.name).within(record.namespace.as_deref()?);
        let set = self.replica_sets.get(&place)?;
        object(set.key.owner.as_ref(), set.namespace.as_deref())
    }

    /// Every object of a Service's namespace: which of them it selects is for `observe` to say.
    pub(super) fn neighbours(&self, namespace: Option<&str>) -> Vec<ObjectRef<Guarded>> {
        self.objects_in(namespace, |_| true)
    }

    fn objects_in(
        &self,
        namespace: Option<&str>,
        is_meant: impl Fn(&Guarded) -> bool,
    ) -> Vec<ObjectRef<Guarded>> {
        let objects = self.objects.find([Id::within(namespace, &[])], |object| {
            object.meta().namespace.as_deref() == namespace && is_meant(object)
        });
        objects
            .iter()
            .map(|object| ObjectRef::from_obj(object.as_ref()))
            .collect()
    }

    /// The objects whose pods an EndpointSlice names. One that names addresses alone may mean anybody's.
    pub(super) fn named_by(&self, slice: &Kept<EndpointSlice>) -> Vec<ObjectRef<Guarded>> {
        let namespace = slice.namespace.as_deref();
        let mut owners = Vec::new();
        for target in &slice.key.targets {
            let Target::Pod { name, .. } = target else {
                return self.neighbours(namespace);
            };
            let place = ObjectRef::new(name).within(namespace.unwrap_or_default());
            let pod = self.pods.get(&place);
            owners.extend(pod.and_then(|pod| self.owner_of(&pod)));
        }
        owners.sort_by(|a, b| a.name.cmp(&b.name));
        owners.dedup();
        owners
    }

    /// Resolves when everything has been seen once.
    pub(super) async fn complete(&self) {
        // An error says that the watch has ended, which it does with the process alone.
        let _ = tokio::join!(
            self.objects.store().wait_until_ready(),
            self.replica_sets.store().wait_until_ready(),
            self.pods.store().wait_until_ready(),
            self.services.store().wait_until_ready(),
            self.endpoint_slices.store().wait_until_ready(),
            self.controller_revisions.store().wait_until_ready(),
        );
    }
}

/// The object, if that is what the owner is.
fn object(owner: Option<&Owner>, namespace: Option<&str>) -> Option<ObjectRef<Guarded>> {
    let owner = owner.filter(|owner| owner.is_object)?;
    Some(ObjectRef::new(&owner.name).within(namespace?))
}

fn opened<K: Packed>(kept: &[Arc<Kept<K>>]) -> Vec<Arc<K>> {
    let opened = kept.iter().filter_map(|one| one.open());
    opened.map(Arc::new).collect()
}
