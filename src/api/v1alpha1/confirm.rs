//! `spec.drain.confirm`: what says that a pod's work is over. It travels to the agent as it stands here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::drain::HttpPort;

/// One confirmation that a pod's work is over. Exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// The kernel's socket table: no stream and no request in flight on the pod's inbound
    /// connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,

    /// A page of the pod: done when it answers 200 to 299. Asked about once a second, with two
    /// seconds for an answer of at most 64 KiB. Redirects are not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpPort>,

    /// A number on a Prometheus page of the pod: done when it is low enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,

    /// A condition of the pod that any other controller sets, the way in for load balancers and queues:
    /// done when its status is True. The operator looks at it once the others hold, in planned drains
    /// by Readiness alone: a pod that is deleted does not wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<PodCondition>,

    /// Seconds from the beginning of the drain after which this confirmation is no longer waited
    /// for. The pod then counts as TimedOut and not as Drained. Absent means the drain's own deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,

    /// What an error does: nobody listens, no answer in time, a redirect, an answer that is too long
    /// or that cannot be read; for a metric any answer that is not 200 to 299, and a page without
    /// the metric; for connections a socket table that cannot be read; for a condition the status
    /// Unknown, and not that nobody has set it yet. Wait waits until the error is over.
    /// Ignore takes it for a confirmation, and the drain reports that. A page that answers httpGet
    /// with another status is not done yet, which is no error. Defaults to Wait.
    #[serde(default)]
    pub on_error: OnError,
}

/// What an error of a confirmation does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    /// The drain waits until it is over.
    #[default]
    Wait,
    /// It does not hold the drain, and is reported.
    Ignore,
}

/// Which connections are looked at, and when they count as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// Ports to look at. Empty means every port that the pod listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,

    /// Ports to leave out. Defaults to none.
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

/// A number on a Prometheus page of the pod: the sum of all series that have the labels, in the text
/// format or OpenMetrics. A page without such a series is an error, never 0. Read line by line, up to
/// 4 MiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Port of the pod, 1 to 65535.
    pub port: u16,
    /// Path, beginning with `/`. Defaults to /metrics.
    #[serde(default = "defaults::metrics_path")]
    pub path: String,
    /// Name of the metric as it stands at the beginning of a line, such as http_requests_in_flight.
    pub name: String,
    /// Labels that a series must have to be counted; others may stand beside them. Defaults to none:
    /// every series of the name is counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The highest sum with which the work counts as over. Defaults to 0.
    #[serde(default)]
    pub at_most: i64,
}

/// A condition of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodCondition {
    /// Its type, such as lb.example.com/deregistered. Not one that Kubernetes sets.
    #[serde(rename = "type")]
    pub kind: String,
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
