//! What was seen: plain data without missing fields. Built by `observe` from API objects, by
//! generators in property tests, and by the simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::end::End;
use super::plan::ObjectRef;
use super::target::{Invalid, Size, Target};
use crate::api::receipt::Receipt;
use crate::api::v1alpha1::{DrainRecord, GracefulDeploymentStatus};

/// Everything that a decision depends on, the time included.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When this was seen.
    pub now: Timestamp,
    /// A random number of this observation: the source of new epochs.
    pub entropy: u64,
    /// Name of the object.
    pub name: String,
    /// Generation of the spec.
    pub generation: i64,
    /// The object is being deleted.
    pub deleting: bool,
    /// What is wanted, or why that cannot be told.
    pub target: Result<Target, Invalid>,
    /// What a pod of the wanted template would be.
    pub wanted: NewRevision,
    /// The object's ReplicaSets, in any order.
    pub revisions: Vec<Revision>,
    /// ReplicaSets that are to become the object's, or to be so no longer.
    pub claims: Claims,
    /// The pods of these ReplicaSets, in any order.
    pub pods: Vec<Pod>,
    /// The Services that select any of these pods.
    pub services: Vec<Service>,
    /// Pods that are gone, and how they ended: those whose end no status counts yet.
    pub ends: Vec<End>,
    /// The status as it was last written. Its `drains` are the memory of drains.
    pub previous: GracefulDeploymentStatus,
}

/// The wanted revision, whether its ReplicaSet exists or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRevision {
    /// Name of its ReplicaSet.
    pub name: String,
    /// Summary of what is injected into new pods.
    pub injected: String,
    /// Somebody else's ReplicaSet has the name.
    pub name_taken: bool,
    /// What is to be said of the template, in sentences for the user.
    pub remarks: Vec<String>,
}

/// Whose ReplicaSets are to change hands, by their labels and the object's selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// They match and nobody controls them.
    pub adopt: Vec<ObjectRef>,
    /// They are ours and match no longer.
    pub release: Vec<ObjectRef>,
}

/// A ReplicaSet of ours.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
    /// Its revision number: the highest is the newest.
    pub number: i64,
    /// Pods that it is asked to have.
    pub replicas: u32,
    /// The size of the object that it was last sized for, where that is noted.
    pub sized_for: Option<Size>,
    /// Its controller has seen the spec that we see.
    pub settled: bool,
    /// Pods that its controller counts.
    pub counted: u32,
    /// Ready pods that its controller counts.
    pub counted_ready: u32,
    /// Pods with all labels of its template that its controller counts, where these labels have the one
    /// among them that is taken off the next victim.
    pub counted_labelled: Option<u32>,
    /// Summary of what is injected into its new pods; empty where nothing is.
    pub injected: String,
    /// Drain settings of its new pods.
    pub config: String,
    /// It carries the object's annotations and `minReadySeconds`.
    pub is_current: bool,
    /// A ControllerRevision keeps the user's template of it.
    pub is_recorded: bool,
    /// Why it cannot make pods, in its controller's words.
    pub failure: Option<String>,
}

/// How far a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not started. Sorts first, as the ReplicaSet's victims do.
    Pending,
    /// Its node does not answer.
    Unknown,
    /// Started.
    Running,
}

/// A pod of ours that has not finished.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of one pod that do not follow from each other"
)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
    /// UID of its ReplicaSet.
    pub owner: String,
    /// Its node, once scheduled.
    pub node: Option<String>,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is Ready, where it is.
    pub readiness: Readiness,
    /// It is being deleted.
    pub terminating: bool,
    /// The node that it was on is lost.
    pub node_lost: bool,
    /// Its deletion cost in force.
    pub deletion_cost: i32,
    /// Its agent.
    pub agent: Agent,
    /// The drain request on it, where one is.
    pub request: Option<Request>,
    /// It carries all labels of its ReplicaSet's template.
    pub is_labelled: bool,
    /// It carries marks of ours besides a request: the label or the user's cost in keeping.
    pub is_marked: bool,
    /// The drain settings that it carries.
    pub config: String,
    /// Summary of what was injected into it.
    pub injected: String,
    /// Why it is not ready, for people; empty where nothing is known.
    pub trouble: String,
    /// Its conditions, by type.
    pub conditions: BTreeMap<String, ConditionStatus>,
    /// A person lets it go at its deadline.
    pub is_released: bool,
    /// When it was last told that its drain is cancelled.
    pub cancelled: Option<Timestamp>,
}

/// Status of a condition of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Whoever sets it cannot tell.
    Unknown,
}

/// The Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Ready since then.
    Ready(Timestamp),
    /// Not ready.
    NotReady,
}

/// The drain request that a pod carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its epoch; empty where it cannot be read.
    pub epoch: String,
    /// Its settings, as in `Target::drain_settings`.
    pub settings: String,
    /// When it was asked last, where it says so.
    pub asked: Option<Timestamp>,
}

/// The agent container of a pod, by what the kubelet says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// The pod has one.
    pub present: bool,
    /// It runs.
    pub running: bool,
    /// Its readiness probe is answered with 200.
    pub ready: bool,
    /// How often it restarted.
    pub restarts: u32,
    /// The receipts that the kubelet published, newest first.
    pub receipts: Vec<Receipt>,
    /// When it last ended by itself, with exit code 0, where it has.
    pub exited: Option<Timestamp>,
}

/// A Service that selects pods of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// It has UDP ports.
    pub udp: bool,
    /// Its traffic stays on the node (internal or external traffic policy Local).
    pub local: bool,
    /// It names pods ready whatever they are.
    pub publishes_not_ready: bool,
    /// UIDs of the pods of ours that its selector matches.
    pub selects: BTreeSet<String>,
    /// The endpoints that its EndpointSlices name ready.
    pub ready: Vec<Endpoint>,
}

/// One ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// UID of its pod; its address where it has none.
    pub id: String,
    /// Its node.
    pub node: Option<String>,
}

impl Pod {
    /// The pod takes traffic as far as the pod itself says.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.readiness, Readiness::Ready(_))
    }

    /// The receipt for this epoch of this very pod, where the kubelet has published one.
    #[must_use]
    pub fn receipt(&self, epoch: &str) -> Option<&Receipt> {
        self.agent
            .receipts
            .iter()
            .find(|receipt| receipt.epoch == epoch && receipt.uid == self.uid)
    }
}

impl Service {
    /// The Service's EndpointSlices send new connections to the pod.
    #[must_use]
    pub fn names_ready(&self, pod: &Pod) -> bool {
        self.ready.iter().any(|endpoint| endpoint.id == pod.uid)
    }
}

impl Observation {
    /// Pods that are not being deleted.
    pub fn active(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| !pod.terminating)
    }

    /// Active pods of one ReplicaSet.
    pub fn active_of<'a>(&'a self, revision: &'a Revision) -> impl Iterator<Item = &'a Pod> {
        self.active().filter(|pod| pod.owner == revision.uid)
    }

    /// The wanted revision's ReplicaSet, where it exists.
    #[must_use]
    pub fn updated(&self) -> Option<&Revision> {
        self.revisions
            .iter()
            .find(|revision| revision.name == self.wanted.name)
    }

    /// Every other ReplicaSet, oldest first.
    #[must_use]
    pub fn old(&self) -> Vec<&Revision> {
        let mut old: Vec<_> = self
            .revisions
            .iter()
            .filter(|revision| revision.name != self.wanted.name)
            .collect();
        old.sort_by(|a, b| a.number.cmp(&b.number).then_with(|| a.name.cmp(&b.name)));
        old
    }

    /// The memory of this pod's drain.
    #[must_use]
    pub fn drain_of(&self, pod: &Pod) -> Option<&DrainRecord> {
        self.previous
            .drains
            .iter()
            .find(|drain| drain.uid == pod.uid)
    }

    /// No EndpointSlice sends new connections to the pod; Services that publish not ready addresses
    /// always do and are left aside.
    #[must_use]
    pub fn is_withdrawn(&self, pod: &Pod) -> bool {
        !self
            .services
            .iter()
            .any(|service| !service.publishes_not_ready && service.names_ready(pod))
    }

    /// The first Service that selects the pod and does not yet send it new connections.
    #[must_use]
    pub fn missing_from(&self, pod: &Pod) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.selects.contains(&pod.uid) && !service.names_ready(pod))
    }

    /// When the pod is available by its own readiness, or `None` where it is not ready. Without
    /// minReadySeconds a ready pod is, whatever its node's clock says.
    #[must_use]
    pub fn ripens(&self, pod: &Pod, min_ready: Duration) -> Option<Timestamp> {
        match pod.readiness {
            Readiness::Ready(_) if min_ready.is_zero() => Some(self.now),
            Readiness::Ready(since) => Some(after(since, min_ready)),
            Readiness::NotReady => None,
        }
    }

    /// Until when a pod that is available may turn NotReady for a drain that was cancelled: its agent may have
    /// heard of that one just before, and its kubelet have asked it just after.
    #[must_use]
    pub fn unsure_until(&self, pod: &Pod) -> Option<Timestamp> {
        let cancelled = pod.cancelled.filter(|cancelled| *cancelled <= self.now)?;
        let until = after(cancelled, SURE);
        (until > self.now).then_some(until)
    }

    /// The pod is to be ready only in time to come: our clock was set back, or its node's is fast. How
    /// long it has been ready cannot be told.
    #[must_use]
    pub fn is_undated(&self, pod: &Pod) -> bool {
        matches!(pod.readiness, Readiness::Ready(since) if since > self.now)
    }

    /// Ready for minReadySeconds, named ready by every Service that selects it, neither draining nor
    /// terminating. A pod that still carries the request of a cancelled drain may turn NotReady yet.
    #[must_use]
    pub fn is_available(&self, pod: &Pod, min_ready: Duration) -> bool {
        !pod.terminating
            && self.drain_of(pod).is_none()
            && pod.request.is_none()
            && self
                .ripens(pod, min_ready)
                .is_some_and(|ripe| ripe <= self.now)
            && self.missing_from(pod).is_none()
    }
}

/// So long after the cancel a pod serves for sure: what its kubelet writes is a second or two old, and the agent's
/// readiness is asked for each second.
const SURE: Duration = Duration::from_secs(5);

/// The point in time that lies a length after another; the end of time where it would lie beyond.
#[must_use]
pub(super) fn after(at: Timestamp, length: Duration) -> Timestamp {
    at.checked_add(length).unwrap_or(Timestamp::MAX)
}
