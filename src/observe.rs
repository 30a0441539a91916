//! API objects in, [`Observation`] out. Every `Option` of the API dies here: what is missing becomes
//! what it means. Pure, and the only place that meets missing fields; decides nothing.

mod ends;
mod owners;
mod pods;
mod services;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;

use crate::api::v1alpha1::GracefulDeployment;
use crate::api::{
    ADOPTED, CONFIG, DEPLOYMENT_REVISION, INJECTED, KEPT, POD_TEMPLATE_HASH, REVISION, SIZED,
};
use crate::rollout::{Invalid, NewRevision, ObjectRef, Observation, Revision};

pub use self::ends::{end, has_ended};
pub use self::owners::{inherited, matches};
pub(crate) use self::pods::tells_of_agent;
pub(crate) use self::services::SERVICE_NAME;

/// The API objects that a decision on one object depends on. More than belongs to it may be passed:
/// owners and selectors are checked here.
pub struct Objects<'a> {
    /// The object itself.
    pub object: &'a GracefulDeployment,
    /// ReplicaSets of its namespace: those it controls, those that nobody controls, and whoever has the
    /// wanted name.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// Pods of these ReplicaSets.
    pub pods: Vec<Arc<Pod>>,
    /// Services of its namespace.
    pub services: Vec<Arc<Service>>,
    /// EndpointSlices of its namespace.
    pub endpoint_slices: Vec<Arc<EndpointSlice>>,
    /// ControllerRevisions of its namespace.
    pub controller_revisions: Vec<Arc<PartialObjectMeta<ControllerRevision>>>,
}

/// What injection makes of the object's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Hash of the user's template.
    pub hash: String,
    /// Summary of what is injected into new pods.
    pub injected: String,
    /// What is to be said of the template, in sentences for the user.
    pub remarks: Vec<String>,
}

/// Turns API objects into an observation, made at `now`.
#[must_use]
pub fn observe(
    objects: &Objects<'_>,
    wanted: Result<Wanted, Invalid>,
    now: Timestamp,
    entropy: u64,
) -> Observation {
    let object = objects.object;
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let name = object.name_any();
    let claims = owners::claims(object, &objects.replica_sets);
    let (own, foreign): (Vec<_>, Vec<_>) = objects
        .replica_sets
        .iter()
        .partition(|set| is_controlled_by(&set.metadata, uid));
    let revisions: Vec<Revision> = own
        .iter()
        .map(|set| revision(object, set, &objects.controller_revisions))
        .collect();
    let is_ours = |pod: &&Arc<Pod>| {
        revisions
            .iter()
            .any(|set| is_controlled_by(&pod.metadata, &set.uid))
    };
    let pods: Vec<&Pod> = objects
        .pods
        .iter()
        .filter(is_ours)
        .map(AsRef::as_ref)
        .collect();
    let (target, new_revision) = match wanted {
        Ok(wanted) => {
            let name = name_of_wanted(&name, &wanted.hash, &own);
            let is_own = own.iter().any(|set| set.name_any() == name);
            let is_adopted = claims.adopt.iter().any(|set| set.name == name);
            let is_foreign = foreign.iter().any(|set| set.name_any() == name);
            let name_taken = is_foreign && !is_own && !is_adopted;
            let Wanted {
                injected, remarks, ..
            } = wanted;
            (
                target::parse(&object.spec),
                NewRevision {
                    name,
                    injected,
                    name_taken,
                    remarks,
                },
            )
        }
        Err(invalid) => (Err(invalid), NewRevision::default()),
    };
    Observation {
        now: to_microseconds(now),
        entropy,
        name,
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        target,
        wanted: new_revision,
        services: services::read(&pods, &objects.services, &objects.endpoint_slices),
        pods: pods
            .into_iter()
            .filter_map(|pod| pods::read(pod, is_labelled(pod, &own)))
            .collect(),
        revisions,
        claims,
        ends: Vec::new(),
        previous: object.status.clone().unwrap_or_default(),
    }
}

/// The object as it was seen: what a write that rests on it is guarded by.
#[must_use]
pub fn seen(object: &impl ResourceExt) -> ObjectRef {
    ObjectRef {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        resource_version: object.resource_version().unwrap_or_default(),
    }
}

/// The ReplicaSet of the wanted template, by the name that we give such a one; else by the hash, which
/// is the same under another object's name, or was noted when its pods were adopted.
fn name_of_wanted(object: &str, hash: &str, own: &[&Arc<ReplicaSet>]) -> String {
    let name = format!("{object}-{hash}");
    if own.iter().any(|set| set.name_any() == name) {
        return name;
    }
    let has = |text: Option<&String>| text.is_some_and(|text| text == hash);
    let labelled = own
        .iter()
        .find(|set| has(set.labels().get(POD_TEMPLATE_HASH)));
    let adopted = || own.iter().find(|set| has(set.annotations().get(ADOPTED)));
    labelled.or_else(adopted).map_or(name, |set| set.name_any())
}

fn revision(
    object: &GracefulDeployment,
    set: &ReplicaSet,
    records: &[Arc<PartialObjectMeta<ControllerRevision>>],
) -> Revision {
    let name = set.name_any();
    let spec = set.spec.as_ref();
    let status = set.status.as_ref();
    let annotations = spec
        .and_then(|spec| spec.template.as_ref())
        .and_then(|template| template.metadata.as_ref())
        .and_then(|metadata| metadata.annotations.as_ref());
    let annotation = |key: &str| {
        annotations
            .and_then(|all| all.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let failure = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|all| {
            all.iter()
                .find(|one| one.type_ == "ReplicaFailure" && one.status == "True")
        })
        .map(|condition| condition.message.clone().unwrap_or_default());
    Revision {
        uid: set.uid().unwrap_or_default(),
        resource_version: set.resource_version().unwrap_or_default(),
        number: [REVISION, DEPLOYMENT_REVISION]
            .iter()
            .find_map(|key| set.annotations().get(*key)?.parse().ok())
            .unwrap_or(0),
        replicas: spec.and_then(|spec| spec.replicas).map_or(1, to_count),
        sized_for: set
            .annotations()
            .get(SIZED)
            .and_then(|text| text.parse().ok()),
        settled: status.and_then(|status| status.observed_generation) >= set.metadata.generation,
        counted: status.map_or(0, |status| to_count(status.replicas)),
        counted_ready: status
            .and_then(|status| status.ready_replicas)
            .map_or(0, to_count),
        counted_labelled: template_labels(set)
            .filter(|labels| labels.contains_key(KEPT))
            .map(|_| status.and_then(|status| status.fully_labeled_replicas))
            .map(|counted| counted.map_or(0, to_count)),
        injected: annotation(INJECTED),
        config: annotation(CONFIG),
        is_current: owners::is_current(object, set),
        is_recorded: records.iter().any(|record| record.name_any() == name),
        failure,
        name,
    }
}

fn template_labels(set: &ReplicaSet) -> Option<&BTreeMap<String, String>> {
    let template = set.spec.as_ref()?.template.as_ref()?;
    template.metadata.as_ref()?.labels.as_ref()
}

/// The pod carries all labels of its ReplicaSet's template, as the ReplicaSet's controller counts it
/// (`calculateStatus` in pkg/controller/replicaset).
fn is_labelled(pod: &Pod, own: &[&Arc<ReplicaSet>]) -> bool {
    let set = own.iter().find(|set| {
        let uid = set.metadata.uid.as_deref();
        uid.is_some_and(|uid| is_controlled_by(&pod.metadata, uid))
    });
    let labels = set.and_then(|set| template_labels(set));
    let mut labels = labels.into_iter().flatten();
    labels.all(|(key, value)| pod.labels().get(key) == Some(value))
}

/// Controlled by UID: a name says nothing about who an owner is today.
fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

fn to_count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// Cut to what the API keeps, so that a time that was written equals itself when it is read.
fn to_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
