//! `status`: what was seen, never what was hoped for. Its drains are the operator's only memory of
//! them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::advice::{Advice, Measured};
use crate::api::receipt::Outcome;

/// Most recently observed state of a GracefulDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GracefulDeploymentStatus {
    /// The generation of the spec that this status speaks of; -1 until a spec was first seen.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready pods of desired ones, such as 3/4: the column READY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Pods that exist, draining ones included, terminating ones not.
    #[serde(default)]
    pub replicas: i32,
    /// Pods of the wanted revision, draining ones not counted.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Pods that are Ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods that are in service: ready for minReadySeconds, named ready by the EndpointSlices of the
    /// Services that select them, neither draining nor terminating.
    #[serde(default)]
    pub available_replicas: i32,
    /// Pods still missing to the desired number of available ones.
    #[serde(default)]
    pub unavailable_replicas: i32,
    /// Pods that are draining.
    #[serde(default)]
    pub draining_replicas: i32,
    /// Pods that are being deleted.
    #[serde(default)]
    pub terminating_replicas: i32,
    /// Pods with an older injection (agent, hooks, probes, grace period) than a new pod would get.
    #[serde(default)]
    pub outdated_replicas: i32,
    /// Pods as the scale subresource counts them: all that there are, also those that leave, and not beyond
    /// the desired number, so that neither surge nor drains feed back into an autoscaler.
    #[serde(default)]
    pub scaled_replicas: i32,
    /// The selector of the scale subresource: the spec's, without draining pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Name of the revision that every pod had when the last rollout completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// Name of the revision that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// How often a ReplicaSet's name was taken by another template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// The drains under way. The only memory of a drain: what is not here was not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<DrainRecord>,
    /// The rollout under way, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rollout: Option<RolloutRecord>,
    /// How long the last drains and shutdowns took.
    #[serde(default, skip_serializing_if = "Measured::is_empty")]
    pub measured: Measured,
    /// Timeouts that these suggest.
    #[serde(default, skip_serializing_if = "Advice::is_empty")]
    pub advice: Advice,
    /// Ready, Available, Progressing, ReplicaFailure, Draining, Reconciling and Stalled. Ready sums up
    /// the others: its reason and message are those of the one that tells most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One drain of one pod. Times are absolute, to the microsecond: what is finer is cut off when it is
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainRecord {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// Random id of this drain of this pod.
    pub epoch: String,
    /// Why the pod leaves.
    pub cause: DrainCause,
    /// How the pod is taken out of traffic.
    pub way: DrainWay,
    /// When the drain was decided.
    pub since: MicroTime,
    /// When every EndpointSlice was first seen not to name the pod ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<MicroTime>,
    /// When the pod leaves, done or not. Absent until it is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<MicroTime>,
    /// When the deadline passed and drain.onTimeout kept the pod. Absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<MicroTime>,
    /// The condition of the pod that was still waited for when its agent was done. Absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How the drain ended. Absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DrainEnd>,
    /// When the pod was given up to its ReplicaSet: the point of no return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<MicroTime>,
}

impl DrainRecord {
    /// The drain has reached its deadline, and its pod is kept all the same.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.overdue.is_some() && self.outcome.is_none() && self.retired.is_none()
    }
}

/// Why a pod leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DrainCause {
    /// A newer revision replaces it.
    Rollout,
    /// Fewer replicas are wanted.
    ScaleDown,
}

/// How a pod is taken out of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DrainWay {
    /// It is made not ready and drains while it lives.
    Readiness,
    /// It is deleted and drains in its preStop hook.
    Termination,
}

/// How a drain ended: Drained, TimedOut, Unresponsive, NodeLost, Vanished or Silent. Absent while it
/// goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DrainEnd {
    /// Every confirmation held for the quiet time.
    Drained,
    /// The deadline passed with work left.
    TimedOut,
    /// Only requests without an answer, and without a byte either way, were left.
    Unresponsive,
    /// The pod's node was lost, and what became of its work is not known.
    NodeLost,
    /// The pod was deleted by somebody else.
    Vanished,
    /// The pod's agent had said nothing when the deadline passed.
    Silent,
}

impl From<Outcome> for DrainEnd {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Drained => Self::Drained,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Unresponsive => Self::Unresponsive,
        }
    }
}

/// What a rollout did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// Name of the revision that was rolled out.
    pub revision: String,
    /// When it began.
    pub started: MicroTime,
    /// When it last came nearer to its end.
    pub progressed: MicroTime,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<MicroTime>,
    /// Pods that left with their work done.
    #[serde(default)]
    pub drained: i32,
    /// Pods that left at their deadline, or that were in service and left undrained: they drain in
    /// their preStop hook, and nobody hears how that ends.
    #[serde(default)]
    pub forced: i32,
    /// Connections with work left when their pod left: at the end of its drain, or when the pod was
    /// killed. One that the application finished between SIGTERM and its exit is counted all the same.
    #[serde(default)]
    pub connections_cut: i32,
    /// Pods whose end is on record: they are gone, and how their containers ended was seen.
    #[serde(default)]
    pub ended: i32,
    /// Pods that are gone without anybody having seen how they ended: their node was lost, they were
    /// deleted by force, or the operator was away.
    #[serde(default)]
    pub unseen: i32,
    /// How many of the application's containers ended with which exit code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exit_codes: BTreeMap<String, i32>,
    /// Pods of which a container was ended by SIGKILL: by its exit code 137, or because it failed when its
    /// grace period was over. Its time was up, or it was out of memory.
    #[serde(default)]
    pub forced_kills: i32,
    /// Pools of connections to others, one for each address and port, that a pod left open: all that were
    /// open when it was killed; else only those of PostgreSQL (5432), MySQL (3306) and AMQP (5672) on which
    /// nothing had been said for half a second when the application ended, not even goodbye. Whether others were
    /// closed in order cannot be told, and they are not counted.
    #[serde(default)]
    pub pools_left_open: i32,
    /// Seconds of the longest shutdown, from SIGTERM until the application's containers were gone.
    #[serde(default)]
    pub longest_shutdown_seconds: i32,
    /// Seconds that the rollout took. Absent until it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i32>,
    /// Seconds that the longest drain took, until the pod was given up.
    #[serde(default)]
    pub longest_drain_seconds: i32,
}
