//! What objects of each kind are found by in a store of thousands: whose they are, and what they name.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;
use kube::core::{ObjectMeta, PartialObjectMeta};

use super::kept::{Kept, Packed};
use crate::api::{ADOPTED, POD_TEMPLATE_HASH};
use crate::observe::{SERVICE_NAME, has_ended};
use crate::operator::prune::{controller, is_marked, is_object};

/// A UID or a few words as a number, which thousands are compared with in no time. What is found by it may be more than
/// what was asked for, once in 10^19: who decides compares the UIDs themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::operator) struct Id(u64);

impl Id {
    pub(super) fn of(uid: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        Self(hasher.finish())
    }

    pub(in crate::operator) fn of_object(metadata: &ObjectMeta) -> Self {
        Self::of(metadata.uid.as_deref().unwrap_or_default())
    }

    /// Of words that mean the same only in one namespace.
    pub(super) fn within(namespace: Option<&str>, words: &[&str]) -> Self {
        let mut hasher = DefaultHasher::new();
        (namespace, words).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Who controls an object.
#[derive(Clone, Debug)]
pub(in crate::operator) struct Owner {
    pub(super) name: Box<str>,
    pub(super) id: Id,
    /// It is a GracefulDeployment.
    pub(in crate::operator) is_object: bool,
}

impl Owner {
    pub(super) fn of(metadata: &ObjectMeta) -> Option<Self> {
        let owner = controller(metadata)?;
        Some(Self {
            name: owner.name.as_str().into(),
            id: Id::of(&owner.uid),
            is_object: is_object(owner),
        })
    }
}

#[derive(Clone, Debug)]
pub(in crate::operator) struct SetKey {
    pub(super) id: Id,
    pub(in crate::operator) owner: Option<Owner>,
    pub(super) is_adopted: bool,
    /// It has the label of all ReplicaSets of Deployments and of ours.
    pub(super) is_labelled: bool,
}

impl Packed for ReplicaSet {
    type Key = SetKey;

    fn key(&self) -> SetKey {
        SetKey {
            id: Id::of_object(&self.metadata),
            owner: Owner::of(&self.metadata),
            is_adopted: self.annotations().contains_key(ADOPTED),
            is_labelled: self.labels().contains_key(POD_TEMPLATE_HASH),
        }
    }

    /// By its owner; those that nobody controls, by that.
    fn marks(kept: &Kept<Self>) -> Vec<Id> {
        let owner = kept.key.owner.as_ref().map(|owner| owner.id);
        vec![owner.unwrap_or_else(|| Id::within(kept.namespace.as_deref(), &[]))]
    }
}

#[derive(Clone, Debug)]
pub(in crate::operator) struct PodKey {
    pub(in crate::operator) id: Id,
    pub(super) owner: Option<Owner>,
    /// It carries the mark of a drain.
    pub(in crate::operator) is_marked: bool,
    /// Its last container has ended.
    pub(in crate::operator) has_ended: bool,
}

impl Packed for Pod {
    type Key = PodKey;

    fn key(&self) -> PodKey {
        PodKey {
            id: Id::of_object(&self.metadata),
            owner: Owner::of(&self.metadata),
            is_marked: is_marked(&self.metadata),
            has_ended: has_ended(self),
        }
    }

    /// By its owner.
    fn marks(kept: &Kept<Self>) -> Vec<Id> {
        let owner = kept.key.owner.iter();
        owner.map(|owner| owner.id).collect()
    }
}

/// Labels of the pods that a Service selects; none where it does not select.
pub(in crate::operator) type Selector = Option<Box<[(Box<str>, Box<str>)]>>;

impl Packed for Service {
    type Key = Selector;

    fn key(&self) -> Selector {
        let labels = self.spec.as_ref()?.selector.as_ref()?;
        let labels = labels.iter();
        let labels = labels.map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        Some(labels.collect())
    }

    /// By the first label that it selects: every pod that it selects has that one.
    fn marks(kept: &Kept<Self>) -> Vec<Id> {
        let first = kept.key.iter().filter_map(|labels| labels.first());
        first
            .map(|(key, value)| Id::within(kept.namespace.as_deref(), &[key, value]))
            .collect()
    }
}

/// Whom an endpoint names.
#[derive(Clone, Debug)]
pub(in crate::operator) enum Target {
    /// A pod.
    Pod { id: Id, name: Box<str> },
    /// Something that has no UID, so that it may be any pod.
    Addresses(Box<[Box<str>]>),
}

impl Target {
    fn of(endpoint: &Endpoint) -> Self {
        if let Some(named) = &endpoint.target_ref
            && let Some(uid) = named.uid.as_deref()
        {
            let name = named.name.as_deref().unwrap_or_default().into();
            return Self::Pod {
                id: Id::of(uid),
                name,
            };
        }
        let addresses = endpoint.addresses.iter();
        Self::Addresses(addresses.map(|address| address.as_str().into()).collect())
    }
}

#[derive(Clone, Debug)]
pub(in crate::operator) struct SliceKey {
    /// The Service that it belongs to.
    pub(super) service: Option<Box<str>>,
    pub(super) targets: Box<[Target]>,
}

impl Packed for EndpointSlice {
    type Key = SliceKey;

    fn key(&self) -> SliceKey {
        SliceKey {
            service: self
                .labels()
                .get(SERVICE_NAME)
                .map(|name| name.as_str().into()),
            targets: self.endpoints.iter().map(Target::of).collect(),
        }
    }

    /// By its Service and by all that it names.
    fn marks(kept: &Kept<Self>) -> Vec<Id> {
        let namespace = kept.namespace.as_deref();
        let service = kept.key.service.iter();
        let mut marks: Vec<_> = service.map(|name| Id::within(namespace, &[name])).collect();
        for target in &kept.key.targets {
            match target {
                Target::Pod { id, .. } => marks.push(*id),
                Target::Addresses(all) => {
                    marks.extend(all.iter().map(|one| Id::within(namespace, &[one])));
                }
            }
        }
        marks
    }
}

/// By its name, which is its ReplicaSet's.
impl Packed for PartialObjectMeta<ControllerRevision> {
    type Key = Id;

    fn key(&self) -> Id {
        Id::of_object(&self.metadata)
    }

    /// By that name, and by the object's that it was made for: a ReplicaSet of ours is named after it.
    fn marks(kept: &Kept<Self>) -> Vec<Id> {
        let names = [
            Some(&*kept.name),
            kept.name.rsplit_once('-').map(|(object, _)| object),
        ];
        let names = names.into_iter().flatten();
        names
            .map(|name| Id::within(kept.namespace.as_deref(), &[name]))
            .collect()
    }
}
