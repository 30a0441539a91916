//! `spec.drain`: how a pod's work is brought to its end. It travels to the agent as it stands here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::confirm::Confirmation;
use super::defaults;

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

    /// Seconds for which all confirmations must hold without a break. Defaults to 3.
    #[serde(default = "defaults::quiet")]
    pub quiet_seconds: i32,

    /// Seconds for which new connections, beyond those of probes, may restart the quiet time. After
    /// them they are reported and no longer waited for. Defaults to 30.
    #[serde(default = "defaults::arrivals")]
    pub arrivals_seconds: i32,

    /// Tells the application that a drain began, so that it stops keeping connections alive and sends
    /// clients elsewhere. Told 2 seconds after the pod turned not ready, or after minSeconds if that is
    /// less: before that, routes would lead clients straight back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,

    /// What confirms that a pod's work is over; all must hold. Absent means connections on all
    /// listening ports. An empty list, or absent with hostNetwork, means minSeconds only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Vec<Confirmation>>,

    /// What becomes of a pod whose planned drain by Readiness has reached its deadline. Terminate lets it
    /// go with what is left of its work. Hold keeps it, withdrawn, until a person lets it go, by the
    /// annotation graceful.dev/release on the pod or by Terminate here; the others go on. Pause
    /// keeps it as well, and its drain goes on; until its work ends, or a person lets it go, the
    /// rollout withdraws no further pod. Defaults to Terminate.
    #[serde(default)]
    pub on_timeout: OnTimeout,
}

/// What becomes of a pod whose drain has reached its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnTimeout {
    /// It leaves as it is.
    #[default]
    Terminate,
    /// It stays, withdrawn, until a person lets it go.
    Hold,
    /// It stays, withdrawn, and the rollout stops until its work ends or a person lets it go.
    Pause,
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
            on_timeout: OnTimeout::Terminate,
        }
    }
}
