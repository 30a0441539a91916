//! `GracefulDeployment`: its spec and status.
//!
//! Field names, defaults and meanings are Deployment's where Deployment has the field. The doc
//! comments are what `kubectl explain` prints.

mod advice;
mod confirm;
mod defaults;
mod drain;
pub(crate) mod sentences;
mod status;
mod validate;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use advice::{Advice, Fit, Measured, TimeoutAdvice};
pub use confirm::{Confirmation, Connections, KeepAlive, Metric, OnError, PodCondition};
pub use drain::{Drain, HttpPort, Notify, OnTimeout, Withdraw};
pub use status::{
    DrainCause, DrainEnd, DrainRecord, DrainWay, GracefulDeploymentStatus, RolloutRecord,
};
pub use validate::{Invalid, Problem, validate};

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
    doc = "A Deployment whose old pods leave only when their work is known to be over, or at a deadline.",
    status = "GracefulDeploymentStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.scaledReplicas",
        label_selector_path = ".status.selector"
    ),
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
    /// are Kubernetes' own, see `kubectl explain pods.spec`. A field that is not known is refused,
    /// and so are two variables of one name in an env, and what begins with graceful.dev/.
    pub template: Value,

    /// Seconds for which a new pod must be ready, without any of its containers crashing, to be
    /// considered available. Defaults to 0.
    #[serde(default)]
    pub min_ready_seconds: i32,

    /// Seconds that a rollout may go without progress before the condition Progressing turns False
    /// with reason ProgressDeadlineExceeded. Time while paused, or while a drain is within its own
    /// deadline, does not count. 2147483647 means no deadline. Defaults to 600.
    #[serde(default = "defaults::progress_deadline")]
    pub progress_deadline_seconds: i32,

    /// Number of old ReplicaSets to keep for a rollback. Defaults to 10.
    #[serde(default = "defaults::history")]
    pub revision_history_limit: i32,

    /// Stops the rollout: no new revision is made and no pod is replaced. Scaling goes on. Defaults
    /// to false.
    #[serde(default)]
    pub paused: bool,

    /// How old pods are replaced by new ones. Defaults to a RollingUpdate.
    #[serde(default)]
    pub strategy: Strategy,

    /// When a pod that leaves may be replaced: DrainStarted, as soon as its drain began, so that
    /// draining and terminating pods do not count against maxSurge; or TerminationComplete, when it
    /// is gone, for clusters with no room. Defaults to DrainStarted.
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

    /// The bounds of a rolling update. Not allowed with Recreate. Absent with RollingUpdate means
    /// maxSurge 25%, maxUnavailable 0 and maxDraining 100%.
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

    /// Pods that may be missing to the desired number of available ones: a number, or a percentage
    /// of replicas rounded down. Defaults to 0.
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

/// The application's own exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// Seconds from SIGTERM to exit: the application's share of the termination grace period, and
    /// all that a container gets which is restarted because its liveness or startup probe failed.
    /// Defaults to 30.
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

    /// Readiness probe for containers without one, as it would stand in a container. Absent means a
    /// TCP connect to the container's first TCP port every second; none without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Value>,

    /// Startup probe for containers without one, as it would stand in a container. Absent means
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Value>,

    /// Liveness probe for containers without one, as it would stand in a container. Absent means
    /// none.
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

impl Default for RollingUpdate {
    fn default() -> Self {
        Self {
            max_surge: defaults::surge(),
            max_unavailable: defaults::zero(),
            max_draining: defaults::all(),
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
