//! What was last seen of the cluster, and which GracefulDeployments an object concerns.

mod near;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::ResourceExt;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};

use self::near::{Pods, service_of};
use super::endings::Endings;
use super::prune::{controller, is_object};
use crate::api::v1alpha1::GracefulDeployment;
use crate::api::{ADOPTED, POD_TEMPLATE_HASH};
use crate::observe::{Objects, matches};

/// A GracefulDeployment, or what is wrong with one that cannot be read.
pub type Guarded = DeserializeGuard<GracefulDeployment>;

/// One store for each kind that is watched.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) objects: Store<Guarded>,
    pub(super) replica_sets: Store<ReplicaSet>,
    pub(super) pods: Store<Pod>,
    pub(super) services: Store<Service>,
    pub(super) endpoint_slices: Store<EndpointSlice>,
    pub(super) controller_revisions: Store<PartialObjectMeta<ControllerRevision>>,
    /// Pods that are in no store any more, and whose end is to be counted.
    pub(super) endings: Endings,
}

impl Caches {
    /// Everything that a decision on the object depends on. ReplicaSets that nobody controls are its
    /// neighbours': whether one is to be adopted is for `observe` to say.
    pub(super) fn objects_of<'a>(&self, object: &'a GracefulDeployment) -> Objects<'a> {
        let namespace = object.namespace();
        let uid = object.uid().unwrap_or_default();
        let is_near = |other: &Option<String>| *other == namespace;
        let replica_sets = sorted(&self.replica_sets, |set| {
            is_near(&set.metadata.namespace)
                && controller(&set.metadata).is_none_or(|owner| owner.uid == uid)
        });
        let own = replica_sets
            .iter()
            .filter(|set| controller(&set.metadata).is_some());
        let sets: Vec<_> = own.filter_map(|set| set.uid()).collect();
        let pods = sorted(&self.pods, |pod| {
            is_near(&pod.metadata.namespace)
                && controller(&pod.metadata).is_some_and(|owner| sets.contains(&owner.uid))
        });
        let (services, endpoint_slices) = self.routes_to(&pods, namespace.as_ref());
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let is_recorded = |record: &str| {
            record.starts_with(name) || replica_sets.iter().any(|set| set.name_any() == record)
        };
        Objects {
            object,
            controller_revisions: sorted(&self.controller_revisions, |record| {
                is_near(&record.metadata.namespace)
                    && record.metadata.name.as_deref().is_some_and(is_recorded)
            }),
            pods,
            replica_sets,
            services,
            endpoint_slices,
        }
    }

    /// The Services that select these pods or whose EndpointSlices name them, and all EndpointSlices of those: what
    /// else a Service sends connections to is part of a decision.
    fn routes_to(
        &self,
        pods: &[Arc<Pod>],
        namespace: Option<&String>,
    ) -> (Vec<Arc<Service>>, Vec<Arc<EndpointSlice>>) {
        let pods = Pods::of(pods);
        let near = self.endpoint_slices.state_filter(|slice| {
            slice.metadata.namespace.as_ref() == namespace && pods.are_named_by(slice)
        });
        let named: BTreeSet<_> = near.iter().filter_map(|slice| service_of(slice)).collect();
        let services = sorted(&self.services, |service| {
            let name = service.metadata.name.as_deref();
            service.metadata.namespace.as_ref() == namespace
                && (name.is_some_and(|name| named.contains(name)) || pods.are_selected_by(service))
        });
        let all = services
            .iter()
            .filter_map(|service| service.metadata.name.as_deref());
        let all: BTreeSet<_> = all.collect();
        let endpoint_slices = sorted(&self.endpoint_slices, |slice| {
            slice.metadata.namespace.as_ref() == namespace
                && service_of(slice).is_some_and(|service| all.contains(service))
        });
        (services, endpoint_slices)
    }

    /// The objects that a ReplicaSet concerns: its owner, or those that may adopt it.
    pub(super) fn claimants(&self, set: &ReplicaSet) -> Vec<ObjectRef<Guarded>> {
        if controller(&set.metadata).is_some() {
            return Self::owner_of_set(set).into_iter().collect();
        }
        let namespace = set.metadata.namespace.as_ref();
        let is_claimant = |object: &Guarded| {
            let metadata = object.meta();
            let readable = object.0.as_ref().ok();
            metadata.namespace.as_ref() == namespace
                && readable.is_some_and(|object| matches(&object.spec.selector, set.labels()))
        };
        self.objects_that(is_claimant)
    }

    /// The object that owns a ReplicaSet.
    pub(super) fn owner_of_set(set: &ReplicaSet) -> Option<ObjectRef<Guarded>> {
        let owner = controller(&set.metadata).filter(|owner| is_object(owner))?;
        Some(ObjectRef::new(&owner.name).within(set.metadata.namespace.as_deref()?))
    }

    /// The object whose ReplicaSet owns a pod.
    pub(super) fn owner_of_pod(&self, pod: &Pod) -> Option<ObjectRef<Guarded>> {
        let owner = controller(&pod.metadata)?;
        let set = ObjectRef::new(&owner.name).within(pod.metadata.namespace.as_deref()?);
        let set = self.replica_sets.get(&set)?;
        let is_same = set.metadata.uid.as_ref() == Some(&owner.uid);
        is_same.then(|| Self::owner_of_set(&set))?
    }

    /// UIDs of ReplicaSets that were adopted, and whether the pods of any lack the label of all pods of
    /// Deployments and of ours.
    pub(super) fn adopted(&self) -> (BTreeSet<String>, bool) {
        let adopted = self.replica_sets.state_filter(|set| {
            set.annotations().contains_key(ADOPTED) && Self::owner_of_set(set).is_some()
        });
        let is_labelled = |set: &Arc<ReplicaSet>| set.labels().contains_key(POD_TEMPLATE_HASH);
        let are_labelled = adopted.iter().all(is_labelled);
        let uids = adopted.iter().filter_map(|set| set.uid()).collect();
        (uids, !are_labelled)
    }

    /// The object of the ReplicaSet that a record of a revision belongs to.
    pub(super) fn owner_of_record(
        &self,
        record: &PartialObjectMeta<ControllerRevision>,
    ) -> Option<ObjectRef<Guarded>> {
        let set = ObjectRef::new(&record.name_any()).within(record.metadata.namespace.as_deref()?);
        Self::owner_of_set(self.replica_sets.get(&set)?.as_ref())
    }

    /// Every object of a Service's namespace: which of them it selects is for `observe` to say.
    pub(super) fn neighbours(&self, namespace: Option<&str>) -> Vec<ObjectRef<Guarded>> {
        self.objects_that(|object| object.meta().namespace.as_deref() == namespace)
    }

    fn objects_that(&self, is_meant: impl Fn(&Guarded) -> bool) -> Vec<ObjectRef<Guarded>> {
        let objects = self.objects.state_filter(is_meant);
        objects
            .iter()
            .map(|object| ObjectRef::from_obj(object.as_ref()))
            .collect()
    }

    /// The objects whose pods an EndpointSlice names. One that names addresses alone may mean anybody's.
    pub(super) fn named_by(&self, slice: &EndpointSlice) -> Vec<ObjectRef<Guarded>> {
        if slice.endpoints.iter().any(|one| one.target_ref.is_none()) {
            return self.neighbours(slice.metadata.namespace.as_deref());
        }
        let mut owners: Vec<_> = slice
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.target_ref.as_ref())
            .filter_map(|target| {
                let pod =
                    ObjectRef::new(target.name.as_deref()?).within(target.namespace.as_deref()?);
                self.owner_of_pod(self.pods.get(&pod)?.as_ref())
            })
            .collect();
        owners.sort_by(|a, b| a.name.cmp(&b.name));
        owners.dedup();
        owners
    }

    /// Resolves when everything has been seen once.
    pub(super) async fn complete(&self) {
        // An error says that the watch has ended, which it does with the process alone.
        let _ = tokio::join!(
            self.objects.wait_until_ready(),
            self.replica_sets.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.services.wait_until_ready(),
            self.endpoint_slices.wait_until_ready(),
            self.controller_revisions.wait_until_ready(),
        );
    }
}

/// By name, so that what is the same is seen the same: a store has an order of its own in each process.
fn sorted<K>(store: &Store<K>, is_wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let mut found = store.state_filter(is_wanted);
    found.sort_unstable_by(|a, b| a.meta().name.cmp(&b.meta().name));
    found
}
