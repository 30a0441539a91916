//! The words that the operator, its agent and the cluster share: names of labels, annotations,
//! containers and ports. The operator and the agent meet nowhere else.

pub mod cancelled;
pub mod crd;
pub mod farewell;
pub mod injected;
pub mod reason;
pub mod receipt;
pub mod request;
pub mod v1alpha1;

/// API group of the custom resource, and prefix of every label and annotation of ours.
pub const GROUP: &str = "graceful.dev";

/// Field manager, user agent and Event reporter of the operator.
pub const FIELD_MANAGER: &str = "graceful-operator";

/// Name of the injected sidecar container and of the volume that is its memory. Users' containers
/// and volumes must not use it.
pub const AGENT: &str = "graceful-agent";

/// Name of the injected downward-API volume that carries [`DRAIN`] and [`CONFIG`] into the pod.
pub const PODINFO_VOLUME: &str = "graceful-podinfo";

/// Name of the injected empty volume over the path of the service account's token in the agent: where
/// something is mounted already, Kubernetes mounts no token (plugin/pkg/admission/serviceaccount).
pub const NO_TOKEN_VOLUME: &str = "graceful-no-token";

/// Where every container of an injected pod finds the agent's binary and its memory
/// (volume [`AGENT`], writable for the agent alone).
pub const AGENT_PATH: &str = "/graceful.dev/agent";

/// Where every container of an injected pod finds the annotations as files
/// (volume [`PODINFO_VOLUME`]).
pub const PODINFO_PATH: &str = "/graceful.dev/podinfo";

/// File in [`PODINFO_PATH`] with the value of [`DRAIN`]; empty where the annotation is absent.
pub const DRAIN_FILE: &str = "drain";

/// File in [`PODINFO_PATH`] with the value of [`CONFIG`].
pub const CONFIG_FILE: &str = "config";

/// The agent's read-only HTTP port, unless the template declares it: then the next free one.
pub const AGENT_PORT: u16 = 15990;

/// Environment variable of the agent with the UID of its pod.
pub const POD_UID_ENV: &str = "POD_UID";

/// Environment variable of the agent with the address of its pod.
pub const POD_IP_ENV: &str = "POD_IP";

/// Pod annotation: the request to drain, a [`request::DrainRequest`] as JSON. Its absence asks for
/// service, so removing it cancels the drain.
pub const DRAIN: &str = "graceful.dev/drain";

/// Pod annotation: when the pod was told that its drain is cancelled, first and last. Another time makes
/// the kubelet write the annotations into the pod again.
pub const CANCELLED: &str = "graceful.dev/cancelled";

/// Pod annotation, of any value, by a person: the pod may leave though its drain has reached its deadline
/// and `drain.onTimeout` keeps it.
pub const RELEASE: &str = "graceful.dev/release";

/// Pod annotation: the drain settings in force, a [`v1alpha1::Drain`] as JSON; what an unplanned exit
/// (preStop) goes by.
pub const CONFIG: &str = "graceful.dev/config";

/// Pod template annotation: what was injected, and the digest of the injected parts.
pub const INJECTED: &str = "graceful.dev/injected";

/// ReplicaSet annotation: the revision number that the ReplicaSet carries.
pub const REVISION: &str = "graceful.dev/revision";

/// ReplicaSet annotation: it was made by somebody else and adopted. The value is the hash of the object's
/// template where its pods were made from the same one; else empty.
pub const ADOPTED: &str = "graceful.dev/adopted";

/// ReplicaSet annotation: the size of the object that the ReplicaSet was last sized for, as
/// `replicas+maxSurge`. Tells a change of the size from a rollout that goes on.
pub const SIZED: &str = "graceful.dev/sized";

/// Annotation of an applied object, written by kubectl: too long to be kept or handed down.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// ReplicaSet annotation: the revision number that a Deployment gave it.
pub const DEPLOYMENT_REVISION: &str = "deployment.kubernetes.io/revision";

/// Pod annotation: the user's own [`DELETION_COST`] while ours is in its place; empty where they had
/// none.
pub const USER_DELETION_COST: &str = "graceful.dev/user-deletion-cost";

/// Pod label, value `true`, while a drain of the pod is requested: lets selectors leave draining
/// pods out.
pub const DRAINING: &str = "graceful.dev/draining";

/// Label of the injected pod template, value `true`, taken off a pod with the write that makes it its
/// ReplicaSet's next victim. The ReplicaSet counts the pods that carry all labels of its template
/// (`status.fullyLabeledReplicas`): so its controller tells that it has seen that write.
pub const KEPT: &str = "graceful.dev/kept";

/// Label of ReplicaSets and pods with the hash of the user's template, as Deployment has it.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// Kubernetes' own annotation: lower goes first when a ReplicaSet scales down.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Deletion cost of a pod whose drain is requested.
pub const COST_DRAINING: i32 = -2_147_483_000;

/// Deletion cost of a pod that is to be the ReplicaSet's next victim.
pub const COST_NEXT: i32 = -2_147_483_647;
