//! What a user is told about a spec that makes no sense, and what to write instead. The rules in the
//! CRD refuse with these sentences, and [`super::validate()`] says the same of objects stored earlier.

pub(crate) const SELECTOR_IMMUTABLE: &str = "selector cannot be changed: create a GracefulDeployment \
     of another name with the new selector, then delete this one";
pub(crate) const SELECTOR_EMPTY: &str =
    "selector must not be empty: set matchLabels to labels of the template, such as app: NAME";
pub(crate) const SELECTOR_MATCHES: &str = "the template's labels must match the selector: give \
     template.metadata.labels every label that selector asks for";
pub(crate) const SELECTOR_OPERATOR: &str = "operator must be In or NotIn with values, or Exists or \
     DoesNotExist without";
pub(crate) const SELECTOR_RESERVED: &str = "pod-template-hash and labels beginning with \
     graceful.dev/ are reserved: leave them out of the selector";

pub(crate) const COUNT: &str = "must be 0 or more";
pub(crate) const SECONDS: &str = "must be from 0 to 604800 seconds (a week)";
pub(crate) const PROGRESS_SECONDS: &str =
    "must be from 0 to 604800 seconds (a week), or 2147483647 for no deadline";
pub(crate) const PROGRESS_DEADLINE: &str = "progressDeadlineSeconds must be above minReadySeconds: \
     raise it, or lower minReadySeconds";

pub(crate) const NUMBER_OR_PERCENTAGE: &str =
    "must be a number of pods, 0 or more, or a percentage from \"0%\" to \"100%\"";
pub(crate) const NO_ROOM: &str = "maxSurge and maxUnavailable must not both be 0: set maxSurge to 1 \
     or more, or let maxUnavailable pods be missing";
pub(crate) const NO_DRAINS: &str =
    "maxDraining must not be 0: set it to 1 or more, or stop the rollout with paused: true";
pub(crate) const RECREATE: &str =
    "rollingUpdate must be left out with type Recreate: remove it, or set type: RollingUpdate";

pub(crate) const MIN_SECONDS: &str =
    "minSeconds must not be above timeoutSeconds: lower it, or raise timeoutSeconds";
pub(crate) const QUIET_SECONDS: &str =
    "quietSeconds must not be above timeoutSeconds: lower it, or raise timeoutSeconds";
pub(crate) const ONE_KIND: &str =
    "a confirmation must have exactly one kind: connections, httpGet, metric or condition";
pub(crate) const CONDITION: &str = "type must be a condition that another controller sets, such as \
     example.com/deregistered: Ready and ContainersReady are False while a pod drains";
pub(crate) const METRIC_NAME: &str = "a metric's name must be one word such as \
     http_requests_in_flight: labels go into labels";
pub(crate) const PORT: &str = "a port must be from 1 to 65535";
pub(crate) const PATH: &str = "a path must begin with /: write /drain, not drain";
pub(crate) const HOST_NETWORK: &str = "connections cannot confirm with hostNetwork, where they are \
     the whole node's: set confirm: [], or leave hostNetwork out";

pub(crate) const RESTART_POLICY: &str =
    "restartPolicy must be Always: leave it out, or use a Job for pods that end";
pub(crate) const ACTIVE_DEADLINE: &str = "activeDeadlineSeconds must be left out: it would kill pods \
     in service; use a Job for pods that end";
pub(crate) const EPHEMERAL_CONTAINERS: &str = "ephemeralContainers must be left out: they are added \
     to running pods by kubectl debug";
pub(crate) const NO_CONTAINER: &str = "a pod needs a container: list at least one";
pub(crate) const SLEEP: &str = "a preStop sleep must be below terminationGracePeriodSeconds: raise \
     the grace period, or leave it out, and it is computed";
pub(crate) const RESERVED_CONTAINER: &str =
    "the container name graceful-agent is reserved: choose another name";
pub(crate) const RESERVED_VOLUME: &str = "the volume names graceful-agent, graceful-podinfo and graceful-no-token are reserved: choose another name";
pub(crate) const RESERVED_MOUNT: &str =
    "the path /graceful.dev is reserved: mount the volume elsewhere";
pub(crate) const RESERVED_METADATA: &str = "labels and annotations beginning with graceful.dev/ are reserved: leave them out of the template";
