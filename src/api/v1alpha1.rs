//! `GracefulDeployment`: its spec and status.
//!
//! Field names, defaults and meanings are Deployment's where Deployment has the field. The doc
//! comments are what `kubectl explain` prints.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Desired behaviour of a GracefulDeployment.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "graceful.dev",
    version = "v1alpha1",
    kind = "GracefulDeployment",
    plural = "gracefuldeployments",
    shortname = "gd",
    category = "all",
    namespaced,
    status = "GracefulDeploymentStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct GracefulDeploymentSpec {
    /// Number of desired pods. Defaults to 1.
    #[serde(default = "defaults::one")]
    pub replicas: i32,

    /// Label selector for the pods. Must match the template's labels; cannot be changed.
    pub selector: LabelSelector,

    /// The pods that will be created: an ordinary pod template, kept as it is written. Its fields
    /// are Kubernetes' own, see `kubectl explain pods.spec`.
    pub template: Value,

    /// Seconds for which a new pod must be ready, without any of its containers crashing, to be
    /// considered available. Defaults to 0.
    #[serde(default)]
    pub min_ready_seconds: i32,

    /// Seconds that a rollout may go without progress before the condition Progressing turns False
    /// with reason ProgressDeadlineExceeded. Time while paused, or while a drain is within its own
    /// deadline, does not count. Defaults to 600.
    #[serde(default = "defaults::progress_deadline")]
    pub progress_deadline_seconds: i32,

    /// Number of old ReplicaSets to keep for a rollback. Defaults to 10.
    #[serde(default = "defaults::history")]
    pub revision_history_limit: i32,

    /// Stops the rollout: no new revision is made and no pod is replaced. Scaling goes on.
    #[serde(default)]
    pub paused: bool,

    /// How old pods are replaced by new ones.
    #[serde(default)]
    pub strategy: Strategy,

    /// When a pod that leaves may be replaced. Defaults to DrainStarted.
    #[serde(default)]
    pub pod_replacement_policy: PodReplacementPolicy,

    /// How a pod's work is brought to its end before the pod is removed.
    #[serde(default)]
    pub drain: Drain,

    /// The application's own exit, from SIGTERM.
    #[serde(default)]
    pub shutdown: Shutdown,

    /// Probes for containers that have none.
    #[serde(default)]
    pub probes: Probes,
}

/// How old pods are replaced by new ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// RollingUpdate replaces pods in sequence; Recreate removes all old pods first. Defaults to
    /// RollingUpdate.
    #[serde(rename = "type", default)]
    pub kind: StrategyType,

    /// The bounds of a rolling update. Not allowed with Recreate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Kind of replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrategyType {
    /// Pods are replaced in sequence, within maxSurge, maxUnavailable and maxDraining.
    #[default]
    RollingUpdate,
    /// All old pods are gone before the first new one is made.
    Recreate,
}

/// The bounds of a rolling update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Pods that may exist above the desired number, draining and terminating ones not counted: a
    /// number, or a percentage of replicas rounded up. Defaults to 25%.
    #[serde(default = "defaults::surge")]
    pub max_surge: IntOrString,

    /// Pods that may be unavailable: a number, or a percentage of replicas rounded down. Defaults
    /// to 0.
    #[serde(default = "defaults::zero")]
    pub max_unavailable: IntOrString,

    /// Pods that may drain at the same time: a number, or a percentage of replicas rounded up.
    /// Lower it to pace the reconnects of long-lived clients. Defaults to 100%.
    #[serde(default = "defaults::all")]
    pub max_draining: IntOrString,
}

/// When a pod that leaves may be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodReplacementPolicy {
    /// As soon as its drain began: draining and terminating pods do not count against maxSurge.
    #[default]
    DrainStarted,
    /// When it is gone: draining and terminating pods count against maxSurge, for clusters with no
    /// room.
    TerminationComplete,
}

/// How a pod's work is brought to its end before the pod is removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How a pod is taken out of traffic. Readiness makes it not ready and lets it drain while it
    /// lives; Termination deletes it and lets it drain in its preStop hook; Auto takes Readiness
    /// unless it would be the worse way. Defaults to Auto.
    #[serde(default)]
    pub withdraw: Withdraw,

    /// Deadline of one planned drain, in seconds from when the pod heard of it. Defaults to 300.
    #[serde(default = "defaults::drain_timeout")]
    pub timeout_seconds: i32,

    /// Seconds that a drain may take when the pod was deleted without one (kubectl delete, eviction,
    /// node shutdown): the drain's share of the termination grace period. Defaults to 60.
    #[serde(default = "defaults::deletion_timeout")]
    pub deletion_timeout_seconds: i32,

    /// Least seconds of a drain, for routes to forget the pod: low traffic proves nothing about
    /// them. 10 to 30 behind ingress controllers and cloud load balancers. Defaults to 5.
    #[serde(default = "defaults::min")]
    pub min_seconds: i32,

    /// Seconds for which all confirmations must hold. Defaults to 3.
    #[serde(default = "defaults::quiet")]
    pub quiet_seconds: i32,

    /// Seconds for which new connections beyond those of probes may restart the quiet time. Defaults
    /// to 30.
    #[serde(default = "defaults::arrivals")]
    pub arrivals_seconds: i32,

    /// Tells the application that a drain began, so that it stops keeping connections alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,

    /// What confirms that a pod's work is over; all must hold. Absent means connections on all
    /// listening ports; an empty list means minSeconds only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Vec<Confirmation>>,
}

/// How a pod is taken out of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Withdraw {
    /// Readiness, unless Termination is the better way for this pod.
    #[default]
    Auto,
    /// The pod is made not ready and drains while it lives.
    Readiness,
    /// The pod is deleted and drains in its preStop hook.
    Termination,
}

/// Tells the application that a drain began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notify {
    /// A POST without body when a drain begins, a DELETE on the same path when it is cancelled. May
    /// come more than once; an error does not stop the drain.
    pub http_post: HttpPort,
}

/// A port and path of the pod itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpPort {
    /// Port of the pod, 1 to 65535.
    pub port: u16,
    /// Path, beginning with `/`.
    pub path: String,
}

/// One confirmation that a pod's work is over. Exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// The kernel's socket table: no stream and no request in flight on the pod's inbound
    /// connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
}

/// Which connections are looked at, and when they count as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// Ports to look at. Empty means every port that the pod listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,

    /// Ports to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_ports: Vec<u16>,

    /// What becomes of idle keep-alive connections and those with short requests. Finish leaves them
    /// to the application's shutdown; Wait waits until their clients have gone. Defaults to Finish.
    #[serde(default)]
    pub keep_alive: KeepAlive,

    /// Seconds without a byte either way after which an unanswered request no longer holds the
    /// drain. Defaults to 60.
    #[serde(default = "defaults::unresponsive")]
    pub unresponsive_seconds: i32,
}

/// What becomes of idle keep-alive connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeepAlive {
    /// They are left to the application's own shutdown.
    #[default]
    Finish,
    /// The drain waits until there are none.
    Wait,
}

/// The application's own exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// Seconds from SIGTERM to exit. Defaults to 30.
    #[serde(default = "defaults::shutdown_timeout")]
    pub timeout_seconds: i32,
}

/// Probes for containers that have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// IfMissing gives a container without a readiness probe one; Never leaves containers as they
    /// are. Defaults to IfMissing.
    #[serde(default)]
    pub inject: ProbeInjection,

    /// Readiness probe for containers without one. Absent means a TCP connect to the container's
    /// first TCP port every second; none without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Value>,

    /// Startup probe for containers without one. Absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Value>,

    /// Liveness probe for containers without one. Absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Value>,
}

/// Whether probes are injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProbeInjection {
    /// Into containers that have none.
    #[default]
    IfMissing,
    /// Nowhere.
    Never,
}

/// Most recently observed state of a GracefulDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GracefulDeploymentStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// Pods, draining ones included, terminating ones not.
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
    /// Ready, Available, Progressing, ReplicaFailure, Draining, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One drain of one pod. Times are absolute.
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
    pub since: String,
    /// When the pod was first seen withdrawn, which is when it had surely heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<String>,
    /// When every EndpointSlice was first seen not to name the pod ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// When the pod leaves, done or not. Absent until it has heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// How the drain ended. Absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// When the pod was given up to its ReplicaSet: the point of no return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<String>,
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

/// What a rollout did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// Name of the revision that was rolled out.
    pub revision: String,
    /// When it began.
    pub started: String,
    /// When it last came nearer to its end.
    pub progressed: String,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Pods that left with their work done.
    #[serde(default)]
    pub drained: i32,
    /// Pods that left at their deadline or undrained.
    #[serde(default)]
    pub forced: i32,
    /// Connections with work left when their pod left.
    #[serde(default)]
    pub connections_cut: i32,
}

/// Labels of a pod or selector.
pub type Labels = BTreeMap<String, String>;

/// Kubernetes' and our own defaults, one function each because serde wants them so.
mod defaults {
    use super::IntOrString;

    pub(super) fn one() -> i32 {
        1
    }
    pub(super) fn progress_deadline() -> i32 {
        600
    }
    pub(super) fn history() -> i32 {
        10
    }
    pub(super) fn surge() -> IntOrString {
        IntOrString::String("25%".into())
    }
    pub(super) fn zero() -> IntOrString {
        IntOrString::Int(0)
    }
    pub(super) fn all() -> IntOrString {
        IntOrString::String("100%".into())
    }
    pub(super) fn drain_timeout() -> i32 {
        300
    }
    pub(super) fn deletion_timeout() -> i32 {
        60
    }
    pub(super) fn min() -> i32 {
        5
    }
    pub(super) fn quiet() -> i32 {
        3
    }
    pub(super) fn arrivals() -> i32 {
        30
    }
    pub(super) fn unresponsive() -> i32 {
        60
    }
    pub(super) fn shutdown_timeout() -> i32 {
        30
    }
}

impl Default for RollingUpdate {
    fn default() -> Self {
        Self {
            max_surge: defaults::surge(),
            max_unavailable: defaults::zero(),
            max_draining: defaults::all(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            withdraw: Withdraw::Auto,
            timeout_seconds: defaults::drain_timeout(),
            deletion_timeout_seconds: defaults::deletion_timeout(),
            min_seconds: defaults::min(),
            quiet_seconds: defaults::quiet(),
            arrivals_seconds: defaults::arrivals(),
            notify: None,
            confirm: None,
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            ports: Vec::new(),
            except_ports: Vec::new(),
            keep_alive: KeepAlive::Finish,
            unresponsive_seconds: defaults::unresponsive(),
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            timeout_seconds: defaults::shutdown_timeout(),
        }
    }
}
